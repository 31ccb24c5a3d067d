//! `relay aws`.

use crate::client::Client;
use crate::site::{aws, init, said, site};
use serde_json::json;

#[tokio::test]
async fn the_first_admin_key_opens_the_broker_and_a_second_one_is_made_only_on_request() {
    let resources = init();
    let first = said(&aws(&["admin-key"], &resources)).trim().to_owned();
    let refused = aws(&["admin-key"], &resources);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--another"));
    assert!(refused.stdout.is_empty());
    let second = said(&aws(&["admin-key", "--another"], &resources)).trim().to_owned();
    assert_ne!(first, second);

    let broker = site(resources).start();
    for key in [first, second] {
        Client::new(broker.url(), &key).expect(200, "GET", "/v1/topics", None).await;
    }
    let stranger = Client::new(broker.url(), "rk_of-somebody-else-entirely");
    stranger.expect(401, "GET", "/v1/topics", None).await;
}

#[test]
fn init_changes_nothing_that_is_there_and_prints_the_same_again() {
    let resources = init();
    let prefix = &resources.iter().find(|(name, _)| name == "RELAY_TABLE").unwrap().1;
    let again = aws(&["init", "--prefix", prefix, "--bucket", prefix], &[]);
    let exports: String = resources.iter().map(|(name, value)| format!("export {name}={value}\n")).collect();
    assert_eq!(said(&again), exports);
}

#[tokio::test]
async fn sequences_of_a_new_era_sort_after_those_of_the_old_one() {
    let resources = init();
    let site = site(resources.clone());
    let publish = async || {
        let broker = site.start();
        let client = broker.client();
        client.call("PUT", "/v1/topics/orders", Some(json!({}))).await;
        let headers = [("content-type", "application/json"), ("partitionkey", "k")];
        let answer = client.send("POST", "/v1/topics/orders/events", &headers, b"{}").await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        answer.body["events"][0]["sequence"].as_str().unwrap().to_owned()
    };
    let (one, two) = (publish().await, publish().await);
    let begun = aws(&["new-era"], &resources);
    let begun = said(&begun).to_owned();
    let three = publish().await;
    assert!(one < two && two < three, "{one} {two} {three}");
    assert_eq!(one[..13], two[..13]);
    assert!(begun.contains(&format!("era {}", three[..13].trim_start_matches('0'))), "{begun} and {three}");
}

#[test]
fn what_is_not_said_of_the_broker_is_named() {
    let refused = aws(&["new-era", "--table", "t"], &[]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("--stack") && said.contains("RELAY_EVENTS_QUEUE_URL") && !said.contains("RELAY_TABLE"));
}
