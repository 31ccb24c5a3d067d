//! `relay events`: a topic's log on the command line.

use crate::broker::Site;
use crate::client::Client;
use crate::command::{Ended, Running};
use crate::proxy::Proxy;
use crate::wait::{SOON, until};
use relay_cli::load::folder::TemporaryFolder;
use relay_core::replay_id::ReplayId;
use rustix::process::Signal;
use serde_json::{Value, json};

async fn run(url: &str, args: &[&str]) -> Ended {
    Running::start(url, args).ended().await
}

/// Runs what must end well, and answers its lines.
async fn lines(url: &str, args: &[&str]) -> Vec<String> {
    let ended = run(url, args).await;
    assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.err);
    ended.out
}

fn numbers(lines: &[String]) -> Vec<i64> {
    let number = |line: &String| serde_json::from_str::<Value>(line).unwrap()["data"]["number"].as_i64().unwrap();
    lines.iter().map(number).collect()
}

/// The place that a command said one can go on from.
fn place(err: &str) -> String {
    let (_, place) = err.split_once("--from ").unwrap_or_else(|| panic!("no place in {err:?}"));
    place.split_whitespace().next().unwrap().to_owned()
}

/// Publishes events with these numbers, a hundred keys in turn.
async fn publish(client: &Client, numbers: std::ops::Range<usize>) {
    for first in numbers.clone().step_by(500) {
        let events: Vec<Value> = (first..numbers.end.min(first + 500))
            .map(|number| {
                json!({ "specversion": "1.0", "id": format!("e{number}"), "source": "/shop", "type": "order",
                        "partitionkey": format!("k{}", number % 100), "data": { "number": number } })
            })
            .collect();
        let headers = [("content-type", "application/cloudevents-batch+json")];
        let body = json!(events).to_string();
        let answer = client.send("POST", "/v1/topics/orders/events", &headers, body.as_bytes()).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
    }
}

#[tokio::test]
async fn a_tail_shows_each_event_once_over_a_crash_of_the_broker() {
    let (site, proxy) = (Site::new(), Proxy::start().await);
    let broker = site.start();
    proxy.lead_to(Some(broker.url()));
    let client = broker.client();
    client.create_topic("orders").await;
    client.publish("orders", "k", json!({ "number": -1 })).await;
    let tail = Running::start(proxy.url(), &["events", "tail", "orders"]);
    until("the tail to begin", SOON, async || tail.err().contains("following").then_some(())).await;
    for number in 0..10 {
        client.publish("orders", "k", json!({ "number": number })).await;
    }
    until("ten events", SOON, async || (tail.out().len() >= 10).then_some(())).await;

    proxy.lead_to(None);
    broker.kill();
    until("the tail to notice", SOON, async || tail.err().contains("trying again").then_some(())).await;
    let broker = site.start();
    let client = broker.client();
    for number in 10..20 {
        client.publish("orders", "k", json!({ "number": number })).await;
    }
    proxy.lead_to(Some(broker.url()));
    until("twenty events", SOON, async || (tail.out().len() >= 20).then_some(())).await;
    assert!(tail.err().contains("answers again"), "{}", tail.err());
    client.publish("orders", "k", json!({ "number": 20 })).await;
    until("one more", SOON, async || (tail.out().len() >= 21).then_some(())).await;

    tail.signal(Signal::INT);
    let ended = tail.ended().await;
    assert_eq!((ended.code, numbers(&ended.out)), (Some(0), (0..=20).collect()), "{}", ended.err);
    assert_eq!(ended.err.matches("trying again").count(), 1, "{}", ended.err);
    client.publish("orders", "k", json!({ "number": 21 })).await;
    client.publish("orders", "k", json!({ "number": 22 })).await;
    let more = lines(proxy.url(), &["events", "tail", "orders", "--from", &place(&ended.err), "--limit", "2"]).await;
    assert_eq!(numbers(&more), [21, 22], "it goes on where it ended");
}

#[tokio::test]
async fn an_export_has_what_was_published_of_all_keys_or_of_one() {
    let site = Site::new();
    let broker = site.start();
    let client = broker.client();
    client.create_topic("orders").await;
    publish(&client, 0..1200).await;
    let text = b"{\n \"number\": 1200,\r\n \"text\": \"a\\nb\"\n}";
    let headers = [("content-type", "application/json"), ("partitionKey", "k/\u{e9} &")];
    assert_eq!(client.send("POST", "/v1/topics/orders/events", &headers, text).await.status, 202);
    let url = broker.url();

    let all = lines(url, &["events", "export", "orders"]).await;
    let mut found = numbers(&all);
    found.sort_unstable();
    assert!(found.into_iter().eq(0..=1200), "each once");
    let last: Value = serde_json::from_str(all.last().unwrap()).unwrap();
    assert_eq!(last["data"]["text"], "a\nb");
    for line in [&all[0], &all[1000], &all[1200]] {
        let event: Value = serde_json::from_str(line).unwrap();
        let path = format!("/v1/topics/orders/events/{}", event["replayid"].as_str().unwrap());
        assert_eq!(client.expect(200, "GET", &path, None).await, event);
    }
    assert_eq!(numbers(&lines(url, &["events", "export", "orders", "--key", "k7"]).await), numbers_of_key(7));
    assert_eq!(numbers(&lines(url, &["events", "export", "orders", "--key", "k/\u{e9} &"]).await), [1200]);

    let folder = TemporaryFolder::new("relay-export").unwrap();
    let file = folder.path().join("orders.jsonl.zst");
    let (path, other) = (file.to_str().unwrap(), folder.path().join("orders.jsonl"));
    assert!(lines(url, &["events", "export", "orders", "--out", path]).await.is_empty());
    let read = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(read(zstd::decode_all(std::fs::File::open(&file).unwrap()).unwrap()), all);
    lines(url, &["events", "export", "orders", "--out", other.to_str().unwrap()]).await;
    assert_eq!(read(std::fs::read(other).unwrap()), all);

    let at = |line: &String| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["replayid"].as_str().unwrap().parse::<ReplayId>().unwrap().at
    };
    let bound = at(&all[1200]);
    let before: Vec<String> = all.iter().filter(|line| at(line) < bound).cloned().collect();
    let bounded = run(url, &["events", "export", "orders", "--to", &bound.to_string()]).await;
    assert_eq!((bounded.code, &bounded.out), (Some(0), &before), "{}", bounded.err);
    let since: Vec<String> = all.iter().filter(|line| at(line) >= bound).cloned().collect();
    assert_eq!(lines(url, &["events", "export", "orders", "--from", &bound.to_string()]).await, since);
    assert_eq!(
        lines(url, &["events", "export", "orders", "--from", &place(&bounded.err)]).await,
        since,
        "nothing between"
    );
    let beyond = run(url, &["events", "export", "orders", "--to", "2999-01-01T00:00:00Z"]).await;
    assert_eq!((beyond.code, &beyond.out), (Some(0), &all), "{}", beyond.err);
    client.publish("orders", "k", json!({ "number": 1201 })).await;
    let more = lines(url, &["events", "export", "orders", "--from", &place(&beyond.err)]).await;
    assert_eq!(numbers(&more), [1201]);
}

fn numbers_of_key(key: i64) -> Vec<i64> {
    (0..1200).filter(|number| number % 100 == key).collect()
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let site = Site::new();
    let broker = site.start();
    broker.client().create_topic("orders").await;
    publish(&broker.client(), 0..3000).await;
    let mut command = crate::broker::relay();
    command
        .args(["events", "export", "orders", "--url", broker.url()])
        .env("RELAY_ADMIN_KEY", crate::broker::ADMIN_KEY);
    let mut process =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(process.stdout.take());
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn what_is_wrong_is_told_with_what_to_do_and_a_status() {
    let site = Site::new();
    let broker = site.start();
    let client = broker.client();
    client.create_topic("orders").await;
    let accepted = client.publish("orders", "k", json!({ "number": 1 })).await;
    let (url, id) = (broker.url(), accepted["replayId"].as_str().unwrap());
    assert_eq!(numbers(&lines(url, &["events", "get", "orders", id]).await), [1]);

    for (args, code, told) in [
        (vec!["events", "get", "orders", "unknown"], 1, "event-not-found"),
        (vec!["events", "get", "bills", id], 1, "topic-not-found"),
        (vec!["events", "get", "Not a topic", id], 2, "1 to 128 characters"),
        (vec!["events", "tail", "orders", "--from", "nowhere"], 1, "invalid-query"),
        (vec!["events", "export", "orders", "--to", "tomorrow"], 2, "is a time such as"),
        (vec!["events", "export", "orders", "--key-file", "/nowhere/at/all"], 2, "--key-file /nowhere/at/all"),
    ] {
        let ended = run(url, &args).await;
        assert_eq!(ended.code, Some(code), "{args:?}: {}", ended.err);
        assert!(ended.err.contains(told) && ended.out.is_empty(), "{args:?}: {}", ended.err);
    }
    let nowhere = run("http://127.0.0.1:1", &["events", "tail", "orders"]).await;
    assert!(nowhere.code == Some(1) && nowhere.err.contains("no answer from http://127.0.0.1:1"), "{}", nowhere.err);
    for (environment, code, told) in [
        (vec![("RELAY_URL", url), ("RELAY_API_KEY", "rk_wrong")], 1, "set RELAY_API_KEY"),
        (vec![("RELAY_URL", url)], 2, "which key?"),
        (
            vec![("RELAY_URL", "http://127.0.0.1:1"), ("RELAY_API_KEY", "rk_any")],
            1,
            "no answer from http://127.0.0.1:1",
        ),
    ] {
        let ended = Running::start_with(&environment, &["events", "get", "orders", id]).ended().await;
        assert_eq!(ended.code, Some(code), "{environment:?}: {}", ended.err);
        assert!(ended.err.contains(told), "{environment:?}: {}", ended.err);
    }
}
