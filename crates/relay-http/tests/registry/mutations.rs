//! Ten thousand mutations of valid requests over all routes.

use crate::broker::{ADMIN, Broker, HOOK};
use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::BodyExt;
use relay_sim::random::Random;
use relay_sim::webhooks::Reaction;
use serde_json::{Value, json};
use std::time::Duration;
use tower::ServiceExt;

/// A request, as bytes that a mutation can spoil.
#[derive(Clone)]
struct Sample {
    method: Vec<u8>,
    path: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

fn sample(method: &str, path: &str, body: &Value) -> Sample {
    let kind = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let headers = [
        ("authorization", format!("Bearer {ADMIN}")),
        ("content-type", kind.to_owned()),
        ("x-request-id", "r-1".to_owned()),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
    ];
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let headers = headers.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), value.into_bytes())).collect();
    Sample { method: method.into(), path: path.into(), headers, body }
}

impl Sample {
    fn with(mut self, name: &str, value: &str) -> Sample {
        self.headers.retain(|(known, _)| known != name.as_bytes());
        self.headers.push((name.into(), value.into()));
        self
    }

    fn request(&self) -> Option<Request<Body>> {
        let uri = Uri::try_from(&self.path[..]).ok()?;
        let mut request = Request::builder().method(Method::from_bytes(&self.method).ok()?).uri(uri);
        for (name, value) in &self.headers {
            request = request.header(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
        }
        request.body(Body::from(self.body.clone())).ok()
    }
}

/// A broker with something of everything, and valid requests of every route.
async fn broker() -> (Broker, Vec<Sample>) {
    let broker = Broker::with_orders().await;
    let sub = broker.subscribe(json!({ "retry": { "onRejected": "deadLetter", "schedule": [1, 60] } })).await;
    let reactions = [(1, Reaction::Status(400)), (1, Reaction::Status(503)), (1, Reaction::Accept)];
    broker.world.endpoints().set(HOOK, &reactions);
    for number in 0..12 {
        broker.publish(&number.to_string(), (number % 3 > 0).then_some("k")).await;
    }
    broker.work().await;
    let key = broker.get("/v1/keys").await.items().first().map(|key| key["id"].clone()).unwrap_or_default();
    let letters = broker.get(&format!("{sub}/deadletters")).await;
    let letter = letters.items().first().map_or("x".to_owned(), |letter| letter["id"].as_str().unwrap().to_owned());
    let topic =
        json!({ "description": "d", "owner": "o", "retention": "30d", "maxEventBytes": 1000, "access": "open" });
    let subscription = json!({
        "topic": "orders",
        "endpoint": { "url": HOOK, "headers": { "x-a": "1" }, "timeoutMs": 5000, "mode": "batch", "maxBatch": 10 },
        "retry": { "schedule": [1, 2.5], "maxAge": "1h", "onExhausted": "block", "onRejected": "retry" },
        "rateLimit": 10, "startFrom": "latest",
    });
    let new_key = json!({ "name": "k", "grants": [{ "action": "publish", "topics": "orders.*" }], "expiresAt": "2030-01-01T00:00:00Z" });
    let event = json!({ "specversion": "1.0", "id": "m", "source": "/m", "type": "t", "data": { "a": [1, 2] } });
    let publish =
        |kind: &str, body: &Value| sample("POST", "/v1/topics/orders/events", body).with("content-type", kind);
    let none = Value::Null;
    let samples = vec![
        sample("GET", "/v1/topics?limit=10", &none),
        sample("PUT", "/v1/topics/orders", &topic),
        sample("PUT", "/v1/topics/fresh", &topic).with("if-none-match", "*"),
        sample("PATCH", "/v1/topics/orders", &json!({ "owner": "p", "description": null })).with("if-match", "\"a.1\""),
        sample("GET", "/v1/topics/orders", &none),
        sample("GET", "/v1/topics/orders/stats", &none),
        sample("GET", "/v1/topics/orders/events?after=earliest&limit=5&partitionKey=k", &none),
        sample(
            "GET",
            "/v1/topics/orders/events/AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            &none,
        ),
        sample("DELETE", "/v1/topics/fresh?force=true", &none),
        publish("application/json", &json!({ "total": 5 })).with("partitionKey", "k"),
        publish("application/cloudevents+json", &event).with("idempotency-key", "i"),
        publish("application/cloudevents-batch+json", &json!([event, event])),
        publish("text/plain", &json!("x"))
            .with("ce-id", "1")
            .with("ce-source", "/s")
            .with("ce-type", "t")
            .with("ce-specversion", "1.0"),
        sample("GET", "/v1/subscriptions?topic=orders&limit=5", &none),
        sample("POST", "/v1/subscriptions", &subscription).with("idempotency-key", "k-1"),
        sample("GET", &sub, &none),
        sample("PATCH", &sub, &json!({ "endpoint": { "headers": { "x-a": null } }, "retry": { "schedule": [1] } })),
        sample("POST", &format!("{sub}/pause"), &json!({})),
        sample("POST", &format!("{sub}/resume"), &none),
        sample("POST", &format!("{sub}/test"), &none),
        sample("POST", &format!("{sub}/secrets/rotate"), &json!({ "graceSeconds": 0 })),
        sample("GET", &format!("{sub}/attempts?limit=3"), &none),
        sample("GET", &format!("{sub}/lanes?state=held"), &none),
        sample("POST", &format!("{sub}/lanes/k/retry"), &json!({ "sequence": "0".repeat(36) })),
        sample("POST", &format!("{sub}/lanes/k/skip"), &json!({})),
        sample("GET", &format!("{sub}/deadletters"), &none),
        sample("POST", &format!("{sub}/deadletters/redrive"), &json!({ "ids": [letter] })),
        sample("DELETE", &format!("{sub}/deadletters/{letter}"), &none),
        sample("GET", &format!("{sub}/events/1"), &none),
        sample("POST", "/v1/keys", &new_key),
        sample("GET", "/v1/keys?limit=2", &none),
        sample("GET", &format!("/v1/keys/{}", key.as_str().unwrap_or("key_x")), &none),
        sample("GET", "/healthz", &none),
        sample("GET", "/readyz", &none),
        sample("GET", "/problems/conflict", &none),
    ];
    (broker, samples)
}

fn spoil(sample: &mut Sample, random: &mut Random) {
    match random.index(12) {
        0 | 1 => spoil_bytes(&mut sample.body, random),
        2..=4 => spoil_document(&mut sample.body, random),
        5 => {
            // Behind the first slash: a request target begins with one.
            let mut rest = sample.path.split_off(1);
            spoil_bytes(&mut rest, random);
            sample.path.append(&mut rest);
        }
        6 => {
            let garbage =
                ["%", "%zz", "%ff", "?limit=0", "?cursor=%00", "&force=yes", "/../", "/%2e%2e", "?a=1&a=2", "//"];
            sample.path.extend_from_slice(random.one_of(&garbage).unwrap().as_bytes());
        }
        7 => {
            let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "BREW"];
            sample.method = random.one_of(&methods).unwrap().as_bytes().to_vec();
        }
        8 => {
            let index = random.index(sample.headers.len());
            spoil_bytes(&mut sample.headers[index].1, random);
        }
        9 => {
            let index = random.index(sample.headers.len());
            sample.headers.remove(index);
        }
        10 => {
            let extra = [
                ("content-type", "application/cloudevents+json"),
                ("content-type", "multipart/form-data"),
                ("if-match", "*"),
                ("if-none-match", "\"x\""),
                ("idempotency-key", "z"),
                ("content-length", "7"),
                ("partitionkey", ""),
                ("ce-id", "%ff"),
                ("ce-specversion", "0.3"),
                ("expect", "100-continue"),
                ("content-encoding", "gzip"),
                ("authorization", "Basic x"),
            ];
            let (name, value) = random.one_of(&extra).unwrap();
            sample.headers.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        }
        _ => {
            let deep = 1 + random.index(3_000);
            sample.body = [&b"["[..], b"{\"a\":"][random.index(2)].repeat(deep);
        }
    }
}

fn spoil_bytes(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.index(3) {
        let at = random.index(bytes.len() + 1);
        match random.index(4) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.index(8),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.truncate(at),
            _ => bytes.insert(at, random.bits().to_le_bytes()[0]),
        }
    }
}

/// Replaces a value somewhere in a document by something else, or adds a member.
fn spoil_document(body: &mut Vec<u8>, random: &mut Random) {
    if let Ok(mut document) = serde_json::from_slice::<Value>(body) {
        spoil_value(&mut document, random);
        *body = document.to_string().into_bytes();
    }
}

fn spoil_value(value: &mut Value, random: &mut Random) {
    const NAMES: [&str; 10] = ["", "filter", "schema", "x", "\u{0}", "a/b", "~", "topic", "id", "endpoint"];
    let (down, add) = (random.happens(700), random.happens(500));
    match value {
        Value::Object(members) if down && !members.is_empty() => {
            let index = random.index(members.len());
            if let Some(member) = members.values_mut().nth(index) {
                spoil_value(member, random);
            }
        }
        Value::Array(elements) if down && !elements.is_empty() => {
            let index = random.index(elements.len());
            spoil_value(&mut elements[index], random);
        }
        Value::Object(members) if add => {
            let name = NAMES[random.index(NAMES.len())];
            members.insert(name.to_owned(), odd_value(random));
        }
        other => *other = odd_value(random),
    }
}

fn odd_value(random: &mut Random) -> Value {
    match random.index(16) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(u64::MAX),
        4 => json!(1e300),
        5 => json!(0.1),
        6 => json!(""),
        7 => json!("x".repeat(random.index(9_000))),
        8 => json!("\u{0}\r\n"),
        9 => json!("\u{10FFFF}ü"),
        10 => json!([]),
        11 => json!({}),
        12 => json!({ "a": null }),
        13 => json!([[[[1]]], null]),
        14 => json!("latest"),
        _ => json!(random.bits()),
    }
}

#[tokio::test]
async fn ten_thousand_mutated_requests_are_answered_by_2xx_or_a_4xx_problem() {
    let mut random = Random::new(42);
    let (mut sent, mut accepted) = (0, 0);
    while sent < 10_000 {
        let (broker, samples) = broker().await;
        for sample in &samples {
            let answer = broker.send(sample.request().unwrap()).await;
            assert!(answer.status < 500, "{} {}", String::from_utf8_lossy(&sample.path), answer.body);
        }
        for _ in 0..500 {
            let mut sample = random.one_of(&samples).unwrap().clone();
            spoil(&mut sample, &mut random);
            let Some(request) = sample.request() else { continue };
            sent += 1;
            accepted += u32::from(check(&broker, request, &sample).await);
        }
        broker.work().await;
    }
    assert!(accepted > 500, "only {accepted} of {sent} were accepted: the mutations are too coarse to reach far");
}

/// Sends a request; true if it was accepted.
async fn check(broker: &Broker, request: Request<Body>, sample: &Sample) -> bool {
    let head = request.method() == Method::HEAD;
    let what = format!(
        "{} {} {:?}",
        String::from_utf8_lossy(&sample.method),
        String::from_utf8_lossy(&sample.path),
        String::from_utf8_lossy(&sample.body)
    );
    let answer = tokio::time::timeout(Duration::from_secs(20), broker.routes.clone().oneshot(request)).await;
    let (parts, body) = answer.unwrap_or_else(|_| panic!("no answer to {what}")).unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    assert!(parts.headers.contains_key("x-request-id"), "{what}");
    if parts.status.is_success() {
        return true;
    }
    assert!(parts.status.is_client_error(), "{} {} to {what}", parts.status, String::from_utf8_lossy(&bytes));
    assert_eq!(parts.headers["content-type"], "application/problem+json", "{what}");
    if !head {
        let problem: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(problem["status"], parts.status.as_u16(), "{what}");
        assert!(problem["type"].as_str().unwrap().starts_with("/problems/") && problem["detail"].is_string());
    }
    false
}
