use super::*;
use lambda_http::http::StatusCode;
use relay_core::event::EventData;
use relay_core::manage::ensure_admin_key;
use relay_core::time::Time;
use relay_sim::webhooks::Reaction;
use relay_sim::{ManualClock, Simulated};
use serde_json::{Value, json};

const HOOK: &str = "https://hooks.example/orders";

struct Stage {
    world: Simulated,
    function: ApiFunction,
    key: String,
}

async fn stage() -> Stage {
    let world = Simulated::calm(Arc::new(ManualClock::new(Time(1_795_000_000_000))));
    let key = ensure_admin_key(&world.ports()).await.unwrap().unwrap();
    let anywhere = |_: &str| Ok(());
    Stage { function: ApiFunction::new(world.ports(), Arc::new(anywhere)), world, key }
}

impl Stage {
    /// Sends what API Gateway recorded, with these places filled in.
    async fn send(&self, recorded: &str, fill: &[(&str, &str)]) -> (StatusCode, http::HeaderMap, Value) {
        let mut text = recorded.replace("@KEY@", &self.key);
        for (place, with) in fill {
            text = text.replace(place, with);
        }
        let request = lambda_http::request::from_str(&text).unwrap();
        let (parts, body) = self.function.handle(request).await.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        (parts.status, parts.headers, body)
    }

    async fn ask(&self, method: &str, target: &str, body: Value) -> (StatusCode, http::HeaderMap, Value) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let body = if body.is_null() { String::new() } else { body.to_string().replace('"', "\\\"") };
        let fill = [("@METHOD@", method), ("@PATH@", path), ("@QUERY@", query), ("@BODY@", &*body)];
        self.send(include_str!("../../fixtures/http-default.json"), &fill).await
    }
}

#[tokio::test]
async fn a_publish_is_accepted_with_its_headers_and_its_body() {
    let stage = stage().await;
    assert_eq!(stage.ask("PUT", "/v1/topics/orders", json!({})).await.0, StatusCode::CREATED);
    let publish = include_str!("../../fixtures/http-publish.json");
    let (status, headers, body) = stage.send(publish, &[("@BODY@", "{\\\"total\\\": 100}")]).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    assert_eq!(headers["x-request-id"], "request-1");
    assert_eq!(body["events"][0]["partitionKey"], "customer-7");
    let queued = stage.world.queued();
    assert_eq!(queued.len(), 1);
    let EventData::Json(data) = &queued[0].pack.events[0].data else { panic!("no JSON") };
    assert_eq!(data.as_ref(), b"{\"total\": 100}");
}

#[tokio::test]
async fn what_no_route_has_is_a_problem_document() {
    let stage = stage().await;
    let (status, headers, body) = stage.ask("GET", "/nowhere", Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(body["instance"], "/nowhere");
}

#[tokio::test]
async fn a_query_reaches_the_route() {
    let stage = stage().await;
    for name in ["a", "b", "c"] {
        stage.ask("PUT", &format!("/v1/topics/{name}"), json!({})).await;
    }
    let (status, _, body) = stage.ask("GET", "/v1/topics?limit=2", Value::Null).await;
    assert_eq!((status, body["items"].as_array().map(Vec::len)), (StatusCode::OK, Some(2)));
}

#[tokio::test]
async fn the_job_that_a_request_starts_is_done_before_its_answer() {
    let stage = stage().await;
    stage.ask("PUT", "/v1/topics/orders", json!({})).await;
    let wanted = json!({ "topic": "orders", "endpoint": { "url": HOOK } });
    let id = stage.ask("POST", "/v1/subscriptions", wanted).await.2["id"].as_str().unwrap().to_owned();
    stage.world.endpoints().set(HOOK, &[(1, Reaction::Status(503))]);
    let publish = include_str!("../../fixtures/http-publish.json");
    stage.send(publish, &[("@BODY@", "{}")]).await;
    let ports = stage.world.ports();
    let attempter = relay_core::attempt::Attempter::new(ports.clone());
    let dispatcher = relay_core::dispatch::Dispatcher::new(ports.clone(), attempter);
    dispatcher.handle(ports.queue.receive(10).await.unwrap()).await;
    assert_eq!(stage.world.with_lanes(|lanes| lanes.lanes().count()), 1, "the lane is held");
    let (status, ..) = stage.ask("DELETE", &format!("/v1/subscriptions/{id}"), Value::Null).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(stage.world.with_lanes(|lanes| lanes.lanes().count()), 0, "the job has removed it");
}
