//! Identifiers and randomness of the operating system.

use rand::rngs::OsRng;
use rand::{Rng, RngCore, TryRngCore};
use relay_core::ports::Ids;
use uuid::Uuid;

/// Random numbers of a generator seeded by the operating system, secrets straight from it, and UUIDs of version 7.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemIds;

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

    #[allow(clippy::disallowed_methods, reason = "this is the adapter of identifiers")]
    fn unique(&self) -> String {
        Uuid::now_v7().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_sort_in_the_order_they_were_made_and_secrets_differ() {
        let made: Vec<_> = (0..1000).map(|_| SystemIds.unique()).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
        let (mut one, mut other) = ([0; 32], [0; 32]);
        SystemIds.secret_bytes(&mut one);
        SystemIds.secret_bytes(&mut other);
        assert!(one != other && one != [0; 32]);
    }
}
