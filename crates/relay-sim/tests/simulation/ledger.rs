//! What was promised and what has come of it: the invariants, checked from outside of the broker.

use relay_core::names::{SubscriptionId, TopicId};
use relay_core::pack::{GroupId, LaneId, LaneKey};
use relay_core::replay_id::{LogPosition, LogShard, ReplayId};
use relay_core::sequence::{PackSequence, Sequence};
use relay_core::time::Time;
use relay_sim::webhooks::Received;
use relay_sim::{LanesView, Queued, Rewound, Simulated};
use std::collections::{BTreeMap, BTreeSet};

/// A broken promise, in words.
pub type Violation = String;

/// A subscription as its owner knows it.
struct Life {
    topic: TopicId,
    /// What was accepted before this, it may get, but need not.
    from: usize,
    ended: bool,
}

/// One (subscription, topic, key).
#[derive(Default)]
struct Book {
    lane: Option<LaneId>,
    ordered: bool,
    /// What the subscription has to get, in order.
    owed: Vec<Sequence>,
    /// All of `owed` before this index is settled.
    settled: usize,
    accepted: BTreeMap<Sequence, Time>,
    /// Accepted before the last rewind, and not promised anew by it.
    done: BTreeSet<Sequence>,
    /// Promised anew by a rewind, and not delivered since: another delivery than one of a replay may be from before.
    anew: BTreeSet<Sequence>,
}

/// An event of a pack.
struct Known {
    group: GroupId,
    topic: TopicId,
    ordered: bool,
    ids: Vec<String>,
}

/// Keeps the books of one run.
#[derive(Default)]
pub struct Ledger {
    lives: BTreeMap<SubscriptionId, Life>,
    ended: BTreeSet<SubscriptionId>,
    books: BTreeMap<(SubscriptionId, GroupId), Book>,
    packs: BTreeMap<PackSequence, Known>,
    /// Owed, and neither accepted nor waived so far.
    open: BTreeSet<(SubscriptionId, Sequence)>,
    /// Given up by policy or by an operator, at some time: may come late.
    excused: BTreeSet<(SubscriptionId, Sequence)>,
    waived: BTreeSet<(SubscriptionId, Sequence)>,
    webhook_ids: BTreeMap<(SubscriptionId, Sequence), String>,
    unacknowledged: BTreeSet<(TopicId, PackSequence)>,
    broken: Option<Violation>,
    queue_seen: usize,
    dead_letters_seen: usize,
    received_seen: usize,
    rewinds_seen: usize,
    pub deliveries: u64,
    pub duplicates: u64,
    fingerprint: u64,
}

impl Ledger {
    /// A subscription's creation was answered.
    pub fn subscribed(&mut self, id: &SubscriptionId, topic: &TopicId, simulated: &Simulated) {
        let from = simulated.with_queued(<[Queued]>::len);
        let ended = self.ended.contains(id);
        self.lives.insert(id.clone(), Life { topic: topic.clone(), from, ended });
    }

    /// A subscription is about to be deleted: nothing is owed any more.
    pub fn unsubscribed(&mut self, id: &SubscriptionId) {
        if let Some(life) = self.lives.get_mut(id) {
            life.ended = true;
        }
        self.ended.insert(id.clone());
        self.open.retain(|(subscription, _)| subscription != id);
    }

    /// An operator is about to have an event skipped, or its dead letter deleted: it is not owed any more.
    pub fn waive(&mut self, id: &SubscriptionId, sequence: Sequence) {
        self.excused.insert((id.clone(), sequence));
        self.waived.insert((id.clone(), sequence));
        self.open.remove(&(id.clone(), sequence));
    }

    /// A publisher was answered that an event is accepted.
    pub fn answered(&mut self, event: &str, sequence: Sequence, simulated: &Simulated) {
        self.read_queue(simulated);
        let known = self.packs.get(&sequence.pack).and_then(|known| known.ids.get(usize::from(sequence.index)));
        if known.map(String::as_str) != Some(event) {
            self.broken = Some(format!("lost: {event} was answered to be {sequence}, which is {known:?}"));
        }
    }

    /// Notes a promise that somebody saw broken.
    pub fn breaks(&mut self, violation: Violation) {
        self.broken.get_or_insert(violation);
    }

    /// Tells runs of a seed apart.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Takes in what has happened since, and checks the promises that hold at every moment.
    pub fn check(&mut self, simulated: &Simulated) -> Result<(), Violation> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        self.read_queue(simulated);
        let seen = self.dead_letters_seen;
        simulated.with_dead_lettered(|given_up| {
            self.excused.extend(given_up[seen..].iter().cloned());
            for (subscription, sequence) in &given_up[seen..] {
                let Some(known) = self.packs.get(&sequence.pack) else { continue };
                if let Some(book) = self.books.get_mut(&(subscription.clone(), known.group)) {
                    book.anew.remove(sequence); // redriven, it is no replay
                }
            }
            self.dead_letters_seen = given_up.len();
        });
        self.read_received(simulated)?;
        self.check_log(simulated)?;
        let skipped_from = |id: &SubscriptionId| {
            let from = simulated.stored_subscription(id)?.skipped_from?;
            Some((id.clone(), from))
        };
        let skipped = self.lives.keys().filter_map(skipped_from).collect();
        simulated.with_lanes(|lanes| {
            self.check_owed(simulated, lanes, &skipped)?;
            self.check_backlogs(simulated, lanes, &skipped)
        })?;
        self.check_due(simulated)
    }

    fn read_queue(&mut self, simulated: &Simulated) {
        let seen = self.queue_seen;
        simulated.with_queued(|history| {
            for (index, queued) in history.iter().enumerate().skip(seen) {
                self.owe(index, queued);
            }
            self.queue_seen = history.len();
        });
    }

    /// Every subscription of the topic that was there before is owed the pack's events.
    fn owe(&mut self, index: usize, queued: &Queued) {
        let (pack, sequence) = (&queued.pack, queued.sequence);
        let (group, ordered) = (pack.group(), pack.key.is_ordered());
        let ids = pack.events.iter().map(|event| event.id.clone()).collect();
        self.packs.insert(sequence, Known { group, topic: pack.topic_id.clone(), ordered, ids });
        self.unacknowledged.insert((pack.topic_id.clone(), sequence));
        for (id, life) in &self.lives {
            if life.topic != pack.topic_id || life.ended || index < life.from {
                continue;
            }
            let book = self.books.entry((id.clone(), group)).or_default();
            book.ordered = ordered;
            book.lane = Some(relay_core::lane::lane_id(id, &pack.topic_id, &pack.key));
            for number in 0..u16::try_from(pack.events.len()).unwrap() {
                book.owed.push(sequence.event(number));
                self.open.insert((id.clone(), sequence.event(number)));
            }
        }
    }

    /// Requests and ends of rewinds, in their order.
    fn read_received(&mut self, simulated: &Simulated) -> Result<(), Violation> {
        let rewinds = simulated.rewound(self.rewinds_seen);
        self.rewinds_seen += rewinds.len();
        let seen = self.received_seen;
        let mut rewinds = rewinds.into_iter().peekable();
        simulated.endpoints().with_received(|received| {
            self.received_seen = received.len();
            for (index, received) in received.iter().enumerate().skip(seen) {
                while let Some(rewound) = rewinds.next_if(|rewound| rewound.received <= index) {
                    self.rewound(&rewound, simulated);
                }
                self.receive(received)?;
            }
            Ok::<_, Violation>(())
        })?;
        rewinds.for_each(|rewound| self.rewound(&rewound, simulated));
        Ok(())
    }

    /// A rewind promises anew what was in the log when it began, from its position on; one that was cancelled may have
    /// loaded some of it.
    fn rewound(&mut self, rewound: &Rewound, simulated: &Simulated) {
        let Rewound { subscription, topic, rewind, logged, .. } = rewound;
        if rewind.joins {
            return; // it promises nothing anew: what it loads is owed already
        }
        let ended = self.ended.contains(subscription);
        let mut promised: BTreeMap<GroupId, BTreeSet<Sequence>> = BTreeMap::new();
        for entry in simulated.logged(topic, *logged) {
            let shard = LogShard::of(&entry.pack.key);
            let of_key = rewind.key.as_ref().is_none_or(|key| entry.pack.key.partition_key() == Some(key));
            if !of_key || entry.position <= rewind.from.after_in(shard) {
                continue;
            }
            let count = u16::try_from(entry.pack.events.len()).unwrap();
            let end = rewind.until.map_or(count, |until| until.wanted(&entry));
            let wanted = (rewind.from.first_unread(shard, &entry)..end).map(|index| entry.sequence.event(index));
            promised.entry(entry.pack.group()).or_default().extend(wanted);
            let book = self.books.entry((subscription.clone(), entry.pack.group())).or_default();
            book.ordered = entry.pack.key.is_ordered();
            book.lane = Some(relay_core::lane::lane_id(subscription, topic, &entry.pack.key));
        }
        // More than is promised may be loaded, so that the order of each lane begins anew.
        let key = rewind.key.clone().map(LaneKey::Ordered);
        let lane = key.map(|key| relay_core::lane::lane_id(subscription, topic, &key));
        for ((of, group), book) in &mut self.books {
            if of != subscription || lane.is_some_and(|lane| book.lane != Some(lane)) {
                continue;
            }
            book.done.extend(std::mem::take(&mut book.accepted).into_keys());
            book.settled = 0;
            if rewind.is_cancelled {
                continue;
            }
            for sequence in promised.remove(group).unwrap_or_default() {
                book.done.remove(&sequence);
                if !simulated.is_dead_letter(subscription, sequence) {
                    book.anew.insert(sequence);
                }
                if let Err(place) = book.owed.binary_search(&sequence) {
                    book.owed.insert(place, sequence);
                }
                if !ended && !self.waived.contains(&(subscription.clone(), sequence)) {
                    self.open.insert((subscription.clone(), sequence));
                }
            }
        }
    }

    /// Order, and the same `webhook-id` on every attempt.
    fn receive(&mut self, received: &Received) -> Result<(), Violation> {
        let subscription = received.header("relay-subscription").ok_or("a request without relay-subscription")?;
        let subscription = SubscriptionId::new(subscription).map_err(|fault| fault.to_string())?;
        let events = events_of(received)?;
        let webhook_id = received.header("webhook-id").ok_or("a request without webhook-id")?;
        for (sequence, event_id) in &events {
            self.fingerprint = (self.fingerprint ^ sequence.pack.number as u64 ^ received.at.0)
                .wrapping_mul(0x0100_0000_01b3)
                .rotate_left(7)
                ^ u64::from(sequence.index);
            let known = self.packs.get(&sequence.pack).ok_or_else(|| format!("{sequence} was never accepted"))?;
            let id = known.ids.get(usize::from(sequence.index));
            if event_id.as_ref().is_some_and(|event_id| id != Some(event_id)) {
                return Err(format!("{subscription} got event {event_id:?} as {sequence}, which is {id:?}"));
            }
            let life = self.lives.get(&subscription);
            if life.is_some_and(|life| life.topic != known.topic) {
                return Err(format!("{subscription} got {sequence} of another topic"));
            }
            if events.len() == 1 && !webhook_id.starts_with("batch-") {
                let first = self.webhook_ids.entry((subscription.clone(), *sequence));
                let first = first.or_insert_with(|| webhook_id.to_owned());
                if first != webhook_id {
                    return Err(format!("{sequence} had webhook-id {first}, now {webhook_id}"));
                }
            }
        }
        if received.accepted {
            let replay = received.header("relay-replay") == Some("true");
            events.iter().try_for_each(|(sequence, _)| self.accept(&subscription, *sequence, received.at, replay))?;
        }
        Ok(())
    }

    fn accept(
        &mut self,
        subscription: &SubscriptionId,
        sequence: Sequence,
        at: Time,
        replay: bool,
    ) -> Result<(), Violation> {
        let Some(known) = self.packs.get(&sequence.pack) else { return Ok(()) };
        let (group, ordered) = (known.group, known.ordered);
        let book = self.books.entry((subscription.clone(), group)).or_default();
        book.ordered = ordered;
        if ordered && book.anew.contains(&sequence) && !replay {
            let earlier = book.owed.iter().take_while(|owed| **owed < sequence);
            let is_left = |owed: &Sequence| {
                let excused = self.excused.contains(&(subscription.clone(), *owed));
                !book.accepted.contains_key(owed) && !book.done.contains(owed) && !excused
            };
            if earlier.into_iter().any(is_left) {
                return Ok(()); // sent before the rewind, by somebody who was stopped for long
            }
        }
        book.anew.remove(&sequence);
        self.open.remove(&(subscription.clone(), sequence));
        if book.accepted.contains_key(&sequence) || book.done.contains(&sequence) {
            self.duplicates += 1;
            return Ok(());
        }
        self.deliveries += 1;
        let excused = |sequence: &Sequence| self.excused.contains(&(subscription.clone(), *sequence));
        if ordered && !excused(&sequence) {
            while let Some(next) = book.owed.get(book.settled) {
                if *next >= sequence {
                    break;
                }
                if !book.accepted.contains_key(next) && !book.done.contains(next) && !excused(next) {
                    return Err(format!("order: {subscription} accepted {sequence} before {next}"));
                }
                book.settled += 1;
            }
            let later = book.accepted.range(sequence..).find(|(later, _)| !excused(later));
            if let Some((later, _)) = later {
                return Err(format!("order: {subscription} accepted {later} before {sequence}"));
            }
        }
        book.accepted.insert(sequence, at);
        Ok(())
    }

    /// What is acknowledged is in the log.
    fn check_log(&mut self, simulated: &Simulated) -> Result<(), Violation> {
        let mut fault = None;
        self.unacknowledged.retain(|(topic, sequence)| {
            let queued = simulated.is_queued(*sequence);
            if !queued && !simulated.is_logged(topic, *sequence) {
                fault = Some(format!("{} is acknowledged and not in the log", sequence.event(0)));
            }
            queued
        });
        fault.map_or(Ok(()), Err)
    }

    /// Everything owed is delivered, queued, in a backlog of a held lane, a dead letter, or skipped and in the log.
    fn check_owed(
        &self,
        simulated: &Simulated,
        lanes: &LanesView<'_>,
        skipped: &BTreeMap<SubscriptionId, LogPosition>,
    ) -> Result<(), Violation> {
        for (subscription, sequence) in &self.open {
            if self.unacknowledged.iter().any(|(_, queued)| *queued == sequence.pack) {
                continue;
            }
            let Some(known) = self.packs.get(&sequence.pack) else { continue };
            let lane = self.books.get(&(subscription.clone(), known.group)).and_then(|book| book.lane);
            let waits = lane.is_some_and(|lane| {
                let here = |item: &relay_core::lane::BacklogItem| {
                    item.key.pack == sequence.pack && item.next <= sequence.index && sequence.index < item.end
                };
                lanes.lane(&lane).is_some() && lanes.backlog(&lane).any(here)
            });
            let from = skipped.get(subscription);
            let is_logged = from.is_some_and(|from| simulated.is_logged_from(&known.topic, sequence.pack, *from));
            if !waits && !is_logged && !simulated.is_dead_letter(subscription, *sequence) {
                let held = lane.is_some_and(|lane| lanes.lane(&lane).is_some());
                let what = if held { "missing from the backlog of its held lane" } else { "nowhere: its lane is live" };
                return Err(format!("lost: {sequence} of {subscription} is {what} ({lane:?})"));
            }
        }
        Ok(())
    }

    /// A backlog item without a lane is of a message still queued, or of events that were delivered already.
    fn check_backlogs(
        &self,
        simulated: &Simulated,
        lanes: &LanesView<'_>,
        skipped: &BTreeMap<SubscriptionId, LogPosition>,
    ) -> Result<(), Violation> {
        for (lane, item) in lanes.backlogs() {
            if lanes.lane(lane).is_some() || simulated.is_queued(item.key.pack) {
                continue;
            }
            let Some(known) = self.packs.get(&item.key.pack) else { continue };
            let book = self.books.iter().find(|((_, group), book)| *group == known.group && book.lane == Some(*lane));
            let Some(((subscription, _), _)) = book else { continue };
            let from = skipped.get(subscription);
            if from.is_some_and(|from| simulated.is_logged_from(&known.topic, item.key.pack, *from)) {
                continue; // it is being loaded, and will be again if its loader dies
            }
            let left = (item.next..item.end).map(|index| (subscription.clone(), item.key.pack.event(index)));
            if let Some((_, sequence)) =
                left.into_iter().find(|owed| self.open.contains(owed) && !simulated.is_dead_letter(&owed.0, owed.1))
            {
                return Err(format!("forgotten: {sequence} of {subscription} waits in a backlog without a lane"));
            }
        }
        Ok(())
    }

    /// A held lane is due at some time, or its subscription is not active, or a job will make it due.
    fn check_due(&self, simulated: &Simulated) -> Result<(), Violation> {
        let never_due = simulated.with_lanes(|lanes| {
            let parked = lanes.lanes().filter(|item| item.due_at().is_none());
            parked.map(|item| item.lane.clone()).collect::<Vec<_>>()
        });
        for lane in never_due {
            let stored = simulated.stored_subscription(&lane.subscription);
            if stored.is_some_and(|stored| stored.delivers(&lane.key) && !stored.resuming) {
                return Err(format!("forgotten: lane {} of {} is never due", lane.id, lane.subscription));
            }
        }
        Ok(())
    }

    /// After the storm, nothing is left to do, and what was given up is a dead letter.
    pub fn unsettled(&self, simulated: &Simulated) -> Option<Violation> {
        let left =
            self.open.iter().filter(|(subscription, sequence)| !simulated.is_dead_letter(subscription, *sequence));
        if let Some((subscription, sequence)) = left.clone().next() {
            let count = left.count();
            return Some(format!("{count} events are not delivered, {sequence} of {subscription} the first"));
        }
        let rewinding = |id: &&SubscriptionId| {
            let stored = simulated.stored_subscription(id).filter(|stored| stored.deleted_at.is_none());
            stored.is_some_and(|stored| stored.rewind.is_some())
        };
        if let Some(id) = self.lives.keys().find(rewinding) {
            return Some(format!("{id} is still rewound"));
        }
        if simulated.queue_length() > 0 {
            return Some(format!("{} messages are still queued", simulated.queue_length()));
        }
        let held = simulated.with_lanes(|lanes| lanes.lanes().map(|item| item.lane.id).next());
        held.map(|lane| format!("lane {lane} is still held"))
    }
}

/// The events that a request carries, and their ids where it shows them.
fn events_of(received: &Received) -> Result<Vec<(Sequence, Option<String>)>, Violation> {
    let fault = |what: &str| format!("a request {what}: {:?}", received.request);
    let of_json = |event: &serde_json::Value| {
        let text = |name: &str| event.get(name).and_then(serde_json::Value::as_str);
        let sequence = text("sequence").and_then(|text| text.parse().ok()).ok_or_else(|| fault("without sequence"))?;
        Ok((sequence, text("id").map(str::to_owned)))
    };
    let body = &received.request.body;
    let parse = || serde_json::from_slice::<serde_json::Value>(body).map_err(|_| fault("that is not JSON"));
    match received.header("content-type").unwrap_or_default() {
        kind if kind.starts_with("application/cloudevents+json") => Ok(vec![of_json(&parse()?)?]),
        kind if kind.starts_with("application/cloudevents-batch+json") => {
            parse()?.as_array().ok_or_else(|| fault("that is no array"))?.iter().map(of_json).collect()
        }
        _ => match received.header("ce-sequence") {
            Some(text) => {
                let sequence = text.parse().map_err(|_| fault("with a bad ce-sequence"))?;
                Ok(vec![(sequence, received.header("ce-id").map(str::to_owned))])
            }
            None => {
                let id = received.header("relay-replay-id").and_then(|text| text.parse::<ReplayId>().ok());
                Ok(vec![(id.ok_or_else(|| fault("without a replay id"))?.sequence, None)])
            }
        },
    }
}
