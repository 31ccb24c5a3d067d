use super::*;
use crate::config::Config;
use async_trait::async_trait;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;
use tokio::net::TcpListener;

/// Answers each question with the next of its answers.
struct Script {
    answers: Vec<Vec<&'static str>>,
    asked: AtomicUsize,
}

#[async_trait]
impl Resolver for Script {
    async fn resolve(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        let answer = self.answers.get(self.asked.fetch_add(1, Ordering::SeqCst));
        let answer = answer.ok_or_else(|| io::Error::other("no such host"))?;
        Ok(answer.iter().map(|address| address.parse().unwrap()).collect())
    }
}

fn connector(policy: AddressPolicy, answers: &[&[&'static str]]) -> (Connector, Arc<Script>) {
    let script = Arc::new(Script {
        answers: answers.iter().map(|answer| answer.to_vec()).collect(),
        asked: AtomicUsize::new(0),
    });
    let config = Config::new(policy.clone(), Arc::new(|| SystemTime::UNIX_EPOCH));
    let tls = crate::tls::connector(&config).unwrap();
    (Connector { policy, resolver: Arc::<Script>::clone(&script), tls }, script)
}

fn origin(tls: bool, host: &str, port: u16) -> Origin {
    let host = host.parse().map_or_else(|_| Host::Name(host.into()), Host::Address);
    Origin { tls, host, port }
}

async fn addresses(policy: AddressPolicy, tls: bool, answer: &[&'static str]) -> Result<Vec<String>, WebhookError> {
    let (connector, _) = connector(policy, &[answer]);
    let addresses = connector.addresses(&origin(tls, "hooks.example", 1)).await?;
    Ok(addresses.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn forbidden_addresses_of_an_answer_are_dropped_and_the_rest_kept_in_order() {
    let mixed = ["10.0.0.1", "8.8.8.8", "::1", "::ffff:1.1.1.1", "169.254.169.254", "2606:4700::1111", "fd00:ec2::254"];
    let kept = addresses(AddressPolicy::public_only(), true, &mixed).await;
    assert_eq!(kept.unwrap(), ["8.8.8.8", "1.1.1.1", "2606:4700::1111"]);
}

#[tokio::test]
async fn an_answer_of_forbidden_addresses_alone_is_refused() {
    let answer = ["10.0.0.1", "::1", "::ffff:169.254.169.254", "0.0.0.0"];
    assert_eq!(addresses(AddressPolicy::public_only(), true, &answer).await, Err(WebhookError::ForbiddenAddress));
}

#[tokio::test]
async fn plain_http_goes_to_admitted_addresses_of_a_name_only() {
    let policy = AddressPolicy::public_only().with_allowed(["10.1.0.0/16".parse().unwrap()]);
    let kept = addresses(policy.clone(), false, &["8.8.8.8", "10.1.0.1", "10.2.0.1"]).await;
    assert_eq!(kept.unwrap(), ["10.1.0.1"]);
    assert_eq!(addresses(policy.clone(), false, &["8.8.8.8"]).await, Err(WebhookError::ForbiddenAddress));
    assert_eq!(addresses(policy, true, &["8.8.8.8", "10.1.0.1"]).await.unwrap(), ["8.8.8.8", "10.1.0.1"]);
}

#[tokio::test]
async fn a_name_without_addresses_is_a_dns_fault() {
    assert_eq!(addresses(AddressPolicy::public_only(), true, &[]).await, Err(WebhookError::Dns));
    let (connector, _) = connector(AddressPolicy::public_only(), &[]);
    let failed = connector.connect(&origin(true, "hooks.example", 1)).await;
    assert_eq!(failed.err(), Some(WebhookError::Dns));
}

#[tokio::test]
async fn a_name_is_resolved_once_and_the_checked_address_is_the_one_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // A second question would be answered with an address that nothing listens at.
    let policy = AddressPolicy::public_only().with_loopback(true);
    let (connector, script) = connector(policy, &[&["127.0.0.1"], &["127.0.0.2"]]);
    let stream = connector.connect(&origin(false, "rebinding.example", port)).await;
    let (_, peer) = listener.accept().await.unwrap();
    let Ok(Stream::Plain(stream)) = stream else { panic!("not connected") };
    assert_eq!(stream.local_addr().unwrap(), peer);
    assert!(stream.nodelay().unwrap());
    assert_eq!(script.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_address_is_not_resolved() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (connector, script) = connector(AddressPolicy::public_only().with_loopback(true), &[]);
    assert!(connector.connect(&origin(false, "127.0.0.1", port)).await.is_ok());
    assert_eq!(script.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_addresses_are_tried_in_turn() {
    // Bound to one address of loopback, so that the same port of the other one refuses.
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (connector, _) = connector(AddressPolicy::public_only().with_loopback(true), &[&["127.0.0.1", "127.0.0.2"]]);
    assert!(connector.connect(&origin(false, "two.example", port)).await.is_ok());
}

#[tokio::test]
async fn a_port_that_nobody_listens_at_is_a_connect_fault() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let (connector, _) = connector(AddressPolicy::public_only().with_loopback(true), &[]);
    assert_eq!(connector.connect(&origin(false, "127.0.0.1", port)).await.err(), Some(WebhookError::Connect));
}

#[test]
fn a_rooted_name_is_verified_without_its_dot() {
    assert_eq!(server_name(&Host::Name("example.com.".into())).unwrap(), ServerName::try_from("example.com").unwrap());
    assert_eq!(server_name(&Host::Name("under_score..x".into())), Err(WebhookError::Tls));
}
