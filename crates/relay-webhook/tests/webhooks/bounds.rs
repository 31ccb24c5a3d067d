//! Requests in progress are bounded, and what waits or is dropped holds nothing.

use crate::server::{Server, read_request, wait_for_close};
use crate::{PLENTY, SHORT, config, post, request};
use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use relay_core::ports::webhook::{WebhookClient, WebhookError};
use relay_webhook::{Config, ConfigFault, HttpWebhookClient, Resolver};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Barrier, Semaphore, mpsc};
use tokio::task::JoinHandle;

const EMPTY: &str = "HTTP/1.1 204 No Content\r\n\r\n";

fn client(max_per_url: usize, max_total: usize) -> Arc<HttpWebhookClient> {
    let mut config = config();
    config.max_per_url = max_per_url;
    config.max_total = max_total;
    Arc::new(HttpWebhookClient::new(config).unwrap())
}

/// A request that is on its way when this returns, to a server that does not answer.
async fn hang(client: &Arc<HttpWebhookClient>, server: &mut Hanging) -> JoinHandle<()> {
    let (client, url) = (Arc::clone(client), server.server.url());
    let task = tokio::spawn(async move {
        let _ = post(&client, &url).await;
    });
    server.arrived.recv().await.unwrap();
    task
}

/// Never answers, and tells when a request has come and when its connection has gone.
struct Hanging {
    server: Server,
    arrived: mpsc::UnboundedReceiver<()>,
    gone: mpsc::UnboundedReceiver<()>,
}

impl Hanging {
    async fn start() -> Self {
        let ((arrive, arrived), (go, gone)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let server = Server::start(move |_, mut stream| {
            let (arrive, go) = (arrive.clone(), go.clone());
            async move {
                read_request(&mut stream).await;
                arrive.send(()).unwrap();
                wait_for_close(&mut stream).await;
                let _ = go.send(());
            }
        })
        .await;
        Self { server, arrived, gone }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_has_no_more_requests_in_progress_than_its_bound() {
    let (barrier, now, peak) =
        (Arc::new(Barrier::new(2)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let highest = Arc::clone(&peak);
    let server = Server::start(move |_, mut stream| {
        let (barrier, now, peak) = (Arc::clone(&barrier), Arc::clone(&now), Arc::clone(&peak));
        async move {
            while read_request(&mut stream).await.is_some() {
                peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                // Two are let through at once, so that fewer would never end.
                barrier.wait().await;
                now.fetch_sub(1, Ordering::SeqCst);
                stream.write_all(EMPTY.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let client = client(2, 100);
    let posts: Vec<_> = (0..20)
        .map(|_| {
            let (client, url) = (Arc::clone(&client), server.url());
            tokio::spawn(async move { post(&client, &url).await })
        })
        .collect();
    for posted in posts {
        posted.await.unwrap().unwrap();
    }
    assert_eq!((highest.load(Ordering::SeqCst), server.accepted()), (2, 2));
}

#[tokio::test]
async fn waiting_for_an_endpoint_counts_against_the_time_out() {
    let client = client(1, 100);
    let mut hanging = Hanging::start().await;
    let first = hang(&client, &mut hanging).await;
    assert_eq!(client.post(request(&hanging.server.url(), SHORT)).await, Err(WebhookError::Timeout));
    assert_eq!(hanging.server.accepted(), 1);
    first.abort();
}

#[tokio::test]
async fn the_bound_in_total_holds_across_endpoints() {
    let client = client(10, 1);
    let other = Server::answering(EMPTY).await;
    let mut hanging = Hanging::start().await;
    let first = hang(&client, &mut hanging).await;
    assert_eq!(client.post(request(&other.url(), SHORT)).await, Err(WebhookError::Timeout));
    assert_eq!(other.accepted(), 0);
    first.abort();
    assert!(client.post(request(&other.url(), PLENTY)).await.is_ok());
}

#[tokio::test]
async fn requests_that_wait_for_a_slow_endpoint_leave_the_others_theirs() {
    let client = client(1, 2);
    let other = Server::answering(EMPTY).await;
    let mut hanging = Hanging::start().await;
    let first = hang(&client, &mut hanging).await;
    let url = hanging.server.url();
    let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(post(&client, &url))).collect();
    for wait in &mut waiting {
        assert!(poll_once(wait).await.is_none());
    }
    assert!(post(&client, &other.url()).await.is_ok());
    first.abort();
}

#[tokio::test]
async fn a_url_that_hangs_leaves_the_others_of_its_host_theirs() {
    let client = client(1, 100);
    let (arrive, mut arrived) = mpsc::unbounded_channel();
    let server = Server::start(move |number, mut stream| {
        let arrive = arrive.clone();
        async move {
            read_request(&mut stream).await;
            arrive.send(()).unwrap();
            if number == 0 {
                wait_for_close(&mut stream).await;
            }
            stream.write_all(EMPTY.as_bytes()).await.unwrap();
        }
    })
    .await;
    let first = {
        let (client, url) = (Arc::clone(&client), server.url());
        tokio::spawn(async move { post(&client, &url).await })
    };
    arrived.recv().await.unwrap();
    assert_eq!(client.post(request(&server.url(), SHORT)).await, Err(WebhookError::Timeout));
    assert!(post(&client, &format!("{}/other", server.url())).await.is_ok());
    first.abort();
}

#[tokio::test]
async fn dropping_a_request_closes_its_connection_and_frees_its_place() {
    let client = client(1, 1);
    let mut hanging = Hanging::start().await;
    for _ in 0..3 {
        let task = hang(&client, &mut hanging).await;
        task.abort();
        hanging.gone.recv().await.unwrap();
    }
    assert_eq!(hanging.server.accepted(), 3);
}

#[tokio::test]
async fn a_request_that_times_out_frees_its_place() {
    let client = client(1, 1);
    let silent = Server::silent().await;
    for _ in 0..2 {
        assert_eq!(client.post(request(&silent.url(), SHORT)).await, Err(WebhookError::Timeout));
    }
    assert_eq!(silent.accepted(), 2);
}

/// Resolves once it is let, and tells how many are waiting for that.
struct Gate {
    waiting: AtomicUsize,
    opened: Semaphore,
}

#[async_trait]
impl Resolver for Gate {
    async fn resolve(&self, _host: &str) -> std::io::Result<Vec<IpAddr>> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.opened.acquire().await.unwrap().forget();
        Ok(vec![IpAddr::from([127, 0, 0, 1])])
    }
}

#[tokio::test]
async fn few_connections_to_an_endpoint_are_made_at_once_and_those_waiting_take_what_idles_first() {
    let server = Server::answering(EMPTY).await;
    let gate = Arc::new(Gate { waiting: AtomicUsize::new(0), opened: Semaphore::new(0) });
    let client = HttpWebhookClient::new(Config { resolver: gate.clone(), ..config() }).unwrap();
    let url = format!("http://localhost:{}/", server.address.port());
    let mut posts: Vec<_> = (0..40).map(|_| Box::pin(post(&client, &url))).collect();
    for post in &mut posts {
        assert!(poll_once(post).await.is_none());
    }
    assert_eq!(gate.waiting.load(Ordering::SeqCst), 16);
    gate.opened.add_permits(1);
    // The first connection serves its own request and those that wait for a turn, but one: that has got its turn.
    let mut all: FuturesUnordered<_> = posts.into_iter().collect();
    for _ in 0..24 {
        all.next().await.unwrap().unwrap();
    }
    assert!(poll_once(&mut all.next()).await.is_none());
    assert_eq!(gate.waiting.load(Ordering::SeqCst), 17);
    gate.opened.add_permits(16);
    while let Some(posted) = all.next().await {
        posted.unwrap();
    }
}

#[tokio::test]
async fn idle_connections_count_and_give_way() {
    let client = client(1, 2);
    let (closed, mut closes) = mpsc::unbounded_channel();
    let mut servers = Vec::new();
    for number in 0..3 {
        let closed = closed.clone();
        servers.push(
            Server::start(move |_, stream| {
                let closed = closed.clone();
                async move {
                    crate::server::serve(stream, EMPTY.into()).await;
                    let _ = closed.send(number);
                }
            })
            .await,
        );
    }
    for server in &servers {
        post(&client, &server.url()).await.unwrap();
    }
    assert_eq!(closes.recv().await, Some(0), "the one that idled longest made room for the third");
    assert!(closes.try_recv().is_err());
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (per_url, total) in [(0, 1), (1, 0), (usize::MAX, 1), (1, usize::MAX)] {
        let mut config = config();
        (config.max_per_url, config.max_total) = (per_url, total);
        assert_eq!(HttpWebhookClient::new(config).err(), Some(ConfigFault::Limits));
    }
    let mut config = config();
    config.user_agent = "two\nlines".into();
    assert_eq!(HttpWebhookClient::new(config).err(), Some(ConfigFault::UserAgent));
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
