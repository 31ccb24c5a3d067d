//! All routes.

use crate::envelope::EnvelopeLayer;
use crate::ingest;
use crate::problem::{Problem, ProblemKind};
use crate::routes;
use crate::state::AppState;
use axum::Router;

/// The broker's routes, in their envelope: whatever is sent, the answer has a request id, and what went wrong is a
/// problem document.
pub fn router(state: AppState) -> Router {
    let envelope = EnvelopeLayer { ids: state.ports().ids.clone() };
    Router::new()
        .merge(ingest::routes())
        .merge(routes::routes())
        .fallback(async || Problem::new(ProblemKind::NotFound, "no route has this path"))
        .method_not_allowed_fallback(async || {
            Problem::new(ProblemKind::MethodNotAllowed, "the `Allow` header names the methods that this path has")
        })
        .with_state(state)
        .layer(envelope)
}
