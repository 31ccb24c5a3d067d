//! The broker's HTTP interface.
//!
//! ```text
//!   request ─▶ envelope ─────▶ route ─▶ authenticate ─▶ read body ─▶ authorise ─▶ use-case (relay-core) ─▶ wire form
//!              request id,                   │               │            │             │
//!              panics, problem documents ◀───┴───── Problem ─┴────────────┴─────────────┘
//! ```
//!
//! Everything that can go wrong is a [`Problem`] of one [`ProblemKind`]; the envelope writes it as
//! `application/problem+json`. Handlers translate between wire forms and the domain and hold no rules of their own.
//! What has to go on after an answer is handed to [`Background`].
//!
//! ```
//! use relay_core::time::Time;
//! use relay_http::{AdminKey, AppState, Background, Job, Options, router};
//! use relay_sim::{ManualClock, Simulated};
//! use std::sync::Arc;
//!
//! struct Later;
//! impl Background for Later {
//!     fn start(&self, job: Job) {
//!         println!("to be run: {job:?}");
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ports = Simulated::calm(Arc::new(ManualClock::new(Time(0)))).ports();
//! let https_only = |url: &str| if url.starts_with("https://") { Ok(()) } else { Err("use https".to_owned()) };
//! let mut options = Options::new(Arc::new(https_only), Arc::new(Later));
//! options.admin_key = Some(AdminKey::new("an-admin-key-of-some-length")?);
//! let app: axum::Router = router(AppState::new(ports, options));
//! # drop(app);
//! # Ok(())
//! # }
//! ```

mod answer;
mod audit;
mod auth;
mod body;
mod conditional;
mod content_type;
mod document;
mod envelope;
mod idempotency;
mod ingest;
mod leftover;
mod path;
mod problem;
mod query;
mod router;
mod routes;
mod state;
mod wire;

pub use auth::{AdminKey, AdminKeyFault};
pub use problem::{Fault, FaultKind, Problem, ProblemKind};
pub use router::router;
pub use state::{AppState, Background, EndpointPolicy, Job, Options};
