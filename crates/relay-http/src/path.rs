//! Parameters in paths.

use crate::problem::{Problem, ProblemKind};
use crate::state::AppState;
use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use relay_core::names::{SubscriptionId, TopicName};

/// The parameters of a path, percent-decoded, in order.
#[derive(Debug)]
pub(crate) struct Segments(Vec<String>);

impl FromRequestParts<AppState> for Segments {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let bad = |_| Problem::new(ProblemKind::BadRequest, "the path is not percent-encoded UTF-8");
        let captured = RawPathParams::from_request_parts(parts, state).await.map_err(bad)?;
        Ok(Segments(captured.iter().map(|(_, value)| value.to_owned()).collect()))
    }
}

impl Segments {
    /// The text at an index; empty if the route has fewer parameters.
    pub(crate) fn text(&self, index: usize) -> &str {
        self.0.get(index).map_or("", String::as_str)
    }

    /// The topic that the first parameter names.
    pub(crate) fn topic(&self) -> Result<TopicName, Problem> {
        topic_name(self.text(0))
    }

    /// The subscription that the first parameter names.
    pub(crate) fn subscription(&self) -> Result<SubscriptionId, Problem> {
        SubscriptionId::new(self.text(0))
            .map_err(|_| Problem::new(ProblemKind::SubscriptionNotFound, "no subscription has such an id"))
    }
}

/// Checks a topic's name.
pub(crate) fn topic_name(text: &str) -> Result<TopicName, Problem> {
    TopicName::new(text).map_err(|fault| Problem::new(ProblemKind::InvalidName, fault.to_string()))
}
