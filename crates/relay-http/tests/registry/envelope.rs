use crate::broker::{ADMIN, Broker};
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::Request;
use relay_http::ProblemKind;
use serde_json::json;
use std::convert::Infallible;
use std::time::Duration;

fn json_request(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    request.header("authorization", format!("Bearer {ADMIN}")).body(body.into()).unwrap()
}

#[tokio::test]
async fn request_ids_are_echoed_or_made() {
    let broker = Broker::new().await;
    let echoed = broker.ask("", "GET", "/healthz", &[("x-request-id", "abc-123")], Body::empty()).await;
    assert_eq!(echoed.header("x-request-id"), "abc-123");
    let made = broker.ask("", "GET", "/nowhere", &[], Body::empty()).await;
    assert_eq!(made.problem(), (404, "not-found"));
    assert!(made.header("x-request-id").len() >= 16);
    let long = "x".repeat(201);
    for unusable in ["", "two words", &long] {
        let made = broker.ask("", "GET", "/healthz", &[("x-request-id", unusable)], Body::empty()).await;
        assert!(made.header("x-request-id") != unusable && !made.header("x-request-id").is_empty());
    }
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems() {
    let broker = Broker::with_orders().await;
    for path in ["/", "/v1", "/v1/", "/v1/topics/", "/v1/topics/a/b", "/v3/topics", "/problems/none"] {
        let answer = broker.get(path).await;
        assert_eq!(answer.problem(), (404, "not-found"), "{path}");
        assert_eq!(answer.body["instance"], path);
    }
    for (method, path, allow) in [
        ("POST", "/v1/topics/orders", "GET,HEAD,PUT,PATCH,DELETE"),
        ("DELETE", "/v1/topics", "GET,HEAD"),
        ("BREW", "/v1/keys", "GET,HEAD,POST"),
        ("DELETE", "/v1/topics/orders/events", "GET,HEAD,POST"),
    ] {
        let answer = broker.ask(ADMIN, method, path, &[], Body::empty()).await;
        assert_eq!(answer.problem(), (405, "method-not-allowed"), "{method} {path}");
        let sorted = |list: &str| {
            let mut list: Vec<_> = list.split(',').map(str::to_owned).collect();
            list.sort();
            list
        };
        assert_eq!(sorted(answer.header("allow")), sorted(allow), "{method} {path}");
    }
}

#[tokio::test]
async fn routes_of_later_work_say_so() {
    let broker = Broker::with_orders().await;
    let path = broker.subscribe(json!({})).await;
    for (method, route) in [
        ("PUT", "/v1/channels/all".to_owned()),
        ("POST", format!("{path}/verify")),
        ("PUT", "/v1/asyncapi".to_owned()),
        // Whatever the method: nobody is sent to look for one that works.
        ("GET", "/v1/asyncapi".to_owned()),
        ("PATCH", format!("{path}/verify")),
    ] {
        let answer = broker.ask(ADMIN, method, &route, &[], Body::empty()).await;
        assert_eq!(answer.problem(), (400, "not-supported"), "{method} {route}");
        assert_eq!(answer.body["detail"], "this version does not have this route yet");
    }
}

#[tokio::test]
async fn bodies_that_are_not_json_are_refused() {
    let broker = Broker::with_orders().await;
    let put = async |body: &[u8]| broker.send(json_request("PUT", "/v1/topics/a", body.to_vec())).await;
    for bad in [&b"{"[..], b"{} {}", b"nope", b"{\"owner\":\"\xff\"}", b"{\"owner\":1,\"owner\":2}", b"\x00"] {
        assert_eq!(put(bad).await.problem(), (400, "malformed-json"), "{}", String::from_utf8_lossy(bad));
    }
    for (bad, detail) in [("{x}", "key must be a string, at byte 1"), ("{\n \"a\": ?}", "expected value, at byte 8")] {
        assert_eq!(put(bad.as_bytes()).await.body["detail"], detail);
    }
    for levels in [129, 5_000, 200_000] {
        let nested = format!("{{\"owner\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(put(nested.as_bytes()).await.problem(), (400, "nesting-too-deep"), "{levels}");
    }
    for other in ["text/plain", "application/json; charset=utf-16", "application/cloudevents+json"] {
        let answer = broker.ask(ADMIN, "PUT", "/v1/topics/a", &[("content-type", other)], Body::from("{}")).await;
        assert_eq!(answer.problem(), (415, "unsupported-media-type"), "{other}");
    }
    let merge = [("content-type", "application/merge-patch+json")];
    let answer = broker.ask(ADMIN, "PUT", "/v1/topics/a", &merge, Body::from("{}")).await;
    assert_eq!(answer.problem(), (415, "unsupported-media-type"));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_in_one_piece_or_many() {
    let broker = Broker::with_orders().await;
    let large = vec![b' '; 4 * 1024 * 1024 + 1];
    let answer = broker.send(json_request("PUT", "/v1/topics/a", large)).await;
    assert_eq!(answer.problem(), (413, "request-too-large"));
    let pieces = stream::iter((0..80).map(|_| Ok::<_, Infallible>(Bytes::from(vec![b' '; 64 * 1024]))));
    let answer = broker.send(json_request("PUT", "/v1/topics/a", Body::from_stream(pieces))).await;
    assert_eq!(answer.problem(), (413, "request-too-large"));
    let endless = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from(vec![b' '; 64 * 1024])));
    let answer = broker.send(json_request("PUT", "/v1/topics/a", Body::from_stream(endless))).await;
    assert_eq!((answer.problem(), answer.header("connection")), ((413, "request-too-large"), "close"));
    let mut exact = vec![b' '; 4 * 1024 * 1024 - 2];
    exact.extend_from_slice(b"{}");
    assert_eq!(broker.send(json_request("PUT", "/v1/topics/a", exact)).await.status, 201);
    let pieces = ["{\"own", "er\":", "\"x\"}"].map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
    let answer = broker.send(json_request("PUT", "/v1/topics/b", Body::from_stream(stream::iter(pieces)))).await;
    assert_eq!((answer.status, &answer.body["owner"]), (201, &json!("x")));
    let broken = stream::iter([Ok(Bytes::from("{")), Err(std::io::Error::other("gone"))]);
    let answer = broker.send(json_request("PUT", "/v1/topics/b", Body::from_stream(broken))).await;
    assert_eq!(answer.problem(), (400, "bad-request"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_or_drips_is_given_up() {
    let broker = Broker::with_orders().await;
    let stalled = stream::once(async { Ok::<_, Infallible>(Bytes::from("{")) });
    let stalled = futures_util::StreamExt::chain(stalled, stream::pending());
    let answer = broker.send(json_request("PUT", "/v1/topics/a", Body::from_stream(stalled))).await;
    assert_eq!((answer.problem(), answer.header("connection")), ((408, "request-timeout"), "close"));
    let dripping = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(9)).await;
        Some((Ok::<_, Infallible>(Bytes::from(" ")), ()))
    });
    let started = tokio::time::Instant::now();
    let answer = broker.send(json_request("PUT", "/v1/topics/a", Body::from_stream(dripping))).await;
    assert_eq!(answer.problem(), (408, "request-timeout"));
    assert!(started.elapsed() <= Duration::from_secs(61));
}

#[tokio::test]
async fn health_is_told_without_a_key() {
    let broker = Broker::new().await;
    let alive = broker.ask("", "GET", "/healthz", &[], Body::empty()).await;
    assert_eq!((alive.status, &alive.body["status"]), (200, &json!("alive")));
    let ready = broker.ask("", "GET", "/readyz", &[], Body::empty()).await;
    let all = json!({ "queue": "reachable", "table": "reachable", "log": "reachable" });
    assert_eq!((ready.status, &ready.body["checks"]), (200, &all));
}

#[tokio::test]
async fn every_kind_of_problem_is_explained_where_its_type_points() {
    let broker = Broker::new().await;
    for kind in ProblemKind::ALL {
        let answer = broker.ask("", "GET", &format!("/problems/{}", kind.name()), &[], Body::empty()).await;
        assert_eq!((answer.status, &answer.body["status"]), (200, &json!(kind.status().as_u16())));
        assert!(!answer.text("detail").is_empty());
    }
    assert_eq!(broker.ask("", "GET", "/problems", &[], Body::empty()).await.items().len(), ProblemKind::ALL.len());
}

#[tokio::test]
async fn a_large_body_that_nobody_wants_is_read_and_thrown_away() {
    let broker = Broker::new().await;
    let (read, mut pieces) = tokio::sync::mpsc::unbounded_channel();
    let body = stream::unfold(0, move |number| {
        let read = read.clone();
        async move {
            read.send(number).unwrap();
            (number < 20).then(|| (Ok::<_, Infallible>(Bytes::from(vec![b' '; 64 * 1024])), number + 1))
        }
    });
    let length = [("content-length", "1310720"), ("content-type", "application/json")];
    let answer = broker.ask("", "POST", "/v1/keys", &length, Body::from_stream(body)).await;
    assert_eq!(answer.problem(), (401, "unauthorized"));
    let all = async { while pieces.recv().await.unwrap() < 20 {} };
    tokio::time::timeout(Duration::from_secs(20), all).await.unwrap();
}
