//! `relay serve --aws`.

use crate::broker::{ADMIN_KEY, Broker};
use crate::client::id;
use crate::hook::Hook;
use crate::kill::kill_under_load;
use crate::numbers::{all_by_key, first_of_each, of_events, publish};
use crate::site::{init, site};
use crate::wait::{SOON, until};
use relay_cli::load::connection::{Connection, authority};
use serde_json::json;
use std::path::Path;
use url::Url;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_under_load_lose_nothing_and_keep_every_key_in_order() {
    // A tenth of a laptop's store: an emulator takes some hundred calls a second.
    kill_under_load(&site(init()), 20, 2).await;
}

#[tokio::test]
async fn what_was_published_is_read_from_the_log_and_replayed_in_order() {
    let (broker, hook) = (site(init()).start(), Hook::start().await);
    let client = broker.client();
    client.create_topic("orders").await;
    let more = json!({ "endpoint": { "timeoutMs": 1000 } });
    let subscription = id(&client.subscribe("orders", hook.url(), more).await);
    publish(&client, 0..20).await;
    assert_eq!(first_of_each(&hook.wait_accepted(20).await), all_by_key(20));

    // The youngest are read once no earlier ones can appear.
    let page = until("20 events in the log", SOON, async || {
        let page = client.expect(200, "GET", "/v1/topics/orders/events?after=earliest", None).await;
        page["items"].as_array().filter(|items| items.len() >= 20).cloned()
    });
    assert_eq!(of_events(page.await), all_by_key(20));

    let path = format!("/v1/subscriptions/{subscription}/replays");
    let begun = client.expect(202, "POST", &path, Some(json!({ "from": "earliest" }))).await;
    until("the replay to be done and delivered", SOON * 3, async || {
        let replay = client.expect(200, "GET", &format!("{path}/{}", id(&begun)), None).await;
        (replay["state"] == "done" && replay["delivered"] == 20).then_some(())
    })
    .await;
    let mut again = hook.accepted();
    again.retain(|delivery| delivery.header("relay-replay") == "true");
    assert_eq!(first_of_each(&again), all_by_key(20));
    assert!(broker.stop().await.success());
}

#[tokio::test]
async fn metrics_are_shown_without_a_key() {
    let broker = site(init()).start();
    let url = Url::parse(broker.url()).unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", authority(&url));
    let mut connection = Connection::open(&url).await.unwrap();
    let answer = connection.exchange(request.as_bytes()).await.unwrap();
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert_eq!(answer.status, 200, "{text}");
    for line in ["# TYPE relay_events_accepted_total counter", "\nrelay_events_accepted_total 0\n"] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains(ADMIN_KEY));
}

#[tokio::test]
async fn a_table_that_is_not_there_is_said_at_once() {
    let mut variables = init();
    variables.push(("RELAY_AWS".to_owned(), "1".to_owned()));
    for (name, value) in &mut variables {
        if name == "RELAY_TABLE" {
            *value = "no-such-table".to_owned();
        }
    }
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let broker = Broker::spawn(Path::new("unused"), &variables);
    until("the broker to end", SOON, async || broker.has_ended().then_some(())).await;
    let log = broker.log();
    assert!(log.contains("table no-such-table") && log.contains("cannot be prepared"), "{log}");
    assert_eq!(broker.ended().await.code(), Some(1));
}
