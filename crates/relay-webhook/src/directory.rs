//! What is known of URLs and endpoints, so that a URL is parsed and checked once and not for every request.

use crate::address::AddressPolicy;
use crate::target::{Origin, Target, UrlFault};
use http::{HeaderValue, Uri};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{Notify, Semaphore};

/// URLs remembered. Beyond it, those not used lately are forgotten; a few MiB at most.
const REMEMBERED: usize = 8192;

/// One origin that is posted to.
pub(crate) struct Endpoint {
    /// Unique in the process' life of a directory.
    pub(crate) id: u64,
    pub(crate) origin: Origin,
    /// One permit for each connection that may be in the making.
    pub(crate) handshakes: Semaphore,
    /// A connection idles again.
    pub(crate) parked: Notify,
}

/// Connections to one endpoint that are made at once. Servers drop what overflows their queue of new connections
/// (as few as 5 in simple ones, often 128), and it takes a second until that is noticed and tried again.
const HANDSHAKES: usize = 16;

/// A URL, ready to be posted to.
pub(crate) struct Destination {
    pub(crate) endpoint: Arc<Endpoint>,
    /// One permit for each request that may be in progress. Those of an origin's other URLs are not for this one: a
    /// webhook that hangs must not take them from another subscriber's that happens to live at the same host.
    pub(crate) permits: Semaphore,
    pub(crate) authority: HeaderValue,
    pub(crate) resource: Uri,
    used: AtomicBool,
}

pub(crate) struct Directory {
    policy: AddressPolicy,
    max_per_url: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    destinations: HashMap<Arc<str>, Arc<Destination>>,
    /// Weak, so that an endpoint lives as long as a URL, a request or an idle connection of it, and its bound with it.
    endpoints: HashMap<Origin, Weak<Endpoint>>,
    next_id: u64,
}

impl Directory {
    pub(crate) fn new(policy: AddressPolicy, max_per_url: usize) -> Self {
        Self { policy, max_per_url, known: Mutex::default() }
    }

    pub(crate) fn find(&self, url: &Arc<str>) -> Result<Arc<Destination>, UrlFault> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(destination) = known.destinations.get(url) {
            destination.used.store(true, Ordering::Relaxed);
            return Ok(Arc::clone(destination));
        }
        let Target { origin, authority, resource } = Target::parse(url, &self.policy)?;
        let endpoint = known.endpoint(origin);
        let (permits, used) = (Semaphore::new(self.max_per_url), AtomicBool::new(true));
        let destination = Arc::new(Destination { endpoint, permits, authority, resource, used });
        known.make_room();
        known.destinations.insert(Arc::clone(url), Arc::clone(&destination));
        Ok(destination)
    }
}

impl Known {
    fn endpoint(&mut self, origin: Origin) -> Arc<Endpoint> {
        if let Some(endpoint) = self.endpoints.get(&origin).and_then(Weak::upgrade) {
            return endpoint;
        }
        let id = self.next_id;
        self.next_id += 1;
        let endpoint = Arc::new(Endpoint {
            id,
            origin: origin.clone(),
            handshakes: Semaphore::new(HANDSHAKES),
            parked: Notify::new(),
        });
        self.endpoints.insert(origin, Arc::downgrade(&endpoint));
        endpoint
    }

    /// Forgets what was not used since the last time that room was made, or everything if all of it was.
    fn make_room(&mut self) {
        if self.destinations.len() < REMEMBERED {
            return;
        }
        self.destinations.retain(|_, destination| destination.used.swap(false, Ordering::Relaxed));
        if self.destinations.len() >= REMEMBERED {
            self.destinations.clear();
        }
        self.endpoints.retain(|_, endpoint| endpoint.strong_count() > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> Directory {
        Directory::new(AddressPolicy::public_only(), 7)
    }

    fn url(host: usize, path: usize) -> Arc<str> {
        format!("https://host-{host}.example/{path}").into()
    }

    #[test]
    fn urls_of_one_origin_share_an_endpoint() {
        let directory = directory();
        let (a, b, other) = (
            directory.find(&url(1, 1)).unwrap(),
            directory.find(&url(1, 2)).unwrap(),
            directory.find(&url(2, 1)).unwrap(),
        );
        assert!(Arc::ptr_eq(&a.endpoint, &b.endpoint));
        assert_ne!(a.endpoint.id, other.endpoint.id);
        assert_eq!((a.permits.available_permits(), b.permits.available_permits()), (7, 7));
    }

    #[test]
    fn refused_urls_are_not_remembered() {
        let directory = directory();
        assert!(directory.find(&"https://10.0.0.1/".into()).is_err());
        let known = directory.known.lock().unwrap();
        assert!(known.destinations.is_empty() && known.endpoints.is_empty());
    }

    #[test]
    fn the_number_of_urls_is_bounded_and_endpoints_in_use_survive() {
        let directory = directory();
        let held = directory.find(&url(0, 0)).unwrap();
        for number in 1..3 * REMEMBERED {
            directory.find(&url(number, 0)).unwrap();
        }
        {
            let known = directory.known.lock().unwrap();
            assert!(known.destinations.len() <= REMEMBERED);
            assert!(known.endpoints.len() <= REMEMBERED + 1);
        }
        assert!(Arc::ptr_eq(&held.endpoint, &directory.find(&url(0, 1)).unwrap().endpoint));
    }

    #[test]
    fn urls_in_use_are_remembered_over_those_that_are_not() {
        let directory = directory();
        for number in 0..REMEMBERED {
            directory.find(&url(number, 0)).unwrap();
        }
        // All were used, so all are forgotten; what comes after competes on use.
        let kept = directory.find(&url(0, 9)).unwrap();
        for number in 1..REMEMBERED {
            directory.find(&url(number, 0)).unwrap();
        }
        directory
            .known
            .lock()
            .unwrap()
            .destinations
            .values()
            .for_each(|known| known.used.store(false, Ordering::Relaxed));
        directory.find(&url(0, 9)).unwrap();
        directory.find(&url(REMEMBERED, 0)).unwrap();
        assert!(Arc::ptr_eq(&kept, &directory.find(&url(0, 9)).unwrap()));
        assert_eq!(directory.known.lock().unwrap().destinations.len(), 2);
    }
}
