//! Bodies that nobody reads to their end.
//!
//! An answer that does not wait for the body (401, 404) closes the connection under a client that is still sending, and
//! the reset that follows may cost the client the answer. So what is left of a large body is read and thrown away,
//! beside the answer and within bounds; small bodies have arrived with the request's head, or as good as.

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, Request};
use relay_core::limits::MAX_REQUEST_BYTES;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::runtime::Handle;

/// Bodies up to this size are left alone.
const SMALL: u64 = 64 * 1024;
/// How long the rest of a body is read.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sees to it that what is left of a large body is read.
pub(crate) fn discard_later(request: Request<Body>) -> Request<Body> {
    if is_large(request.headers()) {
        request.map(|body| Body::from_stream(Leftover(Some(body.into_data_stream()))))
    } else {
        request
    }
}

/// A client that waits to be asked for its body is not sending it.
fn is_large(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let large = length.map_or(headers.contains_key(TRANSFER_ENCODING), |length| length > SMALL);
    large && !headers.contains_key(EXPECT)
}

/// A body until its end was read.
struct Leftover(Option<BodyDataStream>);

impl Stream for Leftover {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        let item = ready!(body.poll_next_unpin(context));
        if !matches!(item, Some(Ok(_))) {
            self.0 = None;
        }
        Poll::Ready(item)
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        if let (Some(body), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(PATIENCE, discard(body)));
        }
    }
}

async fn discard(mut body: BodyDataStream) {
    let mut left = MAX_REQUEST_BYTES;
    while let Some(Ok(data)) = body.next().await {
        match left.checked_sub(data.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
