//! `relay events export --out FOLDER`: interrupted, gone on with, and with what it must not touch.

use crate::broker::Site;
use crate::client::Client;
use crate::command::{Ended, Running};
use relay_cli::load::folder::TemporaryFolder;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Instant;

const EVENTS: u64 = 6000;
const KILLS: u32 = 12;

async fn publish(client: &Client, numbers: std::ops::Range<u64>) {
    for first in numbers.clone().step_by(1000) {
        let events: Vec<Value> = (first..numbers.end.min(first + 1000))
            .map(|number| {
                json!({ "specversion": "1.0", "id": format!("e{number}"), "source": "/shop", "type": "order",
                        "partitionkey": format!("k{}", number % 10), "data": { "number": number } })
            })
            .collect();
        let headers = [("content-type", "application/cloudevents-batch+json")];
        let body = json!(events).to_string();
        assert_eq!(client.send("POST", "/v1/topics/orders/events", &headers, body.as_bytes()).await.status, 202);
    }
}

fn export(url: &str, out: &Path, more: &[&str]) -> Running {
    // Each page is a file: there is much to interrupt.
    let args = [&["events", "export", "orders", "--file-events", "1", "--out", out.to_str().unwrap()], more].concat();
    Running::start(url, &args)
}

async fn exported(url: &str, out: &Path, more: &[&str]) -> Ended {
    let ended = export(url, out, more).ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    ended
}

/// The numbers in a folder's files, in the order of the files' names, and how many files there are.
fn read(folder: &Path) -> (Vec<u64>, usize) {
    let mut files = Vec::new();
    for date in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        if date.file_name().to_str().unwrap().starts_with("date=") {
            files.extend(fs::read_dir(date.path()).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort_by_key(|file| file.file_name().unwrap().to_owned());
    let number = |line: &str| serde_json::from_str::<Value>(line).unwrap()["data"]["number"].as_u64().unwrap();
    let numbers =
        files.iter().flat_map(|file| fs::read_to_string(file).unwrap().lines().map(number).collect::<Vec<_>>());
    (numbers.collect(), files.len())
}

fn assert_holds_each_once_in_order(folder: &Path, count: u64) {
    let (numbers, _) = read(folder);
    for key in 0..10 {
        let of_key = numbers.iter().copied().filter(|number| number % 10 == key);
        assert!(of_key.eq((key..count).step_by(10)), "k{key} of {} events", numbers.len());
    }
}

#[tokio::test]
async fn an_export_that_is_killed_at_any_moment_goes_on_without_losing_or_repeating_an_event() {
    let (site, folder) = (Site::new(), TemporaryFolder::new("relay-export").unwrap());
    let broker = site.start();
    broker.client().create_topic("orders").await;
    publish(&broker.client(), 0..EVENTS).await;
    let (url, whole_folder) = (broker.url(), folder.path().join("whole"));
    let began = Instant::now();
    exported(url, &whole_folder, &[]).await;
    let whole = began.elapsed();
    assert_holds_each_once_in_order(&whole_folder, EVENTS);
    assert!(read(&whole_folder).1 > 3, "there must be several files for a kill to come between them");

    let mut cut_short = 0;
    for kill in 0..KILLS {
        let out = folder.path().join(format!("killed-{kill}"));
        let running = export(url, &out, &[]);
        // Spread over all that it does, from its first instruction to its end.
        tokio::time::sleep(whole * kill / KILLS).await;
        drop(running);
        let left = if out.is_dir() { read(&out).1 } else { 0 };
        cut_short += u32::from(left < read(&whole_folder).1);
        exported(url, &out, &[]).await;
        assert_holds_each_once_in_order(&out, EVENTS);
    }
    assert!(cut_short > KILLS / 4, "only {cut_short} were killed before their end");
}

#[tokio::test]
async fn a_folder_takes_what_came_since_and_nothing_else() {
    let (site, folder) = (Site::new(), TemporaryFolder::new("relay-export").unwrap());
    let broker = site.start();
    let client = broker.client();
    client.create_topic("orders").await;
    publish(&client, 0..30).await;
    let (url, out) = (broker.url(), folder.path().join("orders"));
    let mistaken = export(url, &out, &["--from", "nowhere"]).ended().await;
    assert!(mistaken.code == Some(1) && mistaken.err.contains("invalid-query"), "{}", mistaken.err);
    let ended = exported(url, &out, &[]).await;
    assert!(ended.err.contains("30 events"), "{}", ended.err);
    let first = read(&out);
    exported(url, &out, &[]).await;
    assert_eq!(read(&out), first, "nothing came since");
    publish(&client, 30..50).await;
    let ended = exported(url, &out, &[]).await;
    assert!(ended.err.starts_with("20 events") && ended.err.contains("50 in all"), "{}", ended.err);
    assert_holds_each_once_in_order(&out, 50);

    for more in [["--key", "k1"], ["--from", "latest"], ["--to", "2999-01-01T00:00:00Z"]] {
        let ended = export(url, &out, &more).ended().await;
        assert_eq!(ended.code, Some(2), "{more:?}: {}", ended.err);
        assert!(ended.err.contains("use another folder"), "{}", ended.err);
    }
    let foreign = folder.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("part-000000.jsonl"), "mine").unwrap();
    let ended = export(url, &foreign, &[]).ended().await;
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1, "it is left as it was");

    // Bounded, it is complete at some time.
    let bounded = folder.path().join("bounded");
    exported(url, &bounded, &["--to", "2001-01-01T00:00:00Z"]).await;
    assert_eq!(read(&bounded).0, [0; 0]);
    let ended = exported(url, &bounded, &["--to", "2001-01-01T00:00:00Z"]).await;
    assert!(ended.err.contains("has all of it already"), "{}", ended.err);
}
