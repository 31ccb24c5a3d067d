//! The log's files, written by a process that is killed again and again.

use crate::broker::{Site, relay};
use serde_json::{Value, json};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

const KILLS: usize = 50;
const ROUND: usize = 200;

fn log(site: &Site, command: &str) -> Output {
    relay().args(["log", command, "--data"]).arg(site.data()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Publishes events to a broker of its own, which is then stopped.
async fn publish(site: &Site, first: usize) {
    let broker = site.start();
    let client = broker.client();
    if first == 0 {
        client.create_topic("orders").await;
    }
    let events: Vec<Value> = (first..first + ROUND)
        .map(|number| {
            json!({ "specversion": "1.0", "id": format!("e{number}"), "source": "/shop", "type": "order",
                    "partitionkey": format!("k{}", number % 13), "data": { "number": number, "text": "x".repeat(400) } })
        })
        .collect();
    let headers = [("content-type", "application/cloudevents-batch+json")];
    let body = json!(events).to_string();
    assert_eq!(client.send("POST", "/v1/topics/orders/events", &headers, body.as_bytes()).await.status, 202);
    assert!(broker.stop().await.success());
}

#[tokio::test]
async fn fifty_kills_while_segments_are_written_leave_every_event_in_them_once() {
    let site = Site::new();
    let mut published = 0;
    publish(&site, published).await;
    published += ROUND;
    let began = Instant::now();
    assert!(log(&site, "compact").status.success());
    let whole = began.elapsed();
    let mut killed = 0;
    for round in 0..KILLS {
        publish(&site, published).await;
        published += ROUND;
        let mut command = relay();
        let command = command.args(["log", "compact", "--data"]).arg(site.data());
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Spread over all that it does, from its first instruction to its end.
        let moment = whole * u32::try_from(round).unwrap() / u32::try_from(KILLS).unwrap();
        tokio::time::sleep(moment.max(Duration::from_millis(1))).await;
        process.kill().unwrap();
        killed += usize::from(!process.wait().unwrap().success());
        let verified = log(&site, "verify");
        assert!(verified.status.success(), "after a kill at {moment:?}: {}", said(&verified));
    }
    assert!(killed > KILLS / 4, "only {killed} were killed before their end");
    let compacted = log(&site, "compact");
    assert!(compacted.status.success(), "{}", said(&compacted));
    let verified = said(&log(&site, "verify"));
    assert!(verified.contains(&format!(": {published} events of 13 keys")), "{verified}");

    let broker = site.start();
    let client = broker.client();
    let (mut numbers, mut after) = (vec![Vec::new(); 13], "earliest".to_owned());
    loop {
        let path = format!("/v1/topics/orders/events?after={after}&limit=1000");
        let page = client.expect(200, "GET", &path, None).await;
        let items = page["items"].as_array().unwrap();
        if items.is_empty() {
            break;
        }
        for event in items {
            let number = usize::try_from(event["data"]["number"].as_u64().unwrap()).unwrap();
            numbers[number % 13].push(number);
        }
        page["nextCursor"].as_str().unwrap().clone_into(&mut after);
    }
    for (key, numbers) in numbers.iter().enumerate() {
        assert!(numbers.iter().copied().eq((key..published).step_by(13)), "k{key}: each once, in order");
    }
}

#[tokio::test]
async fn verify_names_a_large_payload_that_is_damaged_or_missing() {
    let site = Site::new();
    let broker = site.start();
    let client = broker.client();
    client.create_topic("orders").await;
    for fill in ["a", "b"] {
        client.publish("orders", "k", json!({ "text": fill.repeat(300_000) })).await;
    }
    assert!(broker.stop().await.success());
    assert!(log(&site, "compact").status.success());
    let verified = log(&site, "verify");
    assert!(verified.status.success() && said(&verified).contains("2 large payloads"), "{}", said(&verified));

    let mut payloads = Vec::new();
    for folder in std::fs::read_dir(site.data().join("payloads/retention=7d")).unwrap() {
        payloads.extend(std::fs::read_dir(folder.unwrap().path()).unwrap().map(|file| file.unwrap().path()));
    }
    assert_eq!(payloads.len(), 2);
    std::fs::write(&payloads[0], "x").unwrap();
    std::fs::remove_file(&payloads[1]).unwrap();
    let verified = log(&site, "verify");
    assert_eq!(verified.status.code(), Some(1));
    for payload in &payloads {
        assert!(said(&verified).contains(payload.file_name().unwrap().to_str().unwrap()), "{}", said(&verified));
    }
}
