//! Clients that do not keep to HTTP, or never come to an end.

use crate::broker::{ADMIN_KEY, Broker, Site};
use crate::wait::SOON;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn connect(broker: &Broker) -> TcpStream {
    TcpStream::connect(broker.url().strip_prefix("http://").unwrap()).await.unwrap()
}

/// Sends bytes and reads until the broker closes, or has been silent for a second after it said something.
async fn say(broker: &Broker, bytes: &[u8]) -> String {
    let mut stream = connect(broker).await;
    // The broker may close before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    loop {
        let patience = if answer.is_empty() { SOON } else { Duration::from_secs(1) };
        let mut part = [0; 4096];
        match tokio::time::timeout(patience, stream.read(&mut part)).await {
            Ok(Ok(read)) if read > 0 => answer.extend_from_slice(&part[..read]),
            _ => return String::from_utf8_lossy(&answer).into_owned(),
        }
    }
}

fn status_of(answer: &str) -> u16 {
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    status.unwrap_or_else(|| panic!("no status in {answer:?}"))
}

#[tokio::test]
async fn what_is_not_http_is_answered_with_a_4xx_or_closed_and_the_broker_lives_on() {
    let site = Site::new();
    let broker = site.start();
    let long_path = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(100_000));
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(500));
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"GET / HTTP/1.1\r\nhost : x\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"G\x00T / HTTP/1.1\r\n\r\n",
        b"POST /v1/topics/orders/events HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        b"POST /v1/topics/orders/events HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"\r\n\r\n\r\n\r\nnonsense\r\n\r\n",
        long_path.as_bytes(),
        many_headers.as_bytes(),
    ] {
        let answer = say(&broker, bytes).await;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        assert!(answer.is_empty() || (400..500).contains(&status_of(&answer)), "{shown:?}: {answer}");
    }
    broker.client().create_topic("orders").await;
    assert!(broker.stop().await.success());
}

#[tokio::test]
async fn routes_that_do_not_exist_are_answered_with_a_problem_document() {
    let site = Site::new();
    let broker = site.start();
    for (request, status) in [("GET /nothing", 404), ("DELETE /healthz", 405)] {
        let answer = say(&broker, format!("{request} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await;
        assert_eq!(status_of(&answer), status, "{answer}");
        assert!(answer.to_lowercase().contains("content-type: application/problem+json"), "{answer}");
    }
    let healthy = say(&broker, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(status_of(&healthy), 200, "without a key: {healthy}");
}

#[tokio::test]
async fn a_body_that_never_comes_ends_in_a_4xx_while_others_are_served() {
    let site = Site::new();
    let broker = site.start();
    broker.client().create_topic("orders").await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = connect(&broker).await;
        let head = format!(
            "POST /v1/topics/orders/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN_KEY}\r\n\
             content-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let client = broker.client();
    for number in 0..20 {
        client.publish("orders", "k", serde_json::json!({ "number": number })).await;
    }
    for mut stream in slow {
        let mut answer = vec![0; 2048];
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert_eq!(status_of(&answer), 408, "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let site = Site::new();
    let broker = site.start();
    let mut stream = connect(&broker).await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(45), stream.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "the connection is still open");
    broker.client().create_topic("orders").await;
}
