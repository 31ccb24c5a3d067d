//! Dead letters.

use super::permitted;
use crate::answer::Answer;
use crate::audit::Audit;
use crate::auth::Caller;
use crate::document::Document;
use crate::path::Segments;
use crate::problem::Problem;
use crate::query::{Query, cursor, no_cursor};
use crate::state::AppState;
use crate::wire::List;
use crate::wire::dead_letter::{DeadLetterWire, Redriven, selection};
use axum::Router;
use axum::extract::State;
use axum::routing::{delete, get, post};
use http::StatusCode;
use relay_core::manage;
use relay_core::ports::PortError;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/v1/subscriptions/{id}/deadletters", get(list))
        .route("/v1/subscriptions/{id}/deadletters/redrive", post(redrive))
        .route("/v1/subscriptions/{id}/deadletters/{letter}", delete(remove))
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
    let listed = manage::list_dead_letters(state.ports(), &subscription.id, page.after.as_deref(), page.limit).await;
    let (letters, next) = match listed {
        Err(PortError::Invalid(_)) => return Err(no_cursor()),
        other => other?,
    };
    let items = letters.iter().map(DeadLetterWire::from).collect();
    Answer::ok(&List { items, next_cursor: next.as_deref().map(cursor) })
}

async fn redrive(
    State(state): State<AppState>,
    caller: Caller,
    audit: Audit,
    segments: Segments,
    query: Query,
    document: Document,
) -> Result<Answer, Problem> {
    query.finish()?;
    let subscription = permitted(&state, &caller, &segments).await?;
    let which = selection(document.object()?)?;
    let redriven = manage::redrive(state.ports(), &subscription, which).await?;
    audit.note(&caller, "deadletters.redriven", &format_args!("{} {redriven}", subscription.id));
    Answer::new(StatusCode::ACCEPTED, &Redriven { redriven })
}

async fn remove(
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
    let letter = segments.text(1);
    manage::delete_dead_letter(state.ports(), &subscription.id, letter).await?;
    audit.note(&caller, "deadletter.deleted", &format_args!("{} {letter:?}", subscription.id));
    Ok(StatusCode::NO_CONTENT)
}
