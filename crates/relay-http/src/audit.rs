//! Who did what: one line for each change that somebody asked for. Never secrets, bodies or signatures.

use crate::auth::Caller;
use crate::envelope::RequestId;
use axum::extract::FromRequestParts;
use http::request::Parts;
use std::convert::Infallible;
use std::fmt::Display;

/// Writes down what a request changed.
#[derive(Debug)]
pub(crate) struct Audit(Option<RequestId>);

impl<S: Sync> FromRequestParts<S> for Audit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Audit(parts.extensions.get::<RequestId>().cloned()))
    }
}

impl Audit {
    /// Somebody did something to something.
    pub(crate) fn note(&self, caller: &Caller, action: &'static str, subject: &dyn Display) {
        let request = self.0.as_ref().map_or("", RequestId::as_str);
        tracing::info!(target: "relay::audit", principal = %caller.0.name, action, %subject, request, "changed");
    }
}
