//! Gauges of the whole broker.

use super::{COMPACTION_LAG, DRAIN_LAG, HELD_LANES, OLDEST_UNDELIVERED};
use crate::ports::{PortError, Ports};
use metrics::gauge;
use std::time::Duration;

/// Topics whose lanes are counted, and how many are read at once: so that a look costs the same however many there are.
const TOPICS: usize = 500;
const PAGE: usize = 100;

/// Looks at queue and lanes, and sets the gauges.
///
/// # Errors
/// If they cannot be read: the gauges stay as they are.
pub async fn measure(ports: &Ports) -> Result<(), PortError> {
    let now = ports.clock.now();
    let (mut held, mut oldest) = (0, ports.queue.lag().await?.oldest);
    let (mut seen, mut after) = (0, None);
    while seen < TOPICS {
        let page = ports.registry.topics(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.name.clone());
        seen += page.len();
        for topic in &page {
            let (lanes, since) = ports.lanes.held_count(&topic.id).await?;
            held += lanes;
            oldest = oldest.max(since.map_or(Duration::ZERO, |since| now.since(since)));
        }
        if page.len() < PAGE {
            break;
        }
    }
    let first_due = ports.lanes.due(now, 1).await?.first().and_then(|lane| lane.due_at());
    gauge!(HELD_LANES).set(held as f64);
    gauge!(OLDEST_UNDELIVERED).set(oldest.as_secs_f64());
    if let Some(lag) = ports.log.compaction_lag(now).await? {
        gauge!(COMPACTION_LAG).set(lag.as_secs_f64());
    }
    gauge!(DRAIN_LAG).set(first_due.map_or(0.0, |due| now.since(due).as_secs_f64()));
    Ok(())
}
