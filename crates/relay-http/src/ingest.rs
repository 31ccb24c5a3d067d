//! Publishing.

use crate::state::AppState;
use axum::Router;

/// The routes that take events.
pub(crate) fn routes() -> Router<AppState> {
    Router::new()
}
