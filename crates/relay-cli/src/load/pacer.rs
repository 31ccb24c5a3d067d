//! The clockwork of open-loop load: tells when each request was meant to be sent, whatever the broker does.

use super::stopwatch::{Nanos, Stopwatch};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// When requests are meant to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// When the first one is.
    pub start: Nanos,
    /// Time between two.
    pub interval: Duration,
    /// How many there are.
    pub count: u64,
}

/// Hands out the times to senders in turn, each at its time. A thread of its own, since a runtime's timers go by the
/// millisecond, which is as much as a broker may take.
///
/// Ends early if nobody listens any more.
#[must_use]
pub fn pace(schedule: Schedule, senders: usize, stopwatch: Stopwatch) -> Vec<UnboundedReceiver<Nanos>> {
    let (outlets, inlets): (Vec<UnboundedSender<Nanos>>, Vec<_>) = (0..senders).map(|_| unbounded_channel()).unzip();
    thread::spawn(move || {
        let interval = schedule.interval.as_secs_f64() * 1e9;
        for (number, outlet) in (0..schedule.count).zip(outlets.iter().cycle()) {
            let at = schedule.start + (number as f64 * interval) as Nanos;
            sleep_until(stopwatch.instant(at));
            if outlet.send(at).is_err() {
                break;
            }
        }
    });
    inlets
}

fn sleep_until(moment: Instant) {
    let left = moment.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        thread::sleep(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn times_are_handed_out_in_turn_and_not_early() {
        let stopwatch = Stopwatch::start();
        let schedule = Schedule { start: 1_000_000, interval: Duration::from_micros(500), count: 6 };
        let mut outlets = pace(schedule, 2, stopwatch);
        let mut times = Vec::new();
        for number in 0..6 {
            let at = outlets[number % 2].recv().await.unwrap();
            assert!(stopwatch.now() >= at, "handed out early");
            times.push(at);
        }
        assert_eq!(times, [1_000_000, 1_500_000, 2_000_000, 2_500_000, 3_000_000, 3_500_000]);
        assert_eq!(outlets[0].recv().await, None, "all were handed out");
    }
}
