//! The queue: which rows of the log are still to be dispatched, and in which order.
//!
//! A message is received from memory; only what is far behind, or did not fit, is read from the log again.

pub(crate) mod acks;
mod dedup;
pub(crate) mod intake;
mod port;
mod window;

pub(crate) use port::QueuePort;

use crate::sync::lock;
use acks::{Acks, Unwritten};
use intake::{Given, Prepared};
use relay_core::pack::GroupId;
use relay_core::time::Time;
use std::sync::Mutex;
use tokio::sync::{Notify, watch};
use window::{Taken, Window};

/// Most messages that are kept in memory; those behind them are loaded as these go.
const MOST: usize = 16_384;
/// Messages loaded at once.
const LOAD: usize = 2_048;

/// The queue in memory.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// There may be something to receive.
    arrived: Notify,
    /// The last position that is committed, for those who wait for the next one.
    committed: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    acks: Acks,
    window: Window,
    /// Messages up to this position are acknowledged or in the window.
    through: u64,
    /// The last position that is committed.
    last: u64,
    unacknowledged: u64,
    /// Somebody is loading.
    loading: bool,
    /// Messages up to each of these positions may have been received before a crash.
    crashes: Vec<u64>,
}

/// A row of the log that is to be loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) position: u64,
    pub(crate) at: Time,
    pub(crate) group: GroupId,
}

/// A piece of the log to load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    from: u64,
    through: u64,
}

impl State {
    /// Rows that are not there have expired, and were acknowledged before: the note of that was lost.
    fn pass_over(&mut self, from: u64, to: u64) {
        let mut position = self.acks.first_unset(from);
        while position < to {
            self.acks.set(position);
            self.unacknowledged = self.unacknowledged.saturating_sub(1);
            position = self.acks.first_unset(position + 1);
        }
    }

    fn receives(&self, position: u64) -> u32 {
        let before = self.crashes.iter().filter(|through| position <= **through).count();
        u32::try_from(before).unwrap_or(u32::MAX)
    }
}

impl Queue {
    /// The queue as it was left: `last` is the last position that was given out.
    pub(crate) fn new(acks: Acks, last: u64, crashes: Vec<u64>) -> Queue {
        let (unacknowledged, through) = (acks.unset_through(last), acks.first_unset(1) - 1);
        let window = Window::default();
        let state = State { acks, window, through, last, unacknowledged, loading: false, crashes };
        Queue { state: Mutex::new(state), arrived: Notify::new(), committed: watch::Sender::new(last) }
    }

    /// Packs were accepted: in order, and all that were since the last call.
    pub(crate) fn arrived<'a>(&self, packs: impl Iterator<Item = (&'a Prepared, Given)>) {
        let mut state = lock(&self.state);
        let before = state.last;
        for (prepared, given) in packs {
            let position = given.position.unique;
            // Behind what is not loaded, nothing is kept: order goes before speed.
            if state.through == state.last && state.window.len() < MOST {
                state.through = position;
                let cached = Some((prepared.pack.clone(), prepared.pack.size()));
                state.window.push(position, given.position.at, prepared.group, 0, cached);
            }
            state.last = position;
            state.unacknowledged += 1;
        }
        let last = state.last;
        drop(state);
        if last > before {
            self.committed.send_replace(last);
            self.arrived.notify_one();
        }
    }

    /// What is to be loaded, if it is time to; then nobody else does until [`Queue::loaded`].
    fn begin_load(&self) -> Option<Load> {
        let mut state = lock(&self.state);
        let wanted = state.through < state.last && state.window.len() <= MOST / 2 && !state.loading;
        if !wanted {
            return None;
        }
        let from = state.acks.first_unset(state.through + 1);
        if from > state.last {
            state.through = state.last;
            return None;
        }
        state.loading = true;
        Some(Load { from, through: state.last })
    }

    /// What was to be loaded, from its beginning: all of it, or [`LOAD`] rows.
    fn loaded(&self, load: Load, rows: &[Row]) {
        let mut state = lock(&self.state);
        state.loading = false;
        let mut next = load.from;
        for row in rows {
            state.pass_over(next, row.position);
            next = row.position + 1;
            if !state.acks.contains(row.position) {
                let receives = state.receives(row.position);
                state.window.push(row.position, row.at, row.group, receives, None);
            }
        }
        if rows.len() < LOAD {
            state.pass_over(next, load.through + 1);
            next = load.through + 1;
        }
        state.through = next - 1;
        drop(state);
        self.arrived.notify_one();
    }

    fn load_failed(&self) {
        lock(&self.state).loading = false;
    }

    fn receive(&self, max: usize, now: Time, until: Time) -> (Vec<Taken>, Option<Time>) {
        let mut state = lock(&self.state);
        state.window.show(now);
        let taken = state.window.receive(max, until);
        let next = state.window.next_shown();
        let is_more = state.window.has_ready();
        drop(state);
        if is_more {
            self.arrived.notify_one();
        }
        (taken, next)
    }

    fn acknowledge(&self, position: u64, flight: u64) -> bool {
        let mut state = lock(&self.state);
        if !state.window.acknowledge(position, flight) {
            return false;
        }
        if state.acks.set(position) {
            state.unacknowledged = state.unacknowledged.saturating_sub(1);
        }
        true
    }

    fn give_back(&self, position: u64, flight: u64) -> bool {
        lock(&self.state).window.give_back(position, flight)
    }

    /// There may be something to receive.
    fn wake(&self) {
        self.arrived.notify_one();
    }

    /// Number of messages that are not acknowledged, and when the first one was sent, if that is known.
    fn lag(&self) -> (u64, Option<Time>) {
        let state = lock(&self.state);
        (state.unacknowledged, state.window.oldest())
    }

    /// The first position that is not acknowledged, if there is one.
    pub(crate) fn first_unacknowledged(&self) -> Option<u64> {
        let state = lock(&self.state);
        Some(state.acks.first_unset(1)).filter(|first| *first <= state.last)
    }

    fn has_acknowledged(&self, position: u64) -> bool {
        lock(&self.state).acks.contains(position)
    }

    /// Those of some positions that are acknowledged.
    pub(crate) fn acknowledged(&self, positions: &[u64]) -> Vec<u64> {
        let state = lock(&self.state);
        positions.iter().copied().filter(|position| state.acks.contains(*position)).collect()
    }

    /// Tells of commits after this call.
    pub(crate) fn commits(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    /// The last position that is committed.
    pub(crate) fn last(&self) -> u64 {
        lock(&self.state).last
    }

    pub(crate) fn take_unwritten_acks(&self) -> Unwritten {
        lock(&self.state).acks.take_unwritten()
    }

    pub(crate) fn put_back_unwritten_acks(&self, unwritten: &Unwritten) {
        lock(&self.state).acks.put_back(unwritten);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_gone_are_not_waited_for() {
        let queue = Queue::new(Acks::restore(0, []).unwrap(), 9, vec![]);
        let load = queue.begin_load().unwrap();
        assert_eq!((load.from, load.through, queue.lag().0), (1, 9, 9));
        assert!(queue.begin_load().is_none(), "one load at a time");
        let row = |position| Row { position, at: Time(7), group: GroupId([1; 16]) };
        queue.loaded(load, &[row(3), row(4), row(8)]);
        assert_eq!(queue.lag(), (3, Some(Time(7))));
        assert!(queue.begin_load().is_none(), "everything is loaded");
        let (taken, _) = queue.receive(9, Time(8), Time(99));
        assert_eq!(taken.iter().map(|taken| taken.position).collect::<Vec<_>>(), [3, 4, 8]);
        assert!(taken.iter().all(|taken| queue.acknowledge(taken.position, taken.flight)));
        assert_eq!((queue.lag(), queue.first_unacknowledged()), ((0, None), None));
    }
}
