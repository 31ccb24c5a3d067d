//! What arrived, held against what was promised.

use anstyle::{AnsiColor, Style};
use std::fmt;

/// The demo's verdict.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// One for each webhook.
    pub lines: Vec<Line>,
    /// Events that the broker did not accept.
    pub refused: u64,
    /// Why the first of them was not.
    pub first_refusal: Option<String>,
    /// Requests whose signature did not verify.
    pub unverified: u64,
}

/// What one webhook had.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name.
    pub name: &'static str,
    /// Events that arrived.
    pub delivered: u64,
    /// Events that should have.
    pub accepted: u64,
    /// Events that came after a later one of their key.
    pub out_of_order: u64,
    /// Events that never came.
    pub lost: u64,
    /// Arrivals of events that had come before.
    pub duplicates: u64,
    /// Requests that it did not accept.
    pub failed_attempts: u64,
    /// Median of the milliseconds from publishing to arrival.
    pub p50_ms: f64,
    /// The longest of them.
    pub longest_ms: f64,
}

impl Verdict {
    /// True if everything arrived in order, and signed, though attempts failed: without that nothing was shown. Repeats
    /// are allowed: delivery is at least once.
    #[must_use]
    pub fn holds(&self) -> bool {
        let kept = |line: &Line| line.lost == 0 && line.out_of_order == 0;
        self.refused == 0 && self.unverified == 0 && self.has_failure() && self.lines.iter().all(kept)
    }

    fn has_failure(&self) -> bool {
        self.lines.iter().any(|line| line.failed_attempts > 0)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(
                f,
                "{:<8}{} of {} delivered: {} out of order, {} lost, {} duplicates; {} failed attempts; p50 {:.1} ms, longest {:.1} ms",
                line.name,
                line.delivered,
                line.accepted,
                line.out_of_order,
                line.lost,
                line.duplicates,
                line.failed_attempts,
                line.p50_ms,
                line.longest_ms,
            )?;
        }
        if self.refused > 0 {
            let why = self.first_refusal.as_deref().unwrap_or_default();
            writeln!(f, "{} events were not accepted; the first: {why}", self.refused)?;
        }
        if self.unverified > 0 {
            writeln!(f, "{} requests bore no signature that verifies", self.unverified)?;
        }
        if !self.has_failure() {
            writeln!(f, "no attempt failed: how failures are met was not seen")?;
        }
        let bold = |color: AnsiColor| Style::new().bold().fg_color(Some(color.into()));
        let (style, text) = match self.holds() {
            true => (bold(AnsiColor::Green), "kept: every event arrived at both webhooks, signed, in order per key"),
            false => (bold(AnsiColor::Red), "broken: see above"),
        };
        writeln!(f, "{style}{text}{style:#}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(out_of_order: u64, lost: u64, duplicates: u64) -> Line {
        Line {
            name: "steady",
            delivered: 5,
            accepted: 5,
            out_of_order,
            lost,
            duplicates,
            failed_attempts: 1,
            p50_ms: 1.0,
            longest_ms: 2.0,
        }
    }

    fn verdict(lines: Vec<Line>) -> Verdict {
        Verdict { lines, refused: 0, first_refusal: None, unverified: 0 }
    }

    #[test]
    fn repeats_are_allowed_and_nothing_else_is() {
        assert!(verdict(vec![line(0, 0, 3), line(0, 0, 0)]).holds());
        assert!(!verdict(vec![line(0, 0, 0), line(1, 0, 0)]).holds());
        assert!(!verdict(vec![line(0, 1, 0), line(0, 0, 0)]).holds());
        let lines = || vec![line(0, 0, 0)];
        assert!(!Verdict { refused: 1, ..verdict(lines()) }.holds());
        assert!(!Verdict { unverified: 1, ..verdict(lines()) }.holds());
    }

    #[test]
    fn a_run_in_which_nothing_failed_shows_nothing() {
        let untroubled = || Line { failed_attempts: 0, ..line(0, 0, 0) };
        assert!(!verdict(vec![untroubled(), untroubled()]).holds());
        assert!(verdict(vec![untroubled(), line(0, 0, 0)]).holds());
    }
}
