//! API keys.

use crate::answer::Answer;
use crate::audit::Audit;
use crate::auth::Caller;
use crate::document::{Document, Faults};
use crate::idempotency::Repeatable;
use crate::path::Segments;
use crate::problem::{Problem, ProblemKind};
use crate::query::{Query, cursor};
use crate::state::AppState;
use crate::wire::List;
use crate::wire::key::{KeyView, read as read_key};
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::StatusCode;
use relay_core::manage;
use relay_core::names::KeyId;

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/v1/keys", get(list).post(create)).route("/v1/keys/{id}", get(read).delete(delete))
}

async fn list(State(state): State<AppState>, caller: Caller, mut query: Query) -> Result<Answer, Problem> {
    let page = query.page()?;
    query.finish()?;
    caller.require_keys()?;
    let ports = state.ports();
    let (keys, next) = page
        .collect(
            page.position()?,
            |after, limit| async move { manage::list_keys(ports, after.as_ref(), limit).await },
            |(key, _)| key.id.clone(),
            |_| true,
        )
        .await?;
    let items = keys.iter().map(|(key, used_at)| KeyView::new(key, *used_at)).collect();
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
    caller.require_keys()?;
    let bytes = document.bytes.clone();
    let work = async || {
        let mut faults = Faults::default();
        let new = read_key(document.object()?, state.ports().clock.now(), &mut faults);
        faults.none()?;
        let (key, text) = manage::create_key(state.ports(), new).await?;
        audit.note(&caller, "key.created", &key.id);
        let answer = Answer::new(StatusCode::CREATED, &KeyView::new(&key, None).revealing(&text))?;
        Ok(answer.secret().located(&format!("/v1/keys/{}", key.id)))
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
    caller.require_keys()?;
    let (key, used_at) = manage::key(state.ports(), &key_id(&segments)?).await?;
    Answer::ok(&KeyView::new(&key, used_at))
}

async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    audit: Audit,
    segments: Segments,
    query: Query,
    document: Document,
) -> Result<StatusCode, Problem> {
    query.finish()?;
    document.nothing()?;
    caller.require_keys()?;
    let id = key_id(&segments)?;
    manage::delete_key(state.ports(), &id).await?;
    audit.note(&caller, "key.deleted", &id);
    Ok(StatusCode::NO_CONTENT)
}

fn key_id(segments: &Segments) -> Result<KeyId, Problem> {
    KeyId::new(segments.text(0)).map_err(|_| Problem::new(ProblemKind::KeyNotFound, "no key has such an id"))
}
