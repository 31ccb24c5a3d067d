//! A client of a running broker's HTTP API, for the commands that read from it or tell it something.
//!
//! ```text
//!   ClientArgs (--url, key from the environment or a file) ─▶ Client ─▶ answer, or CallFault: away, or refused
//! ```
//!
//! Load has a client of its own, which puts less between the measurement and the broker.

mod args;
mod backoff;
mod call;
mod refusal;
mod target;

pub use args::ClientArgs;
pub use backoff::Backoff;
pub use call::Client;
pub use refusal::{CallFault, Refusal};
pub use target::Target;
