//! Held lanes, and their heads resolved by hand.

use super::permitted;
use crate::answer::Answer;
use crate::audit::Audit;
use crate::auth::Caller;
use crate::document::Document;
use crate::path::Segments;
use crate::problem::{Problem, ProblemKind};
use crate::query::{Query, cursor, invalid};
use crate::state::AppState;
use crate::wire::List;
use crate::wire::lane::{HeldLaneView, Resolving, sequence};
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use http::StatusCode;
use relay_core::lane::ResolveAction;
use relay_core::manage;
use relay_core::pack::LaneId;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/v1/subscriptions/{id}/lanes", get(list))
        .route("/v1/subscriptions/{id}/lanes/{lane}/{action}", post(resolve))
}

async fn list(
    State(state): State<AppState>,
    caller: Caller,
    segments: Segments,
    mut query: Query,
) -> Result<Answer, Problem> {
    let page = query.page()?;
    match query.take("state").as_deref() {
        None | Some("held") => {}
        Some(_) => return Err(invalid("`state` is `held`: other lanes are not listed".to_owned())),
    }
    query.finish()?;
    let subscription = permitted(&state, &caller, &segments).await?;
    let after = page.position::<LaneId>()?;
    let held = state.ports().lanes.held(&subscription.id, after, page.limit).await?;
    let items = held.lanes.iter().map(HeldLaneView::from).collect();
    Answer::ok(&List { items, next_cursor: held.next.map(|lane| cursor(&lane.to_string())) })
}

async fn resolve(
    State(state): State<AppState>,
    caller: Caller,
    audit: Audit,
    segments: Segments,
    query: Query,
    document: Document,
) -> Result<Answer, Problem> {
    query.finish()?;
    let action = match segments.text(2) {
        "retry" => ResolveAction::Retry,
        "skip" => ResolveAction::Skip,
        "deadletter" => ResolveAction::DeadLetter,
        _ => return Err(Problem::new(ProblemKind::NotFound, "a head is resolved by `retry`, `skip` or `deadletter`")),
    };
    let subscription = permitted(&state, &caller, &segments).await?;
    let named = sequence(document.object()?)?;
    let lane = segments.text(1);
    let sequence = manage::resolve_head(state.ports(), &subscription, lane, action, named).await?;
    audit.note(&caller, "lane.head-resolved", &format_args!("{} {lane:?} {sequence} {action:?}", subscription.id));
    Answer::new(StatusCode::ACCEPTED, &Resolving { action: segments.text(2), sequence })
}
