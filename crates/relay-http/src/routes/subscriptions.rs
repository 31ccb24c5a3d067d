//! Subscriptions: created, read, changed, deleted.

use super::permitted;
use crate::answer::Answer;
use crate::audit::Audit;
use crate::auth::Caller;
use crate::conditional::Conditions;
use crate::document::{Document, Faults, Object, Patch, merge};
use crate::idempotency::Repeatable;
use crate::path::{Segments, topic_name};
use crate::problem::{Problem, ProblemKind};
use crate::query::{Query, cursor};
use crate::state::{AppState, Job};
use crate::wire::List;
use crate::wire::subscription::{SubscriptionView, read as read_draft, tag};
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::StatusCode;
use relay_core::grants::Action;
use relay_core::manage;
use relay_core::subscription::Subscription;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/v1/subscriptions", get(list).post(create))
        .route("/v1/subscriptions/{id}", get(read).patch(change).delete(delete))
}

async fn list(State(state): State<AppState>, caller: Caller, mut query: Query) -> Result<Answer, Problem> {
    let page = query.page()?;
    let topic = query.take("topic").map(|text| topic_name(&text)).transpose()?;
    query.finish()?;
    if let Some(topic) = &topic {
        caller.require(Action::Subscribe, topic)?;
    }
    let (ports, topic) = (state.ports(), topic.as_ref());
    let (subscriptions, next) = page
        .collect(
            page.position()?,
            |after, limit| async move { manage::list_subscriptions(ports, topic, after.as_ref(), limit).await },
            |subscription| subscription.id.clone(),
            |subscription| caller.0.may(Action::Subscribe, &subscription.topic),
        )
        .await?;
    let now = ports.clock.now();
    let items = subscriptions.iter().map(|subscription| SubscriptionView::new(subscription, now)).collect();
    Answer::ok(&List { items, next_cursor: next.map(|id| cursor(id.as_str())) })
}

async fn create(
    State(state): State<AppState>,
    caller: Caller,
    audit: Audit,
    repeatable: Repeatable,
    query: Query,
    document: Document,
) -> Result<Answer, Problem> {
    query.finish()?;
    let bytes = document.bytes.clone();
    let work = async || {
        let mut faults = Faults::default();
        let draft = read_draft(document.object()?, None, &*state.options().endpoints, &mut faults);
        faults.none()?;
        let none = || Problem::new(ProblemKind::InvalidField, "/topic: is required");
        let topic = draft.topic.clone().ok_or_else(none)?;
        caller.require(Action::Subscribe, &topic)?;
        let (ports, start) = (state.ports(), draft.start);
        let created = manage::create_subscription(ports, &topic, start, |topic| draft.settle(topic, None)).await?;
        audit.note(&caller, "subscription.created", &created.id);
        if created.rewind.is_some() {
            state.start(Job::Replay(created.id.clone()));
        }
        let view = SubscriptionView::new(&created, state.ports().clock.now()).revealing(&created);
        let answer = Answer::new(StatusCode::CREATED, &view)?.secret().tagged(&tag(&created));
        Ok(answer.located(&format!("/v1/subscriptions/{}", created.id)))
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
    shown(&state, &subscription)
}

async fn change(
    State(state): State<AppState>,
    caller: Caller,
    audit: Audit,
    segments: Segments,
    query: Query,
    conditions: Conditions,
    Patch(patch): Patch,
) -> Result<Answer, Problem> {
    query.finish()?;
    let found = permitted(&state, &caller, &segments).await?;
    let now = state.ports().clock.now();
    let changed = manage::edit_subscription(state.ports(), &found.id, |present, topic| {
        conditions.check(Some(&tag(present)))?;
        let view = serde_json::to_value(SubscriptionView::new(present, now)).unwrap_or_default();
        let mut merged = view.clone();
        merge(&mut merged, patch.clone());
        let mut faults = Faults::default();
        let policy = &*state.options().endpoints;
        let draft = read_draft(Object::root(merged)?, Some((present, &view)), policy, &mut faults);
        faults.none()?;
        draft.settle(topic, Some(present))
    })
    .await?;
    audit.note(&caller, "subscription.changed", &changed.id);
    shown(&state, &changed)
}

async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    audit: Audit,
    segments: Segments,
    query: Query,
    conditions: Conditions,
    document: Document,
) -> Result<StatusCode, Problem> {
    query.finish()?;
    document.nothing()?;
    let found = permitted(&state, &caller, &segments).await?;
    let check = |present: &Subscription| conditions.check(Some(&tag(present)));
    manage::delete_subscription(state.ports(), &found.id, check).await?;
    audit.note(&caller, "subscription.deleted", &found.id);
    state.start(Job::Remove(found.id.clone()));
    Ok(StatusCode::NO_CONTENT)
}

/// A subscription as it is.
pub(super) fn shown(state: &AppState, subscription: &Subscription) -> Result<Answer, Problem> {
    let view = SubscriptionView::new(subscription, state.ports().clock.now());
    Ok(Answer::ok(&view)?.tagged(&tag(subscription)))
}
