//! What was attempted.

use super::permitted;
use crate::answer::Answer;
use crate::auth::Caller;
use crate::path::Segments;
use crate::problem::Problem;
use crate::query::{Query, cursor, no_cursor};
use crate::state::AppState;
use crate::wire::List;
use crate::wire::attempt::AttemptView;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use relay_core::ports::PortError;

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/v1/subscriptions/{id}/attempts", get(list))
}

async fn list(
    State(state): State<AppState>,
    caller: Caller,
    segments: Segments,
    mut query: Query,
) -> Result<Answer, Problem> {
    let page = query.page()?;
    query.finish()?;
    let subscription = permitted(&state, &caller, &segments).await?;
    let attempts = &state.ports().attempts;
    let listed = match attempts.list(&subscription.id, page.after.as_deref(), page.limit).await {
        Err(PortError::Invalid(_)) => return Err(no_cursor()),
        other => other?,
    };
    let items = listed.attempts.iter().map(AttemptView::from).collect();
    Answer::ok(&List { items, next_cursor: listed.next.as_deref().map(cursor) })
}
