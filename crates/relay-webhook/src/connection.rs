//! One HTTP/1.1 connection, driven by whoever posts on it.
//!
//! hyper splits a connection into a handle and a future that does the reading and writing, and leaves it to its user to
//! poll the latter. Usually a task of its own does; here the posting task does, in turn with what it waits for. That
//! saves waking one task from another twice per exchange, and makes a connection an ordinary value: dropped, it is closed.
//! While it idles nobody polls it, so a server that hung up is only noticed by [`Connection::is_reusable`].

use crate::pool::Slot;
use crate::stream::Stream;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tokio::time::Instant;

/// Bytes of an answer's head. The number of its headers is bounded by hyper's own default of 100; setting that makes
/// hyper allocate for each answer.
const HEAD_CAP: usize = 32 * 1024;
/// Bytes that hyper buffers for reading, head or body.
const BUFFER_CAP: usize = 64 * 1024;

pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// None once the connection has ended.
    driver: Option<http1::Connection<TokioIo<Stream>, Full<Bytes>>>,
    pub(crate) opened: Instant,
    _slot: Slot,
}

impl Connection {
    pub(crate) async fn open(stream: Stream, slot: Slot) -> Result<Self, hyper::Error> {
        let mut protocol = http1::Builder::new();
        protocol.max_header_size(HEAD_CAP).max_buf_size(BUFFER_CAP);
        let (sender, driver) = protocol.handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, driver: Some(driver), opened: Instant::now(), _slot: slot })
    }

    /// Whether it can take another request, as far as can be told without waiting. False if the server has closed it, has
    /// sent something unasked, or is not done with the last request.
    pub(crate) async fn is_reusable(&mut self) -> bool {
        poll_fn(|cx| {
            self.advance(cx);
            Poll::Ready(self.driver.is_some() && self.sender.is_ready())
        })
        .await
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, hyper::Error> {
        let mut answer = pin!(self.sender.send_request(request));
        let driver = &mut self.driver;
        poll_fn(|cx| {
            advance(driver, cx);
            answer.as_mut().poll(cx)
        })
        .await
    }

    /// Waits for the next piece of an answer's body.
    pub(crate) async fn next_frame(&mut self, body: &mut Incoming) -> Option<Result<Frame<Bytes>, hyper::Error>> {
        let mut frame = body.frame();
        poll_fn(|cx| {
            // Asked first, the body tells the driver that it has room; else the driver would have to be woken for that.
            if let Poll::Ready(frame) = Pin::new(&mut frame).poll(cx) {
                return Poll::Ready(frame);
            }
            self.advance(cx);
            Pin::new(&mut frame).poll(cx)
        })
        .await
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        advance(&mut self.driver, cx);
    }
}

/// Reads and writes what can be. What ends the connection is told to the request or body that waits on it, by hyper.
fn advance(driver: &mut Option<http1::Connection<TokioIo<Stream>, Full<Bytes>>>, cx: &mut Context<'_>) {
    if driver.as_mut().is_some_and(|driving| Pin::new(driving).poll(cx).is_ready()) {
        *driver = None;
    }
}
