use super::*;
use crate::event::{Event, EventData, StoredData, StoredForm, samples};
use crate::limits::{MAX_EVENTS_PER_PACK, MAX_PACK_BYTES};
use crate::names::{TopicId, TopicName};
use crate::pack::GroupId;
use crate::ports::{Message, QueueLag, Receipt};
use crate::replay_id::LogPosition;
use crate::sequence::PackSequence;
use async_trait::async_trait;
use futures_util::FutureExt;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

/// What the queue answers to one send of a pack.
#[derive(Clone)]
enum Script {
    Take,
    Fail(PortError),
}

/// The world of ingest: a queue that follows a script by event id, and a clock that notes the waits.
#[derive(Default)]
struct World {
    /// Answers still to be given for the pack that begins with this event; after them the queue takes it.
    scripts: Mutex<HashMap<String, Vec<Script>>>,
    calls: Mutex<Vec<Vec<Arc<Pack>>>>,
    taken: Mutex<Vec<Arc<Pack>>>,
    waits: Mutex<Vec<Duration>>,
    payloads: Mutex<HashMap<String, Bytes>>,
    payload_faults: Mutex<Vec<PortError>>,
    position: Option<LogPosition>,
    repeated: Option<bool>,
}

#[async_trait]
impl Clock for World {
    fn now(&self) -> Time {
        Time(1_795_000_000_123)
    }
    async fn sleep(&self, span: Duration) {
        self.waits.lock().unwrap().push(span);
    }
}

impl Ids for World {
    fn random(&self) -> u64 {
        1 << 63
    }
    fn secret_bytes(&self, bytes: &mut [u8]) {
        bytes.fill(4);
    }
    fn unique(&self) -> String {
        "fresh".to_owned()
    }
}

#[async_trait]
impl EventQueue for World {
    async fn send(&self, packs: Vec<Arc<Pack>>) -> Vec<Result<Sent, PortError>> {
        self.calls.lock().unwrap().push(packs.clone());
        let mut scripts = self.scripts.lock().unwrap();
        let mut taken = self.taken.lock().unwrap();
        let mut answer = |pack: Arc<Pack>| {
            let script = scripts.get_mut(&pack.events[0].id).filter(|script| !script.is_empty());
            match script.map_or(Script::Take, |script| script.remove(0)) {
                Script::Fail(error) => Err(error),
                Script::Take => {
                    taken.push(pack);
                    let sequence = PackSequence { era: 1, number: taken.len() as u128 };
                    Ok(Sent { sequence, position: self.position, repeated: self.repeated })
                }
            }
        };
        packs.into_iter().map(&mut answer).collect()
    }
    async fn receive(&self, _: usize) -> Result<Vec<Message>, PortError> {
        unreachable!("ingest does not receive")
    }
    async fn delete(&self, _: &[Receipt]) -> Vec<Result<(), PortError>> {
        unreachable!("ingest does not acknowledge")
    }
    async fn give_back(&self, _: &[Receipt]) -> Vec<Result<(), PortError>> {
        unreachable!("ingest does not give back")
    }
    async fn lag(&self) -> Result<QueueLag, PortError> {
        unreachable!("ingest does not ask")
    }
}

#[async_trait]
impl Payloads for World {
    async fn put(&self, payload: &StoredData, bytes: Bytes) -> Result<(), PortError> {
        if let Some(fault) = self.payload_faults.lock().unwrap().pop() {
            return Err(fault);
        }
        assert!(self.taken.lock().unwrap().is_empty(), "payloads are stored before events refer to them");
        self.payloads.lock().unwrap().insert(payload.hash.clone(), bytes);
        Ok(())
    }
    async fn get(&self, _: &StoredData) -> Result<Bytes, PortError> {
        unreachable!("ingest does not read payloads")
    }
    async fn expire(&self, _: Time) -> Result<u64, PortError> {
        unreachable!("sweep does that")
    }
}

impl World {
    fn script(self, id: &str, script: Vec<Script>) -> World {
        self.scripts.lock().unwrap().insert(id.to_owned(), script);
        self
    }

    fn needs(&self) -> Needs<'_> {
        Needs { clock: self, ids: self, queue: self, payloads: self }
    }

    fn accept(&self, events: Vec<Incoming>) -> Result<Published, PortError> {
        accept_at(self.needs(), &topic(), self.now(), events).now_or_never().expect("nothing here waits")
    }

    fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().iter().map(|pack| pack.events[0].id.clone()).collect()
    }
}

fn topic() -> Topic {
    let topic = Topic::new(TopicId::new("top_1").unwrap(), TopicName::new("orders").unwrap(), Time(1));
    Topic { max_event_bytes: 4 << 20, ..topic }
}

fn incoming(key: Option<&str>, id: &str) -> Incoming {
    Incoming {
        event: Event { id: id.into(), ..samples::full() },
        partition_key: key.map(|key| PartitionKey::new(key).unwrap()),
        bytes: 100,
    }
}

fn full_size(key: Option<&str>, id: &str) -> Incoming {
    Incoming { bytes: MAX_PACK_BYTES, ..incoming(key, id) }
}

fn unavailable() -> PortError {
    PortError::Unavailable("lost".into())
}

fn accepted_ids(published: &Published) -> Vec<(&str, bool)> {
    published.results().map(|result| (result.id, result.outcome.is_ok())).collect()
}

#[test]
fn every_event_is_answered_in_the_order_of_the_request() {
    let world = World::default();
    let events = vec![incoming(Some("a"), "1"), incoming(Some("b"), "2"), incoming(Some("a"), "3")];
    let published = world.accept(events).unwrap();
    let answers: Vec<_> = published
        .results()
        .map(|result| (result.id, result.partition_key.unwrap().as_str(), result.outcome.unwrap().sequence))
        .collect();
    let sequence = |number, index| PackSequence { era: 1, number }.event(index);
    assert_eq!(answers, [("1", "a", sequence(1, 0)), ("2", "b", sequence(2, 0)), ("3", "a", sequence(1, 1))]);
    assert_eq!(world.calls.lock().unwrap().len(), 1, "packs of different keys go together");
    assert_eq!(published.failure(), None);
}

#[test]
fn a_repeat_within_the_request_has_the_first_one_s_answer() {
    let world = World::default();
    let published = world.accept(vec![incoming(Some("a"), "1"), incoming(Some("b"), "1")]).unwrap();
    let answers: Vec<_> = published.results().collect();
    assert_eq!(answers[0], answers[1]);
    assert_eq!(world.taken(), ["1"]);
}

#[test]
fn packs_of_one_key_are_sent_one_after_another() {
    let world = World::default();
    let mut events: Vec<_> = (0..3).map(|number| full_size(Some("a"), &number.to_string())).collect();
    events.push(incoming(Some("b"), "x"));
    world.accept(events).unwrap();
    assert_eq!(world.taken(), ["0", "x", "1", "2"]);
    for call in world.calls.lock().unwrap().iter() {
        let mut groups: Vec<GroupId> = call.iter().map(|pack| pack.group()).collect();
        groups.dedup();
        assert_eq!(groups.len(), call.len());
    }
}

#[test]
fn what_fails_for_a_moment_is_sent_again_without_what_was_taken() {
    let world = World::default().script("1", vec![Script::Fail(unavailable()), Script::Fail(PortError::Throttled)]);
    let published = world.accept(vec![incoming(Some("a"), "1"), incoming(Some("b"), "2")]).unwrap();
    assert_eq!(published.failure(), None);
    let sizes: Vec<usize> = world.calls.lock().unwrap().iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 1, 1]);
    assert_eq!(*world.waits.lock().unwrap(), [Duration::from_millis(20), Duration::from_millis(100)]);
}

#[test]
fn what_follows_a_failed_pack_of_its_key_is_reported_as_failed_and_never_sent() {
    let world = World::default().script("1", vec![Script::Fail(unavailable()); 9]);
    let events = ["0", "1", "2", "3"].map(|id| full_size(Some("a"), id)).into_iter();
    let published = world.accept(events.chain([incoming(Some("b"), "x")]).collect()).unwrap();
    let expected = [("0", true), ("1", false), ("2", false), ("3", false), ("x", true)];
    assert_eq!(accepted_ids(&published), expected);
    assert_eq!(published.failure(), Some(&NotSent::Port(unavailable())));
    let outcomes: Vec<_> = published.results().map(|result| result.outcome.err().cloned()).collect();
    assert_eq!(outcomes[2..4], [Some(NotSent::Predecessor), Some(NotSent::Predecessor)]);
    assert_eq!(world.taken(), ["0", "x"]);
    assert_eq!(world.waits.lock().unwrap().len(), 3, "it gives up after a few times");
}

#[test]
fn without_a_key_a_failure_stops_nothing_else() {
    let probe = World::default();
    let ids: Vec<String> = (0..2_000).map(|number| number.to_string()).collect();
    // Two events that meet in one unordered group.
    let group = |id: &str| {
        probe.accept(vec![incoming(None, id)]).unwrap();
        probe.taken.lock().unwrap().last().unwrap().group()
    };
    let first = group("first");
    let second = ids.iter().find(|id| group(id) == first).unwrap();
    let world = World::default().script("first", vec![Script::Fail(unavailable()); 9]);
    let published = world.accept(vec![full_size(None, "first"), full_size(None, second)]).unwrap();
    assert_eq!(accepted_ids(&published), [("first", false), (second, true)]);
}

#[test]
fn a_full_disk_is_answered_at_once() {
    let world = World::default().script("1", vec![Script::Fail(PortError::Full); 9]);
    let published = world.accept(vec![incoming(Some("a"), "1")]).unwrap();
    assert_eq!(published.failure(), Some(&NotSent::Port(PortError::Full)));
    assert_eq!((world.calls.lock().unwrap().len(), world.waits.lock().unwrap().len()), (1, 0));
}

#[test]
fn a_large_payload_is_stored_before_the_event_is_sent() {
    let world = World::default();
    world.payload_faults.lock().unwrap().push(unavailable());
    let data = Bytes::from(format!("\"{}\"", "x".repeat(MAX_PACK_BYTES)));
    let mut large = incoming(Some("a"), "1");
    (large.bytes, large.event.data) = (data.len(), EventData::Json(data.clone()));
    let published = world.accept(vec![large, incoming(Some("a"), "2")]).unwrap();
    assert_eq!(published.failure(), None);
    let taken = world.taken.lock().unwrap();
    let EventData::Stored(stored) = &taken[0].events[0].data else { panic!("not stored") };
    assert_eq!((stored.form, stored.bytes), (StoredForm::Json, data.len() as u64));
    assert_eq!(stored.retention, Some(topic().retention));
    assert_eq!(world.payloads.lock().unwrap().get(&stored.hash), Some(&data));
    assert_eq!(taken[0].events.len(), 2, "what is left of it shares the pack");
}

#[test]
fn nothing_is_accepted_if_a_payload_cannot_be_stored() {
    let world = World::default();
    world.payload_faults.lock().unwrap().push(PortError::Full);
    let large = Incoming { bytes: MAX_PACK_BYTES + 1, ..incoming(Some("a"), "1") };
    assert_eq!(world.accept(vec![large]).unwrap_err(), PortError::Full);
    assert_eq!(world.calls.lock().unwrap().len(), 0);
}

#[test]
fn a_replay_id_is_given_where_a_repeat_can_be_told() {
    let replay_id = |position, repeated| {
        let world = World { position, repeated, ..World::default() };
        let published = world.accept(vec![incoming(Some("a"), "1")]).unwrap();
        published.results().next().unwrap().outcome.unwrap().replay_id
    };
    let position = LogPosition { at: Time(5), unique: 6 };
    let logged = replay_id(Some(position), Some(true)).unwrap();
    assert_eq!((logged.at, logged.unique), (Time(5), Some(6)));
    let accepted = replay_id(None, Some(false)).unwrap();
    assert_eq!((accepted.at, accepted.unique), (Time(1_795_000_000_123), None));
    assert_eq!(replay_id(None, Some(true)), None);
    assert_eq!(replay_id(None, None), None);
    assert_eq!(replay_id(Some(position), None), None);
}

#[test]
fn a_request_is_read_packed_and_sent() {
    let world = World::default();
    let event = |number: usize| {
        format!(
            r#"{{"specversion":"1.0","id":"{number}","source":"/s","type":"t","partitionkey":"k","data":{number}}}"#
        )
    };
    let body = format!("[{}]", (0..MAX_EVENTS_PER_PACK + 1).map(event).collect::<Vec<_>>().join(","));
    let headers: [(&str, &[u8]); 1] = [("content-type", b"application/cloudevents-batch+json")];
    let request = PublishRequest { headers: &headers, body: Bytes::from(body), publisher: "p" };
    let published = read_and_accept(world.needs(), &topic(), request).now_or_never().unwrap().unwrap();
    assert_eq!(published.results().len(), MAX_EVENTS_PER_PACK + 1);
    assert!(published.results().enumerate().all(|(number, result)| result.id == number.to_string()));
    assert_eq!(world.taken(), ["0", "500"]);
    let faulty = PublishRequest { headers: &headers, body: Bytes::from_static(b"[{}]"), publisher: "p" };
    let refused = read_and_accept(world.needs(), &topic(), faulty).now_or_never().unwrap();
    assert!(matches!(refused, Err(IngestFault::Invalid(faults)) if faults.len() == 4));
    assert_eq!(world.calls.lock().unwrap().len(), 2);
}
