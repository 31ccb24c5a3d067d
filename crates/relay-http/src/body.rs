//! Reading request bodies, bounded in size and time.

use crate::problem::{Problem, ProblemKind};
use crate::state::{AppState, Options};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt;
use relay_core::limits::MAX_REQUEST_BYTES;
use tokio::time::timeout;

/// How much of a body that is too large is read and thrown away: a client that is still sending would not see the
/// answer before its connection is reset.
const MAX_DISCARDED_BYTES: usize = 8 * MAX_REQUEST_BYTES;

/// Reads a body of at most [`MAX_REQUEST_BYTES`]. A body that came in one piece is not copied.
///
/// # Errors
/// 413 if it is larger, 408 if it pauses or takes too long, 400 if it breaks off.
pub(crate) async fn read(state: &AppState, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let options = state.options();
    timeout(options.body_timeout, read_all(options, headers, body)).await.unwrap_or_else(|_| Err(too_slow()))
}

async fn read_all(options: &Options, headers: &HeaderMap, mut body: Body) -> Result<Bytes, Problem> {
    let declared = declared_length(headers);
    if declared.is_some_and(|length| length > MAX_REQUEST_BYTES) {
        let waits = headers.contains_key(EXPECT);
        if !waits && declared.is_some_and(|length| length <= MAX_DISCARDED_BYTES) {
            discard(options, &mut body, MAX_DISCARDED_BYTES).await;
        }
        return Err(too_large());
    }
    let Some(first) = frame(options, &mut body).await? else { return Ok(Bytes::new()) };
    if declared == Some(first.len()) {
        return Ok(first);
    }
    let Some(second) = frame(options, &mut body).await? else { return sized(first) };
    let mut whole = BytesMut::with_capacity(declared.unwrap_or(first.len() + second.len()));
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&second);
    while let Some(next) = frame(options, &mut body).await? {
        if whole.len() + next.len() > MAX_REQUEST_BYTES {
            discard(options, &mut body, MAX_DISCARDED_BYTES).await;
            return Err(too_large());
        }
        whole.extend_from_slice(&next);
    }
    sized(whole.freeze())
}

fn sized(bytes: Bytes) -> Result<Bytes, Problem> {
    if bytes.len() > MAX_REQUEST_BYTES { Err(too_large()) } else { Ok(bytes) }
}

/// The next piece of data; trailers are passed over.
async fn frame(options: &Options, body: &mut Body) -> Result<Option<Bytes>, Problem> {
    loop {
        let frame = match timeout(options.body_pause, body.frame()).await {
            Err(_) => return Err(too_slow()),
            Ok(None) => return Ok(None),
            Ok(Some(Err(_))) => return Err(Problem::new(ProblemKind::BadRequest, "the body broke off")),
            Ok(Some(Ok(frame))) => frame,
        };
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
}

async fn discard(options: &Options, body: &mut Body, mut most: usize) {
    while let Ok(Some(data)) = frame(options, body).await {
        match most.checked_sub(data.len()) {
            Some(left) => most = left,
            None => return,
        }
    }
}

fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large() -> Problem {
    Problem::new(ProblemKind::RequestTooLarge, format!("a request may have {MAX_REQUEST_BYTES} bytes"))
}

fn too_slow() -> Problem {
    Problem::new(ProblemKind::RequestTimeout, "the body did not arrive in time")
}
