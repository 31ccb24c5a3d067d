//! Sealing recorded answers (AES-256-GCM).

use crate::problem::{Problem, ProblemKind};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use relay_core::digest::sha256_of_list;
use relay_core::ports::Ids;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// Seals and opens the answers to one caller's requests with one idempotency key.
pub(super) struct Seal {
    key: [u8; 32],
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(..)")
    }
}

impl Seal {
    /// The seal that these credentials and this key make. API keys have 256 random bits: what hashes to the seal's key
    /// cannot be guessed, however short the idempotency key is.
    pub(super) fn new(token: &str, idempotency_key: &str) -> Seal {
        Seal { key: sha256_of_list([&b"seal"[..], token.as_bytes(), idempotency_key.as_bytes()]) }
    }

    /// Seals an answer. The nonce is random: a key seals one answer a day.
    pub(super) fn close(&self, ids: &dyn Ids, answer: &[u8]) -> Result<String, Problem> {
        let mut nonce = [0; NONCE_LEN];
        ids.secret_bytes(&mut nonce);
        let mut sealed = answer.to_vec();
        let key = self.cipher()?;
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)
            .map_err(|_| broken())?;
        let mut stored = nonce.to_vec();
        stored.append(&mut sealed);
        Ok(STANDARD_NO_PAD.encode(stored))
    }

    /// Opens a sealed answer.
    pub(super) fn open(&self, stored: &str) -> Result<Vec<u8>, Problem> {
        let mut bytes = STANDARD_NO_PAD.decode(stored).map_err(|_| broken())?;
        let Some((nonce, sealed)) = bytes.split_first_chunk_mut::<NONCE_LEN>() else { return Err(broken()) };
        let opened = self.cipher()?.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), sealed);
        opened.map(|answer| answer.to_vec()).map_err(|_| broken())
    }

    fn cipher(&self) -> Result<LessSafeKey, Problem> {
        UnboundKey::new(&AES_256_GCM, &self.key).map(LessSafeKey::new).map_err(|_| broken())
    }
}

fn broken() -> Problem {
    tracing::error!("a recorded answer cannot be sealed or opened");
    Problem::new(ProblemKind::Internal, "the answer to the first request cannot be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;
    impl Ids for Counting {
        fn random(&self) -> u64 {
            7
        }
        fn secret_bytes(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
        fn unique(&self) -> String {
            "unique".to_owned()
        }
    }

    #[test]
    fn only_the_same_credentials_and_key_open_an_answer() {
        let sealed = Seal::new("token", "key").close(&Counting, b"{\"key\":\"rk_secret\"}").unwrap();
        assert!(!sealed.contains("rk_secret"));
        assert_eq!(Seal::new("token", "key").open(&sealed).unwrap(), b"{\"key\":\"rk_secret\"}");
        assert!(Seal::new("token2", "key").open(&sealed).is_err());
        assert!(Seal::new("tokenk", "ey").open(&sealed).is_err());
        assert!(Seal::new("token", "key").open("AAAA").is_err());
    }
}
