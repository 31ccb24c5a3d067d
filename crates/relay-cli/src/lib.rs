//! The `relay` binary as a library: one module per command, so that tests can reach what the commands are made of.

pub mod aws;
pub mod bench;
pub mod client;
pub mod command_line;
pub mod demo;
pub mod events;
pub mod failure;
pub mod listen;
pub mod load;
pub mod log;
pub mod replay;
pub mod serve;
pub mod signals;
pub mod span;
