//! Connections are used again, and replaced when they cannot be.

use crate::server::{Server, read_request, serve, wait_for_close};
use crate::{client, config, post};
use relay_core::ports::webhook::WebhookError;
use relay_webhook::HttpWebhookClient;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Barrier, mpsc};

const EMPTY: &str = "HTTP/1.1 204 No Content\r\n\r\n";

#[tokio::test]
async fn requests_in_turn_share_a_connection_whatever_frames_the_answer() {
    for answer in [
        EMPTY,
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\noops",
    ] {
        let server = Server::answering(answer).await;
        let client = client();
        for _ in 0..20 {
            post(&client, &server.url()).await.unwrap();
        }
        assert_eq!(server.accepted(), 1, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_reuse_as_many_connections_as_they_need() {
    // As many as one URL may have.
    const CONCURRENT: usize = 128;
    // Answers when all are there, so that each round needs all of its connections.
    let barrier = Arc::new(Barrier::new(CONCURRENT));
    let server = Server::start(move |_, mut stream| {
        let barrier = Arc::clone(&barrier);
        async move {
            while read_request(&mut stream).await.is_some() {
                barrier.wait().await;
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            }
        }
    })
    .await;
    let client = Arc::new(client());
    for _ in 0..4 {
        let posts: Vec<_> = (0..CONCURRENT)
            .map(|_| {
                let (client, url) = (Arc::clone(&client), server.url());
                tokio::spawn(async move { post(&client, &url).await })
            })
            .collect();
        for posted in posts {
            assert_eq!(posted.await.unwrap().unwrap().status, 200);
        }
    }
    assert_eq!(server.accepted(), CONCURRENT);
}

#[tokio::test]
async fn different_paths_of_a_host_share_connections_and_different_hosts_do_not() {
    let (one, two) = (Server::answering(EMPTY).await, Server::answering(EMPTY).await);
    let client = client();
    for path in ["a", "b", "c?d"] {
        for server in [&one, &two] {
            post(&client, &format!("http://{}/{path}", server.address)).await.unwrap();
        }
    }
    assert_eq!((one.accepted(), two.accepted()), (1, 1));
}

#[tokio::test]
async fn a_server_that_closes_after_each_answer_is_connected_to_each_time() {
    for answer in
        ["HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nbye", EMPTY]
    {
        let server = Server::saying_once(answer).await;
        let client = client();
        for sent in 1..=3 {
            post(&client, &server.url()).await.unwrap();
            assert_eq!(server.accepted(), sent, "{answer}");
        }
    }
}

#[tokio::test]
async fn a_request_that_meets_a_connection_being_closed_is_sent_again_on_a_new_one() {
    // The first connection takes a second request and hangs up on it, as a server does that closed it meanwhile.
    let server = Server::start(|number, mut stream| async move {
        read_request(&mut stream).await.unwrap();
        stream.write_all(EMPTY.as_bytes()).await.unwrap();
        if number == 0 {
            read_request(&mut stream).await.unwrap();
        } else {
            serve(stream, EMPTY.into()).await;
        }
    })
    .await;
    let client = client();
    for _ in 0..3 {
        assert_eq!(post(&client, &server.url()).await.unwrap().status, 204);
    }
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn a_request_is_sent_again_once_at_most() {
    // Every connection takes one request; the second's first is refused too.
    let server = Server::start(|number, mut stream| async move {
        read_request(&mut stream).await.unwrap();
        if number == 0 {
            stream.write_all(EMPTY.as_bytes()).await.unwrap();
            read_request(&mut stream).await.unwrap();
        }
    })
    .await;
    let client = client();
    assert!(post(&client, &server.url()).await.is_ok());
    assert_eq!(post(&client, &server.url()).await, Err(WebhookError::Reset));
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn an_answer_that_was_not_asked_for_is_never_given_to_the_next_request() {
    // The second answer would be taken for that of the second request, were the connection used again.
    let server = Server::start(|number, mut stream| async move {
        read_request(&mut stream).await.unwrap();
        let smuggled = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 299 Smuggled\r\ncontent-length: 0\r\n\r\n";
        if number == 0 {
            stream.write_all(smuggled.as_bytes()).await.unwrap();
            wait_for_close(&mut stream).await;
        } else {
            stream.write_all(EMPTY.as_bytes()).await.unwrap();
        }
    })
    .await;
    let client = client();
    assert_eq!(post(&client, &server.url()).await.unwrap().status, 200);
    assert_eq!(post(&client, &server.url()).await.unwrap().status, 204);
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn an_expired_connection_is_closed_and_not_used() {
    let (closed, mut closes) = mpsc::unbounded_channel();
    let server = Server::start(move |_, stream| {
        let closed = closed.clone();
        async move {
            serve(stream, EMPTY.into()).await;
            closed.send(()).unwrap();
        }
    })
    .await;
    let mut config = config();
    config.idle_timeout = Duration::ZERO;
    let client = HttpWebhookClient::new(config).unwrap();
    post(&client, &server.url()).await.unwrap();
    client.close_expired();
    closes.recv().await.unwrap();
    post(&client, &server.url()).await.unwrap();
    assert_eq!(server.accepted(), 2);
}
