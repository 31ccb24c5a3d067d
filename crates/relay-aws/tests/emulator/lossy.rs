//! Calls that take effect and whose answer is lost: the first answer to every write never comes, so that the SDK sends
//! each a second time. The contract holds all the same.

use crate::world::World;
use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use relay_aws::{Clients, http_client};
use relay_core::conformance;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Passes calls on, and loses the first answer to each of some.
#[derive(Clone)]
struct Lossy {
    inner: SharedHttpConnector,
    /// Ids that the SDK gives calls and keeps in their repeats
    /// (<https://docs.rs/aws-runtime/latest/aws_runtime/invocation_id/>).
    lost: Arc<Mutex<HashSet<String>>>,
}

impl std::fmt::Debug for Lossy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lossy")
    }
}

/// Not among them, as their answer is different the second time: acknowledgements (a receipt that is used up may be
/// refused, which the port says) and deletions that tell whether something was there.
const WRITES: [&str; 6] =
    ["PutItem", "UpdateItem", "TransactWriteItems", "BatchWriteItem", "SendMessageBatch", "BatchGetItem"];

impl HttpConnector for Lossy {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let is_write = WRITES.contains(&target.rsplit('.').next().unwrap_or_default());
        let id = request.headers().get("amz-sdk-invocation-id").unwrap_or_default().to_owned();
        let loses = is_write && self.lost.lock().unwrap().insert(id);
        let answer = self.inner.call(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await?;
            if loses { Err(ConnectorError::timeout("the answer was lost".into())) } else { Ok(answer) }
        })
    }
}

/// Clients that lose answers, and repeat calls after shorter pauses than usual: each write is one that is repeated.
pub async fn clients() -> Clients {
    let repeats = RetryConfig::standard().with_max_attempts(4).with_initial_backoff(Duration::from_millis(20));
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(client(http_client()));
    Clients::new(&config.retry_config(repeats).load().await)
}

fn client(inner: SharedHttpClient) -> SharedHttpClient {
    let lost = Arc::default();
    http_client_fn(move |settings: &HttpConnectorSettings, components| {
        use aws_smithy_runtime_api::client::http::HttpClient;
        let inner = inner.http_connector(settings, components);
        SharedHttpConnector::new(Lossy { inner, lost: Arc::clone(&lost) })
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_keeps_its_contract_though_answers_are_lost() {
    conformance::queue::run_all(World::lossy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_keep_their_contract_though_answers_are_lost() {
    conformance::lanes::run_all(World::lossy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_registry_keeps_its_contract_though_answers_are_lost() {
    conformance::registry::run_all(World::lossy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_keeps_its_contract_though_answers_are_lost() {
    conformance::log::run_all(World::lossy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_keep_their_contract_though_answers_are_lost() {
    conformance::dead_letters::run_all(World::lossy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replays_keep_their_contract_though_answers_are_lost() {
    conformance::replays::run_all(World::lossy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_keep_their_contract_though_answers_are_lost() {
    conformance::cursors::run_all(World::lossy).await;
}
