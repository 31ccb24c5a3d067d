//! Standard Webhooks signatures (<https://www.standardwebhooks.com>, symmetric `v1`).

use crate::time::Time;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A signing secret. Its bytes are never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Secret {
    /// Names the secret, in answers and audits.
    pub id: String,
    /// `whsec_` and the base64 of the key: what the subscriber was given.
    text: String,
    /// When it was made.
    pub created_at: Time,
    /// When its grace ends; none for the one in force.
    pub expires_at: Option<Time>,
}

impl Secret {
    /// Number of random bytes in a secret: Standard Webhooks allows 24 to 64.
    pub const KEY_BYTES: usize = 32;

    /// A secret of these random bytes.
    pub fn new(id: String, key: [u8; Self::KEY_BYTES], now: Time) -> Secret {
        Secret { id, text: format!("whsec_{}", STANDARD.encode(key)), created_at: now, expires_at: None }
    }

    /// What the subscriber is given, once.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The key that signs, ready for use; none if the stored text is damaged.
    pub fn signer(&self) -> Option<Signer> {
        let key = STANDARD.decode(self.text.strip_prefix("whsec_")?).ok()?;
        Some(Signer(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A secret's key, prepared: preparing costs two hash blocks, so keep it for many requests.
#[derive(Clone)]
pub struct Signer(hmac::Key);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(..)")
    }
}

impl Signer {
    /// Appends `v1,<base64>` over `id.seconds.body` to a `webhook-signature` value, after a space if it is not empty.
    pub fn sign_into(&self, out: &mut String, id: &str, seconds: &str, body: &[u8]) {
        let mut mac = hmac::Context::with_key(&self.0);
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(seconds.as_bytes());
        mac.update(b".");
        mac.update(body);
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str("v1,");
        STANDARD.encode_string(mac.sign(), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_s_example_is_reproduced() {
        let secret = Secret {
            id: "s".into(),
            text: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(),
            created_at: Time(0),
            expires_at: None,
        };
        let mut header = String::new();
        let signer = secret.signer().unwrap();
        signer.sign_into(&mut header, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(header, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        signer.sign_into(&mut header, "a", "1", b"");
        assert_eq!(header.split(' ').count(), 2);
    }

    #[test]
    fn a_secret_is_not_shown_by_debug() {
        let secret = Secret::new("id".into(), [7; 32], Time(0));
        assert!(!format!("{secret:?}{:?}", secret.signer()).contains(&secret.reveal()[6..20]));
        assert!(secret.reveal().starts_with("whsec_"));
    }
}
