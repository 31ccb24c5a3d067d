//! Topics, subscriptions, keys, idempotent answers and dead letters: what was written, and so what has to be found.

use crate::held::Logged;
use crate::possible::{Fault, Possible, ensure};
use crate::samples;
use rand::Rng;
use rand::rngs::StdRng;
use relay_core::grants::{Action, ApiKey, Grant, TopicPattern};
use relay_core::lane::PutId;
use relay_core::limits::IDEMPOTENCY_KEPT;
use relay_core::names::{KeyId, SubscriptionId, TopicName};
use relay_core::pack::{LaneId, Pack};
use relay_core::ports::{DeadLetter, Expect, IdempotentAnswer, PortError, Ports};
use relay_core::replay_id::LogPosition;
use relay_core::retry::DeadLetterReason;
use relay_core::sequence::PackSequence;
use relay_core::subscription::{Change, Subscription};
use relay_core::time::Time;
use relay_core::topic::Topic;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Records that one actor writes.
pub struct Records {
    topic: String,
    stored_topic: Possible<Option<Topic>>,
    subscriptions: BTreeMap<String, Possible<Option<Subscription>>>,
    keys: BTreeMap<String, Possible<Option<ApiKey>>>,
    answers: BTreeMap<String, Possible<Option<IdempotentAnswer>>>,
    dead_letters: BTreeMap<String, (SubscriptionId, Possible<Option<String>>)>,
    /// The version of the topic's list that was read last: it never goes back.
    list_version: u64,
    count: u64,
}

impl Records {
    pub fn new(topic: &str) -> Records {
        Records {
            topic: topic.to_owned(),
            stored_topic: Possible::only(None),
            subscriptions: BTreeMap::new(),
            keys: BTreeMap::new(),
            answers: BTreeMap::new(),
            dead_letters: BTreeMap::new(),
            list_version: 0,
            count: 0,
        }
    }

    /// Makes one write. `logged` are packs that lie in the log.
    pub async fn act(&mut self, ports: &Ports, logged: &[Logged], random: &mut StdRng) -> Result<(), Fault> {
        self.count += 1;
        match random.random_range(0..10) {
            0..=2 => self.put_topic(ports, random).await,
            3..=5 => self.put_subscription(ports, random).await,
            6 => self.put_or_delete_key(ports, random).await,
            7 => self.answer(ports, random).await,
            _ if !logged.is_empty() => {
                let (pack, sequence, position) = &logged[random.random_range(0..logged.len())];
                self.give_up(ports, pack, *sequence, *position, random).await
            }
            _ => Ok(()),
        }
    }

    async fn put_topic(&mut self, ports: &Ports, random: &mut StdRng) -> Result<(), Fault> {
        let known = self.stored_topic.any().as_ref().map_or(0, |topic| topic.version);
        // Now and then on a condition that does not hold.
        let expected = known.saturating_sub(u64::from(random.random_ratio(1, 6)));
        let expect = if expected == 0 { Expect::Absent } else { Expect::Version(expected) };
        let topic = samples::topic(&self.topic, expected + 1);
        let answer = ports.registry.put_topic(topic.clone(), expect).await;
        self.stored_topic.wrote("put_topic", &answer, |stored| {
            conditional(stored, stored.as_ref().map(|topic| topic.version), expect, topic.clone())
        })
    }

    async fn put_subscription(&mut self, ports: &Ports, random: &mut StdRng) -> Result<(), Fault> {
        if self.stored_topic.any().is_none() {
            return Ok(());
        }
        let id = format!("sub-{}-{}", self.topic, random.random_range(0..3));
        let now = ports.clock.now();
        let state = self.subscriptions.entry(id.clone()).or_insert_with(|| Possible::only(None));
        let (next, expect) = match state.any() {
            None => (samples::subscription(&id, &self.topic), Expect::Absent),
            Some(stored) => {
                let expect = Expect::Version(stored.version);
                let paused = stored.after(Change::Pause, Some("asked for"), now);
                (paused.or_else(|| stored.after(Change::Resume, None, now)).unwrap(), expect)
            }
        };
        let answer = ports.registry.put_subscription(next.clone(), expect).await;
        state.wrote("put_subscription", &answer, |stored| {
            conditional(stored, stored.as_ref().map(|stored| stored.version), expect, next.clone())
        })?;
        if answer.is_ok() {
            let version = self.read_list_version(ports).await?;
            ensure(version > self.list_version, || format!("the list's version stays {version}"))?;
            self.list_version = version;
        }
        Ok(())
    }

    async fn read_list_version(&self, ports: &Ports) -> Result<u64, Fault> {
        let list = ports.registry.topic_subscriptions(&samples::topic_id(&self.topic)).await?;
        Ok(list.map_or(0, |list| list.version))
    }

    async fn put_or_delete_key(&mut self, ports: &Ports, random: &mut StdRng) -> Result<(), Fault> {
        let id = format!("key-{}-{}", self.topic, random.random_range(0..3));
        let state = self.keys.entry(id.clone()).or_insert_with(|| Possible::only(None));
        let key_id = KeyId::new(id.as_str()).unwrap();
        if random.random_ratio(1, 3) {
            let answer = ports.registry.delete_key(&key_id).await;
            return state.wrote("delete_key", &answer, |stored| (None, Ok(stored.is_some())));
        }
        let key = ApiKey {
            id: key_id,
            name: format!("number {}", self.count),
            hash: format!("{id:0>64}"),
            grants: vec![Grant { action: Action::Publish, topics: TopicPattern::all() }],
            expires_at: None,
            created_at: ports.clock.now(),
        };
        let answer = ports.registry.put_key(key.clone()).await;
        state.wrote("put_key", &answer, |_| (Some(key.clone()), Ok(())))
    }

    async fn answer(&mut self, ports: &Ports, random: &mut StdRng) -> Result<(), Fault> {
        let name = format!("{}-{}", self.topic, random.random_range(0..self.count));
        let state = self.answers.entry(name.clone()).or_insert_with(|| Possible::only(None));
        let at = ports.clock.now();
        let body = format!("answer {}", self.count);
        let answer = IdempotentAnswer { request_hash: "ab".repeat(32), status: 202, body, at };
        let put = ports.registry.put_idempotent_answer(&name, answer.clone()).await;
        state.wrote("put_idempotent_answer", &put, |stored| match stored {
            Some(known) if at.since(known.at) < IDEMPOTENCY_KEPT => (stored.clone(), Err(PortError::Conflict)),
            _ => (Some(answer.clone()), Ok(())),
        })
    }

    async fn give_up(
        &mut self,
        ports: &Ports,
        pack: &Arc<Pack>,
        sequence: PackSequence,
        position: LogPosition,
        random: &mut StdRng,
    ) -> Result<(), Fault> {
        let subscription = SubscriptionId::new(format!("sub-{}-0", self.topic)).unwrap();
        let index = u16::try_from(random.random_range(0..pack.events.len())).unwrap();
        let lane = LaneId::of([subscription.as_str().as_bytes(), &pack.group().0]);
        let dead_letter = DeadLetter {
            id: DeadLetter::id_of(&lane, sequence.event(index)),
            subscription: subscription.clone(),
            topic_id: pack.topic_id.clone(),
            pack: pack.clone(),
            sequence: sequence.event(index),
            position,
            reason: DeadLetterReason::Exhausted,
            at: Time(1_700_000_000_456),
            attempts: 3,
            last_status: Some(400),
            last_error: None,
            put_id: PutId(random.random()),
        };
        let id = dead_letter.id.clone();
        let fresh = || (subscription.clone(), Possible::only(None));
        let (_, state) = self.dead_letters.entry(id.clone()).or_insert_with(fresh);
        if random.random_ratio(1, 3) {
            let answer = ports.dead_letters.delete(&subscription, &id).await;
            return state.wrote("delete", &answer, |stored| (None, Ok(stored.is_some())));
        }
        let text = format!("{dead_letter:?}");
        let answer = ports.dead_letters.put(dead_letter).await;
        state.wrote("put", &answer, |_| (Some(text.clone()), Ok(())))
    }

    /// Reads all of them.
    pub async fn check(&mut self, ports: &Ports) -> Result<(), Fault> {
        let name = TopicName::new(self.topic.as_str()).unwrap();
        let topic = ports.registry.topic(&name).await?.map(Arc::unwrap_or_clone);
        self.stored_topic.saw("the topic", topic)?;
        for (id, state) in &mut self.subscriptions {
            let stored = ports.registry.subscription(&SubscriptionId::new(id.as_str()).unwrap()).await?;
            state.saw(id, stored.map(Arc::unwrap_or_clone))?;
        }
        let keys = ports.registry.keys(None, 10_000).await?;
        for (id, state) in &mut self.keys {
            let stored = keys.iter().find(|key| key.id.as_str() == id).cloned();
            let by_hash = ports.registry.key_by_hash(&format!("{id:0>64}")).await?;
            ensure(stored == by_hash, || format!("{id} is {stored:?}, by its hash {by_hash:?}"))?;
            state.saw(id, stored.map(Arc::unwrap_or_clone))?;
        }
        let now = ports.clock.now();
        for (name, state) in &mut self.answers {
            let is_old = state.any().as_ref().is_some_and(|answer| now.since(answer.at) >= IDEMPOTENCY_KEPT);
            if !is_old {
                state.saw(name, ports.registry.idempotent_answer(name).await?)?;
            }
        }
        for (id, (subscription, state)) in &mut self.dead_letters {
            let stored = ports.dead_letters.get(subscription, id).await?;
            state.saw(id, stored.map(|stored| format!("{stored:?}")))?;
        }
        let version = self.read_list_version(ports).await?;
        ensure(version >= self.list_version, || {
            format!("the list's version went back from {} to {version}", self.list_version)
        })?;
        self.list_version = version;
        Ok(())
    }
}

/// What a write of a record on condition makes of it.
fn conditional<T: Clone>(
    stored: &Option<T>,
    version: Option<u64>,
    expect: Expect,
    next: T,
) -> (Option<T>, Result<(), PortError>) {
    let holds = match expect {
        Expect::Absent => version.is_none(),
        Expect::Version(expected) => version == Some(expected),
    };
    if holds { (Some(next), Ok(())) } else { (stored.clone(), Err(PortError::Conflict)) }
}
