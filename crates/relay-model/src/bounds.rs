//! What a run explores: how much of everything there is, and what may happen.

/// Lanes that a state has room for.
pub(crate) const LANES: usize = 2;
/// Messages that a state has room for.
pub(crate) const MESSAGES: usize = 3;
/// Backlog keys that a lane has room for: events and messages together.
pub(crate) const KEYS: usize = 6;

/// Who changes the subscription's status meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Admin {
    /// Nobody: it is active.
    None,
    /// Pause and resume, so many times.
    Pause(u8),
    /// The circuit opens so many times, and a probe closes it.
    Circuit(u8),
    /// A rewind to this event. `anywhere`: also before the events up to there have been delivered.
    Rewind { position: u8, anywhere: bool },
    /// Skip (from active or paused) and catch up, perhaps with a second skip at any time.
    CatchUp { twice: bool },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub lanes: usize,
    /// Events per message; 0 = no such message.
    pub events: [u8; MESSAGES],
    /// Crashes, ends of leases and visibility under a living holder, time-outs after the effect, lost or repeated wake-ups.
    pub faults: u8,
    pub admin: Admin,
    /// Events that go into one request.
    pub request: u8,
    /// Dispatch may lose patience.
    pub detach: bool,
    /// A table write times out after its effect, and is repeated.
    pub write_timeouts: bool,
    /// A holder may start a request although its lease, or its visibility, has just run out (skewed clock, long stall).
    pub skew: bool,
    /// The backlog is read item by item between two readings of the version; else all at one instant.
    pub torn_reads: bool,
    /// Versions are counted from 1 in each life of a lane item, as the table does it. Otherwise it is taken as proved
    /// that a version is never compared across lives, which makes for fewer states.
    pub counted_versions: bool,
    /// Wake-ups are messages (lost, repeated, early); otherwise any due lane may be taken, as sweep sees to that anyway.
    pub wake_ups: bool,
    /// The subscription has a rate limit: dispatch delivers nothing.
    pub rate_limited: bool,
    /// Events may be given up, and dead letters put back.
    pub dead_letters: bool,
    /// Dispatch reads the state again in the middle of a batch.
    pub reads_again: bool,
    /// Status and lanes are not read at one instant: first the one, then the others.
    pub split_read: bool,
    /// A former job of the same kind may live on.
    pub former_jobs: bool,
}

impl Bounds {
    pub fn new(events: [u8; MESSAGES], faults: u8) -> Bounds {
        Bounds {
            lanes: 1,
            events,
            faults,
            admin: Admin::None,
            request: 1,
            detach: true,
            write_timeouts: true,
            skew: true,
            torn_reads: false,
            counted_versions: false,
            wake_ups: false,
            rate_limited: false,
            dead_letters: false,
            reads_again: false,
            split_read: false,
            former_jobs: false,
        }
    }

    pub fn messages(&self) -> usize {
        self.events.iter().filter(|events| **events > 0).count()
    }

    /// The messages, as a set.
    pub fn all_messages(&self) -> u8 {
        (1 << self.messages()) - 1
    }

    /// Number of the event at `index` of `message`.
    pub fn event(&self, message: u8, index: u8) -> u8 {
        self.events[..usize::from(message)].iter().sum::<u8>() + index
    }

    pub fn all_events(&self) -> u8 {
        ((1u16 << self.events.iter().sum::<u8>()) - 1) as u8
    }

    /// The backlog keys, in order: of each message its single events (dead letters put back), then the rest of the pack.
    pub fn key_count(&self) -> u8 {
        self.events.iter().map(|events| if *events > 0 { events + 1 } else { 0 }).sum()
    }

    /// Key of what is left of a message.
    pub fn rest(&self, message: u8) -> u8 {
        self.single(message, self.events[usize::from(message)])
    }

    /// Key of one event of a message.
    pub fn single(&self, message: u8, index: u8) -> u8 {
        self.event(message, index) + message
    }

    /// The message that a key belongs to.
    pub fn message_of(&self, key: u8) -> u8 {
        (0..MESSAGES as u8).find(|message| self.rest(*message) >= key).unwrap_or(0)
    }

    /// True if nothing is ever put under this key.
    pub fn is_unused(&self, key: u8) -> bool {
        !self.dead_letters && self.rest(self.message_of(key)) != key
    }

    /// The message and index of an event.
    pub fn place_of(&self, event: u8) -> (u8, u8) {
        let message = (0..MESSAGES as u8)
            .rfind(|message| self.events[usize::from(*message)] > 0 && self.event(*message, 0) <= event);
        message.map_or((0, event), |message| (message, event - self.event(message, 0)))
    }

    /// Index in `message` at which a rewind begins; none if the message lies before the position.
    pub fn rewind_index(&self, message: u8) -> Option<u8> {
        let Admin::Rewind { position, .. } = self.admin else { return None };
        let first = self.event(message, 0);
        (first + self.events[usize::from(message)] > position).then(|| position.saturating_sub(first))
    }

    /// True if somebody reads the log.
    pub fn log_is_read(&self) -> bool {
        matches!(self.admin, Admin::Rewind { .. } | Admin::CatchUp { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_single_events_before_the_rest_of_their_pack() {
        let bounds = Bounds::new([2, 1, 0], 0);
        assert_eq!((bounds.single(0, 0), bounds.single(0, 1), bounds.rest(0)), (0, 1, 2));
        assert_eq!((bounds.single(1, 0), bounds.rest(1), bounds.key_count()), (3, 4, 5));
        assert_eq!((0..5).map(|key| bounds.message_of(key)).collect::<Vec<_>>(), [0, 0, 0, 1, 1]);
        assert_eq!((0..3).map(|event| bounds.place_of(event)).collect::<Vec<_>>(), [(0, 0), (0, 1), (1, 0)]);
    }
}
