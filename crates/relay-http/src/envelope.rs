//! What surrounds every request: its id, panics, and the writing of problems.

use crate::leftover;
use crate::problem::{Problem, ProblemKind};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, Request};
use relay_core::ports::Ids;
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// The header that carries a request's id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id that is taken from a client.
const MAX_REQUEST_ID_BYTES: usize = 200;

/// Names a request in answers and logs.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Puts a service into the envelope.
#[derive(Clone)]
pub(crate) struct EnvelopeLayer {
    pub(crate) ids: Arc<dyn Ids>,
}

impl<S> Layer<S> for EnvelopeLayer {
    type Service = Envelope<S>;
    fn layer(&self, inner: S) -> Envelope<S> {
        Envelope { ids: self.ids.clone(), inner }
    }
}

/// A service in the envelope.
#[derive(Clone)]
pub(crate) struct Envelope<S> {
    ids: Arc<dyn Ids>,
    inner: S,
}

impl<S> Service<Request<Body>> for Envelope<S>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let id = request_id(&request, self.ids.as_ref());
        request.extensions_mut().insert(RequestId(id.clone()));
        // Sharing a URI's text copies no bytes.
        let uri = request.uri().clone();
        let inner = self.inner.call(leftover::discard_later(request));
        Box::pin(async move {
            let mut response = match AssertUnwindSafe(inner).catch_unwind().await {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(panic) => panicked(panic.as_ref(), &id),
            };
            if let Some(problem) = response.extensions_mut().remove::<Problem>() {
                let body = problem.write(uri.path(), response.headers_mut());
                response.headers_mut().remove(CONTENT_LENGTH);
                *response.body_mut() = Body::from(body);
            }
            response.headers_mut().insert(REQUEST_ID, id);
            Ok(response)
        })
    }
}

fn request_id(request: &Request<Body>, ids: &dyn Ids) -> HeaderValue {
    let given = request.headers().get(REQUEST_ID);
    let usable = |value: &&HeaderValue| {
        (1..=MAX_REQUEST_ID_BYTES).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    match given.filter(usable) {
        Some(value) => value.clone(),
        None => HeaderValue::try_from(ids.unique()).unwrap_or_else(|_| HeaderValue::from_static("unnamed")),
    }
}

fn panicked(panic: &(dyn std::any::Any + Send), id: &HeaderValue) -> Response {
    let message = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(request = ?id, message = message.unwrap_or("no message"), "a request met a panic");
    Problem::new(ProblemKind::Internal, "a fault of the broker's own; its log has this request's id").into_response()
}
