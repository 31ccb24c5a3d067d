//! The registry's routes, one file per resource.

mod attempts;
mod consumers;
mod dead_letters;
mod events;
mod health;
mod keys;
mod lanes;
mod later;
mod problems;
mod replays;
mod subscription_actions;
mod subscriptions;
mod topics;
mod whereabouts;

use crate::auth::{Caller, require};
use crate::path::Segments;
use crate::problem::Problem;
use crate::state::AppState;
use axum::Router;
use relay_core::grants::Action;
use relay_core::manage::{self, Refused};
use relay_core::subscription::Subscription;
use std::sync::Arc;

/// All routes but those that take events.
pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .merge(topics::routes())
        .merge(subscriptions::routes())
        .merge(subscription_actions::routes())
        .merge(attempts::routes())
        .merge(lanes::routes())
        .merge(dead_letters::routes())
        .merge(events::routes())
        .merge(consumers::routes())
        .merge(replays::routes())
        .merge(whereabouts::routes())
        .merge(keys::routes())
        .merge(health::routes())
        .merge(problems::routes())
        .merge(later::routes())
}

/// The subscription that a path names, if the caller may subscribe to its topic. To those who hold no grant on the
/// topic at all it does not exist: the path names only the subscription, so a refusal would tell that there is one.
async fn permitted(state: &AppState, caller: &Caller, segments: &Segments) -> Result<Arc<Subscription>, Problem> {
    let id = segments.subscription()?;
    let subscription = manage::subscription(state.ports(), &id).await?;
    if caller.0.knows(&subscription.topic) {
        require(&caller.0, Action::Subscribe, &subscription.topic)?;
        return Ok(subscription);
    }
    Err(Refused::SubscriptionNotFound(id).into())
}
