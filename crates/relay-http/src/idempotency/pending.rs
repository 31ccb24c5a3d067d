//! The requests that this process is working on.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// The keys of requests that this process is working on.
#[derive(Debug, Default)]
pub(crate) struct Pending(Mutex<HashSet<String>>);

/// The right to work on the request with a key, until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    pending: &'a Pending,
    key: String,
}

impl Pending {
    /// Claims a key; none if somebody else has.
    pub(crate) fn claim(&self, key: &str) -> Option<Claim<'_>> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(key.to_owned()).then(|| Claim { pending: self, key: key.to_owned() })
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.pending.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_claimed_by_one_at_a_time() {
        let pending = Pending::default();
        let claim = pending.claim("a").unwrap();
        assert!(pending.claim("a").is_none() && pending.claim("b").is_some());
        drop(claim);
        assert!(pending.claim("a").is_some());
    }
}
