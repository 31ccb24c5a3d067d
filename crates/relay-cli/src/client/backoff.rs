//! Pauses between tries.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);
/// A broker that asks for more is asked again after this.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// Pauses that double, from a fifth of a second to five.
#[derive(Clone, Copy, Debug)]
pub struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff(FIRST)
    }
}

impl Backoff {
    /// How long to wait before the next try: what the broker asked for, if that is longer, up to a minute.
    pub fn next(&mut self, asked: Option<Duration>) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST);
        pause.max(asked.unwrap_or_default().min(LONGEST_ASKED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_limit_and_are_no_shorter_than_asked_for() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..7).map(|_| backoff.next(None).as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 5000, 5000]);
        for (asked, waited) in [(1, 5), (30, 30), (86_400, 60)] {
            assert_eq!(backoff.next(Some(Duration::from_secs(asked))), Duration::from_secs(waited));
        }
    }
}
