//! The adapters against an emulator of AWS, or AWS itself: whatever answers at `AWS_ENDPOINT_URL`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod broker;
mod conformance;
mod cost;
mod details;
mod faulted;
mod killed;
mod lossy;
mod payloads;
mod segments;
mod wire;
mod world;
