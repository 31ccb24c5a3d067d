//! What the types of problem documents mean: `type` is a path here.

use crate::answer::Answer;
use crate::path::Segments;
use crate::problem::{Problem, ProblemKind};
use crate::state::AppState;
use axum::Router;
use axum::routing::get;
use serde::Serialize;

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/problems", get(list)).route("/problems/{kind}", get(read))
}

#[derive(Debug, Serialize)]
struct KindView {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'static str,
}

impl From<ProblemKind> for KindView {
    fn from(kind: ProblemKind) -> Self {
        KindView {
            kind: format!("/problems/{}", kind.name()),
            title: kind.title(),
            status: kind.status().as_u16(),
            detail: kind.explanation(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Kinds {
    items: Vec<KindView>,
}

async fn list() -> Result<Answer, Problem> {
    Answer::ok(&Kinds { items: ProblemKind::ALL.iter().copied().map(KindView::from).collect() })
}

async fn read(segments: Segments) -> Result<Answer, Problem> {
    match ProblemKind::named(segments.text(0)) {
        Some(kind) => Answer::ok(&KindView::from(kind)),
        None => Err(Problem::new(ProblemKind::NotFound, "no kind of problem has this name")),
    }
}
