//! The wall clock.

use async_trait::async_trait;
use relay_core::ports::Clock;
use relay_core::time::Time;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The system's wall clock, and timers of the Tokio runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the adapter of the clock")]
    fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}
