//! Replays of a subscription.

use super::permitted;
use crate::answer::Answer;
use crate::audit::Audit;
use crate::auth::Caller;
use crate::document::Document;
use crate::idempotency::Repeatable;
use crate::path::Segments;
use crate::problem::Problem;
use crate::query::Query;
use crate::state::{AppState, Job};
use crate::wire::replay::{ReplayView, order};
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use http::StatusCode;
use relay_core::manage;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/v1/subscriptions/{id}/replays", post(begin))
        .route("/v1/subscriptions/{id}/replays/{job}", get(read).delete(cancel))
}

async fn begin(
    State(state): State<AppState>,
    caller: Caller,
    audit: Audit,
    repeatable: Repeatable,
    segments: Segments,
    query: Query,
    document: Document,
) -> Result<Answer, Problem> {
    query.finish()?;
    let found = permitted(&state, &caller, &segments).await?;
    let bytes = document.bytes.clone();
    let work = async || {
        let order = order(document.object()?)?;
        let replay = manage::begin_replay(state.ports(), &found.id, order).await?;
        audit.note(&caller, "replay.begun", &format_args!("{} {}", found.id, replay.id));
        state.start(Job::Replay(found.id.clone()));
        let answer = Answer::new(StatusCode::ACCEPTED, &ReplayView::from(&replay))?;
        Ok(answer.located(&format!("/v1/subscriptions/{}/replays/{}", found.id, replay.id)))
    };
    repeatable.once(&state, &bytes, work).await
}

async fn read(
    State(state): State<AppState>,
    caller: Caller,
    segments: Segments,
    query: Query,
) -> Result<Answer, Problem> {
    query.finish()?;
    let subscription = permitted(&state, &caller, &segments).await?;
    let replay = manage::replay(state.ports(), &subscription, segments.text(1)).await?;
    Answer::ok(&ReplayView::from(&replay))
}

async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    audit: Audit,
    segments: Segments,
    query: Query,
    document: Document,
) -> Result<StatusCode, Problem> {
    query.finish()?;
    document.nothing()?;
    let subscription = permitted(&state, &caller, &segments).await?;
    let job = segments.text(1);
    manage::cancel_replay(state.ports(), &subscription, job).await?;
    audit.note(&caller, "replay.cancelled", &format_args!("{} {job:?}", subscription.id));
    state.start(Job::Replay(subscription.id.clone()));
    Ok(StatusCode::NO_CONTENT)
}
