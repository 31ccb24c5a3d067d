//! Ports over AWS for one function: the only module here that names relay-aws and relay-webhook.

use crate::dispatch::{Inbox, Raw};
use crate::drain::DecodeWakeUp;
use crate::settings::{Function, Settings};
use anyhow::Context;
use async_trait::async_trait;
use relay_aws::queue::message::RawMessage;
use relay_aws::{Clients, Options, Resources};
use relay_core::ports::webhook::{NoWebhooks, WebhookClient};
use relay_core::ports::{Clock, Ids, Message, PortError, Ports};
use relay_http::EndpointPolicy;
use relay_system::{SystemClock, SystemIds};
use relay_webhook::{AddressPolicy, Config, HttpWebhookClient};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// How wake-ups are decoded.
pub const DECODE_WAKE_UP: DecodeWakeUp = relay_aws::wake_ups::decode;

/// What a function is made of.
pub struct Wiring {
    /// The ports.
    pub ports: Ports,
    /// Which URLs webhooks may live at.
    pub endpoints: Arc<dyn EndpointPolicy>,
    /// Whether metrics are written.
    pub metrics: bool,
    inbox: Arc<dyn Inbox>,
}

impl Wiring {
    /// Reads the environment, starts the log, makes the ports and warms their connections (see [`crate::warming`]).
    ///
    /// # Errors
    /// Every fault of the environment; or if webhooks could not be called.
    pub async fn of(function: Function) -> anyhow::Result<Wiring> {
        let settings = Settings::from_environment(function)?;
        crate::log::start(settings.log);
        if settings.metrics {
            crate::emf::start();
        }
        let resources = Resources {
            events_queue: settings.events_queue,
            wake_ups_queue: settings.wake_ups_queue,
            table: settings.table,
            bucket: settings.bucket,
        };
        let (clients, options) = (Clients::from_environment().await, Options::new(resources));
        let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
        let policy = AddressPolicy::public_only().with_allowed(settings.allow_endpoint_cidrs);
        let webhooks: Arc<dyn WebhookClient> = match function {
            // They call no webhook, and start faster without the means to.
            Function::Ingest | Function::Sweep => Arc::new(NoWebhooks),
            Function::Registry | Function::Dispatch | Function::Drain => Arc::new(webhooks(policy.clone())?),
        };
        let inbox = relay_aws::Inbox::new(&clients, &options, clock.clone(), ids.clone());
        let ports = relay_aws::open(&clients, &options, clock, ids, webhooks);
        let wiring = Wiring {
            // A publish would read its key and its topic each time. Only here: what others read they may write.
            ports: if matches!(function, Function::Ingest) { relay_aws::remembering(ports) } else { ports },
            endpoints: Arc::new(move |url: &str| policy.check_url(url).map_err(|fault| fault.to_string())),
            metrics: settings.metrics,
            inbox: Arc::new(Received(inbox)),
        };
        if crate::warming::is_wanted(std::env::args()) {
            crate::warming::warm(function, &wiring.ports).await;
        }
        Ok(wiring)
    }

    /// What decodes the messages of Lambda's events.
    #[must_use]
    pub fn inbox(&self) -> Arc<dyn Inbox> {
        self.inbox.clone()
    }
}

fn webhooks(policy: AddressPolicy) -> anyhow::Result<HttpWebhookClient> {
    let wall_clock = Arc::new(|| UNIX_EPOCH + Duration::from_millis(SystemClock.now().as_millis()));
    let mut config = Config::new(policy, wall_clock);
    // Lambda's image has no certificate authorities but the public ones, and reading them takes time at a cold start.
    config.trust_system_roots = false;
    HttpWebhookClient::new(config).context("webhooks cannot be called")
}

struct Received(relay_aws::Inbox);

#[async_trait]
impl Inbox for Received {
    async fn decode(&self, raw: Raw<'_>) -> Result<Option<Message>, PortError> {
        let raw = RawMessage {
            body: raw.body,
            sequence_number: raw.sequence_number,
            receive_count: raw.receive_count,
            receipt: raw.receipt,
        };
        self.0.decode(&raw).await
    }
}
