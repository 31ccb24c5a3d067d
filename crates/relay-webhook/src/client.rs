//! The client: one request through permits, pool and connection to its answer.

use crate::address::AddressPolicy;
use crate::config::{Config, ConfigFault, WallClock};
use crate::connection::Connection;
use crate::connector::Connector;
use crate::directory::{Destination, Directory, Endpoint};
use crate::pool::Pool;
use crate::target::UrlFault;
use crate::{answer, fault, headers, tls};
use async_trait::async_trait;
use http::{HeaderValue, Response};
use hyper::body::Incoming;
use relay_core::ports::webhook::{WebhookClient, WebhookError, WebhookRequest, WebhookResponse};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// Posts to webhooks over pooled HTTP/1.1 connections. Shared by reference; cheap to post on, not to make.
pub struct HttpWebhookClient {
    directory: Directory,
    /// One for each request in progress, whatever its endpoint.
    total: Semaphore,
    pool: Pool,
    connector: Connector,
    user_agent: HeaderValue,
    wall_clock: WallClock,
}

impl HttpWebhookClient {
    /// Builds a client. Opens no connection.
    ///
    /// # Errors
    /// A [`ConfigFault`] for a bound of 0, a `user-agent` that cannot be sent, or a certificate that cannot be read.
    pub fn new(config: Config) -> Result<Self, ConfigFault> {
        let bounds = 1..=Semaphore::MAX_PERMITS;
        if !bounds.contains(&config.max_per_url) || !bounds.contains(&config.max_total) {
            return Err(ConfigFault::Limits);
        }
        let tls = tls::connector(&config)?;
        Ok(Self {
            directory: Directory::new(config.policy.clone(), config.max_per_url),
            total: Semaphore::new(config.max_total),
            pool: Pool::new(config.max_total, config.idle_timeout, config.max_connection_age),
            connector: Connector { policy: config.policy, resolver: config.resolver, tls },
            user_agent: config.user_agent.try_into().map_err(|_| ConfigFault::UserAgent)?,
            wall_clock: config.wall_clock,
        })
    }

    /// Checks a URL against this client's policy: see [`AddressPolicy::check_url`].
    ///
    /// # Errors
    /// The first [`UrlFault`] found.
    pub fn check_url(&self, url: &str) -> Result<(), UrlFault> {
        self.policy().check_url(url)
    }

    /// The addresses that this client connects to.
    #[must_use]
    pub fn policy(&self) -> &AddressPolicy {
        &self.connector.policy
    }

    /// Closes connections that have idled for too long. Every request does this in passing; call it now and then where
    /// requests may cease, or connections stay until the process ends.
    pub fn close_expired(&self) {
        self.pool.close_expired();
    }

    async fn exchange(&self, request: &WebhookRequest) -> Result<WebhookResponse, WebhookError> {
        let destination = self.directory.find(&request.url).map_err(|fault| fault::of_url(&fault))?;
        let _permits = self.permits(&destination).await?;

        let (mut connection, head) = self.send(request, &destination).await?;
        let (answer, complete) = answer::read(&mut connection, head, &self.wall_clock).await?;

        if complete && connection.is_reusable().await {
            self.pool.park(&destination.endpoint, connection);
        }
        Ok(answer)
    }

    /// The URL's permit first: a request that waits for a slow webhook must not hold what others could use.
    async fn permits<'a>(&'a self, destination: &'a Destination) -> Result<[SemaphorePermit<'a>; 2], WebhookError> {
        // A semaphore only fails once it is closed, which these never are.
        let own = destination.permits.acquire().await.map_err(|_| WebhookError::Connect)?;
        let total = self.total.acquire().await.map_err(|_| WebhookError::Connect)?;
        Ok([own, total])
    }

    /// Sends on an idle connection, or else on a new one.
    ///
    /// A server may close an idle connection just as it is used again. Nothing was answered then, and delivery is at
    /// least once under one `webhook-id` anyway, so the request is sent again, once, on a new connection.
    async fn send(
        &self,
        request: &WebhookRequest,
        destination: &Destination,
    ) -> Result<(Connection, Response<Incoming>), WebhookError> {
        let message = || headers::message(request, destination, &self.user_agent);

        let turn = match self.way(&destination.endpoint).await? {
            Way::Idle(mut connection) => {
                match connection.send(message()?).await.map_err(|error| fault::of_exchange(&error)) {
                    Ok(head) => return Ok((connection, head)),
                    Err(WebhookError::Reset) => turn(&destination.endpoint).await?,
                    Err(error) => return Err(error),
                }
            }
            Way::New(turn) => turn,
        };
        // Boxed, so that the many requests that need no new connection are not as large as the handshake.
        let mut connection = Box::pin(self.open(destination, turn)).await?;
        let head = connection.send(message()?).await.map_err(|error| fault::of_exchange(&error))?;
        Ok((connection, head))
    }

    /// What comes first: a connection that idles, or the turn to make a new one.
    async fn way<'a>(&self, endpoint: &'a Endpoint) -> Result<Way<'a>, WebhookError> {
        let mut turn = pin!(turn(endpoint));
        loop {
            while let Some(mut connection) = self.pool.take(endpoint) {
                if connection.is_reusable().await {
                    return Ok(Way::Idle(connection));
                }
            }
            tokio::select! {
                biased;
                turn = &mut turn => return turn.map(Way::New),
                () = endpoint.parked.notified() => {}
            }
        }
    }

    async fn open(&self, destination: &Destination, _turn: SemaphorePermit<'_>) -> Result<Connection, WebhookError> {
        let slot = self.pool.reserve();
        let stream = self.connector.connect(&destination.endpoint.origin).await?;
        Connection::open(stream, slot).await.map_err(|error| fault::of_exchange(&error))
    }
}

/// What a request can be sent on.
#[expect(clippy::large_enum_variant, reason = "made for every request, and taken apart at once")]
enum Way<'a> {
    Idle(Connection),
    /// A new connection, to be made now.
    New(SemaphorePermit<'a>),
}

/// The turn to make a connection.
async fn turn(endpoint: &Endpoint) -> Result<SemaphorePermit<'_>, WebhookError> {
    endpoint.handshakes.acquire().await.map_err(|_| WebhookError::Connect)
}

#[async_trait]
impl WebhookClient for HttpWebhookClient {
    async fn post(&self, request: WebhookRequest) -> Result<WebhookResponse, WebhookError> {
        within(request.timeout, self.exchange(&request)).await.unwrap_or(Err(WebhookError::Timeout))
    }
}

/// What a future answers within a time from now; none if it does not. After that it is not polled again, even if this
/// process was stopped all the while: a request that was not sent in time is not sent late.
async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    let mut future = pin!(future);
    let in_time = poll_fn(|context| match Instant::now() < deadline {
        true => future.as_mut().poll(context).map(Some),
        false => Poll::Ready(None),
    });
    timeout_at(deadline, in_time).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use tokio::time::{advance, sleep};

    #[tokio::test(start_paused = true)]
    async fn what_comes_within_its_time_is_answered() {
        assert_eq!(within(Duration::from_secs(2), sleep(Duration::from_secs(1))).await, Some(()));
        assert_eq!(within(Duration::from_secs(2), sleep(Duration::from_secs(3))).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_stopped_for_all_its_time_is_not_done_after_it() {
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let sent = Cell::new(false);
        let send = async {
            gone.await.unwrap();
            sent.set(true);
        };
        let mut sending = pin!(within(Duration::from_secs(2), send));
        assert!(futures_util::poll!(&mut sending).is_pending());
        // Both are there when it is polled again: its turn, and the end of its time.
        go.send(()).unwrap();
        advance(Duration::from_secs(3)).await;
        assert_eq!(sending.await, None);
        assert!(!sent.get());
    }
}
