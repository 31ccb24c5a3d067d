//! The front of the queue: messages that may be received now or soon, in memory.

use relay_core::pack::{GroupId, Pack};
use relay_core::time::Time;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// Most bytes of packs that are kept; others are read again when they are received.
const CACHED_BYTES: usize = 8 * 1024 * 1024;

/// A message's pack, and what it keeps in memory.
pub(crate) type Cached = (Arc<Pack>, usize);

#[derive(Debug)]
struct Entry {
    group: GroupId,
    at: Time,
    receives: u32,
    pack: Option<Cached>,
    /// While it is in flight: which receive it was, and until when it is hidden.
    flight: Option<(u64, Time)>,
}

#[derive(Debug, Default)]
struct Group {
    /// Positions of its messages that are not acknowledged, in order; those in flight are the first.
    messages: VecDeque<u64>,
    in_flight: usize,
    /// It stands in `Window::ready`.
    is_ready: bool,
}

/// A message that was taken out to be received.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) position: u64,
    pub(crate) at: Time,
    pub(crate) receives: u32,
    pub(crate) flight: u64,
    /// None if it has to be read from the log.
    pub(crate) pack: Option<Arc<Pack>>,
}

/// Messages in the order they were sent, by group.
#[derive(Debug, Default)]
pub(crate) struct Window {
    entries: BTreeMap<u64, Entry>,
    groups: HashMap<GroupId, Group>,
    /// Groups with a message to receive and none in flight, in the order they became so.
    ready: VecDeque<GroupId>,
    hidden: BTreeSet<(Time, u64)>,
    flights: u64,
    cached_bytes: usize,
}

impl Window {
    /// Adds a message behind all others.
    pub(crate) fn push(&mut self, position: u64, at: Time, group: GroupId, receives: u32, pack: Option<Cached>) {
        let pack = pack.filter(|(_, bytes)| self.cached_bytes + bytes <= CACHED_BYTES);
        self.cached_bytes += pack.as_ref().map_or(0, |(_, bytes)| *bytes);
        self.entries.insert(position, Entry { group, at, receives, pack, flight: None });
        let members = self.groups.entry(group).or_default();
        members.messages.push_back(position);
        self.check_ready(group);
    }

    fn check_ready(&mut self, id: GroupId) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        if group.messages.is_empty() {
            self.groups.remove(&id);
        } else if group.in_flight == 0 && !group.is_ready {
            group.is_ready = true;
            self.ready.push_back(id);
        }
    }

    /// Takes up to `max` messages and hides them until a time: the first one of as many groups as there are, then
    /// what follows in these.
    pub(crate) fn receive(&mut self, max: usize, until: Time) -> Vec<Taken> {
        let mut groups = Vec::new();
        while groups.len() < max {
            let Some(id) = self.ready.pop_front() else { break };
            if let Some(group) = self.groups.get_mut(&id) {
                group.is_ready = false;
                groups.push((id, 1));
            }
        }
        let mut room = max - groups.len();
        for (id, count) in &mut groups {
            let waiting = self.groups.get(id).map_or(0, |group| group.messages.len());
            let more = room.min(waiting.saturating_sub(1));
            *count += more;
            room -= more;
        }
        let mut taken = Vec::new();
        for (id, count) in groups {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            group.in_flight = count;
            for position in group.messages.iter().take(count) {
                let Some(entry) = self.entries.get_mut(position) else { continue };
                self.flights += 1;
                entry.receives = entry.receives.saturating_add(1);
                entry.flight = Some((self.flights, until));
                self.hidden.insert((until, *position));
                taken.push(Taken {
                    position: *position,
                    at: entry.at,
                    receives: entry.receives,
                    flight: self.flights,
                    pack: entry.pack.as_ref().map(|(pack, _)| pack.clone()),
                });
            }
        }
        taken
    }

    /// Removes a message for good; false if it is not in that flight any more.
    pub(crate) fn acknowledge(&mut self, position: u64, flight: u64) -> bool {
        let Some(id) = self.land(position, flight) else { return false };
        if let Some(entry) = self.entries.remove(&position) {
            self.cached_bytes -= entry.pack.map_or(0, |(_, bytes)| bytes);
        }
        if let Some(group) = self.groups.get_mut(&id)
            && let Some(index) = group.messages.iter().position(|message| *message == position)
        {
            group.messages.remove(index);
        }
        self.check_ready(id);
        true
    }

    /// Makes a message visible again; false if it is not in that flight any more.
    pub(crate) fn give_back(&mut self, position: u64, flight: u64) -> bool {
        let Some(id) = self.land(position, flight) else { return false };
        self.check_ready(id);
        true
    }

    fn land(&mut self, position: u64, flight: u64) -> Option<GroupId> {
        let entry = self.entries.get_mut(&position)?;
        let (_, until) = entry.flight.take_if(|(number, _)| *number == flight)?;
        let id = entry.group;
        self.hidden.remove(&(until, position));
        if let Some(group) = self.groups.get_mut(&id) {
            group.in_flight = group.in_flight.saturating_sub(1);
        }
        Some(id)
    }

    /// Makes visible what was hidden until now.
    pub(crate) fn show(&mut self, now: Time) {
        while let Some(&(until, position)) = self.hidden.first()
            && until <= now
        {
            let flight = self.entries.get(&position).and_then(|entry| entry.flight);
            match flight {
                Some((flight, _)) => {
                    self.give_back(position, flight);
                }
                None => {
                    self.hidden.pop_first();
                }
            }
        }
    }

    /// When the next hidden message becomes visible.
    pub(crate) fn next_shown(&self) -> Option<Time> {
        self.hidden.first().map(|(until, _)| *until)
    }

    /// True if there is a message to receive.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Number of messages.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// When the first message was sent.
    pub(crate) fn oldest(&self) -> Option<Time> {
        self.entries.first_key_value().map(|(_, entry)| entry.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn group(number: u8) -> GroupId {
        GroupId([number; 16])
    }

    #[test]
    fn each_ready_group_gives_one_before_any_gives_two() {
        let mut window = Window::default();
        for (position, number) in [(1, 1), (2, 1), (3, 1), (4, 2)] {
            window.push(position, Time(0), group(number), 0, None);
        }
        let mut taken: Vec<_> = window.receive(2, Time(9)).iter().map(|taken| taken.position).collect();
        taken.sort_unstable();
        assert_eq!(taken, [1, 4]);
        assert!(!window.has_ready());
        window.show(Time(9));
        let taken: Vec<_> = window.receive(9, Time(18)).iter().map(|taken| taken.position).collect();
        assert!(taken == [1, 2, 3, 4] || taken == [4, 1, 2, 3], "{taken:?}");
    }

    #[derive(Clone, Debug)]
    enum Act {
        Push(u8),
        Receive(usize),
        Acknowledge(usize),
        GiveBack(usize),
        Pass,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (0u8..4).prop_map(Act::Push),
            3 => (1usize..5).prop_map(Act::Receive),
            3 => (0usize..8).prop_map(Act::Acknowledge),
            1 => (0usize..8).prop_map(Act::GiveBack),
            1 => Just(Act::Pass),
        ]
    }

    proptest! {
        /// Whatever happens: of a group the first messages that are not acknowledged come, in order, and nothing
        /// comes while something of it is in flight; in the end everything has come.
        #[test]
        fn groups_are_served_in_order_and_by_one_at_a_time(acts in proptest::collection::vec(act(), 1..200)) {
            let mut window = Window::default();
            let (mut next, mut now) = (1, 0);
            let mut waiting: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
            let mut flights: Vec<(u8, u64, u64)> = Vec::new();
            let finish = std::iter::repeat_n([Act::Pass, Act::Receive(4), Act::Acknowledge(0), Act::Acknowledge(0),
                Act::Acknowledge(0), Act::Acknowledge(0)], 200).flatten();
            for act in acts.into_iter().chain(finish) {
                match act {
                    Act::Push(number) => {
                        window.push(next, Time(now), group(number), 0, None);
                        waiting.entry(number).or_default().push(next);
                        next += 1;
                    }
                    Act::Receive(max) => {
                        let busy: Vec<u8> = flights.iter().map(|flight| flight.0).collect();
                        let taken = window.receive(max, Time(now + 10));
                        prop_assert!(taken.len() <= max);
                        let mut counts: BTreeMap<u8, usize> = BTreeMap::new();
                        for one in taken {
                            let number = window.entries[&one.position].group.0[0];
                            prop_assert!(!busy.contains(&number));
                            let count = counts.entry(number).or_default();
                            prop_assert_eq!(waiting[&number][*count], one.position);
                            *count += 1;
                            flights.push((number, one.position, one.flight));
                        }
                    }
                    Act::Acknowledge(which) if which < flights.len() => {
                        let (number, position, flight) = flights.remove(which);
                        prop_assert!(!window.acknowledge(position, flight + 1_000_000));
                        prop_assert!(window.acknowledge(position, flight));
                        prop_assert!(!window.acknowledge(position, flight));
                        waiting.get_mut(&number).unwrap().retain(|one| *one != position);
                    }
                    Act::GiveBack(which) if which < flights.len() => {
                        let (_, position, flight) = flights.remove(which);
                        prop_assert!(window.give_back(position, flight));
                        prop_assert!(!window.acknowledge(position, flight));
                    }
                    Act::Pass => {
                        now += 10;
                        window.show(Time(now));
                        flights.clear();
                    }
                    Act::Acknowledge(_) | Act::GiveBack(_) => {}
                }
            }
            prop_assert!(waiting.values().all(Vec::is_empty));
            prop_assert_eq!((window.len(), window.groups.len(), window.hidden.len()), (0, 0, 0));
        }
    }
}
