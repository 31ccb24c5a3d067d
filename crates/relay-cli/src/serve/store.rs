//! What everything is kept in.

use super::settings::{Settings, Storage};
use anyhow::Context;
use relay_aws::{Clients, Options};
use relay_core::ports::Ports;
use relay_core::ports::webhook::WebhookClient;
use relay_embedded::StoreOptions;
use relay_system::{SystemClock, SystemIds};
use std::sync::Arc;
use std::time::Duration;

/// How long a receive waits on SQS: a process that is told to stop waits for it.
const RECEIVE_WAIT: Duration = Duration::from_secs(5);
/// Receivers on SQS: one waits for the network most of the time.
const RECEIVERS: usize = 4;

/// An open store.
pub(super) enum Store {
    Embedded(relay_embedded::Store),
    Aws(Box<(Clients, Options)>),
}

impl Store {
    pub async fn open(settings: &Settings) -> anyhow::Result<Store> {
        match &settings.storage {
            Storage::Embedded { data } => {
                let open = || relay_embedded::Store::open(data, StoreOptions::default());
                Ok(Store::Embedded(tokio::task::block_in_place(open)?))
            }
            Storage::Aws(resources) => {
                let options = Options { receive_wait: RECEIVE_WAIT, ..Options::new(resources.clone()) };
                Ok(Store::Aws(Box::new((Clients::from_environment().await, options))))
            }
        }
    }

    pub fn ports(&self, webhooks: Arc<dyn WebhookClient>) -> Ports {
        match self {
            Store::Embedded(store) => store.ports(webhooks),
            Store::Aws(aws) => relay_aws::open(&aws.0, &aws.1, Arc::new(SystemClock), Arc::new(SystemIds), webhooks),
        }
    }

    /// How the engine works with it.
    pub fn engine_settings(&self) -> relay_engine::Settings {
        match self {
            Store::Embedded(_) => relay_engine::Settings::default(),
            Store::Aws(_) => {
                let last_receive = RECEIVE_WAIT + Duration::from_secs(1);
                relay_engine::Settings { receivers: RECEIVERS, last_receive, ..relay_engine::Settings::default() }
            }
        }
    }

    /// Wake-ups are timers in memory: they have to be set again after a restart.
    pub fn forgets_wake_ups(&self) -> bool {
        matches!(self, Store::Embedded(_))
    }

    pub async fn close(&self) -> anyhow::Result<()> {
        match self {
            Store::Embedded(store) => store.close().await.context("what was not yet written could not be written"),
            Store::Aws(_) => Ok(()),
        }
    }
}
