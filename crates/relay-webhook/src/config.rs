//! What a client is built from.

use crate::address::AddressPolicy;
use crate::resolver::{Resolver, SystemResolver};
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Tells the time of day. Only asked for an answer whose `Retry-After` is a date and that has no `Date` of its own.
pub type WallClock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The settings of an [`HttpWebhookClient`](crate::HttpWebhookClient).
#[derive(Clone)]
pub struct Config {
    /// Which addresses may be connected to.
    pub policy: AddressPolicy,
    /// Requests in progress, and so connections in use, per URL. Default 128.
    pub max_per_url: usize,
    /// Connections, in use and idle, to all endpoints together. Default 1024.
    pub max_total: usize,
    /// How long a connection may idle before it is no longer used. Default 60 s, which is what most servers and load
    /// balancers grant.
    pub idle_timeout: Duration,
    /// How old a connection may become before it is replaced, so that a host that moves is followed. Default 5 min.
    pub max_connection_age: Duration,
    /// Sent as `user-agent` by requests that do not bring their own.
    pub user_agent: String,
    /// Resolves host names. Default [`SystemResolver`].
    pub resolver: Arc<dyn Resolver>,
    /// Whether the machine's own certificate authorities are trusted beside the public ones. Default true.
    pub trust_system_roots: bool,
    /// Further certificate authorities to trust, such as a private network's.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// The time of day.
    pub wall_clock: WallClock,
}

impl Config {
    /// The defaults, with this policy and clock.
    #[must_use]
    pub fn new(policy: AddressPolicy, wall_clock: WallClock) -> Self {
        Self {
            policy,
            max_per_url: 128,
            max_total: 1024,
            idle_timeout: Duration::from_secs(60),
            max_connection_age: Duration::from_secs(300),
            user_agent: concat!("event-relay/", env!("CARGO_PKG_VERSION")).to_owned(),
            resolver: Arc::new(SystemResolver),
            trust_system_roots: true,
            extra_roots: Vec::new(),
            wall_clock,
        }
    }
}

/// Why a client cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFault {
    /// A bound on connections is 0 or beyond what can be counted.
    #[error("max_per_url and max_total must be from 1 to {max}", max = tokio::sync::Semaphore::MAX_PERMITS)]
    Limits,
    /// The `user-agent` cannot be a header's value.
    #[error("user_agent must be visible ASCII")]
    UserAgent,
    /// A certificate authority or the TLS set-up was refused.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}
