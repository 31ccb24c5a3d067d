//! Signing secrets and their rotation.

use super::Refused;
use super::subscriptions::rewrite;
use crate::names::SubscriptionId;
use crate::ports::Ports;
use crate::signing::Secret;
use crate::subscription::Subscription;
use crate::time::Time;
use std::time::Duration;

/// Longest grace of a secret that was replaced.
pub const MAX_GRACE: Duration = Duration::from_secs(30 * 86_400);
/// Most secrets that sign at once: each adds a signature to every request.
pub const MAX_LIVE_SECRETS: usize = 8;

/// A fresh secret.
pub(super) fn new_secret(ports: &Ports, now: Time) -> Secret {
    let mut key = [0; Secret::KEY_BYTES];
    ports.ids.secret_bytes(&mut key);
    Secret::new(format!("sec_{}", ports.ids.unique()), key, now)
}

/// Adds a secret to a subscription; the one in force until now signs beside it for the grace. Answers the subscription
/// with the new secret last.
///
/// # Errors
/// If there is no such subscription, or it has no webhook; if too many secrets are in their grace; if it cannot be written.
pub async fn rotate_secret(ports: &Ports, id: &SubscriptionId, grace: Duration) -> Result<Subscription, Refused> {
    let fresh = new_secret(ports, ports.clock.now());
    let end = fresh.created_at + grace.min(MAX_GRACE);
    rewrite(ports, id, |stored| {
        if stored.is_pulled() {
            return Err(Refused::Pulled);
        }
        let mut secrets: Vec<Secret> = stored.secrets.clone();
        for secret in &mut secrets {
            secret.expires_at.get_or_insert(end);
        }
        secrets.retain(|secret| secret.expires_at.is_none_or(|end| fresh.created_at < end));
        if secrets.len() >= MAX_LIVE_SECRETS {
            return Err(Refused::TooManySecrets);
        }
        secrets.push(fresh.clone());
        Ok(Subscription { secrets, ..stored.clone() })
    })
    .await
}
