use super::*;
use crate::event::{Event, EventData, samples};
use crate::names::{PartitionKey, TopicId, TopicName};
use bytes::Bytes;
use proptest::prelude::*;

fn topic() -> Topic {
    Topic::new(TopicId::new("top_1").unwrap(), TopicName::new("orders").unwrap(), Time(1))
}

fn incoming(key: Option<&str>, id: &str, bytes: usize) -> Incoming {
    Incoming {
        event: Event { id: id.into(), ..samples::full() },
        partition_key: key.map(|key| PartitionKey::new(key).unwrap()),
        bytes,
    }
}

fn packed(events: Vec<Incoming>) -> Packing {
    pack(&topic(), Time(7), events)
}

fn ids(packing: &Packing) -> Vec<Vec<&str>> {
    packing.packs.iter().map(|planned| planned.pack.events.iter().map(|event| event.id.as_str()).collect()).collect()
}

#[test]
fn events_of_one_key_share_a_pack_in_the_order_they_came() {
    let packing =
        packed(vec![incoming(Some("a"), "1", 10), incoming(Some("b"), "2", 10), incoming(Some("a"), "3", 10)]);
    assert_eq!(ids(&packing), [vec!["1", "3"], vec!["2"]]);
    let place = |pack, index| Place { pack, index };
    assert_eq!(packing.places, [place(0, 0), place(1, 0), place(0, 1)]);
    let pack = &packing.packs[0].pack;
    assert_eq!((pack.topic.as_str(), pack.topic_id.as_str(), pack.accepted_at), ("orders", "top_1", Time(7)));
}

#[test]
fn a_repeat_within_the_request_has_the_first_one_s_place() {
    let packing = packed(vec![
        incoming(Some("a"), "1", 10),
        incoming(Some("a"), "1", 10),
        incoming(Some("b"), "1", 10),
        incoming(Some("a"), "2", 10),
    ]);
    assert_eq!(ids(&packing), [vec!["1", "2"]]);
    assert_eq!(packing.places.iter().map(|place| place.index).collect::<Vec<_>>(), [0, 0, 0, 1]);
}

#[test]
fn a_pack_that_is_full_is_followed_by_another_of_its_key() {
    let half = MAX_PACK_BYTES / 2;
    let packing = packed(vec![
        incoming(Some("a"), "1", half),
        incoming(Some("b"), "2", 10),
        incoming(Some("a"), "3", half),
        incoming(Some("a"), "4", 1),
        incoming(Some("a"), "5", MAX_PACK_BYTES),
    ]);
    assert_eq!(ids(&packing), [vec!["1", "3"], vec!["2"], vec!["4"], vec!["5"]]);
    let order: Vec<_> = packing.packs.iter().map(|planned| (planned.previous, planned.round)).collect();
    assert_eq!(order, [(None, 0), (None, 0), (Some(0), 1), (Some(2), 2)]);
    let many = packed((0..501).map(|number| incoming(Some("a"), &number.to_string(), 1)).collect());
    assert_eq!(many.packs.iter().map(|planned| planned.pack.events.len()).collect::<Vec<_>>(), [500, 1]);
}

#[test]
fn an_event_larger_than_a_pack_counts_by_its_attributes() {
    let packing = packed(vec![
        incoming(Some("a"), "1", MAX_PACK_BYTES + 1),
        incoming(Some("a"), "2", MAX_PACK_BYTES - MAX_ATTRIBUTES_BYTES),
        incoming(Some("a"), "3", 1),
    ]);
    assert_eq!(ids(&packing), [vec!["1", "2"], vec!["3"]]);
}

#[test]
fn events_without_a_key_are_spread_by_source_and_id() {
    let packing = packed((0..1_000).map(|number| incoming(None, &number.to_string(), 1)).collect());
    assert!(packing.packs.len() > 200, "{}", packing.packs.len());
    let group = |id: &str| packed(vec![incoming(None, id, 1)]).packs[0].pack.key.clone();
    assert_eq!(group("1"), group("1"));
    assert!(matches!(group("1"), LaneKey::Unordered(number) if number < UNORDERED_GROUPS));
    for planned in &packing.packs {
        assert!(planned.pack.events.iter().all(|event| group(&event.id) == planned.pack.key));
    }
}

proptest! {
    #[test]
    fn every_event_is_in_its_key_s_packs_in_order_and_a_repeated_request_makes_the_same_packs(
        sent in prop::collection::vec((prop::option::of(0u8..4), 0u16..300, 1usize..MAX_PACK_BYTES * 5 / 4), 1..60),
    ) {
        let events = || sent.iter().map(|(key, id, bytes)| {
            incoming(key.map(|key| format!("k{key}")).as_deref(), &id.to_string(), *bytes)
        }).collect::<Vec<_>>();
        let packing = packed(events());
        let mut last: HashMap<&LaneKey, usize> = HashMap::new();
        for (index, planned) in packing.packs.iter().enumerate() {
            prop_assert!((1..=MAX_EVENTS_PER_PACK).contains(&planned.pack.events.len()));
            prop_assert_eq!(planned.previous, last.insert(&planned.pack.key, index));
            prop_assert_eq!(planned.round, planned.previous.map_or(0, |before| packing.packs[before].round + 1));
        }
        let mut seen = HashMap::new();
        let mut ends: HashMap<&LaneKey, Place> = HashMap::new();
        for ((_, id, _), place) in sent.iter().zip(&packing.places) {
            let pack = &packing.packs[place.pack].pack;
            prop_assert_eq!(&pack.events[usize::from(place.index)].id, &id.to_string());
            if *seen.entry(id).or_insert(*place) == *place && ends.get(&pack.key) != Some(place) {
                if let Some(end) = ends.get(&pack.key) {
                    let later = (place.pack, place.index) > (end.pack, end.index);
                    prop_assert!(later || sent.iter().filter(|(_, other, _)| other == id).count() > 1);
                }
                ends.insert(&pack.key, *place);
            }
        }
        let total: usize = packing.packs.iter().map(|planned| planned.pack.events.len()).sum();
        prop_assert_eq!(total, seen.len());
        let again = packed(events());
        let dedups = |packing: &Packing| {
            packing.packs.iter().map(|planned| (planned.pack.group(), planned.pack.dedup())).collect::<Vec<_>>()
        };
        prop_assert_eq!(dedups(&packing), dedups(&again));
    }
}

#[test]
fn payloads_do_not_keep_the_request_s_body() {
    let body = Bytes::from_static(br#"[{"a":1},{"b":2},{"c":3}]"#);
    let with = |key, id, data: std::ops::Range<usize>| {
        let mut incoming = incoming(Some(key), id, 10);
        incoming.event.data = EventData::Json(body.slice(data));
        incoming
    };
    let packing = packed(vec![with("a", "1", 1..8), with("b", "2", 9..16), with("a", "3", 17..24)]);
    let payloads = |pack: usize| packing.packs[pack].pack.events.iter().map(|event| event.data.clone());
    let json = |text: &'static str| EventData::Json(Bytes::from_static(text.as_bytes()));
    assert_eq!(payloads(0).collect::<Vec<_>>(), [json(r#"{"a":1}"#), json(r#"{"c":3}"#)]);
    assert_eq!(payloads(1).collect::<Vec<_>>(), [json(r#"{"b":2}"#)]);
    let request = body.as_ptr_range();
    for data in payloads(0).chain(payloads(1)) {
        let EventData::Json(bytes) = data else { panic!("{data:?}") };
        assert!(!request.contains(&bytes.as_ptr()));
    }
}
