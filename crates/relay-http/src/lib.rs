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
