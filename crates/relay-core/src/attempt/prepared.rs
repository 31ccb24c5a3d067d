//! What does not change from request to request of a subscription, made once.

use crate::names::SubscriptionId;
use crate::ports::webhook::{HeaderName, HeaderText};
use crate::signing::Signer;
use crate::subscription::Subscription;
use crate::time::Time;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A subscription, ready to send.
pub struct Prepared {
    /// The record's version that this was made from.
    version: u64,
    /// The endpoint's URL.
    pub url: Arc<str>,
    /// Its own headers.
    pub headers: Vec<(HeaderName, HeaderText)>,
    /// Signers, newest first, each with the end of its grace.
    signers: Vec<(Signer, Option<Time>)>,
}

impl Prepared {
    fn new(subscription: &Subscription) -> Prepared {
        let own = |(name, value): &(String, String)| (Cow::Owned(name.clone()), Cow::Owned(value.clone()));
        let signer = |secret: &crate::signing::Secret| Some((secret.signer()?, secret.expires_at));
        Prepared {
            version: subscription.version,
            url: Arc::from(subscription.endpoint.url.as_str()),
            headers: subscription.endpoint.headers.iter().map(own).collect(),
            signers: subscription.secrets.iter().rev().filter_map(signer).collect(),
        }
    }

    /// Signers that are in force.
    pub fn signers(&self, now: Time) -> impl Iterator<Item = &Signer> {
        self.signers.iter().filter(move |(_, end)| end.is_none_or(|end| now < end)).map(|(signer, _)| signer)
    }
}

/// Prepared subscriptions by id.
#[derive(Default)]
pub struct PreparedCache(Mutex<HashMap<SubscriptionId, Arc<Prepared>>>);

impl PreparedCache {
    /// The subscription as it is now, prepared.
    pub fn get(&self, subscription: &Subscription) -> Arc<Prepared> {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prepared) = cache.get(&subscription.id).filter(|prepared| prepared.version == subscription.version)
        {
            return prepared.clone();
        }
        let prepared = Arc::new(Prepared::new(subscription));
        cache.insert(subscription.id.clone(), prepared.clone());
        prepared
    }
}
