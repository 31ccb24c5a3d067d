//! Start, stop, restart, and who may open a data folder.

use crate::broker::{Broker, Site, relay};
use crate::client::{Client, id};
use crate::hook::{Hook, Reply};
use crate::wait::{SOON, until};
use rustix::process::Signal;
use serde_json::json;
use std::process::Stdio;

#[tokio::test]
async fn a_restart_keeps_topics_subscriptions_held_events_and_keys() {
    let site = Site::new();
    let broker = site.start();
    let (client, hook) = (broker.client(), Hook::start().await);
    client.create_topic("orders").await;
    let subscription = id(&client.subscribe("orders", hook.url(), json!({ "retry": { "schedule": [0.2] } })).await);
    let grants = json!({ "name": "shop", "grants": [{ "action": "publish", "topics": "orders" }] });
    let key = client.expect(201, "POST", "/v1/keys", Some(grants)).await;
    hook.answer_all(500);
    for number in 0..3 {
        client.publish("orders", "k", json!({ "number": number })).await;
    }
    hook.wait_requests(1).await;
    assert!(broker.stop().await.success());

    let broker = site.start();
    let client = broker.client();
    assert_eq!(client.subscription(&subscription).await["status"], "active");
    hook.answer_all(200);
    let publisher = Client::new(broker.url(), key["key"].as_str().unwrap());
    publisher.publish("orders", "k", json!({ "number": 3 })).await;
    let deliveries = hook.wait_accepted(4).await;
    let numbers: Vec<_> = deliveries.iter().map(|delivery| delivery.data()["number"].clone()).collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
    assert!(broker.stop().await.success());
}

#[tokio::test]
async fn both_signals_stop_it_with_exit_code_0_and_its_last_deliveries_are_finished() {
    for signal in [Signal::TERM, Signal::INT] {
        let site = Site::new();
        let broker = site.start();
        let (client, hook) = (broker.client(), Hook::start().await);
        client.create_topic("orders").await;
        client.subscribe("orders", hook.url(), json!({})).await;
        for number in 0..10 {
            client.publish("orders", "k", json!({ "number": number })).await;
        }
        broker.signal(signal);
        assert_eq!(broker.ended().await.code(), Some(0));

        let broker = site.start();
        let deliveries = hook.wait_accepted(10).await;
        let numbers: Vec<_> = deliveries.iter().map(|delivery| delivery.data()["number"].as_u64().unwrap()).collect();
        let mut first = numbers.clone();
        first.dedup();
        assert_eq!(
            first,
            (0..10).collect::<Vec<_>>(),
            "in order, however they were spread over the restart: {numbers:?}"
        );
        drop(broker);
    }
}

#[tokio::test]
async fn a_request_in_progress_is_answered_before_the_broker_stops() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let site = Site::new();
    let broker = site.start();
    broker.client().create_topic("orders").await;
    let address = broker.url().strip_prefix("http://").unwrap().to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /v1/topics/orders/events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n",
        crate::broker::ADMIN_KEY
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The broker asks for the body once it reads it: the request is in progress.
    let mut buffer = vec![0; 1024];
    let read = stream.read(&mut buffer).await.unwrap();
    assert!(buffer[..read].starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&buffer[..read]));

    broker.signal(Signal::TERM);
    until("the listener to be closed", SOON, async || {
        tokio::net::TcpStream::connect(&address).await.is_err().then_some(())
    })
    .await;
    stream.write_all(b"{}").await.unwrap();
    let read = tokio::time::timeout(SOON, stream.read(&mut buffer)).await.unwrap().unwrap();
    assert!(buffer[..read].starts_with(b"HTTP/1.1 202"), "{}", String::from_utf8_lossy(&buffer[..read]));
    assert_eq!(broker.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_webhook_that_never_answers_does_not_keep_the_broker_from_stopping() {
    let site = Site::new();
    let broker = site.start();
    let (client, hook) = (broker.client(), Hook::start().await);
    hook.answer(|_| Reply::Never);
    client.create_topic("orders").await;
    client.subscribe("orders", hook.url(), json!({ "endpoint": { "timeoutMs": 30_000 } })).await;
    client.publish("orders", "k", json!({ "number": 0 })).await;
    hook.wait_requests(1).await;
    assert_eq!(broker.stop().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_process_on_the_folder_is_refused_by_name() {
    let site = Site::new();
    let broker = site.start();
    let second = Broker::spawn(&site.data(), &[]);
    let said = until("the second one to end", SOON, async || second.has_ended().then(|| second.log())).await;
    assert_eq!(second.ended().await.code(), Some(1), "{said}");
    assert!(said.contains(&site.data().display().to_string()) && said.contains("in use"), "{said}");
    broker.client().create_topic("orders").await;
    assert!(broker.stop().await.success());
}

#[tokio::test]
async fn the_first_start_makes_an_admin_key_shows_it_and_says_what_to_do_next() {
    let site = Site::new();
    let broker = Broker::start(&site.data(), &[]);
    let log = broker.log();
    let key = log.lines().find_map(|line| line.split_once("first admin key")?.1.split_whitespace().last());
    let key = key.unwrap_or_else(|| panic!("no key in {log}")).to_owned();
    for told in ["/v1/subscriptions", "/events", "relay listen", &key] {
        assert!(log.contains(told), "{told} in {log}");
    }
    Client::new(broker.url(), &key).create_topic("orders").await;
    assert_eq!(Client::new(broker.url(), "wrong").call("GET", "/v1/topics/orders", None).await.status, 401);
    assert!(broker.stop().await.success());

    let broker = Broker::start(&site.data(), &[]);
    assert!(!broker.log().contains(&key), "it is shown once");
    let topic = Client::new(broker.url(), &key).call("GET", "/v1/topics/orders", None).await;
    assert_eq!(topic.status, 200, "it stays valid: {}", topic.body);
    assert!(broker.stop().await.success());
}

#[tokio::test]
async fn a_start_that_finds_its_port_busy_leaves_the_first_admin_key_to_the_next_one() {
    let site = Site::new();
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    let output = relay().args(["serve", "--listen", &address, "--data"]).arg(site.data()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");

    let broker = Broker::start(&site.data(), &[]);
    assert!(broker.log().contains("first admin key"), "{}", broker.log());
    assert!(broker.stop().await.success());
}

#[tokio::test]
async fn the_admin_key_of_the_environment_is_valid_while_it_is_set() {
    let site = Site::new();
    assert!(site.start().stop().await.success());
    let broker = Broker::start(&site.data(), &[("RELAY_ADMIN_KEY", "another-admin-key-0123456789")]);
    assert_eq!(broker.client().call("GET", "/v1/topics", None).await.status, 401);
    let client = Client::new(broker.url(), "another-admin-key-0123456789");
    client.expect(200, "GET", "/v1/topics", None).await;
    assert!(broker.stop().await.success());
}

#[tokio::test]
async fn all_that_it_says_can_be_lines_of_json() {
    let site = Site::new();
    let broker = Broker::start(&site.data(), &[("RELAY_LOG_FORMAT", "json"), ("RELAY_LOG", "info")]);
    broker.client().call("GET", "/healthz", None).await;
    broker.signal(Signal::TERM);
    let log = until("the end", SOON, async || broker.has_ended().then(|| broker.log())).await;
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["level"] == "INFO"), "{log}");
    let said = |text: &str| lines.iter().find(|line| line["message"].as_str().unwrap().contains(text)).unwrap();
    assert!(said("first admin key")["key"].as_str().unwrap().starts_with("rk_"), "{log}");
    said("listening on");
    said("stopped");
    assert!(broker.ended().await.success());
}

#[test]
fn what_it_prints_on_stdout_is_data_only() {
    let output = relay().arg("--version").stderr(Stdio::null()).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), format!("relay {}", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn a_job_that_the_stop_cuts_short_is_no_warning() {
    let site = Site::new();
    let broker = site.start();
    let (client, hook) = (broker.client(), Hook::start().await);
    client.create_topic("orders").await;
    let subscription = id(&client.subscribe("orders", hook.url(), json!({})).await);
    client.act(&subscription, "pause").await;
    // Each event in a lane of its own, so that their removal takes longer than the stop.
    for batch in 0..5 {
        let event = |number: u32| {
            let name = format!("{batch}-{number}");
            json!({ "specversion": "1.0", "id": name, "source": "/test", "type": "t", "partitionkey": name })
        };
        let body = serde_json::to_vec(&(0..1000).map(event).collect::<Vec<_>>()).unwrap();
        let headers = [("content-type", "application/cloudevents-batch+json")];
        assert_eq!(client.send("POST", "/v1/topics/orders/events", &headers, &body).await.status, 202);
    }
    until("all to be held", SOON, async || {
        let stats = client.expect(200, "GET", "/v1/topics/orders/stats", None).await;
        (stats["heldLanes"] == 5000).then_some(())
    })
    .await;
    client.expect(204, "DELETE", &format!("/v1/subscriptions/{subscription}"), None).await;
    broker.signal(Signal::TERM);
    let log = until("the end", SOON, async || broker.has_ended().then(|| broker.log())).await;
    assert!(log.contains("stopped") && !log.contains("a job is not finished"), "{log}");
    assert!(broker.ended().await.success());
}

#[tokio::test]
async fn a_retry_that_is_due_after_a_restart_comes_at_its_time() {
    let site = Site::new();
    let broker = site.start();
    let (client, hook) = (broker.client(), Hook::start().await);
    client.create_topic("orders").await;
    client.subscribe("orders", hook.url(), json!({ "retry": { "schedule": [5] } })).await;
    hook.answer_all(500);
    client.publish("orders", "k", json!({ "number": 0 })).await;
    hook.wait_requests(1).await;
    assert!(broker.stop().await.success());
    hook.answer_all(200);
    let broker = site.start();
    // Sweep looks once a minute: by itself it would be late.
    hook.wait_accepted(1).await;
    drop(broker);
}
