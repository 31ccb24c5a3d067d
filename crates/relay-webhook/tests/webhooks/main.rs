//! The client against real servers on loopback, well-behaved and not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic; helpers are not seen as tests by the lint")]

mod addresses;
mod answers;
mod bounds;
mod reuse;
mod server;
mod tls;

use bytes::Bytes;
use relay_core::ports::webhook::{WebhookClient, WebhookError, WebhookRequest, WebhookResponse};
use relay_webhook::{AddressPolicy, Config, HttpWebhookClient};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Longer than any test should take; a test that waits for it has failed.
const PLENTY: Duration = Duration::from_secs(20);
/// Of requests that are meant to time out.
const SHORT: Duration = Duration::from_millis(150);

fn config() -> Config {
    let mut config = Config::new(AddressPolicy::public_only().with_loopback(true), Arc::new(|| SystemTime::UNIX_EPOCH));
    config.trust_system_roots = false;
    config
}

fn client() -> HttpWebhookClient {
    HttpWebhookClient::new(config()).unwrap()
}

fn request(url: &str, timeout: Duration) -> WebhookRequest {
    WebhookRequest {
        url: url.into(),
        headers: vec![("webhook-id".into(), "evt_1".into()), ("content-type".into(), "application/json".into())],
        body: Bytes::from_static(b"{\"a\":1}"),
        timeout,
    }
}

async fn post(client: &HttpWebhookClient, url: &str) -> Result<WebhookResponse, WebhookError> {
    client.post(request(url, PLENTY)).await
}
