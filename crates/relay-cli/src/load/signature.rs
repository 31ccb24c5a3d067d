//! Checks a delivery's signature as a subscriber would, from the text of Standard Webhooks and nothing of the broker's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// A subscription's secret, ready to check with.
#[derive(Clone)]
pub struct Verifier(hmac::Key);

impl Verifier {
    /// From the `whsec_…` that a subscription's creation answers; none if it is no such text.
    #[must_use]
    pub fn new(secret: &str) -> Option<Verifier> {
        let key = STANDARD.decode(secret.strip_prefix("whsec_")?).ok()?;
        Some(Verifier(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// True if one of the signatures in the header's value is that of this delivery.
    #[must_use]
    pub fn verifies(&self, id: &str, timestamp: &str, body: &[u8], signatures: &str) -> bool {
        let content = [id.as_bytes(), timestamp.as_bytes(), body].join(&b'.');
        signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,")).any(|signature| {
            STANDARD.decode(signature).is_ok_and(|signature| hmac::verify(&self.0, &content, &signature).is_ok())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn the_specification_s_example_verifies_and_no_change_of_it_does() {
        let verifier = Verifier::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert!(verifier.verifies(ID, "1614265330", BODY, SIGNATURE));
        assert!(verifier.verifies(ID, "1614265330", BODY, &format!("v1,AAAA v2,x {SIGNATURE}")));
        assert!(!verifier.verifies(ID, "1614265331", BODY, SIGNATURE));
        assert!(!verifier.verifies("msg_1", "1614265330", BODY, SIGNATURE));
        assert!(!verifier.verifies(ID, "1614265330", b"{}", SIGNATURE));
        assert!(!verifier.verifies(ID, "1614265330", BODY, ""));
    }

    #[test]
    fn what_is_no_secret_gives_no_verifier() {
        assert!(Verifier::new("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_none());
        assert!(Verifier::new("whsec_%").is_none());
    }
}
