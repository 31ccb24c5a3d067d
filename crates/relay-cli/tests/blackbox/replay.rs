//! `relay replay`, against a server that answers as the broker does, and against the broker.

use crate::broker::Site;
use crate::client::id;
use crate::command::Running;
use crate::hook::Hook;
use crate::numbers::{all_by_key, by_key, publish};
use crate::wait::{SOON, until};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// Answers in turn, the last one again and again; and tells what it was asked.
struct Stub {
    url: String,
    asked: Asked,
}

type Asked = Arc<Mutex<Vec<(String, String)>>>;
type Answers = Arc<Mutex<Vec<(u16, Value)>>>;

impl Stub {
    async fn start(answers: Vec<(u16, Value)>) -> Stub {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let state: (Answers, _) = (Arc::new(Mutex::new(answers)), Arc::clone(&asked));
        tokio::spawn(async { axum::serve(listener, Router::new().fallback(answer).with_state(state)).await });
        Stub { url, asked }
    }

    fn asked(&self) -> Vec<(String, String)> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(State((answers, asked)): State<(Answers, Asked)>, method: Method, uri: Uri, body: Bytes) -> Response {
    asked.lock().unwrap().push((format!("{method} {uri}"), String::from_utf8(body.to_vec()).unwrap()));
    let mut answers = answers.lock().unwrap();
    let (status, body) = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
    (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response()
}

fn job(state: &str, delivered: u64) -> Value {
    json!({ "id": "rep_1", "state": state, "scanned": 12, "matched": 10, "enqueued": 10, "delivered": delivered,
            "startedAt": "2026-11-20T21:00:00.000Z", "finishedAt": null })
}

#[tokio::test]
async fn a_replay_is_begun_and_watched_until_it_is_done() {
    let away = json!({ "type": "/problems/unavailable", "title": "Away" });
    // When all is loaded, it is still to be delivered.
    let begun = vec![(202, job("running", 0)), (200, job("running", 4)), (503, away)];
    let stub = Stub::start([begun, vec![(200, job("done", 6)), (200, job("done", 10))]].concat()).await;
    let args = ["replay", "sub_1", "--from", "2026-11-20T21:00:00Z", "--key", "k", "--rate", "50"];
    let ended = Running::start(&stub.url, &args).ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("done: 12 scanned, 10 delivered"), "{}", ended.err);
    assert_eq!(ended.out.len(), 1);
    assert_eq!(serde_json::from_str::<Value>(&ended.out[0]).unwrap(), job("done", 10));
    let asked = stub.asked();
    assert_eq!(asked[0].0, "POST /v1/subscriptions/sub_1/replays");
    let sent = json!({ "from": { "time": "2026-11-20T21:00:00Z" }, "partitionKey": "k", "rateLimit": 50 });
    assert_eq!(serde_json::from_str::<Value>(&asked[0].1).unwrap(), sent);
    let polls = asked[1..].iter().map(|(what, _)| what.as_str());
    assert!(polls.eq(["GET /v1/subscriptions/sub_1/replays/rep_1"; 4]), "{asked:?}");
}

#[tokio::test]
async fn a_broker_delivers_again_what_is_replayed() {
    let (site, hook) = (Site::new(), Hook::start().await);
    let broker = site.start();
    let client = broker.client();
    client.create_topic("orders").await;
    let more = json!({ "endpoint": { "timeoutMs": 1000 } });
    let subscription = id(&client.subscribe("orders", hook.url(), more).await);
    publish(&client, 0..20).await;
    let live = hook.wait_accepted(20).await;
    assert!(live.iter().all(|delivery| delivery.header("relay-replay").is_empty()));

    let ended = Running::start(broker.url(), &["replay", &subscription, "--from", "earliest"]).ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("done: 20 scanned, 20 delivered"), "{}", ended.err);
    assert_eq!(serde_json::from_str::<Value>(&ended.out[0]).unwrap()["state"], "done");
    let again = &hook.accepted()[20..];
    assert_eq!(by_key(again), all_by_key(20), "each key in order, and nothing twice");
    assert!(again.iter().all(|delivery| delivery.header("relay-replay") == "true"));
    assert!(broker.stop().await.success());
}

#[tokio::test]
async fn an_interrupt_leaves_the_replay_running_and_says_how_to_cancel_it() {
    let stub = Stub::start(vec![(202, job("running", 0)), (200, job("running", 4))]).await;
    let running = Running::start(&stub.url, &["replay", "sub_1", "--from", "earliest"]);
    until("the first poll", SOON, async || (stub.asked().len() > 1).then_some(())).await;
    running.signal(Signal::INT);
    let ended = running.ended().await;
    assert_eq!(ended.code, Some(130), "{}", ended.err);
    assert!(ended.err.contains("relay replay --cancel sub_1 rep_1"), "{}", ended.err);
    assert!(stub.asked().iter().all(|(what, _)| !what.starts_with("DELETE")));

    let stub = Stub::start(vec![(204, Value::Null)]).await;
    let ended = Running::start(&stub.url, &["replay", "--cancel", "sub_1", "rep_1"]).ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(stub.asked()[0].0, "DELETE /v1/subscriptions/sub_1/replays/rep_1");
}

#[tokio::test]
async fn a_replay_that_is_not_waited_for_is_only_begun() {
    let stub = Stub::start(vec![(202, job("running", 0))]).await;
    let args = ["replay", "sub_1", "--from", "AQAB", "--no-wait"];
    let ended = Running::start(&stub.url, &args).ended().await;
    assert_eq!((ended.code, stub.asked().len()), (Some(0), 1), "{}", ended.err);
    assert_eq!(serde_json::from_str::<Value>(&stub.asked()[0].1).unwrap(), json!({ "from": { "replayId": "AQAB" } }));
    assert_eq!(serde_json::from_str::<Value>(&ended.out[0]).unwrap(), job("running", 0));
}

#[tokio::test]
async fn a_replay_that_does_not_get_done_is_a_failure() {
    let refused =
        json!({ "type": "/problems/wrong-status", "title": "Not in this status", "detail": "one replays already" });
    let mut failed = job("failed", 3);
    failed["reason"] = "the log has expired".into();
    for (answers, told) in [
        (vec![(409, refused)], "one replays already (409 wrong-status)"),
        (
            vec![(202, job("running", 0)), (200, failed)],
            "ended as failed, the log has expired: 12 scanned, 3 delivered",
        ),
        (
            vec![(202, job("running", 0)), (200, job("cancelled", 3)), (200, job("cancelled", 10))],
            "ended as cancelled: 12 scanned, 10 d",
        ),
    ] {
        let stub = Stub::start(answers).await;
        let ended = Running::start(&stub.url, &["replay", "sub_1", "--from", "earliest"]).ended().await;
        assert_eq!(ended.code, Some(1), "{}", ended.err);
        assert!(ended.err.contains(told), "{}", ended.err);
    }
    let ended = Running::start("http://127.0.0.1:1", &["replay", "sub_1"]).ended().await;
    assert!(ended.code == Some(2) && ended.err.contains("--from"), "{}", ended.err);
}
