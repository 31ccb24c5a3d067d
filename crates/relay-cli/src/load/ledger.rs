//! What arrived at each subscriber: checked for order, losses and repeats as it comes, in a few bytes per key.

use super::marker::Marker;
use super::published::Published;
use super::stopwatch::{Nanos, Window};
use hdrhistogram::Histogram;
use std::collections::BTreeSet;

/// The subscribers' side of the books.
#[derive(Debug)]
pub struct Ledger {
    run: u64,
    window: Window,
    keys: usize,
    accounts: Vec<Account>,
    strangers: u64,
}

/// What one subscriber has received.
#[derive(Clone, Debug)]
pub struct Account {
    lanes: Vec<Lane>,
    delivered: u64,
    delivered_in_window: u64,
    duplicates: u64,
    out_of_order: u64,
    latency: Histogram<u64>,
    last_arrival: Nanos,
}

/// What one subscriber has received of one key.
#[derive(Clone, Debug, Default)]
struct Lane {
    /// The number after the highest that came.
    end: u32,
    /// Lower ones that did not come.
    gaps: BTreeSet<u32>,
}

impl Ledger {
    /// Empty books of a run.
    ///
    /// # Errors
    /// If the histograms' bounds are refused.
    pub fn new(run: u64, keys: usize, subscribers: usize, window: Window) -> anyhow::Result<Ledger> {
        let account = Account::new(keys)?;
        Ok(Ledger { run, window, keys, accounts: vec![account; subscribers], strangers: 0 })
    }

    /// Begins another measured window: latencies and rates start anew, the checks go on.
    pub fn measure(&mut self, window: Window) {
        self.window = window;
        for account in &mut self.accounts {
            account.latency.reset();
            account.delivered_in_window = 0;
        }
    }

    /// Enters one delivery that the subscriber accepted.
    pub fn enter(&mut self, subscriber: usize, marker: &Marker, now: Nanos) {
        let known = marker.run == self.run && (marker.key as usize) < self.keys;
        match self.accounts.get_mut(subscriber) {
            Some(account) if known => account.enter(marker, now, self.window),
            _ => self.strangers += 1,
        }
    }

    /// The accounts, by subscriber.
    #[must_use]
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// Deliveries that belong to no event or subscriber of this run.
    #[must_use]
    pub fn strangers(&self) -> u64 {
        self.strangers
    }
}

impl Account {
    fn new(keys: usize) -> anyhow::Result<Account> {
        Ok(Account {
            lanes: vec![Lane::default(); keys],
            delivered: 0,
            delivered_in_window: 0,
            duplicates: 0,
            out_of_order: 0,
            latency: histogram()?,
            last_arrival: 0,
        })
    }

    fn enter(&mut self, marker: &Marker, now: Nanos, window: Window) {
        match self.lanes[marker.key as usize].enter(marker.number) {
            Arrival::Next => {}
            Arrival::Late => self.out_of_order += 1,
            Arrival::Repeat => {
                self.duplicates += 1;
                return;
            }
        }
        self.delivered += 1;
        self.last_arrival = now;
        if window.contains(now) {
            self.delivered_in_window += 1;
        }
        if window.contains(marker.at) {
            self.latency.saturating_record(now.saturating_sub(marker.at) / 1000);
        }
    }

    /// Events that arrived, each counted once.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Those of them that arrived within the window.
    #[must_use]
    pub fn delivered_in_window(&self) -> u64 {
        self.delivered_in_window
    }

    /// Arrivals of events that had arrived before.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Events that arrived first after a later event of their key.
    #[must_use]
    pub fn out_of_order(&self) -> u64 {
        self.out_of_order
    }

    /// When the last event arrived for the first time.
    #[must_use]
    pub fn last_arrival(&self) -> Nanos {
        self.last_arrival
    }

    /// Microseconds from the time that an event was meant to be sent to its first arrival, of events meant to be sent
    /// within the window.
    #[must_use]
    pub fn latency(&self) -> &Histogram<u64> {
        &self.latency
    }

    /// Events that were accepted and have not arrived.
    #[must_use]
    pub fn missing(&self, published: &Published) -> u64 {
        let mut missing = 0;
        for (key, lane) in (0_u32..).zip(&self.lanes) {
            let tail = lane.end..published.end(key).max(lane.end);
            missing +=
                lane.gaps.iter().copied().chain(tail).filter(|number| published.was_accepted(key, *number)).count()
                    as u64;
        }
        missing
    }
}

enum Arrival {
    Next,
    Late,
    Repeat,
}

impl Lane {
    fn enter(&mut self, number: u32) -> Arrival {
        if number >= self.end {
            self.gaps.extend(self.end..number);
            self.end = number + 1;
            return Arrival::Next;
        }
        if self.gaps.remove(&number) { Arrival::Late } else { Arrival::Repeat }
    }
}

/// A histogram of microseconds, from one to an hour, to three digits.
///
/// # Errors
/// If its bounds are refused.
pub fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 3_600_000_000, 3)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: u64 = 7;

    fn arrivals(numbers: &[u32]) -> Ledger {
        let mut ledger = Ledger::new(RUN, 2, 1, Window { from: 0, to: 1_000_000 }).unwrap();
        for number in numbers {
            ledger.enter(0, &Marker { run: RUN, key: 1, number: *number, at: 0 }, 5_000);
        }
        ledger
    }

    fn published(count: u32, refused: &[u32]) -> Published {
        let mut published = Published::new(2);
        for _ in 0..count {
            published.take(1);
        }
        published.refuse(refused.iter().map(|number| (1, *number)), String::new);
        published
    }

    fn counts(ledger: &Ledger) -> (u64, u64, u64) {
        let account = &ledger.accounts()[0];
        (account.delivered(), account.out_of_order(), account.duplicates())
    }

    #[test]
    fn events_in_order_are_just_delivered() {
        let ledger = arrivals(&[0, 1, 2]);
        assert_eq!(counts(&ledger), (3, 0, 0));
        assert_eq!(ledger.accounts()[0].missing(&published(3, &[])), 0);
    }

    #[test]
    fn an_event_after_a_later_one_is_out_of_order_and_no_loss() {
        let ledger = arrivals(&[0, 2, 1, 3]);
        assert_eq!(counts(&ledger), (4, 1, 0));
        assert_eq!(ledger.accounts()[0].missing(&published(4, &[])), 0);
    }

    #[test]
    fn a_repeat_is_a_duplicate_and_breaks_no_order() {
        assert_eq!(counts(&arrivals(&[0, 1, 0, 1, 1, 2])), (3, 0, 3));
    }

    #[test]
    fn gaps_and_an_absent_tail_are_losses_unless_the_event_was_never_accepted() {
        let ledger = arrivals(&[0, 3]);
        let account = &ledger.accounts()[0];
        assert_eq!(account.missing(&published(6, &[])), 4);
        assert_eq!(account.missing(&published(6, &[1, 5])), 2);
        assert_eq!(account.missing(&published(6, &[1, 2, 4, 5])), 0);
    }

    #[test]
    fn latency_counts_from_the_intended_time_and_within_the_window_only() {
        let mut ledger = arrivals(&[]);
        ledger.enter(0, &Marker { run: RUN, key: 0, number: 0, at: 2_000 }, 902_000);
        ledger.enter(0, &Marker { run: RUN, key: 0, number: 1, at: 2_000_000 }, 9_000_000);
        let account = &ledger.accounts()[0];
        assert_eq!((account.latency().len(), account.latency().max()), (1, 900));
        assert_eq!((account.delivered(), account.delivered_in_window()), (2, 1));
    }

    #[test]
    fn deliveries_of_another_run_are_kept_apart() {
        let mut ledger = arrivals(&[0]);
        ledger.enter(0, &Marker { run: RUN + 1, key: 1, number: 1, at: 0 }, 1);
        ledger.enter(9, &Marker { run: RUN, key: 1, number: 1, at: 0 }, 1);
        ledger.enter(0, &Marker { run: RUN, key: 99, number: 1, at: 0 }, 1);
        assert_eq!((counts(&ledger), ledger.strangers()), ((1, 0, 0), 3));
    }
}
