//! What was sent, what was answered, and so what has to be found.

use crate::held::Logged;
use crate::possible::{Fault, ensure};
use relay_core::names::TopicId;
use relay_core::pack::{GroupId, Pack};
use relay_core::ports::{LogEntry, Message, PortError, Sent};
use relay_core::replay_id::LogPosition;
use relay_core::sequence::PackSequence;
use relay_core::time::Time;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What is known of a pack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// Its send was not answered, or with an error.
    Unknown,
    /// It was accepted, or seen in the store: there it stays.
    There(PackSequence, Option<LogPosition>),
    /// It was looked for and not found.
    Absent,
}

/// A pack that was sent.
struct Record {
    pack: Arc<Pack>,
    // Kept, because it is a hash of much.
    group: GroupId,
    place: Place,
    ack: Ack,
    sent_at: Time,
}

/// Whether a message is acknowledged. That is not durable at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Ack {
    /// It has to come.
    No,
    /// Somebody asked for it, so it may come or not.
    Asked,
    /// Nothing would bring it back but a cut.
    Answered,
    /// It never comes again.
    Durable,
}

/// Everything that was sent.
#[derive(Default)]
pub struct Sends {
    // Ordered, so that a seed draws the same again.
    records: BTreeMap<String, Record>,
    highest: HashMap<GroupId, PackSequence>,
}

/// The send of a pack, before its answer.
pub struct Attempt {
    name: String,
    /// What is newly accepted gets a higher sequence.
    floor: Option<PackSequence>,
}

fn name(pack: &Pack) -> &str {
    &pack.events[0].id
}

impl Sends {
    /// A pack is about to be sent.
    pub fn attempt(&mut self, pack: &Arc<Pack>, now: Time) -> Attempt {
        let group = pack.group();
        let fresh = || Record { pack: pack.clone(), group, place: Place::Unknown, ack: Ack::No, sent_at: now };
        let record = self.records.entry(name(pack).to_owned()).or_insert_with(fresh);
        if record.place == Place::Absent {
            (record.place, record.sent_at) = (Place::Unknown, now);
        }
        Attempt { name: name(pack).to_owned(), floor: self.highest.get(&group).copied() }
    }

    /// It was answered.
    pub fn answered(&mut self, attempt: &Attempt, answer: &Result<Sent, PortError>) -> Result<(), Fault> {
        let name = &attempt.name;
        let sent = match answer {
            Ok(sent) => sent,
            Err(error) => return ensure(error.is_retryable(), || format!("the send of {name} failed with {error:?}")),
        };
        let is_old = match self.records[name].place {
            Place::There(sequence, _) => sequence == sent.sequence,
            Place::Unknown | Place::Absent => sent.repeated == Some(true),
        };
        let is_new = !matches!(self.records[name].place, Place::There(..)) && attempt.floor < Some(sent.sequence);
        ensure(is_old || is_new, || {
            let place = self.records[name].place;
            format!("{name}, {place:?} before, was accepted at {sent:?}, after {:?}", attempt.floor)
        })?;
        self.found(name, sent.sequence, sent.position)
    }

    fn found(&mut self, name: &str, sequence: PackSequence, position: Option<LogPosition>) -> Result<(), Fault> {
        let Some(record) = self.records.get_mut(name) else {
            return Err(Fault(format!("{name} is there, and nobody sent it")));
        };
        if let Place::There(known, at) = record.place {
            ensure(known == sequence, || format!("{name} moved from {known:?} to {sequence:?}"))?;
            ensure(at.is_none() || position.is_none() || at == position, || format!("{name} moved in the log"))?;
        }
        ensure(record.place != Place::Absent, || format!("{name} is back"))?;
        record.place = Place::There(sequence, position);
        let highest = self.highest.entry(record.group).or_insert(sequence);
        *highest = sequence.max(*highest);
        Ok(())
    }

    fn check_whole(&self, pack: &Pack) -> Result<(), Fault> {
        let Some(record) = self.records.get(name(pack)) else {
            return Err(Fault(format!("{} is there, and nobody sent it", name(pack))));
        };
        ensure(*record.pack == *pack, || format!("{} is not what was sent", name(pack)))
    }

    /// A message was received.
    pub fn received(&mut self, message: &Message) -> Result<(), Fault> {
        self.check_whole(&message.pack)?;
        self.found(name(&message.pack), message.sequence, message.position)
    }

    /// Somebody is about to acknowledge it.
    pub fn acknowledging(&mut self, message: &Message) {
        if let Some(record) = self.records.get_mut(name(&message.pack)) {
            record.ack = Ack::Asked.max(record.ack);
        }
    }

    /// It was acknowledged.
    pub fn acknowledged(&mut self, message: &Message) {
        if let Some(record) = self.records.get_mut(name(&message.pack)) {
            record.ack = Ack::Answered.max(record.ack);
        }
    }

    /// The store was closed in good order, and made durable what it had answered.
    pub fn closed(&mut self) {
        for record in self.records.values_mut().filter(|record| record.ack == Ack::Answered) {
            record.ack = Ack::Durable;
        }
    }

    /// Everything that could be received after a restart was.
    pub fn check_queue(&mut self, messages: &[Message]) -> Result<(), Fault> {
        let mut last: HashMap<GroupId, PackSequence> = HashMap::new();
        for message in messages {
            self.received(message)?;
            let before = last.insert(message.pack.group(), message.sequence);
            ensure(before < Some(message.sequence), || format!("{} came after {before:?}", name(&message.pack)))?;
        }
        let received: BTreeSet<&str> = messages.iter().map(|message| name(&message.pack)).collect();
        for (name, record) in &mut self.records {
            let is_received = received.contains(name.as_str());
            match record.place {
                Place::There(sequence, _) => {
                    ensure(is_received || record.ack != Ack::No, || format!("{name} at {sequence:?} is lost"))?;
                    ensure(!is_received || record.ack != Ack::Durable, || format!("{name} was done, and came again"))?;
                    if is_received {
                        // It waits for another acknowledgement.
                        record.ack = Ack::No;
                    }
                }
                Place::Unknown => record.place = Place::Absent,
                Place::Absent => {}
            }
        }
        Ok(())
    }

    /// The whole log of a topic was read, newest first.
    pub fn check_log(&mut self, topic: &TopicId, entries: &[LogEntry], since: Time) -> Result<(), Fault> {
        ensure(entries.is_sorted_by(|one, next| one.position > next.position), || {
            "the log is not in order".to_owned()
        })?;
        for LogEntry { position, sequence, pack } in entries {
            self.check_whole(pack)?;
            self.found(name(pack), *sequence, Some(*position))?;
        }
        let logged: BTreeSet<&str> = entries.iter().map(|entry| name(&entry.pack)).collect();
        let of_topic = self.records.iter().filter(|(_, record)| record.pack.topic_id == *topic);
        for (name, record) in of_topic.filter(|(_, record)| record.sent_at >= since) {
            let is_there = matches!(record.place, Place::There(..));
            ensure(!is_there || logged.contains(name.as_str()), || {
                let at: Vec<u64> = entries.iter().map(|entry| entry.position.unique).collect();
                format!("{name}, {:?}, is not in the log, which has {at:?}", record.place)
            })?;
        }
        Ok(())
    }

    /// Packs of some groups that were sent since a time, in the order of their names.
    pub fn sent_since(&self, groups: &[GroupId], since: Time) -> Vec<Arc<Pack>> {
        let of_groups = self.records.values().filter(|record| groups.contains(&record.group));
        of_groups.filter(|record| record.sent_at >= since).map(|record| record.pack.clone()).collect()
    }

    /// Packs of a group that lie in the log, sent since a time, in the order of their names.
    pub fn logged(&self, group: GroupId, since: Time) -> Vec<Logged> {
        let of_group = self.records.values().filter(|record| record.group == group && record.sent_at >= since);
        let logged = of_group.filter_map(|record| match record.place {
            Place::There(sequence, Some(position)) => Some((record.pack.clone(), sequence, position)),
            _ => None,
        });
        logged.collect()
    }

    /// Number of packs that were accepted.
    pub fn accepted(&self) -> usize {
        self.records.values().filter(|record| matches!(record.place, Place::There(..))).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use relay_core::ports::Receipt;

    fn at(number: u128) -> PackSequence {
        PackSequence { era: 1, number }
    }

    fn sent(number: u128) -> Result<Sent, PortError> {
        let position = Some(LogPosition { at: Time(0), unique: u64::try_from(number).unwrap() });
        Ok(Sent { sequence: at(number), position, repeated: Some(false) })
    }

    fn message(pack: &Arc<Pack>, number: u128) -> Message {
        let (receipt, position) = (Receipt::Number(1, 1), sent(number).unwrap().position);
        Message { pack: pack.clone(), sequence: at(number), receives: 1, receipt, position }
    }

    /// Packs `a` and `b` of one group, accepted at 1 and 2, and `c`, which was not answered.
    fn three() -> (Sends, [Arc<Pack>; 3]) {
        let packs = ["a", "b", "c"].map(|name| samples::pack("t", "k", name, 9, &mut StdRng::seed_from_u64(1)));
        let mut sends = Sends::default();
        for (pack, answer) in packs.iter().zip([sent(1), sent(2), Err(PortError::Full)]) {
            let attempt = sends.attempt(pack, Time(0));
            sends.answered(&attempt, &answer).unwrap();
        }
        (sends, packs)
    }

    #[test]
    fn what_was_accepted_has_to_come_in_order_and_what_was_not_may() {
        let (mut sends, [a, b, c]) = three();
        sends.check_queue(&[message(&a, 1), message(&b, 2), message(&c, 3)]).unwrap();
        let fault = |messages: &[Message]| three().0.check_queue(messages).unwrap_err().0;
        assert!(fault(&[message(&a, 1)]).contains("lost"));
        assert!(fault(&[message(&b, 2), message(&a, 1)]).contains("came after"));
        assert!(fault(&[message(&a, 1), message(&b, 3)]).contains("moved"));
        assert!(fault(&[message(&a, 1), message(&a, 1), message(&b, 2)]).contains("came after"));
        let torn = Arc::new(Pack { accepted_at: Time(9), ..(*b).clone() });
        assert!(fault(&[message(&a, 1), message(&torn, 2)]).contains("not what was sent"));
        let foreign = samples::pack("t", "k", "x", 9, &mut StdRng::seed_from_u64(1));
        assert!(fault(&[message(&foreign, 9)]).contains("nobody"));
    }

    #[test]
    fn what_was_acknowledged_may_come_again_and_what_was_absent_may_not() {
        let (mut sends, [a, b, c]) = three();
        sends.acknowledging(&message(&a, 1));
        sends.check_queue(&[message(&b, 2)]).unwrap();
        sends.check_queue(&[message(&a, 1), message(&b, 2)]).unwrap();
        sends.acknowledged(&message(&a, 1));
        sends.closed();
        sends.check_queue(&[message(&b, 2)]).unwrap();
        assert!(sends.check_queue(&[message(&a, 1), message(&b, 2)]).unwrap_err().0.contains("came again"));
        assert!(sends.check_queue(&[message(&b, 2), message(&c, 3)]).unwrap_err().0.contains("back"));
    }

    #[test]
    fn new_sequences_are_above_all_old_ones() {
        let (mut sends, [a, _, c]) = three();
        let attempt = sends.attempt(&c, Time(0));
        assert!(sends.answered(&attempt, &sent(2)).is_err());
        sends.answered(&attempt, &sent(3)).unwrap();
        let again = sends.attempt(&a, Time(0));
        sends.answered(&again, &sent(1)).unwrap();
        assert!(sends.answered(&again, &sent(4)).is_err(), "a repeat has the sequence of the first");
        assert!(sends.answered(&again, &Err(PortError::Conflict)).is_err());
    }

    #[test]
    fn the_log_has_all_that_was_accepted() {
        let (mut sends, [a, b, _]) = three();
        let entry = |pack: &Arc<Pack>, number| LogEntry {
            position: sent(number).unwrap().position.unwrap(),
            sequence: at(number),
            pack: pack.clone(),
        };
        sends.check_log(&a.topic_id, &[entry(&b, 2), entry(&a, 1)], Time(0)).unwrap();
        assert!(sends.check_log(&a.topic_id, &[entry(&a, 1), entry(&b, 2)], Time(0)).is_err());
        assert!(sends.check_log(&a.topic_id, &[entry(&b, 2)], Time(0)).is_err());
        sends.check_log(&a.topic_id, &[entry(&b, 2)], Time(1)).unwrap();
    }
}
