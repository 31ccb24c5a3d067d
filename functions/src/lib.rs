//! The broker on AWS Lambda.
//!
//! ```text
//!   API Gateway ─▶ ingest ───▶ events.fifo ─▶ dispatch ─▶ webhooks
//!   API Gateway ─▶ registry         │             │
//!                                   │          wake-ups ─▶ drain ─▶ webhooks
//!   schedule ─────▶ sweep ──────────┴─────────────┘
//! ```
//!
//! Each function is a folder with a `main.rs` that does four things: read its [`settings`], make its ports
//! ([`wiring`], the only module that names AWS), build its use-case, and run the handler that turns Lambda's events
//! into calls of it. What the handlers share:
//!
//! - A **deadline** ([`deadline`]): work that is not done shortly before Lambda would cut it off is given back.
//! - **Partial batch responses** ([`dispatch`], [`drain`]): a message that is not done is reported, with all behind it
//!   in its group. A failing webhook is never a failure of the function.
//! - Connections are **warmed** ([`warming`]) before the first event is asked for.
//! - Nothing runs after the answer, since Lambda freezes the process: jobs that a request starts are run before it
//!   ([`jobs`]), for a short while; sweep finishes them.

pub mod acknowledgements;
pub mod api;
pub mod deadline;
pub mod dispatch;
pub mod drain;
pub mod emf;
pub mod jobs;
pub mod log;
pub mod settings;
pub mod sweep;
pub mod warming;
pub mod wiring;
