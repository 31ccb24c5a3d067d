//! One held lane and its backlog: what was written to it, and so what has to be found.

use crate::possible::{Fault, Possible, ensure};
use crate::samples;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use relay_core::lane::drain::Outcome;
use relay_core::lane::table::{self, NewLane, Progress, ProgressEffect, PutRule, Reschedule, Switched};
use relay_core::lane::tenure::Tenure;
use relay_core::lane::{
    BacklogItem, HoldReason, LaneItem, LaneRef, Lease, OwnerId, PutId, Resolution, ResolveAction, rest_key,
};
use relay_core::limits::BACKLOG_READ_BYTES;
use relay_core::names::{PartitionKey, SubscriptionId, TopicName};
use relay_core::pack::{GroupId, LaneKey, Pack, group_of};
use relay_core::ports::{HeadFailure, PortError, Ports};
use relay_core::replay_id::LogPosition;
use relay_core::sequence::{PackSequence, Sequence};
use relay_core::time::Time;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A pack that lies in the log.
pub type Logged = (Arc<Pack>, PackSequence, LogPosition);

/// A backlog item without its pack.
#[derive(Clone, PartialEq)]
struct Item {
    position: LogPosition,
    next: u16,
    end: u16,
    put_id: PutId,
    attempts: u32,
    first_failed_at: Option<Time>,
}

#[derive(Clone, PartialEq, Default)]
struct State {
    lane: Option<LaneItem>,
    backlog: BTreeMap<Sequence, Item>,
}

/// A lane that one actor writes to.
pub struct HeldLane {
    lane: LaneRef,
    state: Possible<State>,
    packs: BTreeMap<PackSequence, Arc<Pack>>,
    puts: u64,
    owners: u64,
}

impl State {
    fn with(&self, item: &BacklogItem) -> State {
        let mut after = self.clone();
        if PutRule::Append.begins_at(self.backlog.get(&item.key).map(|item| item.next), item.next).is_some() {
            after.backlog.insert(item.key, Item::of(item));
        }
        after
    }

    fn switched(&self, new: &NewLane, sooner: bool) -> (State, Result<Switched, PortError>) {
        let switch = if sooner { table::switch_sooner } else { table::switch };
        let (lane, switched) = switch(self.lane.as_ref(), new);
        (State { lane: Some(lane), ..self.clone() }, Ok(switched))
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.lane {
            None => f.write_str("live")?,
            Some(LaneItem { version, lease, reason, next_attempt_at, attempts, resolution, .. }) => {
                let (lease, next) = (lease.map(|lease| (lease.owner.0, lease.until.0)), next_attempt_at.map(|at| at.0));
                write!(f, "version {version} {reason:?} leased {lease:?} next {next:?} attempts {attempts}")?;
                write!(f, " resolution {:?}", resolution.map(|resolution| (resolution.action, resolution.at)))?;
            }
        }
        for (key, item) in &self.backlog {
            let Item { next, end, put_id, attempts, .. } = item;
            write!(f, "; {}: {next}..{end} put {} attempts {attempts}", key.pack.number, put_id.0)?;
        }
        Ok(())
    }
}

impl Item {
    fn of(item: &BacklogItem) -> Item {
        let BacklogItem { position, next, end, put_id, attempts, first_failed_at, .. } = *item;
        Item { position, next, end, put_id, attempts, first_failed_at }
    }
}

impl HeldLane {
    pub fn new(subscription: &str, topic: &str, key: &str) -> HeldLane {
        let lane = LaneRef::new(
            &SubscriptionId::new(subscription).unwrap(),
            &samples::topic_id(topic),
            &TopicName::new(topic).unwrap(),
            &LaneKey::Ordered(PartitionKey::new(key).unwrap()),
        );
        HeldLane { lane, state: Possible::only(State::default()), packs: BTreeMap::new(), puts: 0, owners: 0 }
    }

    /// The group whose packs go into it.
    pub fn group(&self) -> GroupId {
        group_of(&self.lane.topic_id, &self.lane.key)
    }

    /// Makes one write. `logged` are packs of its group that lie in the log.
    pub async fn act(&mut self, ports: &Ports, logged: &[Logged], random: &mut StdRng) -> Result<(), Fault> {
        let now = ports.clock.now();
        match random.random_range(0..12) {
            0 | 1 if !logged.is_empty() => {
                let one = &logged[random.random_range(0..logged.len())];
                let item = self.item(one, random);
                self.put(ports, item).await?;
                self.switch(ports, now, random).await
            }
            2 | 3 if !logged.is_empty() => self.append(ports, logged, now, random).await,
            4 => self.switch(ports, now, random).await,
            5 | 6 => self.take(ports, now).await,
            7 => self.progress(ports, random).await,
            8 => self.fail(ports, now).await,
            9 => self.give_up(ports, now, random).await,
            10 => self.intervene(ports, now, random).await,
            _ => self.release(ports).await,
        }
    }

    fn item(&mut self, logged: &Logged, random: &mut StdRng) -> BacklogItem {
        let (pack, sequence, position) = logged;
        self.puts += 1;
        self.packs.insert(*sequence, pack.clone());
        let end = u16::try_from(pack.events.len()).unwrap();
        BacklogItem {
            key: rest_key(*sequence),
            pack: pack.clone(),
            position: *position,
            next: random.random_range(0..end),
            end,
            put_id: PutId(self.puts),
            revision: 1,
            attempts: 0,
            first_failed_at: None,
            due_at: None,
            replay: false,
        }
    }

    async fn put(&mut self, ports: &Ports, item: BacklogItem) -> Result<(), Fault> {
        let answer = ports.lanes.put_backlog(&self.lane.id, item.clone()).await;
        self.state.wrote("put_backlog", &answer, |state| (state.with(&item), Ok(())))
    }

    fn new_lane(&self, now: Time) -> NewLane {
        NewLane {
            lane: self.lane.clone(),
            reason: HoldReason::Failing,
            since: now,
            next_attempt_at: Some(now),
            lease: None,
            attempts: 1,
            last_status: Some(503),
            last_error: None,
        }
    }

    async fn switch(&mut self, ports: &Ports, now: Time, random: &mut StdRng) -> Result<(), Fault> {
        let (new, sooner) = (self.new_lane(now), random.random());
        let answer = ports.lanes.switch(&new, sooner).await;
        self.state.wrote("switch", &answer, |state| state.switched(&new, sooner))
    }

    async fn append(&mut self, ports: &Ports, logged: &[Logged], now: Time, random: &mut StdRng) -> Result<(), Fault> {
        let count = random.random_range(1..=3);
        let mut items: Vec<_> = logged.choose_multiple(random, count).cloned().collect();
        items.sort_by_key(|(_, sequence, _)| *sequence);
        let items: Vec<_> = items.iter().map(|one| self.item(one, random)).collect();
        let (new, sooner) = (self.new_lane(now), random.random());
        let answer = ports.lanes.append(items.clone(), &new, sooner).await;
        // This adapter makes all of it in one transaction.
        self.state.wrote("append", &answer, |state| {
            items.iter().fold(state.clone(), |state, item| state.with(item)).switched(&new, sooner)
        })
    }

    async fn take(&mut self, ports: &Ports, now: Time) -> Result<(), Fault> {
        self.owners += 1;
        let lease = Lease { owner: OwnerId(self.owners), until: now + Duration::from_secs(60) };
        let answer = ports.lanes.take_lease(&self.lane.id, lease, now, true).await;
        self.change("take_lease", &answer, |item| table::take(item, lease, now, true))
    }

    fn change(
        &mut self,
        what: &str,
        answer: &Result<Option<LaneItem>, PortError>,
        condition: impl Fn(&LaneItem) -> Option<LaneItem>,
    ) -> Result<(), Fault> {
        self.state.wrote(what, answer, |state| match state.lane.as_ref().and_then(&condition) {
            Some(after) => (State { lane: Some(after.clone()), ..state.clone() }, Ok(Some(after))),
            None => (state.clone(), Ok(None)),
        })
    }

    async fn progress(&mut self, ports: &Ports, random: &mut StdRng) -> Result<(), Fault> {
        let Some((key, item)) = self.state.any().backlog.first_key_value() else { return Ok(()) };
        let next = (item.next + 1 < item.end).then_some(item.next + 1);
        // Now and then as somebody who read an earlier put of it.
        let put_id = if random.random_ratio(1, 8) { PutId(0) } else { item.put_id };
        let progress = Progress { key: *key, put_id, next };
        let answer = ports.lanes.progress(&self.lane.id, progress).await;
        self.state.wrote("progress", &answer, |state| {
            let mut after = state.clone();
            let stored = state.backlog.get(&progress.key);
            match table::progress(stored.map(|item| &item.put_id), &progress) {
                ProgressEffect::Ignored => {}
                ProgressEffect::Delete => {
                    after.backlog.remove(&progress.key);
                }
                ProgressEffect::Advance(next) => {
                    let advance = |item: &mut Item| {
                        (item.next, item.attempts, item.first_failed_at) = (next, 0, None);
                    };
                    after.backlog.entry(progress.key).and_modify(advance);
                }
            }
            (after, Ok(()))
        })
    }

    async fn fail(&mut self, ports: &Ports, now: Time) -> Result<(), Fault> {
        let Some((key, item)) = self.state.any().backlog.first_key_value() else { return Ok(()) };
        let (key, put_id, attempts) = (*key, item.put_id, item.attempts + 1);
        let failure = HeadFailure { key, put_id, attempts, first_failed_at: now, due_at: None };
        let answer = ports.lanes.fail_head(&self.lane.id, failure).await;
        self.state.wrote("fail_head", &answer, |state| {
            let mut after = state.clone();
            if let Some(item) = after.backlog.get_mut(&key)
                && item.put_id == put_id
            {
                (item.attempts, item.first_failed_at) = (attempts, Some(now));
            }
            (after, Ok(()))
        })
    }

    fn owner(&self) -> OwnerId {
        self.state.any().lane.as_ref().and_then(|item| item.lease).map_or(OwnerId(0), |lease| lease.owner)
    }

    fn version(&self) -> u64 {
        self.state.any().lane.as_ref().map_or(1, |item| item.version)
    }

    async fn give_up(&mut self, ports: &Ports, now: Time, random: &mut StdRng) -> Result<(), Fault> {
        let (owner, version) = (self.owner(), self.version());
        if random.random() {
            let to = Reschedule {
                next_attempt_at: Some(now + Duration::from_secs(5)),
                reason: Some(HoldReason::Failing),
                attempts: random.random_range(1..9),
                last_status: None,
                last_error: Some("timeout".to_owned()),
            };
            let answer = ports.lanes.reschedule(&self.lane.id, owner, &to).await;
            return self.change("reschedule", &answer, |item| table::reschedule(item, owner, &to));
        }
        let answer = ports.lanes.park(&self.lane.id, owner, version, HoldReason::Paused).await;
        self.state.wrote("park", &answer, |state| {
            let parked = state.lane.as_ref().and_then(|item| table::park(item, owner, version, HoldReason::Paused));
            match parked {
                Some(after) => (State { lane: Some(after), ..state.clone() }, Ok(Outcome::Done)),
                None => (state.clone(), Ok(Tenure::refusal(state.lane.as_ref().map(LaneItem::tenure), owner))),
            }
        })
    }

    async fn intervene(&mut self, ports: &Ports, now: Time, random: &mut StdRng) -> Result<(), Fault> {
        if random.random() {
            let answer = ports.lanes.make_due(&self.lane.id, now).await;
            return self.change("make_due", &answer, |item| Some(table::make_due(item, now)));
        }
        let Some((key, item)) = self.state.any().backlog.first_key_value() else { return Ok(()) };
        let sequence = key.pack.event(item.next);
        let resolution = Resolution { action: ResolveAction::Retry, sequence, at: now };
        let answer = ports.lanes.resolve(&self.lane.id, resolution).await;
        self.change("resolve", &answer, |item| Some(table::resolve(item, resolution)))
    }

    async fn release(&mut self, ports: &Ports) -> Result<(), Fault> {
        let (owner, version) = (self.owner(), self.version());
        let answer = ports.lanes.release(&self.lane.id, owner, version).await;
        self.state.wrote("release", &answer, |state| match &state.lane {
            Some(item) if table::may_release(item, owner, version) => {
                (State { lane: None, ..state.clone() }, Ok(Outcome::Done))
            }
            lane => (state.clone(), Ok(Tenure::refusal(lane.as_ref().map(LaneItem::tenure), owner))),
        })
    }

    /// Reads all of it, by every way to read it.
    pub async fn check(&mut self, ports: &Ports) -> Result<(), Fault> {
        let (lanes, id) = (&ports.lanes, self.lane.id);
        let read = lanes.backlog(&id, 10_000).await?;
        let lane = lanes.lane(&id).await?;
        let state = lanes.read_state(&[], &[id]).await?;
        ensure(state.held == [lane.is_some()], || format!("{id} is {lane:?} and in memory {:?}", state.held))?;
        ensure(read.before == lane && read.after == lane.as_ref().map(|item| item.version), || {
            format!("{id} is {lane:?} and beside its backlog {:?}", read.before)
        })?;
        // One reading of a backlog is bounded in bytes, so what lies behind it is asked for one by one.
        let mut items = read.items.clone();
        for sequence in self.packs.keys() {
            let key = rest_key(*sequence);
            if read.items.last().is_none_or(|last| last.key < key) {
                items.extend(lanes.backlog_item(&id, key).await?);
            }
        }
        let bytes: usize = read.items.iter().flat_map(|item| &item.pack.events).map(|event| event.data.len()).sum();
        let is_all = read.items.len() == items.len() || bytes > BACKLOG_READ_BYTES / 2;
        ensure(is_all, || format!("of {} items of {id} only {} were read", items.len(), read.items.len()))?;
        for item in &items {
            let sent = self.packs.get(&item.key.pack);
            ensure(sent == Some(&item.pack), || format!("{:?} in the backlog of {id} is not what was sent", item.key))?;
        }
        let head = lanes.head(&id).await?;
        let first = read.items.first().map(|item| (item.key, item.put_id, item.next));
        ensure(head == first, || format!("the head of {id} is {head:?} and its first item {first:?}"))?;
        let backlog = items.iter().map(|item| (item.key, Item::of(item))).collect();
        self.state.saw(&format!("lane {id}"), State { lane, backlog })
    }
}
