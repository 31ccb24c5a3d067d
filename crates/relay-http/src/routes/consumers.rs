//! Pull subscriptions: pulling, and committing how far that went.

use super::events::{wait, written};
use super::permitted;
use crate::answer::Answer;
use crate::audit::Audit;
use crate::auth::Caller;
use crate::document::{Document, Faults};
use crate::path::Segments;
use crate::problem::Problem;
use crate::query::Query;
use crate::state::AppState;
use crate::wire::committed::{CommittedView, Place, read};
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use http::StatusCode;
use relay_core::manage;

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/v1/subscriptions/{id}/pull", get(pull)).route("/v1/subscriptions/{id}/commit", post(commit))
}

async fn pull(
    State(state): State<AppState>,
    caller: Caller,
    segments: Segments,
    mut query: Query,
) -> Result<Answer, Problem> {
    let limit = query.limit()?;
    let wait = wait(query.take("wait").as_deref())?;
    query.finish()?;
    let found = permitted(&state, &caller, &segments).await?;
    let batch = manage::pull_events(state.ports(), &found, limit, wait).await?;
    let items = written(state.ports(), &batch.events).await?;
    let cursor = batch.cursor.to_string();
    Ok(Answer::raw(StatusCode::OK, [items.as_slice(), b",\"cursor\":\"", cursor.as_bytes(), b"\"}"].concat()))
}

async fn commit(
    State(state): State<AppState>,
    caller: Caller,
    audit: Audit,
    segments: Segments,
    query: Query,
    document: Document,
) -> Result<Answer, Problem> {
    query.finish()?;
    let found = permitted(&state, &caller, &segments).await?;
    let mut faults = Faults::default();
    let place = read(document.object()?, &mut faults);
    faults.none()?;
    let committed = match place {
        Place::Pulled(cursor) => manage::commit(state.ports(), &found, *cursor).await?,
        Place::Start(start) => {
            let moved = manage::move_consumer(state.ports(), &found, start).await?;
            audit.note(&caller, "subscription.consumer-moved", &found.id);
            moved
        }
    };
    Answer::ok(&CommittedView::from(&committed))
}
