//! Numbered events over several keys, and what became of them.

use crate::client::Client;
use crate::hook::Delivery;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

const KEYS: usize = 5;

/// Numbers by key, in some order.
pub type Numbers = BTreeMap<String, Vec<u64>>;

/// Publishes an event for each number.
pub async fn publish(client: &Client, numbers: Range<usize>) {
    for number in numbers {
        client.publish("orders", &format!("k{}", number % KEYS), json!({ "number": number })).await;
    }
}

/// Every number up to an end, by key and in order.
pub fn all_by_key(end: usize) -> Numbers {
    let of = |key: usize| (key..end).step_by(KEYS).map(|number| number as u64).collect();
    (0..KEYS).map(|key| (format!("k{key}"), of(key))).collect()
}

/// Those of events as they are delivered in mode structured, in their order.
pub fn of_events(events: impl IntoIterator<Item = Value>) -> Numbers {
    let mut keys = Numbers::new();
    for event in events {
        let key = event["partitionkey"].as_str().unwrap().to_owned();
        keys.entry(key).or_default().push(event["data"]["number"].as_u64().unwrap());
    }
    keys
}

/// What was delivered, as it came.
pub fn by_key(deliveries: &[Delivery]) -> Numbers {
    of_events(deliveries.iter().map(Delivery::json))
}

/// What was delivered first of each number.
pub fn first_of_each(deliveries: &[Delivery]) -> Numbers {
    let mut keys = by_key(deliveries);
    for numbers in keys.values_mut() {
        let mut seen = BTreeSet::new();
        numbers.retain(|number| seen.insert(*number));
    }
    keys
}

/// How many there are, of all keys.
pub fn count(numbers: &Numbers) -> usize {
    numbers.values().map(Vec::len).sum()
}
