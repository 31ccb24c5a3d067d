//! The contract of [`crate::ports::Lanes`].

use super::{Harness, backlog, lane_items};

/// Runs all cases.
pub async fn run_all<H: Harness>(make: impl AsyncFn() -> H) {
    lane_items::run_all(&make).await;
    backlog::run_all(&make).await;
}
