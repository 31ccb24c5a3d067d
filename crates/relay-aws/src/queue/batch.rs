//! Batches as SQS takes them: at most 10 entries and 1 MiB in all
//! (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>).

use aws_sdk_sqs::types::BatchResultErrorEntry;
use relay_core::ports::PortError;
use std::collections::HashSet;
use std::hash::Hash;
use std::ops::Range;

/// Most entries of a batch call.
pub(crate) const MAX_ENTRIES: usize = 10;
/// Most bytes of the messages of a batch call together, and of one message.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;

/// Cuts entries, given as (group, bytes), into batches that each fit a call and hold no group twice: entries fail one
/// by one, so a later one of a group could be taken where an earlier one was not.
pub(crate) fn cut<G: Eq + Hash + Copy>(entries: &[(G, usize)]) -> Vec<Range<usize>> {
    let (mut batches, mut start, mut bytes, mut groups) = (Vec::new(), 0, 0, HashSet::new());
    for (at, (group, size)) in entries.iter().enumerate() {
        if at - start == MAX_ENTRIES || bytes + size > MAX_BYTES || groups.contains(group) {
            if start < at {
                batches.push(start..at);
            }
            (start, bytes) = (at, 0);
            groups.clear();
        }
        bytes += size;
        groups.insert(*group);
    }
    if start < entries.len() {
        batches.push(start..entries.len());
    }
    batches
}

/// The error of one entry.
pub(crate) fn entry_fault(call: &'static str, entry: &BatchResultErrorEntry) -> PortError {
    match crate::fault::of_code(call, entry.code(), entry.message().unwrap_or_default(), None) {
        PortError::Unavailable(text) if entry.sender_fault() => PortError::Invalid(text),
        error => error,
    }
}

/// The answers of a batch call by the entries' ids, which are their places.
pub(crate) struct Answers<T> {
    call: &'static str,
    answers: Vec<Option<Result<T, PortError>>>,
}

impl<T> Answers<T> {
    pub(crate) fn new(call: &'static str, entries: usize) -> Answers<T> {
        Answers { call, answers: (0..entries).map(|_| None).collect() }
    }

    pub(crate) fn set(&mut self, id: &str, answer: Result<T, PortError>) {
        if let Some(place) = id.parse::<usize>().ok().and_then(|at| self.answers.get_mut(at)) {
            *place = Some(answer);
        }
    }

    pub(crate) fn fail(&mut self, failed: &[BatchResultErrorEntry]) {
        for entry in failed {
            let fault = entry_fault(self.call, entry);
            self.set(entry.id(), Err(fault));
        }
    }

    /// In the order of the entries; one that was not answered may or may not have taken effect.
    pub(crate) fn into_vec(self) -> Vec<Result<T, PortError>> {
        let missing = || Err(PortError::Unavailable(format!("{}: an entry was not answered", self.call)));
        self.answers.into_iter().map(|answer| answer.unwrap_or_else(missing)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_at_most_ten_entries() {
        let entries: Vec<_> = (0..25).map(|group| (group, 1)).collect();
        assert_eq!(cut(&entries), [0..10, 10..20, 20..25]);
        assert!(cut::<u8>(&[]).is_empty());
    }

    #[test]
    fn a_batch_has_at_most_a_mebibyte() {
        let entries: Vec<_> = (0..6).map(|group| (group, 192 * 1024)).collect();
        assert_eq!(cut(&entries), [0..5, 5..6]);
        assert_eq!(cut(&[(1, MAX_BYTES), (2, 1)]), [0..1, 1..2]);
        assert_eq!(cut(&[(1, MAX_BYTES + 1), (2, 1)]), [0..1, 1..2], "too large by itself: SQS says so");
    }

    #[test]
    fn no_batch_holds_a_group_twice() {
        assert_eq!(cut(&[('a', 1), ('b', 1), ('a', 1), ('a', 1)]), [0..2, 2..3, 3..4]);
    }

    #[test]
    fn an_entry_fails_by_its_code_and_whose_fault_it_is() {
        let entry = |code: &str, sender| {
            let built = BatchResultErrorEntry::builder().id("0").code(code).sender_fault(sender).build();
            entry_fault("Call", &built.unwrap())
        };
        assert_eq!(entry("RequestThrottled", true), PortError::Throttled);
        assert!(matches!(entry("InternalError", false), PortError::Unavailable(_)));
        assert!(matches!(entry("SomethingElse", true), PortError::Invalid(_)));
        assert_eq!(entry("ReceiptHandleIsInvalid", true), PortError::Conflict);
    }

    #[test]
    fn an_entry_without_an_answer_is_unavailable() {
        let mut answers = Answers::<u8>::new("Call", 2);
        answers.set("1", Ok(7));
        answers.set("9", Ok(9));
        let answers = answers.into_vec();
        assert!(matches!(answers[0], Err(PortError::Unavailable(_))));
        assert_eq!(answers[1], Ok(7));
    }
}
