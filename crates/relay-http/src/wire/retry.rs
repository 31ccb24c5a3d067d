//! Retry policies.

use super::word_for;
use crate::document::{Faults, Object};
use relay_core::retry::{OnExhausted, OnRejected, RetryPolicy};
use serde::{Serialize, Serializer};
use serde_json::Value;

const ON_EXHAUSTED: &[(&str, OnExhausted)] = &[("deadLetter", OnExhausted::DeadLetter), ("block", OnExhausted::Block)];
const ON_REJECTED: &[(&str, OnRejected)] =
    &[("retry", OnRejected::Retry), ("deadLetter", OnRejected::DeadLetter), ("block", OnRejected::Block)];
/// Most entries of a schedule.
const MAX_ENTRIES: usize = 50;
/// Longest delay of a schedule.
const MAX_DELAY_SECONDS: f64 = 86_400.0;
const UNITS_MS: &[(char, u64)] = &[('s', 1_000), ('m', 60_000), ('h', 3_600_000), ('d', 86_400_000)];

/// A retry policy as clients see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RetryView<'a> {
    schedule: Vec<Seconds>,
    max_age: String,
    on_exhausted: &'a str,
    on_rejected: &'a str,
}

impl From<&RetryPolicy> for RetryView<'_> {
    fn from(policy: &RetryPolicy) -> Self {
        RetryView {
            schedule: policy.schedule_ms.iter().map(|delay| Seconds(*delay)).collect(),
            max_age: age_text(policy.max_age_ms),
            on_exhausted: word_for(ON_EXHAUSTED, &policy.on_exhausted),
            on_rejected: word_for(ON_REJECTED, &policy.on_rejected),
        }
    }
}

/// Milliseconds, written as seconds: without a fraction where there is none.
#[derive(Debug)]
struct Seconds(u64);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(1000) {
            serializer.serialize_u64(self.0 / 1000)
        } else {
            serializer.serialize_f64(self.0 as f64 / 1000.0)
        }
    }
}

/// A retry policy as a client wrote it.
#[derive(Clone, Debug, Default)]
pub(crate) struct RetryDraft {
    /// The policy; where no age was given, the default one.
    pub(crate) policy: RetryPolicy,
    /// An age was given.
    pub(crate) has_age: bool,
}

/// Reads a retry policy.
pub(crate) fn read(mut object: Object, faults: &mut Faults) -> RetryDraft {
    let default = RetryPolicy::default();
    let schedule_ms = object.array("schedule", 1..=MAX_ENTRIES, faults).map(|entries| {
        let delay = |(pointer, value): (String, Value)| {
            let seconds = value.as_f64().filter(|seconds| (0.0..=MAX_DELAY_SECONDS).contains(seconds));
            if seconds.is_none() {
                faults.invalid(pointer, "must be a number of seconds from 0 to 86400");
            }
            (seconds.unwrap_or_default() * 1000.0).round() as u64
        };
        entries.into_iter().map(delay).collect()
    });
    let pointer = object.pointer_to("maxAge");
    let max_age_ms = object.take("maxAge").and_then(|value| {
        let age = value.as_str().and_then(age_ms);
        if age.is_none() {
            faults.invalid(pointer, "must be an integer and a unit: `s`, `m`, `h` or `d`");
        }
        age
    });
    let policy = RetryPolicy {
        schedule_ms: schedule_ms.unwrap_or(default.schedule_ms),
        max_age_ms: max_age_ms.unwrap_or(default.max_age_ms),
        on_exhausted: object.word("onExhausted", ON_EXHAUSTED, &[], faults).unwrap_or_default(),
        on_rejected: object.word("onRejected", ON_REJECTED, &[], faults).unwrap_or_default(),
    };
    object.finish(faults);
    RetryDraft { policy, has_age: max_age_ms.is_some() }
}

fn age_ms(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?;
    let (_, millis) = UNITS_MS.iter().find(|(known, _)| *known == unit)?;
    let digits = &text[..text.len() - 1];
    let number: u64 = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    number.checked_mul(*millis)
}

/// The shortest usual way to write an age: days only beyond the three that are called `72h` everywhere.
fn age_text(millis: u64) -> String {
    let fits = |(unit, length): &&(char, u64)| {
        millis.is_multiple_of(*length) && (*unit != 'd' || millis > 72 * 3_600_000) && millis > 0
    };
    match UNITS_MS.iter().rev().find(fits) {
        Some((unit, length)) => format!("{}{unit}", millis / length),
        None => format!("{}s", millis.div_ceil(1000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ages_are_written_as_they_are_usually_given() {
        for text in ["0s", "45s", "90m", "1h", "24h", "72h", "7d", "30d"] {
            assert_eq!(age_text(age_ms(text).unwrap()), text);
        }
        assert_eq!(age_text(age_ms("3d").unwrap()), "72h");
        for bad in ["", "s", "1", "1w", "-1s", "+1s", "1.5h", "h1", "1 h", "99999999999999999999d", "1ä"] {
            assert_eq!(age_ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_policy_is_shown_as_it_was_written() {
        let written =
            json!({"schedule": [0, 0.25, 86400], "maxAge": "2h", "onExhausted": "block", "onRejected": "deadLetter"});
        let mut faults = Faults::default();
        let draft = read(Object::root(written.clone()).unwrap(), &mut faults);
        faults.none().unwrap();
        assert_eq!(draft.policy.schedule_ms, [0, 250, 86_400_000]);
        assert_eq!(serde_json::to_value(RetryView::from(&draft.policy)).unwrap(), written);
    }
}
