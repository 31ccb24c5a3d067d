//! What was attempted, and what was given up.

use crate::locked;
use crate::simulated::Simulated;
use async_trait::async_trait;
use relay_core::names::SubscriptionId;
use relay_core::pack::Pack;
use relay_core::ports::{Attempt, Attempts, AttemptsPage, DeadLetter, DeadLetters, DeadLettersPage, PortError};
use relay_core::sequence::Sequence;
use relay_core::time::Time;
use std::collections::BTreeMap;
use std::ops::Bound;

#[derive(Default)]
pub(crate) struct AttemptStore {
    recorded: Vec<Attempt>,
    /// Number of attempts that expired: cursors count them too.
    expired: usize,
}

impl AttemptStore {
    fn list(&self, of: &SubscriptionId, before: Option<usize>, limit: usize) -> AttemptsPage {
        let numbered = self.recorded.iter().enumerate().rev().map(|(index, attempt)| (self.expired + index, attempt));
        let mut older =
            numbered.filter(|(number, attempt)| attempt.subscription == *of && before.is_none_or(|at| *number < at));
        let page: Vec<_> = older.by_ref().take(limit).collect();
        let next = older.next().and(page.last()).map(|(number, _)| number.to_string());
        AttemptsPage { attempts: page.into_iter().map(|(_, attempt)| attempt.clone()).collect(), next }
    }

    fn expire(&mut self, before: Time) -> u64 {
        let kept = self.recorded.iter().position(|attempt| attempt.started_at >= before);
        let gone = self.recorded.drain(..kept.unwrap_or(self.recorded.len())).count();
        self.expired += gone;
        gone as u64
    }
}

#[async_trait]
impl Attempts for Simulated {
    async fn record(&self, attempts: Vec<Attempt>) -> Result<(), PortError> {
        let subject: Vec<_> = attempts.iter().map(|attempt| (attempt.number, attempt.outcome)).collect();
        let record = || {
            locked(&self.stores.attempts).recorded.extend(attempts);
            Ok(())
        };
        self.gate.call("attempts.record", &subject, record).await
    }

    async fn list(
        &self,
        subscription: &SubscriptionId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<AttemptsPage, PortError> {
        let list = || {
            let invalid = |_| PortError::Invalid("not a cursor".to_owned());
            let before = cursor.map(str::parse::<usize>).transpose().map_err(invalid)?;
            Ok(locked(&self.stores.attempts).list(subscription, before, limit))
        };
        self.gate.call("attempts.list", subscription, list).await
    }

    async fn expire(&self, before: Time) -> Result<u64, PortError> {
        self.gate.call("attempts.expire", &before, || Ok(locked(&self.stores.attempts).expire(before))).await
    }
}

#[derive(Default)]
pub(crate) struct DeadLetterStore {
    kept: BTreeMap<(SubscriptionId, String), DeadLetter>,
    history: Vec<(SubscriptionId, Sequence)>,
}

impl DeadLetterStore {
    fn put(&mut self, key: (SubscriptionId, String), dead_letter: DeadLetter) {
        self.history.push((key.0.clone(), dead_letter.sequence));
        self.kept.insert(key, dead_letter);
    }

    /// Packs that hold events which were given up.
    pub fn packs(&self) -> impl Iterator<Item = &Pack> {
        self.kept.values().map(|dead_letter| &*dead_letter.pack)
    }

    /// All that were ever put, in the order they were put.
    pub fn history(&self) -> &[(SubscriptionId, Sequence)] {
        &self.history
    }

    pub fn has(&self, of: &SubscriptionId, sequence: Sequence) -> bool {
        self.after(of, None).any(|dead_letter| dead_letter.sequence == sequence)
    }

    pub fn count(&self, of: &SubscriptionId) -> usize {
        self.after(of, None).count()
    }

    fn after<'a>(&'a self, of: &'a SubscriptionId, after: Option<&str>) -> impl Iterator<Item = &'a DeadLetter> {
        let from = match after {
            Some(id) => Bound::Excluded((of.clone(), id.to_owned())),
            None => Bound::Included((of.clone(), String::new())),
        };
        let of_this = move |((subscription, _), _): &(&(SubscriptionId, String), &DeadLetter)| subscription == of;
        self.kept.range((from, Bound::Unbounded)).take_while(of_this).map(|(_, dead_letter)| dead_letter)
    }
}

#[async_trait]
impl DeadLetters for Simulated {
    async fn put(&self, dead_letter: DeadLetter) -> Result<(), PortError> {
        let key = (dead_letter.subscription.clone(), dead_letter.id.clone());
        let subject = dead_letter.sequence.to_string();
        let put = || {
            locked(&self.stores.dead_letters).put(key, dead_letter);
            Ok(())
        };
        self.gate.call("dead_letters.put", &subject, put).await
    }

    async fn list(
        &self,
        subscription: &SubscriptionId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<DeadLettersPage, PortError> {
        let list = || {
            let store = locked(&self.stores.dead_letters);
            let mut found = store.after(subscription, after);
            let dead_letters: Vec<_> = found.by_ref().take(limit).cloned().collect();
            let next = found.next().and(dead_letters.last()).map(|dead_letter| dead_letter.id.clone());
            Ok(DeadLettersPage { dead_letters, next })
        };
        self.gate.call("dead_letters.list", subscription, list).await
    }

    async fn get(&self, subscription: &SubscriptionId, id: &str) -> Result<Option<DeadLetter>, PortError> {
        let key = (subscription.clone(), id.to_owned());
        self.gate.call("dead_letters.get", &id, || Ok(locked(&self.stores.dead_letters).kept.get(&key).cloned())).await
    }

    async fn delete_put(&self, dead_letter: &DeadLetter) -> Result<bool, PortError> {
        let key = (dead_letter.subscription.clone(), dead_letter.id.clone());
        let delete = || {
            let kept = &mut locked(&self.stores.dead_letters).kept;
            let same = kept.get(&key).is_some_and(|stored| stored.put_id == dead_letter.put_id);
            Ok(same && kept.remove(&key).is_some())
        };
        self.gate.call("dead_letters.delete_put", &dead_letter.id, delete).await
    }

    async fn delete(&self, subscription: &SubscriptionId, id: &str) -> Result<bool, PortError> {
        let key = (subscription.clone(), id.to_owned());
        let delete = || Ok(locked(&self.stores.dead_letters).kept.remove(&key).is_some());
        self.gate.call("dead_letters.delete", &id, delete).await
    }
}
