//! Is the broker alive, and can it reach its stores?

use crate::answer::Answer;
use crate::problem::{Problem, ProblemKind};
use crate::state::AppState;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use relay_core::manage::check_health;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/healthz", get(alive)).route("/readyz", get(ready))
}

#[derive(Debug, Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    checks: BTreeMap<&'static str, &'static str>,
}

async fn alive() -> Result<Answer, Problem> {
    Answer::ok(&Health { status: "alive", checks: BTreeMap::new() })
}

async fn ready(State(state): State<AppState>) -> Result<Answer, Problem> {
    let checks = check_health(state.ports()).await;
    let mut failed = Vec::new();
    for check in &checks {
        if let Err(error) = &check.result {
            tracing::warn!(store = check.name, %error, "a store does not answer");
            failed.push(check.name);
        }
    }
    if failed.is_empty() {
        let checks = checks.iter().map(|check| (check.name, "reachable")).collect();
        return Answer::ok(&Health { status: "ready", checks });
    }
    let detail = format!("not reachable: {}", failed.join(", "));
    Err(Problem::new(ProblemKind::Unavailable, detail).retry_after(Duration::from_secs(1)))
}
