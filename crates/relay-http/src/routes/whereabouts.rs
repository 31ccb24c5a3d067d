//! Why was it not delivered?

use super::permitted;
use crate::answer::Answer;
use crate::auth::Caller;
use crate::path::Segments;
use crate::problem::Problem;
use crate::query::Query;
use crate::state::AppState;
use crate::wire::whereabouts::WhereaboutsView;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use relay_core::manage;

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/v1/subscriptions/{id}/events/{event}", get(read))
}

async fn read(
    State(state): State<AppState>,
    caller: Caller,
    segments: Segments,
    query: Query,
) -> Result<Answer, Problem> {
    query.finish()?;
    let subscription = permitted(&state, &caller, &segments).await?;
    let event = segments.text(1);
    let found = manage::whereabouts(state.ports(), &subscription, event).await?;
    Answer::ok(&WhereaboutsView::new(event, &subscription, &found))
}
