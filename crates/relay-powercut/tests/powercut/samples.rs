//! Packs and records to put into a store.

use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;
use relay_core::event::{Event, EventData};
use relay_core::names::{PartitionKey, SubscriptionId, TopicId, TopicName};
use relay_core::pack::{LaneKey, Pack};
use relay_core::retry::RetryPolicy;
use relay_core::signing::Secret;
use relay_core::subscription::{Endpoint, Mode, Status, Subscription};
use relay_core::time::Time;
use relay_core::topic::Topic;
use std::sync::Arc;

pub fn topic_id(topic: &str) -> TopicId {
    TopicId::new(format!("top_{topic}")).unwrap()
}

/// A pack of 1 to 4 events, about `bytes` large. `name` tells it from every other.
pub fn pack(topic: &str, key: &str, name: &str, bytes: usize, random: &mut StdRng) -> Arc<Pack> {
    let count = random.random_range(1..=4);
    let event = |index: usize| {
        let text = format!("{:016x}", random.random::<u64>()).repeat(bytes / count / 16 + 1);
        Event {
            id: format!("{name}-{index}"),
            source: "/powercut".to_owned(),
            kind: "com.example.tested".to_owned(),
            subject: None,
            time: None,
            content_type: Some("application/json".to_owned()),
            data_schema: None,
            extensions: vec![],
            data: EventData::Json(Bytes::from(format!("\"{text}\""))),
            made: false,
        }
    };
    Arc::new(Pack {
        topic: TopicName::new(topic).unwrap(),
        topic_id: topic_id(topic),
        key: LaneKey::Ordered(PartitionKey::new(key).unwrap()),
        accepted_at: Time(1_700_000_000_000),
        events: (0..count).map(event).collect(),
    })
}

pub fn topic(name: &str, version: u64) -> Topic {
    let named = Topic::new(topic_id(name), TopicName::new(name).unwrap(), Time(1_700_000_000_000));
    Topic { version, description: Some(format!("version {version}")), ..named }
}

pub fn subscription(id: &str, topic: &str) -> Subscription {
    Subscription {
        id: SubscriptionId::new(id).unwrap(),
        topic_id: topic_id(topic),
        topic: TopicName::new(topic).unwrap(),
        endpoint: Endpoint {
            url: "https://example.com/hook".to_owned(),
            headers: vec![],
            timeout_ms: 10_000,
            mode: Mode::Structured,
            max_batch: 1,
        },
        retry: RetryPolicy::default(),
        rate_limit: None,
        secrets: vec![Secret::new("sec_1".to_owned(), [7; Secret::KEY_BYTES], Time(1_700_000_000_000))],
        status: Status::Active,
        status_reason: None,
        revision: 1,
        resuming: false,
        resuming_key: None,
        rewind: None,
        skipped_from: None,
        told_of_expiry: false,
        status_at: Time(1),
        last_replay: None,
        failing_since: None,
        probes: 0,
        version: 1,
        created_at: Time(1_700_000_000_000),
        updated_at: Time(1_700_000_000_000),
        deleted_at: None,
    }
}
