//! What can be done with a subscription: pause, resume, test, rotate its secrets.

use super::permitted;
use super::subscriptions::shown;
use crate::answer::Answer;
use crate::audit::Audit;
use crate::auth::Caller;
use crate::document::{Document, Faults};
use crate::idempotency::Repeatable;
use crate::path::Segments;
use crate::problem::Problem;
use crate::query::Query;
use crate::state::{AppState, Job};
use crate::wire::attempt::{AttemptView, Tested};
use crate::wire::subscription::{SubscriptionView, tag};
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use relay_core::manage::{self, MAX_GRACE};
use relay_core::subscription::Change;
use std::time::Duration;

/// How long a replaced secret signs on, unless it is said otherwise.
const DEFAULT_GRACE: Duration = Duration::from_secs(86_400);

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/v1/subscriptions/{id}/pause", post(pause))
        .route("/v1/subscriptions/{id}/resume", post(resume))
        .route("/v1/subscriptions/{id}/test", post(test))
        .route("/v1/subscriptions/{id}/secrets/rotate", post(rotate))
}

async fn pause(
    State(state): State<AppState>,
    caller: Caller,
    audit: Audit,
    segments: Segments,
    query: Query,
    document: Document,
) -> Result<Answer, Problem> {
    query.finish()?;
    document.nothing()?;
    let found = permitted(&state, &caller, &segments).await?;
    let paused = manage::change_status(state.ports(), &found.id, Change::Pause).await?;
    audit.note(&caller, "subscription.paused", &paused.id);
    shown(&state, &paused)
}

async fn resume(
    State(state): State<AppState>,
    caller: Caller,
    audit: Audit,
    segments: Segments,
    query: Query,
    document: Document,
) -> Result<Answer, Problem> {
    query.finish()?;
    document.nothing()?;
    let found = permitted(&state, &caller, &segments).await?;
    let resumed = manage::change_status(state.ports(), &found.id, Change::Resume).await?;
    audit.note(&caller, "subscription.resumed", &resumed.id);
    if resumed.resuming {
        state.start(Job::Resume(resumed.id.clone()));
    } else if resumed.rewind.is_some() {
        state.start(Job::Replay(resumed.id.clone()));
    }
    shown(&state, &resumed)
}

async fn test(
    State(state): State<AppState>,
    caller: Caller,
    audit: Audit,
    segments: Segments,
    query: Query,
    document: Document,
) -> Result<Answer, Problem> {
    query.finish()?;
    document.nothing()?;
    let found = permitted(&state, &caller, &segments).await?;
    audit.note(&caller, "subscription.tested", &found.id);
    let attempt = manage::send_sample(state.ports(), found).await?;
    Answer::ok(&Tested { attempt: AttemptView::from(&attempt) })
}

async fn rotate(
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
        let mut faults = Faults::default();
        let mut document = document.object()?;
        let grace = document.integer("graceSeconds", 0..=MAX_GRACE.as_secs(), &mut faults);
        document.finish(&mut faults);
        faults.none()?;
        let grace = grace.map_or(DEFAULT_GRACE, Duration::from_secs);
        let rotated = manage::rotate_secret(state.ports(), &found.id, grace).await?;
        audit.note(&caller, "subscription.secret-rotated", &rotated.id);
        let view = SubscriptionView::new(&rotated, state.ports().clock.now()).revealing(&rotated);
        Ok(Answer::ok(&view)?.secret().tagged(&tag(&rotated)))
    };
    repeatable.once(&state, &bytes, work).await
}
