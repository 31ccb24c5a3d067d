//! The contract of [`crate::ports::Registry`].

use super::samples::{api_key, subscription, subscription_id, topic, topic_id, topic_name};
use super::{Harness, run};
use crate::grants::ApiKey;
use crate::limits::IDEMPOTENCY_KEPT;
use crate::names::{KeyId, SubscriptionId, TopicId};
use crate::ports::{Expect, IdempotentAnswer, PortError, Ports};
use crate::subscription::{Change, Subscription};
use crate::time::Time;
use crate::topic::{Retention, Topic};
use std::time::Duration;

/// Runs all cases.
pub async fn run_all<H: Harness>(make: impl AsyncFn() -> H) {
    run!(make;
        a_topic_is_read_as_it_was_written_and_survives_a_crash,
        a_topic_is_written_on_its_condition_only,
        a_deleted_topic_keeps_its_name_until_another_takes_it,
        topics_are_listed_by_name,
        a_subscription_is_read_as_it_was_written_and_survives_a_crash,
        a_subscription_is_written_on_its_condition_only,
        every_change_of_a_subscription_moves_the_version_of_its_topic,
        versions_go_on_rising_after_a_crash,
        subscriptions_are_listed_by_id_without_deleted_ones,
        unsettled_subscriptions_are_found,
        a_forgotten_subscription_is_gone,
        a_key_is_found_by_id_order_and_hash,
        the_use_of_a_key_is_noted,
        an_idempotent_answer_is_given_once,
        writes_at_the_same_time_let_one_win,
    );
}

async fn create(ports: &Ports, name: &str) -> Topic {
    ports.registry.put_topic(topic(name), Expect::Absent).await.unwrap();
    topic(name)
}

async fn read_topic(ports: &Ports, name: &str) -> Option<Topic> {
    ports.registry.topic(&topic_name(name)).await.unwrap().map(|topic| (*topic).clone())
}

async fn read_subscription(ports: &Ports, id: &str) -> Option<Subscription> {
    ports.registry.subscription(&subscription_id(id)).await.unwrap().map(|read| (*read).clone())
}

async fn version_of(ports: &Ports, topic: &TopicId) -> Option<u64> {
    let list = ports.registry.topic_subscriptions(topic).await.unwrap().map(|list| list.version);
    let state = ports.lanes.read_state(std::slice::from_ref(topic), &[]).await.unwrap();
    assert_eq!(state.versions, [list], "the list and the state tell the same version");
    list
}

async fn a_topic_is_read_as_it_was_written_and_survives_a_crash<H: Harness>(harness: &H) {
    let ports = harness.ports();
    assert_eq!(read_topic(&ports, "orders").await, None);
    let full = Topic {
        description: Some("\u{1F4E6} \"orders\"".to_owned()),
        owner: Some("team".to_owned()),
        retention: Retention::Days365,
        max_event_bytes: 17,
        ..topic("orders")
    };
    ports.registry.put_topic(full.clone(), Expect::Absent).await.unwrap();
    assert_eq!(read_topic(&ports, "orders").await, Some(full.clone()));
    let list = ports.registry.topic_subscriptions(&full.id).await.unwrap().expect("it is there");
    assert!(list.subscriptions.is_empty());
    harness.crash().await;
    assert_eq!(read_topic(&harness.ports(), "orders").await, Some(full));
}

async fn a_topic_is_written_on_its_condition_only<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let refused = ports.registry.put_topic(topic("orders"), Expect::Version(1)).await;
    assert_eq!(refused, Err(PortError::Conflict), "there is none yet");
    let first = create(&ports, "orders").await;
    assert_eq!(ports.registry.put_topic(first.clone(), Expect::Absent).await, Err(PortError::Conflict));
    let second = Topic { version: 2, owner: Some("me".to_owned()), ..first.clone() };
    assert_eq!(ports.registry.put_topic(second.clone(), Expect::Version(2)).await, Err(PortError::Conflict));
    assert_eq!(read_topic(&ports, "orders").await, Some(first.clone()));
    ports.registry.put_topic(second.clone(), Expect::Version(1)).await.unwrap();
    assert_eq!(ports.registry.put_topic(second.clone(), Expect::Version(1)).await, Err(PortError::Conflict));
    assert_eq!(read_topic(&ports, "orders").await, Some(second));
}

async fn a_deleted_topic_keeps_its_name_until_another_takes_it<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let first = create(&ports, "orders").await;
    ports.registry.put_subscription(subscription("sub", "orders"), Expect::Absent).await.unwrap();
    let deleted = Topic { version: 2, deleted_at: Some(Time(1_700_000_000_009)), ..first.clone() };
    ports.registry.put_topic(deleted.clone(), Expect::Version(1)).await.unwrap();
    assert_eq!(read_topic(&ports, "orders").await, Some(deleted));
    assert!(ports.registry.topics(None, 10).await.unwrap().is_empty());
    assert_eq!(version_of(&ports, &first.id).await, None);
    let second = Topic { id: TopicId::new("top_second").unwrap(), ..first.clone() };
    ports.registry.put_topic(second.clone(), Expect::Absent).await.unwrap();
    assert_eq!(read_topic(&ports, "orders").await, Some(second.clone()));
    assert!(version_of(&ports, &second.id).await.is_some());
    assert_eq!(version_of(&ports, &first.id).await, None, "a later topic of the name is another one");
    harness.crash().await;
    let ports = harness.ports();
    assert_eq!(read_topic(&ports, "orders").await, Some(second.clone()));
    assert_eq!(version_of(&ports, &first.id).await, None);
    let list = ports.registry.topic_subscriptions(&second.id).await.unwrap().expect("it is there");
    assert!(list.subscriptions.is_empty(), "subscriptions go by the topic's id");
}

async fn topics_are_listed_by_name<H: Harness>(harness: &H) {
    let ports = harness.ports();
    for name in ["c", "a", "b-1", "b"] {
        create(&ports, name).await;
    }
    let names = async |after: Option<&str>, limit| {
        let after = after.map(topic_name);
        let read = ports.registry.topics(after.as_ref(), limit).await.unwrap();
        read.iter().map(|topic| topic.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(None, 10).await, ["a", "b", "b-1", "c"]);
    assert_eq!(names(None, 2).await, ["a", "b"]);
    assert_eq!(names(Some("b"), 2).await, ["b-1", "c"]);
    assert!(names(Some("c"), 2).await.is_empty());
}

async fn a_subscription_is_read_as_it_was_written_and_survives_a_crash<H: Harness>(harness: &H) {
    let ports = harness.ports();
    create(&ports, "orders").await;
    let written = subscription("sub", "orders");
    ports.registry.put_subscription(written.clone(), Expect::Absent).await.unwrap();
    assert_eq!(read_subscription(&ports, "sub").await, Some(written.clone()));
    assert_eq!(read_subscription(&ports, "other").await, None);
    harness.crash().await;
    let ports = harness.ports();
    assert_eq!(read_subscription(&ports, "sub").await, Some(written.clone()));
    let list = ports.registry.topic_subscriptions(&written.topic_id).await.unwrap().expect("it is there");
    assert_eq!(*list.subscriptions[0], written);
}

async fn a_subscription_is_written_on_its_condition_only<H: Harness>(harness: &H) {
    let ports = harness.ports();
    create(&ports, "orders").await;
    let first = subscription("sub", "orders");
    let refused = ports.registry.put_subscription(first.clone(), Expect::Version(1)).await;
    assert_eq!(refused, Err(PortError::Conflict));
    ports.registry.put_subscription(first.clone(), Expect::Absent).await.unwrap();
    let before = version_of(&ports, &first.topic_id).await;
    let paused = first.after(Change::Pause, Some("because"), Time(1_700_000_000_005)).unwrap();
    for wrong in [Expect::Absent, Expect::Version(2)] {
        let refused = ports.registry.put_subscription(paused.clone(), wrong).await;
        assert_eq!(refused, Err(PortError::Conflict));
    }
    assert_eq!(read_subscription(&ports, "sub").await, Some(first));
    assert_eq!(version_of(&ports, &topic_id("orders")).await, before, "what was refused moves nothing");
    ports.registry.put_subscription(paused.clone(), Expect::Version(1)).await.unwrap();
    assert_eq!(read_subscription(&ports, "sub").await, Some(paused));
}

async fn every_change_of_a_subscription_moves_the_version_of_its_topic<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let topic = create(&ports, "orders").await.id;
    let mut versions = vec![version_of(&ports, &topic).await];
    let mut current = subscription("sub", "orders");
    ports.registry.put_subscription(current.clone(), Expect::Absent).await.unwrap();
    versions.push(version_of(&ports, &topic).await);
    for change in [Change::Pause, Change::Resume] {
        let next = current.after(change, None, Time(1_700_000_000_005)).unwrap();
        ports.registry.put_subscription(next.clone(), Expect::Version(current.version)).await.unwrap();
        versions.push(version_of(&ports, &topic).await);
        current = next;
    }
    let deleted = Subscription { version: 4, deleted_at: Some(Time(1_700_000_000_006)), ..current };
    ports.registry.put_subscription(deleted, Expect::Version(3)).await.unwrap();
    versions.push(version_of(&ports, &topic).await);
    assert!(versions.iter().all(Option::is_some));
    assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "{versions:?}");
    let list = ports.registry.topic_subscriptions(&topic).await.unwrap().expect("the topic is there");
    assert!(list.subscriptions.is_empty(), "a deleted one is not delivered to");
}

async fn versions_go_on_rising_after_a_crash<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let topic = create(&ports, "orders").await.id;
    ports.registry.put_subscription(subscription("a", "orders"), Expect::Absent).await.unwrap();
    ports.registry.put_subscription(subscription("b", "orders"), Expect::Absent).await.unwrap();
    let before = version_of(&ports, &topic).await;
    harness.crash().await;
    let ports = harness.ports();
    assert!(version_of(&ports, &topic).await >= before);
    ports.registry.put_subscription(subscription("c", "orders"), Expect::Absent).await.unwrap();
    assert!(version_of(&ports, &topic).await > before);
}

async fn subscriptions_are_listed_by_id_without_deleted_ones<H: Harness>(harness: &H) {
    let ports = harness.ports();
    create(&ports, "orders").await;
    create(&ports, "bills").await;
    for (id, topic) in [("d", "orders"), ("a", "orders"), ("b", "bills"), ("c", "orders"), ("gone", "orders")] {
        ports.registry.put_subscription(subscription(id, topic), Expect::Absent).await.unwrap();
    }
    let gone = Subscription { version: 2, deleted_at: Some(Time(1_700_000_000_006)), ..subscription("gone", "orders") };
    ports.registry.put_subscription(gone.clone(), Expect::Version(1)).await.unwrap();
    let ids = async |topic: Option<&str>, after: Option<&str>, limit| {
        let topic = topic.map(topic_name);
        let after: Option<SubscriptionId> = after.map(subscription_id);
        let read = ports.registry.subscriptions(topic.as_ref(), after.as_ref(), limit).await.unwrap();
        read.iter().map(|one| one.id.to_string()).collect::<Vec<_>>().concat()
    };
    assert_eq!(ids(None, None, 10).await, "abcd");
    assert_eq!(ids(Some("orders"), None, 10).await, "acd");
    assert_eq!(ids(Some("orders"), None, 2).await, "ac");
    assert_eq!(ids(Some("orders"), Some("a"), 2).await, "cd");
    assert_eq!(ids(None, Some("a"), 2).await, "bc");
    assert_eq!(ids(Some("nothing"), None, 10).await, "");
    assert_eq!(read_subscription(&ports, "gone").await, Some(gone), "it is remembered for a while");
    let list = ports.registry.topic_subscriptions(&topic_id("orders")).await.unwrap().expect("it is there");
    let mut listed: Vec<_> = list.subscriptions.iter().map(|one| one.id.to_string()).collect();
    listed.sort();
    assert_eq!(listed, ["a", "c", "d"]);
}

async fn unsettled_subscriptions_are_found<H: Harness>(harness: &H) {
    let ports = harness.ports();
    create(&ports, "orders").await;
    let active = |id: &str| subscription(id, "orders");
    let now = Time(1_700_000_000_005);
    let paused = |id: &str| active(id).after(Change::Pause, None, now).unwrap();
    let records = [
        active("active"),
        paused("paused"),
        paused("resuming").after(Change::Resume, None, now).unwrap(),
        active("suspended").after(Change::Open, None, now).unwrap(),
        Subscription { failing_since: Some(now), ..active("failing") },
        Subscription { deleted_at: Some(now), ..active("deleted") },
    ];
    for record in records {
        ports.registry.put_subscription(record, Expect::Absent).await.unwrap();
    }
    let found = async |ports: &Ports| {
        let found = ports.registry.unsettled().await.unwrap();
        let mut ids: Vec<_> = found.iter().map(|one| one.id.to_string()).collect();
        ids.sort();
        ids
    };
    let expected = ["deleted", "failing", "paused", "resuming", "suspended"];
    assert_eq!(found(&ports).await, expected);
    harness.crash().await;
    assert_eq!(found(&harness.ports()).await, expected);
}

async fn a_forgotten_subscription_is_gone<H: Harness>(harness: &H) {
    let ports = harness.ports();
    create(&ports, "orders").await;
    let deleted = Subscription { deleted_at: Some(Time(1_700_000_000_006)), ..subscription("sub", "orders") };
    ports.registry.put_subscription(deleted, Expect::Absent).await.unwrap();
    ports.registry.forget_subscription(&subscription_id("sub")).await.unwrap();
    ports.registry.forget_subscription(&subscription_id("sub")).await.unwrap();
    assert_eq!(read_subscription(&ports, "sub").await, None);
    harness.crash().await;
    let ports = harness.ports();
    assert_eq!(read_subscription(&ports, "sub").await, None);
    assert!(ports.registry.unsettled().await.unwrap().is_empty());
    ports.registry.put_subscription(subscription("sub", "orders"), Expect::Absent).await.unwrap();
}

async fn a_key_is_found_by_id_order_and_hash<H: Harness>(harness: &H) {
    let ports = harness.ports();
    for id in ["c", "a", "b"] {
        ports.registry.put_key(api_key(id)).await.unwrap();
    }
    let renamed = ApiKey { name: "renamed".to_owned(), hash: "f".repeat(64), ..api_key("b") };
    ports.registry.put_key(renamed.clone()).await.unwrap();
    let check = async |ports: &Ports| {
        let ids = async |after: Option<&str>, limit| {
            let after = after.map(|id| KeyId::new(id).unwrap());
            let read = ports.registry.keys(after.as_ref(), limit).await.unwrap();
            read.iter().map(|key| key.id.to_string()).collect::<Vec<_>>().concat()
        };
        assert_eq!(ids(None, 10).await, "abc");
        assert_eq!(ids(None, 2).await, "ab");
        assert_eq!(ids(Some("a"), 10).await, "bc");
        let by_hash = ports.registry.key_by_hash(&api_key("a").hash).await.unwrap();
        assert_eq!(by_hash.as_deref(), Some(&api_key("a")));
        let by_hash = ports.registry.key_by_hash(&renamed.hash).await.unwrap();
        assert_eq!(by_hash.as_deref(), Some(&renamed));
        assert!(ports.registry.key_by_hash(&api_key("b").hash).await.unwrap().is_none(), "its former hash is void");
        assert!(ports.registry.key_by_hash("").await.unwrap().is_none());
    };
    check(&ports).await;
    harness.crash().await;
    let ports = harness.ports();
    check(&ports).await;
    assert!(ports.registry.delete_key(&renamed.id).await.unwrap());
    assert!(!ports.registry.delete_key(&renamed.id).await.unwrap());
    assert!(ports.registry.key_by_hash(&renamed.hash).await.unwrap().is_none());
    assert_eq!(ports.registry.keys(None, 10).await.unwrap().len(), 2);
}

async fn the_use_of_a_key_is_noted<H: Harness>(harness: &H) {
    let ports = harness.ports();
    ports.registry.put_key(api_key("a")).await.unwrap();
    let id = api_key("a").id;
    assert_eq!(ports.registry.key_used_at(&id).await.unwrap(), None);
    let first = ports.clock.now();
    ports.registry.note_key_use(&id, first);
    assert_eq!(ports.registry.key_used_at(&id).await.unwrap(), Some(first));
    harness.advance(Duration::from_secs(3600)).await;
    let second = ports.clock.now();
    ports.registry.note_key_use(&id, second);
    assert_eq!(ports.registry.key_used_at(&id).await.unwrap(), Some(second));
    assert_eq!(ports.registry.key_used_at(&api_key("b").id).await.unwrap(), None);
}

async fn an_idempotent_answer_is_given_once<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let answer =
        |body: &str, at| IdempotentAnswer { request_hash: "ab".repeat(32), status: 201, body: body.to_owned(), at };
    let first = answer("{\"name\":\"\u{1F600}\"}", ports.clock.now());
    assert_eq!(ports.registry.idempotent_answer("key").await.unwrap(), None);
    ports.registry.put_idempotent_answer("key", first.clone()).await.unwrap();
    let refused = ports.registry.put_idempotent_answer("key", answer("other", ports.clock.now())).await;
    assert_eq!(refused, Err(PortError::Conflict));
    harness.crash().await;
    let ports = harness.ports();
    assert_eq!(ports.registry.idempotent_answer("key").await.unwrap(), Some(first));
    assert_eq!(ports.registry.idempotent_answer("other").await.unwrap(), None);
    harness.advance(IDEMPOTENCY_KEPT + Duration::from_secs(1)).await;
    let later = answer("later", ports.clock.now());
    ports.registry.put_idempotent_answer("key", later.clone()).await.unwrap();
    assert_eq!(ports.registry.idempotent_answer("key").await.unwrap(), Some(later));
}

async fn writes_at_the_same_time_let_one_win<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let creations = (0..6).map(|_| ports.registry.put_topic(topic("orders"), Expect::Absent));
    let won = futures_util::future::join_all(creations).await;
    assert_eq!(won.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(won.iter().all(|answer| matches!(answer, Ok(()) | Err(PortError::Conflict))));
    let updates = (0..6).map(|at| {
        let next = Topic { version: 2, owner: Some(format!("owner {at}")), ..topic("orders") };
        ports.registry.put_topic(next, Expect::Version(1))
    });
    let won = futures_util::future::join_all(updates).await;
    assert_eq!(won.iter().filter(|answer| answer.is_ok()).count(), 1);
    let winner = won.iter().position(Result::is_ok).expect("one won");
    assert_eq!(read_topic(&ports, "orders").await.unwrap().owner, Some(format!("owner {winner}")));
}
