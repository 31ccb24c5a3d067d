//! Waiting for conditions.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long anything may take that should be nearly immediate.
pub const SOON: Duration = Duration::from_secs(20);

/// Waits until the condition gives something.
///
/// # Panics
/// If it does not before the deadline.
pub async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {within:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
