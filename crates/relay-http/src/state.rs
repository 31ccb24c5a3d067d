//! What the routers share.

use crate::auth::{AdminKey, Authenticator};
use relay_core::names::SubscriptionId;
use relay_core::ports::Ports;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Work that begins with a request and goes on after its answer. Each is written down before it is started: sweep
/// finishes what a lost process leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Make a subscription's held lanes due, after it was resumed.
    Resume(SubscriptionId),
    /// Load what a subscription's replay wants into its lanes, or end that.
    Replay(SubscriptionId),
    /// Remove the lanes and backlogs of a subscription that was deleted.
    Remove(SubscriptionId),
}

/// Starts jobs.
pub trait Background: Send + Sync {
    /// Starts a job and does not wait for it.
    fn start(&self, job: Job);
}

/// Decides which URLs webhooks may live at.
pub trait EndpointPolicy: Send + Sync {
    /// Checks a URL.
    ///
    /// # Errors
    /// Why it is refused, in words for the subscriber.
    fn check(&self, url: &str) -> Result<(), String>;
}

impl<F: Fn(&str) -> Result<(), String> + Send + Sync> EndpointPolicy for F {
    fn check(&self, url: &str) -> Result<(), String> {
        self(url)
    }
}

/// What differs from one deployment to the next.
#[derive(Clone)]
pub struct Options {
    /// A key that may do everything while it is given here, and is never stored.
    pub admin_key: Option<AdminKey>,
    /// Where webhooks may live.
    pub endpoints: Arc<dyn EndpointPolicy>,
    /// Takes jobs.
    pub background: Arc<dyn Background>,
    /// How long a request's body may take in all.
    pub body_timeout: Duration,
    /// How long a request's body may pause.
    pub body_pause: Duration,
}

impl Options {
    /// Options with the usual time-outs and no admin key.
    pub fn new(endpoints: Arc<dyn EndpointPolicy>, background: Arc<dyn Background>) -> Options {
        Options {
            admin_key: None,
            endpoints,
            background,
            body_timeout: Duration::from_secs(60),
            body_pause: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("body_timeout", &self.body_timeout).finish_non_exhaustive()
    }
}

/// What the routers share; cheap to clone.
#[derive(Clone, Debug)]
pub struct AppState(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ports: Ports,
    options: Options,
    authenticator: Authenticator,
    answers: crate::idempotency::Pending,
}

impl AppState {
    /// The state of a broker over these ports.
    pub fn new(ports: Ports, options: Options) -> AppState {
        let authenticator = Authenticator::new(options.admin_key.clone());
        AppState(Arc::new(Inner { ports, options, authenticator, answers: crate::idempotency::Pending::default() }))
    }

    pub(crate) fn ports(&self) -> &Ports {
        &self.0.ports
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn authenticator(&self) -> &Authenticator {
        &self.0.authenticator
    }

    pub(crate) fn pending_answers(&self) -> &crate::idempotency::Pending {
        &self.0.answers
    }

    pub(crate) fn start(&self, job: Job) {
        self.0.options.background.start(job);
    }
}
