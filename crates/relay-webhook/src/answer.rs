//! Reads an answer, to its caps.

use crate::config::WallClock;
use crate::connection::Connection;
use crate::fault;
use crate::retry_after::retry_after;
use bytes::{Bytes, BytesMut};
use http::Response;
use hyper::body::{Body, Incoming};
use relay_core::ports::webhook::{WebhookError, WebhookResponse};

/// Bytes of a body that are read. A connection with more to come is not reused.
const READ_CAP: usize = 64 * 1024;
/// Bytes of a body that are kept, to be shown.
const KEPT: usize = 1024;

/// Reads what follows an answer's head. The flag tells whether that was all of it.
pub(crate) async fn read(
    connection: &mut Connection,
    answer: Response<Incoming>,
    wall_clock: &WallClock,
) -> Result<(WebhookResponse, bool), WebhookError> {
    let (head, body) = answer.into_parts();
    let (body_start, complete) = read_body(connection, body).await?;
    let retry_after = retry_after(&head.headers, || wall_clock());
    Ok((WebhookResponse { status: head.status.as_u16(), retry_after, body_start }, complete))
}

async fn read_body(connection: &mut Connection, mut body: Incoming) -> Result<(Bytes, bool), WebhookError> {
    if body.is_end_stream() {
        return Ok((Bytes::new(), true));
    }
    // Copied, not sliced: a slice would keep the whole read buffer for as long as the attempt is remembered.
    let mut kept = BytesMut::new();
    let mut read = 0;
    while let Some(frame) = connection.next_frame(&mut body).await {
        let frame = frame.map_err(|error| fault::of_exchange(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        let room = KEPT - kept.len();
        kept.extend_from_slice(&data[..data.len().min(room)]);
        read += data.len();
        if read > READ_CAP {
            return Ok((kept.freeze(), false));
        }
    }
    Ok((kept.freeze(), true))
}
