//! `relay serve --aws`.

use crate::broker::{ADMIN_KEY, Broker};
use crate::kill::kill_under_load;
use crate::site::{init, site};
use crate::wait::{SOON, until};
use relay_cli::load::connection::{Connection, authority};
use std::path::Path;
use url::Url;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_under_load_lose_nothing_and_keep_every_key_in_order() {
    // A tenth of a laptop's store: an emulator takes some hundred calls a second.
    kill_under_load(&site(init()), 20, 2).await;
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
