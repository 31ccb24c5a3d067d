//! The circuit of a subscription: when so much fails in a row that attempts are pointless for a while.

use crate::pack::LaneId;
use std::time::Duration;

/// Transient failures in a row that open a circuit.
pub const FAILURES_TO_OPEN: u32 = 20;
/// On at least so many lanes: one poisoned event must not open it.
pub const LANES_TO_OPEN: usize = 3;

/// Counts the transient failures in a row of one subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circuit {
    failures: u32,
    lanes: Vec<LaneId>,
}

impl Circuit {
    /// Counts a transient failure on a lane; true if the circuit is to be opened.
    pub fn failed(&mut self, lane: LaneId) -> bool {
        self.failures = self.failures.saturating_add(1);
        if self.lanes.len() < LANES_TO_OPEN && !self.lanes.contains(&lane) {
            self.lanes.push(lane);
        }
        self.failures >= FAILURES_TO_OPEN && self.lanes.len() >= LANES_TO_OPEN
    }

    /// Failures in a row so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Something was delivered, or the circuit was opened: counting starts anew.
    pub fn reset(&mut self) {
        self.failures = 0;
        self.lanes.clear();
    }
}

/// Delay before the next probe of an open circuit, after so many that failed: 10 s, doubling to 5 min.
pub fn probe_delay(failed_probes: u32) -> Duration {
    Duration::from_secs((10u64 << failed_probes.min(8)).min(300))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(number: u8) -> LaneId {
        LaneId([number; 16])
    }

    #[test]
    fn it_opens_after_twenty_failures_in_a_row_on_three_lanes() {
        let mut circuit = Circuit::default();
        let opened = (0..40).find(|number| circuit.failed(lane(*number as u8 % 3)));
        assert_eq!(opened, Some(19));
        circuit.reset();
        assert!(!circuit.failed(lane(1)));
    }

    #[test]
    fn one_poisoned_lane_does_not_open_it() {
        let mut circuit = Circuit::default();
        assert!((0..1000).all(|number| !circuit.failed(lane(number as u8 % 2))));
    }

    #[test]
    fn probes_back_off_to_five_minutes() {
        let seconds: Vec<u64> = (0..7).map(|failed| probe_delay(failed).as_secs()).collect();
        assert_eq!(seconds, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(probe_delay(u32::MAX).as_secs(), 300);
    }
}
