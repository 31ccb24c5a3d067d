//! The webhooks of a run: an HTTP server that does as little as it can per request, on a thread of its own.

use super::generator::lock;
use super::ledger::Ledger;
use super::marker::Marker;
use super::stopwatch::Stopwatch;
use bytes::{Buf, BytesMut};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// How a webhook answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// With this status.
    Answers(u16),
    /// With 200, but with 503 each time that so many requests have come.
    FailsEvery(u16),
    /// With 200 so many times, then with 503.
    FailsAfter(u16),
    /// Not at all: the connection stays open until the broker gives up.
    Hangs,
}

/// A behaviour as one number: a status; with one of these bits, an interval or a count; or the last alone.
const EVERY: u32 = 1 << 16;
const AFTER: u32 = 1 << 17;
const HANGS: u32 = 0;

/// A request, as an [`Observer`] sees it.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// Which webhook.
    pub subscriber: usize,
    /// Its headers.
    pub headers: &'a [httparse::Header<'a>],
    /// Its body.
    pub body: &'a [u8],
}

impl Delivery<'_> {
    /// The value of a header, given in lower case; empty if it is not there or no text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok()).unwrap_or_default()
    }
}

/// Sees every request before it is answered.
pub type Observer = Arc<dyn Fn(&Delivery<'_>) + Send + Sync>;

/// What a sink is made of.
pub struct SinkSetup {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its webhooks, and how each answers at first.
    pub behaviours: Vec<Behaviour>,
    /// Where accepted deliveries are entered.
    pub ledger: Arc<Mutex<Ledger>>,
    /// Tells when they came.
    pub stopwatch: Stopwatch,
    /// Sees every request, if anybody has to.
    pub observer: Option<Observer>,
}

/// A running sink. Dropping it closes its connections.
pub struct Sink {
    address: SocketAddr,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    hooks: Vec<Hook>,
    ledger: Arc<Mutex<Ledger>>,
    stopwatch: Stopwatch,
    observer: Option<Observer>,
}

struct Hook {
    behaviour: AtomicU32,
    requests: AtomicU64,
}

impl Sink {
    /// Starts it.
    ///
    /// # Errors
    /// If it cannot listen there.
    pub fn start(setup: SinkSetup) -> io::Result<Sink> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let listener = std::net::TcpListener::bind(setup.listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let hooks = setup.behaviours.iter().map(|behaviour| Hook::new(*behaviour)).collect();
        let SinkSetup { ledger, stopwatch, observer, .. } = setup;
        let state = Arc::new(State { hooks, ledger, stopwatch, observer });
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&state);
        let thread = std::thread::Builder::new().name("sink".to_owned()).spawn(move || {
            runtime.block_on(async {
                // Fails only without a runtime's reactor, and this one has it.
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                tokio::select! {
                    () = accept(listener, serving) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Sink { address, state, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The path of a webhook.
    #[must_use]
    pub fn path(subscriber: usize) -> String {
        format!("/{subscriber}")
    }

    /// Changes how a webhook answers from now on.
    pub fn behave(&self, subscriber: usize, behaviour: Behaviour) {
        if let Some(hook) = self.state.hooks.get(subscriber) {
            hook.behaviour.store(behaviour.code(), Ordering::Relaxed);
        }
    }

    /// Requests that a webhook has received, accepted or not.
    #[must_use]
    pub fn requests(&self, subscriber: usize) -> u64 {
        self.state.hooks.get(subscriber).map_or(0, |hook| hook.requests.load(Ordering::Relaxed))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell: a panic of it was shown already.
            let _ = thread.join();
        }
    }
}

impl Behaviour {
    fn code(self) -> u32 {
        match self {
            Behaviour::Answers(status) => status.into(),
            Behaviour::FailsEvery(interval) => EVERY | u32::from(interval.max(1)),
            Behaviour::FailsAfter(count) => AFTER | u32::from(count),
            Behaviour::Hangs => HANGS,
        }
    }
}

impl Hook {
    fn new(behaviour: Behaviour) -> Hook {
        Hook { behaviour: AtomicU32::new(behaviour.code()), requests: AtomicU64::new(0) }
    }

    /// How the next request is answered: a status, or none if it is not.
    fn next_status(&self) -> Option<u16> {
        let before = self.requests.fetch_add(1, Ordering::Relaxed);
        let code = self.behaviour.load(Ordering::Relaxed);
        let low = code & (EVERY - 1);
        match code {
            HANGS => None,
            _ if code & AFTER != 0 => Some(if before < u64::from(low) { 200 } else { 503 }),
            _ if code & EVERY == 0 => u16::try_from(low).ok(),
            _ if (before + 1).is_multiple_of(u64::from(low)) => Some(503),
            _ => Some(200),
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it an answer may wait for an acknowledgement; with a fault of it, it is only slower.
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(stream, Arc::clone(&state)));
            }
            // A connection that was reset before it was accepted, or too many open files: the next may do.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// Serves one connection until it ends or says something that is not HTTP.
async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let mut buffer = BytesMut::with_capacity(8 * 1024);
    loop {
        let answer = match take_request(&mut buffer, &state) {
            Taken::Answer(status) => status,
            Taken::More => match stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => continue,
            },
            Taken::NoHttp => return,
        };
        let Some(status) = answer else {
            // Until the other side gives up.
            while !matches!(stream.read_buf(&mut buffer).await, Ok(0) | Err(_)) {
                buffer.clear();
            }
            return;
        };
        let sent = match status {
            200 => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await,
            status => stream.write_all(format!("HTTP/1.1 {status} -\r\ncontent-length: 0\r\n\r\n").as_bytes()).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

enum Taken {
    Answer(Option<u16>),
    More,
    NoHttp,
}

/// Takes one whole request from the buffer, enters what it delivers, and tells what to answer.
fn take_request(buffer: &mut BytesMut, state: &State) -> Taken {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let start = match request.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Taken::More,
        Err(_) => return Taken::NoHttp,
    };
    let length = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()).and_then(|text| text.parse().ok());
    let end = start + length.unwrap_or(0_usize);
    let Some(body) = buffer.get(start..end) else {
        return Taken::More;
    };
    let subscriber = request.path.and_then(|path| path.strip_prefix('/')).and_then(|path| path.parse::<usize>().ok());
    let status = match subscriber.and_then(|index| Some((index, state.hooks.get(index)?))) {
        Some((subscriber, hook)) => state.receive(hook, &Delivery { subscriber, headers: request.headers, body }),
        None => Some(404),
    };
    buffer.advance(end);
    Taken::Answer(status)
}

impl State {
    fn receive(&self, hook: &Hook, delivery: &Delivery<'_>) -> Option<u16> {
        let now = self.stopwatch.now();
        if let Some(observer) = &self.observer {
            observer(delivery);
        }
        let status = hook.next_status();
        if status.is_some_and(|status| (200..300).contains(&status)) {
            let mut ledger = lock(&self.ledger);
            for marker in Marker::find_all(delivery.body) {
                ledger.enter(delivery.subscriber, &marker, now);
            }
        }
        status
    }
}
