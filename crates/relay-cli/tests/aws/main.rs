//! The real binary on SQS, DynamoDB and S3: whatever answers at `AWS_ENDPOINT_URL`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "what the black-box tests share is not all of use here")]

#[path = "../blackbox/broker.rs"]
mod broker;
#[path = "../blackbox/client.rs"]
mod client;
#[path = "../blackbox/hook.rs"]
mod hook;
#[path = "../blackbox/kill.rs"]
mod kill;
#[path = "../blackbox/numbers.rs"]
mod numbers;
mod operators;
mod serving;
mod site;
#[path = "../blackbox/wait.rs"]
mod wait;
