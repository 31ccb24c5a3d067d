//! Topics.

use crate::answer::Answer;
use crate::audit::Audit;
use crate::auth::Caller;
use crate::conditional::Conditions;
use crate::document::{Document, Faults, Object, Patch, merge};
use crate::path::Segments;
use crate::problem::Problem;
use crate::query::{Query, cursor};
use crate::state::{AppState, Job};
use crate::wire::List;
use crate::wire::stats::StatsView;
use crate::wire::topic::{TopicView, settings, tag};
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::StatusCode;
use relay_core::grants::Action;
use relay_core::manage::{self, Refused, TopicSettings};
use relay_core::topic::Topic;
use serde_json::{Value, json};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/v1/topics", get(list))
        .route("/v1/topics/{topic}", get(read).put(replace).patch(change).delete(delete))
        .route("/v1/topics/{topic}/stats", get(stats))
}

async fn list(State(state): State<AppState>, caller: Caller, mut query: Query) -> Result<Answer, Problem> {
    let page = query.page()?;
    query.finish()?;
    let ports = state.ports();
    let (topics, next) = page
        .collect(
            page.position()?,
            |after, limit| async move { manage::list_topics(ports, after.as_ref(), limit).await },
            |topic| topic.name.clone(),
            |topic| caller.0.may(Action::Manage, &topic.name),
        )
        .await?;
    let items = topics.iter().map(|topic| TopicView::from(&**topic)).collect();
    Answer::ok(&List { items, next_cursor: next.map(|name| cursor(name.as_str())) })
}

async fn read(
    State(state): State<AppState>,
    caller: Caller,
    segments: Segments,
    query: Query,
) -> Result<Answer, Problem> {
    query.finish()?;
    let name = segments.topic()?;
    caller.require(Action::Manage, &name)?;
    shown(StatusCode::OK, &*manage::topic(state.ports(), &name).await?)
}

async fn replace(
    State(state): State<AppState>,
    caller: Caller,
    audit: Audit,
    segments: Segments,
    mut query: Query,
    conditions: Conditions,
    document: Document,
) -> Result<Answer, Problem> {
    // `force` is for breaking changes of schemas, which topics do not have yet: no change of today is one.
    query.flag("force")?;
    query.finish()?;
    let name = segments.topic()?;
    caller.require(Action::Manage, &name)?;
    let (topic, created) = manage::write_topic(state.ports(), &name, |present| {
        conditions.check(present.map(tag).as_ref())?;
        let view = present.map_or_else(|| json!({ "name": name }), view);
        checked(document.value.clone(), &view)
    })
    .await?;
    audit.note(&caller, if created { "topic.created" } else { "topic.replaced" }, &name);
    if created {
        return Ok(shown(StatusCode::CREATED, &topic)?.located(&format!("/v1/topics/{name}")));
    }
    shown(StatusCode::OK, &topic)
}

async fn change(
    State(state): State<AppState>,
    caller: Caller,
    audit: Audit,
    segments: Segments,
    mut query: Query,
    conditions: Conditions,
    Patch(patch): Patch,
) -> Result<Answer, Problem> {
    query.flag("force")?;
    query.finish()?;
    let name = segments.topic()?;
    caller.require(Action::Manage, &name)?;
    let (topic, _) = manage::write_topic(state.ports(), &name, |present| {
        let present = present.ok_or_else(|| Refused::TopicNotFound(name.clone()))?;
        conditions.check(Some(&tag(present)))?;
        let view = view(present);
        let mut merged = view.clone();
        merge(&mut merged, patch.clone());
        checked(merged, &view)
    })
    .await?;
    audit.note(&caller, "topic.changed", &name);
    shown(StatusCode::OK, &topic)
}

async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    audit: Audit,
    segments: Segments,
    mut query: Query,
    conditions: Conditions,
    document: Document,
) -> Result<StatusCode, Problem> {
    let force = query.flag("force")?;
    query.finish()?;
    document.nothing()?;
    let name = segments.topic()?;
    caller.require(Action::Manage, &name)?;
    let check = |topic: &Topic| conditions.check(Some(&tag(topic)));
    let subscriptions = manage::delete_topic(state.ports(), &name, force, check).await?;
    audit.note(&caller, "topic.deleted", &name);
    for id in subscriptions {
        audit.note(&caller, "subscription.deleted", &id);
        state.start(Job::Remove(id));
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn stats(
    State(state): State<AppState>,
    caller: Caller,
    segments: Segments,
    query: Query,
) -> Result<Answer, Problem> {
    query.finish()?;
    let name = segments.topic()?;
    caller.require(Action::Manage, &name)?;
    let stats = manage::topic_stats(state.ports(), &name).await?;
    Answer::ok(&StatsView::new(&name, &stats))
}

fn shown(status: StatusCode, topic: &Topic) -> Result<Answer, Problem> {
    Ok(Answer::new(status, &TopicView::from(topic))?.tagged(&tag(topic)))
}

fn view(topic: &Topic) -> Value {
    serde_json::to_value(TopicView::from(topic)).unwrap_or_default()
}

fn checked(document: Value, present: &Value) -> Result<TopicSettings, Problem> {
    let mut faults = Faults::default();
    let settings = settings(Object::root(document)?, present, &mut faults);
    faults.none().map(|()| settings)
}
