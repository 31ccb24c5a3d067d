//! Outbound HTTP to a subscriber's endpoint.

use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// One POST to a webhook. Names and values of headers are valid for HTTP: the domain has checked or encoded them.
#[derive(Clone, Debug)]
pub struct WebhookRequest {
    /// Absolute `http` or `https` URL, checked when the subscription was written.
    pub url: Arc<str>,
    /// Headers in the order they are sent, names in lower case.
    pub headers: Vec<(HeaderName, HeaderText)>,
    /// The body, byte for byte what was signed.
    pub body: Bytes,
    /// Bound on the whole exchange: resolving, connecting, sending, receiving.
    pub timeout: Duration,
}

/// A header's name, shared where it is the same for all requests.
pub type HeaderName = std::borrow::Cow<'static, str>;
/// A header's value, shared where it is the same for all requests of a subscription.
pub type HeaderText = std::borrow::Cow<'static, str>;

/// The client of a process that delivers nothing: every call fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoWebhooks;

#[async_trait]
impl WebhookClient for NoWebhooks {
    async fn post(&self, _: WebhookRequest) -> Result<WebhookResponse, WebhookError> {
        Err(WebhookError::Connect)
    }
}

/// What the endpoint answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookResponse {
    /// HTTP status code.
    pub status: u16,
    /// `Retry-After`, as a delay from now, if the answer carried one that could be read.
    pub retry_after: Option<Duration>,
    /// The first KiB of the body.
    pub body_start: Bytes,
}

/// Why no answer was had. Each word is stable: it is shown in attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum WebhookError {
    /// The exchange took longer than the endpoint's time-out.
    #[error("timeout")]
    Timeout,
    /// No connection could be made.
    #[error("connect")]
    Connect,
    /// TLS failed: certificate, protocol.
    #[error("tls")]
    Tls,
    /// The host's name could not be resolved.
    #[error("dns")]
    Dns,
    /// The host is, or resolves to, an address that webhooks may not live at.
    #[error("forbiddenAddress")]
    ForbiddenAddress,
    /// The connection was lost before the answer was complete.
    #[error("reset")]
    Reset,
    /// The answer's head or body was larger than what is read.
    #[error("responseTooLarge")]
    ResponseTooLarge,
    /// The answer was not HTTP.
    #[error("protocol")]
    Protocol,
}

/// Sends requests to webhooks. An implementation bounds time, size, connections per endpoint and in total, follows no
/// redirect, uses no proxy, and refuses addresses that are not allowed, with nothing resolved twice.
#[async_trait]
pub trait WebhookClient: Send + Sync {
    /// Sends one request and waits for its answer. Dropping the future cancels the request.
    ///
    /// # Errors
    /// A [`WebhookError`] where no complete answer was had; an answer of any status is `Ok`.
    async fn post(&self, request: WebhookRequest) -> Result<WebhookResponse, WebhookError>;
}
