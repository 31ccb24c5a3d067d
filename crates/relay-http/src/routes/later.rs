//! Routes of the contract that this version does not build yet: refused by name, so that nobody takes them for typing
//! errors of his own.

use crate::auth::Caller;
use crate::problem::{Problem, ProblemKind};
use crate::state::AppState;
use axum::Router;
use axum::routing::{get, post, put};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/v1/topics/{topic}/events", get(later))
        .route("/v1/topics/{topic}/events/{replay}", get(later))
        .route("/v1/topics/{topic}/asyncapi.json", get(later))
        .route("/v1/channels/{channel}", put(later).get(later).delete(later))
        .route("/v1/subscriptions/{id}/verify", post(later))
        .route("/v1/subscriptions/{id}/approve", post(later))
        .route("/v1/subscriptions/{id}/replays", post(later))
        .route("/v1/subscriptions/{id}/replays/{job}", get(later).delete(later))
        .route("/v1/subscriptions/{id}/pull", get(later))
        .route("/v1/subscriptions/{id}/commit", post(later))
        .route("/v1/asyncapi", put(later))
}

async fn later(_: Caller) -> Problem {
    Problem::new(ProblemKind::NotSupported, "this version of the broker does not build this route yet")
}
