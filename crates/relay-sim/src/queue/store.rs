//! What the queue holds.

use crate::random::Random;
use relay_core::limits::{DEDUPLICATION_WINDOW, VISIBILITY};
use relay_core::pack::{DedupId, GroupId, Pack};
use relay_core::ports::{Message, PortError, Receipt, Sent};
use relay_core::replay_id::LogPosition;
use relay_core::sequence::PackSequence;
use relay_core::time::Time;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A pack that the queue took once.
#[derive(Clone, Debug)]
pub struct Queued {
    /// The pack.
    pub pack: Arc<Pack>,
    /// Its sequence.
    pub sequence: PackSequence,
    /// When it was taken, by an exact clock.
    pub at: Time,
}

struct Entry {
    pack: Arc<Pack>,
    sequence: PackSequence,
    position: Option<LogPosition>,
    sent_at: Time,
    receives: u32,
    /// The last receipt's number.
    receipt: u64,
    hidden_until: Option<Time>,
}

impl Entry {
    fn is_visible(&self, now: Time) -> bool {
        self.hidden_until.is_none_or(|until| until <= now)
    }
}

pub(crate) struct QueueStore {
    era: Time,
    random: Random,
    number: u128,
    receipts: u64,
    groups: BTreeMap<GroupId, VecDeque<Entry>>,
    window: BTreeMap<(GroupId, DedupId), (Sent, Time)>,
    history: Vec<Queued>,
}

impl QueueStore {
    pub fn new(era: Time, random: Random) -> QueueStore {
        QueueStore {
            era,
            random,
            number: 0,
            receipts: 0,
            groups: BTreeMap::new(),
            window: BTreeMap::new(),
            history: Vec::new(),
        }
    }

    /// Packs that are not acknowledged.
    pub fn packs(&self) -> impl Iterator<Item = &Pack> {
        self.groups.values().flatten().map(|entry| &*entry.pack)
    }

    pub fn send(&mut self, pack: Arc<Pack>, now: Time) -> Sent {
        let key = (pack.group(), pack.dedup());
        if let Some((sent, at)) = self.window.get(&key)
            && now.since(*at) < DEDUPLICATION_WINDOW
        {
            return Sent { repeated: Some(true), ..*sent };
        }
        // Numbers rise, but are not consecutive.
        self.number += u128::from(self.random.within(1..300));
        let sequence = PackSequence { era: self.era.0, number: self.number };
        let sent = Sent { sequence, position: None, repeated: Some(false) };
        self.history.push(Queued { pack: Arc::clone(&pack), sequence, at: now });
        self.window.insert(key, (sent, now));
        self.groups.entry(key.0).or_default().push_back(Entry {
            pack,
            sequence,
            position: None,
            sent_at: now,
            receives: 0,
            receipt: 0,
            hidden_until: None,
        });
        sent
    }

    /// Notes where the log has a pack, if queue and log are one.
    pub fn set_position(&mut self, sequence: PackSequence, position: Option<LogPosition>) {
        let repeats = self.window.values_mut().map(|(sent, _)| sent);
        repeats.filter(|sent| sent.sequence == sequence).for_each(|sent| sent.position = position);
        self.entries_mut().filter(|entry| entry.sequence == sequence).for_each(|entry| entry.position = position);
    }

    fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.groups.values_mut().flatten()
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.groups.values().flatten()
    }

    /// Groups of which nothing is in flight: while one message is, nobody receives another of its group.
    fn free_groups(&self, now: Time) -> Vec<GroupId> {
        let free = |entries: &VecDeque<Entry>| !entries.is_empty() && entries.iter().all(|entry| entry.is_visible(now));
        self.groups.iter().filter(|(_, entries)| free(entries)).map(|(group, _)| *group).collect()
    }

    pub fn has_visible(&self, now: Time) -> bool {
        !self.free_groups(now).is_empty()
    }

    /// When some hidden message becomes visible.
    pub fn next_visible(&self, now: Time) -> Option<Time> {
        self.entries().filter_map(|entry| entry.hidden_until).filter(|until| *until > now).min()
    }

    /// Receives messages of some free groups, of each group its first ones: all that may be, or fewer if `short`.
    pub fn receive(&mut self, max: usize, short: bool, now: Time) -> Vec<Message> {
        let max = if short { 1 + self.random.index(max) } else { max };
        let mut free = self.free_groups(now);
        let mut messages = Vec::new();
        while messages.len() < max && !free.is_empty() {
            let group = free.swap_remove(self.random.index(free.len()));
            let room = max - messages.len();
            let wanted = if short { 1 + self.random.index(room) } else { room };
            let Some(entries) = self.groups.get_mut(&group) else { continue };
            for entry in entries.iter_mut().take(wanted) {
                self.receipts += 1;
                entry.receipt = self.receipts;
                entry.receives += 1;
                entry.hidden_until = Some(now + VISIBILITY);
                messages.push(Message {
                    pack: Arc::clone(&entry.pack),
                    sequence: entry.sequence,
                    receives: entry.receives,
                    receipt: Receipt::Number(u64::try_from(entry.sequence.number).unwrap_or(u64::MAX), self.receipts),
                    position: entry.position,
                });
            }
        }
        messages
    }

    fn find(&self, receipt: &Receipt) -> Result<Option<(GroupId, usize)>, PortError> {
        let Receipt::Number(number, _) = receipt else {
            return Err(PortError::Invalid("a receipt of another queue".to_owned()));
        };
        let number = u128::from(*number);
        let place = |(group, entries): (&GroupId, &VecDeque<Entry>)| {
            entries.iter().position(|entry| entry.sequence.number == number).map(|index| (*group, index))
        };
        Ok(self.groups.iter().find_map(place))
    }

    /// Acknowledges. A receipt is worthless once the message was received again, and may be refused once it expired.
    pub fn delete(&mut self, receipt: &Receipt, now: Time, late_is_honoured: bool) -> Result<(), PortError> {
        // Deleting what is deleted already is no error.
        let Some((group, index)) = self.find(receipt)? else { return Ok(()) };
        let Some(entries) = self.groups.get_mut(&group) else { return Ok(()) };
        let entry = &entries[index];
        let last = matches!(receipt, Receipt::Number(_, serial) if *serial == entry.receipt);
        if !last || (entry.is_visible(now) && !late_is_honoured) {
            return Err(PortError::Conflict);
        }
        entries.remove(index);
        Ok(())
    }

    pub fn give_back(&mut self, receipt: &Receipt, now: Time) -> Result<(), PortError> {
        let Some((group, index)) = self.find(receipt)? else { return Err(PortError::Conflict) };
        let Some(entries) = self.groups.get_mut(&group) else { return Err(PortError::Conflict) };
        let entry = &mut entries[index];
        let last = matches!(receipt, Receipt::Number(_, serial) if *serial == entry.receipt);
        if !last || entry.is_visible(now) {
            return Err(PortError::Conflict);
        }
        entry.hidden_until = None;
        Ok(())
    }

    pub fn forget_in_flight(&mut self) {
        for entry in self.entries_mut() {
            (entry.hidden_until, entry.receipt) = (None, 0);
        }
    }

    pub fn lag(&self) -> (u64, Option<Time>) {
        (self.len() as u64, self.entries().map(|entry| entry.sent_at).min())
    }

    pub fn len(&self) -> usize {
        self.groups.values().map(VecDeque::len).sum()
    }

    /// The messages of a group that are not acknowledged.
    pub fn sequences(&self, group: &GroupId) -> impl Iterator<Item = PackSequence> {
        self.groups.get(group).into_iter().flatten().map(|entry| entry.sequence)
    }

    pub fn holds(&self, sequence: PackSequence) -> bool {
        self.entries().any(|entry| entry.sequence == sequence)
    }

    /// True if the message that lies at a position of the log is not acknowledged.
    pub fn has_at(&self, position: LogPosition) -> bool {
        self.entries().any(|entry| entry.position == Some(position))
    }

    pub fn history(&self) -> &[Queued] {
        &self.history
    }
}
