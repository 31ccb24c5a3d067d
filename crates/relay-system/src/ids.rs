//! Identifiers and randomness of the operating system.

use crate::clock::SystemClock;
use rand::rngs::OsRng;
use rand::{Rng, RngCore, TryRngCore};
use relay_core::ports::{Clock, Ids};
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Builder;

/// Random numbers of a generator seeded by the operating system, secrets straight from it, and UUIDs of version 7.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemIds;

/// Milliseconds, and 12 bits that tell apart what was made in the same one.
static LAST_UNIQUE: AtomicU64 = AtomicU64::new(0);

fn next_unique(now: u64) -> (u64, u16) {
    let next = |last: u64| (last + 1).max(now << 12);
    let before = LAST_UNIQUE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
    let made = next(before.unwrap_or_else(|last| last));
    (made >> 12, (made & 0xfff) as u16)
}

impl Ids for SystemIds {
    fn random(&self) -> u64 {
        rand::rng().random()
    }

    fn secret_bytes(&self, bytes: &mut [u8]) {
        if OsRng.try_fill_bytes(bytes).is_err() {
            // The operating system failed to answer; this generator was seeded by it and is fit for secrets, too.
            rand::rng().fill_bytes(bytes);
        }
    }

    fn unique(&self) -> String {
        // Not the operating system's randomness, which costs a system call: an identifier is no secret.
        let (millis, place) = next_unique(SystemClock.now().0);
        let mut rest: [u8; 10] = rand::rng().random();
        [rest[0], rest[1]] = place.to_be_bytes();
        Builder::from_unix_timestamp_millis(millis, &rest).into_uuid().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_sort_in_the_order_they_were_made_and_secrets_differ() {
        let made: Vec<_> = (0..20_000).map(|_| SystemIds.unique()).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
        let parsed = uuid::Uuid::parse_str(&made[0]).unwrap();
        assert_eq!((parsed.get_version_num(), parsed.get_variant()), (7, uuid::Variant::RFC4122));
        let now = SystemClock.now().0;
        assert!(parsed.get_timestamp().unwrap().to_unix().0.abs_diff(now / 1000) <= 1);
        let (mut one, mut other) = ([0; 32], [0; 32]);
        SystemIds.secret_bytes(&mut one);
        SystemIds.secret_bytes(&mut other);
        assert!(one != other && one != [0; 32]);
    }
}
