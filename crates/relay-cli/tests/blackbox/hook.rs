//! A webhook that keeps what it receives and answers as a test tells it to.

use crate::wait::{SOON, until};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::sync::{Arc, Mutex};

/// One request as it came, and how it was answered.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub headers: HeaderMap,
    pub body: Bytes,
    pub reply: Reply,
}

impl Delivery {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The data of a structured event.
    pub fn data(&self) -> Value {
        self.json()["data"].clone()
    }

    pub fn key(&self) -> &str {
        self.header("relay-partition-key")
    }

    pub fn was_accepted(&self) -> bool {
        matches!(self.reply, Reply::Status(200..=299))
    }
}

/// How a request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Status(u16),
    /// 503 with this `Retry-After`.
    RetryAfter(String),
    /// Not at all, until the broker gives up.
    Never,
}

type Answer = Box<dyn FnMut(&Delivery) -> Reply + Send>;

struct Shared {
    answer: Mutex<Answer>,
    deliveries: Mutex<Vec<Delivery>>,
}

/// A webhook.
pub struct Hook {
    url: String,
    shared: Arc<Shared>,
}

impl Hook {
    /// One that accepts everything.
    pub async fn start() -> Hook {
        let shared =
            Arc::new(Shared { answer: Mutex::new(Box::new(|_| Reply::Status(200))), deliveries: Mutex::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let app = Router::new().fallback(receive).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Hook { url, shared }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers like this from now on.
    pub fn answer(&self, answer: impl FnMut(&Delivery) -> Reply + Send + 'static) {
        *self.shared.answer.lock().unwrap() = Box::new(answer);
    }

    /// Answers every request with this status from now on.
    pub fn answer_all(&self, status: u16) {
        self.answer(move |_| Reply::Status(status));
    }

    /// Every request so far.
    pub fn all(&self) -> Vec<Delivery> {
        self.shared.deliveries.lock().unwrap().clone()
    }

    /// Those that were accepted.
    pub fn accepted(&self) -> Vec<Delivery> {
        self.all().into_iter().filter(Delivery::was_accepted).collect()
    }

    /// Waits until so many requests have come.
    pub async fn wait_requests(&self, count: usize) -> Vec<Delivery> {
        until(&format!("{count} requests"), SOON, async || Some(self.all()).filter(|all| all.len() >= count)).await
    }

    /// Waits until so many were accepted.
    pub async fn wait_accepted(&self, count: usize) -> Vec<Delivery> {
        let enough = async || Some(self.accepted()).filter(|all| all.len() >= count);
        until(&format!("{count} accepted deliveries"), SOON, enough).await
    }
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let mut delivery = Delivery { headers, body, reply: Reply::Never };
    let reply = (shared.answer.lock().unwrap())(&delivery);
    delivery.reply = reply.clone();
    shared.deliveries.lock().unwrap().push(delivery);
    match reply {
        Reply::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Reply::RetryAfter(after) => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", after)]).into_response(),
        Reply::Never => std::future::pending().await,
    }
}
