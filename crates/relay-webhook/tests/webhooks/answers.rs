//! What becomes of every kind of answer.

use crate::server::{Server, read_request, wait_for_close};
use crate::{PLENTY, SHORT, client, post, request};
use bytes::Bytes;
use relay_core::ports::webhook::{WebhookClient, WebhookError, WebhookResponse};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

async fn told(bytes: impl Into<Vec<u8>>) -> Result<WebhookResponse, WebhookError> {
    let server = Server::saying_once(bytes).await;
    let answer = post(&client(), &server.url()).await;
    assert_eq!(server.accepted(), 1, "what fails on a new connection is not sent twice");
    answer
}

fn status(answer: Result<WebhookResponse, WebhookError>) -> u16 {
    answer.unwrap().status
}

#[tokio::test]
async fn a_post_arrives_as_it_was_given() {
    let (seen, mut requests) = mpsc::unbounded_channel();
    let server = Server::start(move |_, mut stream| {
        let seen = seen.clone();
        async move {
            seen.send(read_request(&mut stream).await.unwrap()).unwrap();
            stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        }
    })
    .await;
    let url = format!("{}?a=b%20c", server.url());
    let answer = post(&client(), &url).await.unwrap();
    assert_eq!(answer, WebhookResponse { status: 202, retry_after: None, body_start: Bytes::from_static(b"ok") });
    let (head, body) = requests.recv().await.unwrap();
    assert_eq!(body, b"{\"a\":1}");
    let expected = format!(
        "POST /hook?a=b%20c HTTP/1.1\r\nhost: {}\r\nwebhook-id: evt_1\r\ncontent-type: application/json\r\n\
         user-agent: event-relay/{}\r\ncontent-length: 7\r\n\r\n",
        server.address,
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(head, expected);
}

#[tokio::test]
async fn any_status_is_an_answer_and_a_redirect_is_not_followed() {
    let elsewhere = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    for code in [301, 302, 303, 307, 308] {
        let location = elsewhere.url();
        let text = format!("HTTP/1.1 {code} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(status(told(text).await), code);
    }
    for code in [200, 204, 400, 410, 429, 500, 503, 599] {
        assert_eq!(status(told(format!("HTTP/1.1 {code} Word\r\ncontent-length: 0\r\n\r\n")).await), code);
    }
    assert_eq!(elsewhere.accepted(), 0);
}

#[tokio::test]
async fn interim_answers_are_passed_over() {
    let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(status(told(text).await), 200);
}

#[tokio::test]
async fn the_first_kib_of_a_body_is_kept() {
    let body: String = ('a'..='z').cycle().take(10_000).collect();
    let answer = told(format!("HTTP/1.1 500 Oops\r\ncontent-length: 10000\r\n\r\n{body}")).await.unwrap();
    assert_eq!(answer.body_start, body[..1024]);
    let answer = told(format!("HTTP/1.1 500 Oops\r\n\r\n{body}")).await.unwrap();
    assert_eq!(answer.body_start, body[..1024], "a body that ends with its connection");
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_eq!(told(chunked).await.unwrap().body_start, "abcde");
}

#[tokio::test]
async fn a_compressed_body_is_left_as_it_is() {
    let answer =
        told(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x8b\x08\x00".as_slice());
    assert_eq!(answer.await.unwrap().body_start, b"\x1f\x8b\x08\x00".as_slice());
}

#[tokio::test]
async fn a_body_without_end_is_read_to_its_cap_and_the_connection_closed() {
    let (closed, mut closes) = mpsc::unbounded_channel();
    let server = Server::start(move |_, mut stream| {
        let closed = closed.clone();
        async move {
            read_request(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 429 Slow\r\nretry-after: 7\r\ntransfer-encoding: chunked\r\n\r\n")
                .await
                .unwrap();
            let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
            let mut written = 0_usize;
            while stream.write_all(chunk.as_bytes()).await.is_ok() {
                written += chunk.len();
            }
            closed.send(written).unwrap();
        }
    })
    .await;
    let client = client();
    let answer = post(&client, &server.url()).await.unwrap();
    assert_eq!((answer.status, answer.retry_after), (429, Some(Duration::from_secs(7))));
    assert_eq!(answer.body_start, "x".repeat(1024));
    // It only ends once the client has hung up.
    assert!(closes.recv().await.unwrap() >= 64 * 1024);
}

#[tokio::test]
async fn a_large_body_within_the_cap_is_no_fault() {
    let body = "x".repeat(64 * 1024);
    let server = Server::answering(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
    let client = client();
    for _ in 0..3 {
        assert_eq!(status(post(&client, &server.url()).await), 200);
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn an_answer_before_the_request_was_read_is_had() {
    let server = Server::start(|_, mut stream| async move {
        stream.readable().await.unwrap();
        stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        // Neither read nor closed until the client gives up on the rest.
        stream.writable().await.unwrap();
        tokio::time::sleep(PLENTY).await;
    })
    .await;
    let mut large = request(&server.url(), PLENTY);
    large.body = vec![b'x'; 32 << 20].into();
    assert_eq!(status(client().post(large).await), 413);
}

#[tokio::test]
async fn retry_after_is_read_in_both_forms() {
    for (headers, seconds) in [
        ("retry-after: 120\r\n", Some(120)),
        ("date: Fri, 31 Dec 1999 23:58:59 GMT\r\nretry-after: Fri, 31 Dec 1999 23:59:59 GMT\r\n", Some(60)),
        // The clock of these tests stands still at the epoch.
        ("retry-after: Thu, 01 Jan 1970 00:05:00 GMT\r\n", Some(300)),
        ("retry-after: whenever\r\n", None),
        ("", None),
    ] {
        let answer = told(format!("HTTP/1.1 503 Busy\r\n{headers}content-length: 0\r\n\r\n")).await.unwrap();
        assert_eq!(answer.retry_after, seconds.map(Duration::from_secs), "{headers}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(33 * 1024));
    assert_eq!(told(large).await, Err(WebhookError::ResponseTooLarge));
    let many = format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", "x: y\r\n".repeat(100));
    assert_eq!(told(many).await, Err(WebhookError::ResponseTooLarge));
    let fits = format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(31 * 1024));
    assert_eq!(status(told(fits).await), 200);
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let server = Server::start(|_, mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while stream.write_all(b"x-more: and more and more\r\n").await.is_ok() {}
    })
    .await;
    assert_eq!(post(&client(), &server.url()).await, Err(WebhookError::ResponseTooLarge));
}

#[tokio::test]
async fn what_is_not_http_is_a_protocol_fault() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    ] {
        assert_eq!(told(garbage).await, Err(WebhookError::Protocol), "{garbage}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_first_is_a_protocol_fault() {
    let server = Server::start(|_, mut stream| async move {
        stream.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
        wait_for_close(&mut stream).await;
    })
    .await;
    assert_eq!(post(&client(), &server.url()).await, Err(WebhookError::Protocol));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_reset() {
    for part in [
        "",
        "HTTP/1.1 20",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
    ] {
        assert_eq!(told(part).await, Err(WebhookError::Reset), "{part}");
    }
}

#[tokio::test]
async fn a_reset_connection_is_a_reset() {
    let server = Server::start(|_, mut stream| async move {
        read_request(&mut stream).await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    assert_eq!(post(&client(), &server.url()).await, Err(WebhookError::Reset));
}

#[tokio::test]
async fn the_time_out_bounds_the_whole_exchange() {
    // Each piece comes well within the time-out, the whole never does.
    for (start, piece) in [
        ("", "H"),
        ("HTTP/1.1 200 OK\r\n", "x: y\r\n"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n", "x"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
    ] {
        let server = Server::start(move |_, mut stream| async move {
            read_request(&mut stream).await;
            stream.write_all(start.as_bytes()).await.unwrap();
            if start.is_empty() {
                // A status line cannot be dripped for long before it is wrong; so one byte, then silence.
                stream.write_all(piece.as_bytes()).await.unwrap();
                return wait_for_close(&mut stream).await;
            }
            while stream.write_all(piece.as_bytes()).await.is_ok() {
                tokio::time::sleep(SHORT / 15).await;
            }
        })
        .await;
        let answer = client().post(request(&server.url(), SHORT)).await;
        assert_eq!(answer, Err(WebhookError::Timeout), "{start}{piece}");
    }
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_times_out() {
    let server = Server::silent().await;
    assert_eq!(client().post(request(&server.url(), SHORT)).await, Err(WebhookError::Timeout));
}
