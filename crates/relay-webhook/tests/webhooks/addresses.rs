//! Only allowed addresses are connected to, whatever names say.

use crate::server::Server;
use crate::{client, config, post};
use async_trait::async_trait;
use relay_core::ports::webhook::WebhookError;
use relay_webhook::{AddressPolicy, HttpWebhookClient, Resolver};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

const EMPTY: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const CLOSING: &str = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";

/// Gives its answers one after another, then fails.
struct Script(Mutex<Vec<Vec<IpAddr>>>);

#[async_trait]
impl Resolver for Script {
    async fn resolve(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        let mut answers = self.0.lock().unwrap();
        if answers.is_empty() { Err(io::Error::other("no such host")) } else { Ok(answers.remove(0)) }
    }
}

fn resolving(policy: AddressPolicy, answers: &[&[&str]]) -> HttpWebhookClient {
    let answers = answers.iter().map(|answer| answer.iter().map(|address| address.parse().unwrap()).collect());
    let mut config = config();
    config.policy = policy;
    config.resolver = Arc::new(Script(Mutex::new(answers.collect())));
    HttpWebhookClient::new(config).unwrap()
}

fn loopback() -> AddressPolicy {
    AddressPolicy::public_only().with_loopback(true)
}

fn named(server: &Server) -> String {
    format!("http://hooks.example:{}/", server.address.port())
}

#[tokio::test]
async fn a_forbidden_address_is_not_connected_to_in_any_form() {
    let server = Server::answering(EMPTY).await;
    let mut config = config();
    config.policy = AddressPolicy::public_only();
    let client = HttpWebhookClient::new(config).unwrap();
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "localhost",
        "0.0.0.0",
        "0",
        "[::]",
        "169.254.169.254",
        "[fd00:ec2::254]",
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{}/", server.address.port());
            assert_eq!(post(&client, &url).await, Err(WebhookError::ForbiddenAddress), "{url}");
            assert!(client.check_url(&url).is_err(), "{url}");
        }
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn odd_forms_of_an_admitted_address_reach_it() {
    let server = Server::answering(EMPTY).await;
    let client = client();
    for host in ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{}/", server.address.port());
        assert_eq!(post(&client, &url).await.map(|answer| answer.status), Ok(204), "{url}");
    }
}

#[tokio::test]
async fn a_name_that_resolves_to_forbidden_addresses_is_refused() {
    let server = Server::answering(EMPTY).await;
    for answer in [["127.0.0.1", "::1"], ["::ffff:127.0.0.1", "169.254.169.254"]] {
        let policy = AddressPolicy::public_only().with_allowed(["10.0.0.0/8".parse().unwrap()]);
        for scheme in ["http", "https"] {
            let client = resolving(policy.clone(), &[&answer]);
            let url = format!("{scheme}://hooks.example:{}/", server.address.port());
            assert_eq!(post(&client, &url).await, Err(WebhookError::ForbiddenAddress));
        }
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn of_a_mixed_answer_only_the_allowed_address_is_connected_to() {
    let allowed = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let forbidden = TcpListener::bind(("127.0.0.1", allowed.local_addr().unwrap().port())).await.unwrap();
    let serve = |_, stream| crate::server::serve(stream, CLOSING.into());
    let (allowed, forbidden) = (Server::start_on(allowed, serve), Server::start_on(forbidden, serve));
    let policy = AddressPolicy::public_only().with_allowed(["127.0.0.2/32".parse().unwrap()]);
    let client = resolving(policy, &[&["127.0.0.1", "127.0.0.2"], &["127.0.0.2", "127.0.0.1"]]);
    for _ in 0..2 {
        assert_eq!(post(&client, &named(&allowed)).await.unwrap().status, 204);
    }
    assert_eq!((allowed.accepted(), forbidden.accepted()), (2, 0));
}

#[tokio::test]
async fn plain_http_to_a_name_with_a_public_address_is_refused() {
    let policy = AddressPolicy::public_only().with_allowed(["10.0.0.0/8".parse().unwrap()]);
    let client = resolving(policy, &[&["8.8.8.8", "2606:4700::1111"]]);
    assert_eq!(client.check_url("http://hooks.example/"), Ok(()), "its addresses are not known yet");
    assert_eq!(post(&client, "http://hooks.example/").await, Err(WebhookError::ForbiddenAddress));
}

#[tokio::test]
async fn a_name_is_asked_for_once_per_connection_and_a_rebound_one_is_refused() {
    let server = Server::answering(CLOSING).await;
    let client = resolving(loopback(), &[&["127.0.0.1"], &["169.254.169.254"]]);
    assert_eq!(post(&client, &named(&server)).await.unwrap().status, 204);
    assert_eq!(post(&client, &named(&server)).await, Err(WebhookError::ForbiddenAddress));
    assert_eq!(post(&client, &named(&server)).await, Err(WebhookError::Dns), "each answer was used exactly once");
}

#[tokio::test]
async fn a_reused_connection_asks_for_no_name() {
    let server = Server::answering(EMPTY).await;
    let client = resolving(loopback(), &[&["127.0.0.1"]]);
    for _ in 0..5 {
        assert_eq!(post(&client, &named(&server)).await.unwrap().status, 204);
    }
}

#[tokio::test]
async fn the_systems_resolver_knows_localhost() {
    let server = Server::answering(EMPTY).await;
    let url = format!("http://localhost:{}/", server.address.port());
    assert_eq!(post(&client(), &url).await.unwrap().status, 204);
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_a_dns_fault_and_a_closed_port_a_connect_fault() {
    let server = Server::answering(EMPTY).await;
    assert_eq!(post(&resolving(loopback(), &[]), &named(&server)).await, Err(WebhookError::Dns));
    assert_eq!(post(&resolving(loopback(), &[&[]]), &named(&server)).await, Err(WebhookError::Dns));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    assert_eq!(post(&client(), &format!("http://127.0.0.1:{port}/")).await, Err(WebhookError::Connect));
}

#[tokio::test]
async fn a_url_that_is_none_fails_without_a_connection() {
    for url in
        ["", "nonsense", "ftp://127.0.0.1/", "http://a:b@127.0.0.1/", "http://127.0.0.1/#x", "http://127.0.0.1:0/"]
    {
        assert_eq!(post(&client(), url).await, Err(WebhookError::Connect), "{url}");
    }
}
