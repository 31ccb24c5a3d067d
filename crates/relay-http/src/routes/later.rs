//! Routes of the contract that this version does not build yet: refused by name, so that nobody takes them for typing
//! errors of his own.

use crate::auth::Caller;
use crate::problem::{Problem, ProblemKind};
use crate::state::AppState;
use axum::Router;
use axum::routing::any;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/v1/topics/{topic}/asyncapi.json", any(later))
        .route("/v1/channels/{channel}", any(later))
        .route("/v1/subscriptions/{id}/verify", any(later))
        .route("/v1/subscriptions/{id}/approve", any(later))
        .route("/v1/asyncapi", any(later))
}

async fn later(_: Caller) -> Problem {
    Problem::new(ProblemKind::NotSupported, "this version does not have this route yet")
}
