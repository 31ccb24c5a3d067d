//! Jobs that walk a subscription's held lanes: resume and removal. Sweep runs them again if their process is lost;
//! running one twice, or two at once, is harmless.

use crate::edit::edit;
use crate::lane::lane_id;
use crate::names::SubscriptionId;
use crate::pack::{LaneId, LaneKey};
use crate::ports::{PortError, Ports, WakeUp};
use crate::subscription::Subscription;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::time::Duration;

/// Lanes handled between two breaths.
const PAGE: usize = 100;
/// Of these so many are made due at once: each costs the store a write.
const AT_ONCE: usize = 16;
/// The bounded rate: a pause after each page, so 1,000 lanes a second at most.
const BREATH: Duration = Duration::from_millis(100);

/// Makes every held lane of a resumed subscription due, and wakes it: the lanes are listed after the status was
/// written, and each one's version moves, so that no drain parks it on the strength of the old status.
///
/// # Errors
/// If a store fails; sweep goes on with the job then.
pub async fn run(ports: &Ports, id: &SubscriptionId) -> Result<(), PortError> {
    let Some(started) = ports.registry.subscription(id).await? else { return Ok(()) };
    if !started.resuming || !started.is_active() {
        return Ok(());
    }
    let mut after: Option<LaneId> = None;
    loop {
        let lanes = match &started.resuming_key {
            Some(key) => {
                let lane = lane_id(id, &started.topic_id, &LaneKey::Ordered(key.clone()));
                ports.lanes.lane(&lane).await?.into_iter().collect()
            }
            None => ports.lanes.held_items(id, after, PAGE).await?,
        };
        let Some(last) = lanes.last() else { break };
        after = Some(last.lane.id);
        let full = lanes.len() == PAGE;
        let due = stream::iter(lanes).map(async |item| {
            let made = ports.lanes.make_due(&item.lane.id, ports.clock.now()).await?;
            Ok::<_, PortError>(made.map(|_| (WakeUp::Lane(item.lane), Duration::ZERO)))
        });
        let due: Vec<_> = due.buffered(AT_ONCE).try_collect().await?;
        let wake_ups = due.into_iter().flatten().collect();
        if let Err(error) = ports.wake_ups.send(wake_ups).await {
            tracing::debug!(%error, "wake-ups are not sent"); // the lanes are due: sweep sends them
        }
        if !full {
            break;
        }
        ports.clock.sleep(BREATH).await;
    }
    finish(ports, id, started.revision).await
}

/// Writes that the job is done, unless the status has changed since.
async fn finish(ports: &Ports, id: &SubscriptionId, revision: u64) -> Result<(), PortError> {
    let finished = edit(ports, id, |stored| {
        let is_ours = stored.resuming && stored.revision == revision;
        let (resuming, resuming_key, version) = (false, None, stored.version + 1);
        is_ours.then(|| Subscription { resuming, resuming_key, version, ..stored.clone() })
    });
    finished.await.map(drop)
}

/// Removes the lanes and backlogs of a deleted subscription. A dispatch that read it before its deletion may hold one
/// more lane: sweep calls this again for as long as the tombstone is kept.
///
/// # Errors
/// If a store fails; sweep goes on with the job then.
pub async fn remove(ports: &Ports, id: &SubscriptionId) -> Result<(), PortError> {
    loop {
        let lanes = ports.lanes.held_items(id, None, PAGE).await?;
        if lanes.is_empty() {
            break;
        }
        for item in lanes {
            while !ports.lanes.remove(&item.lane.id).await? {}
        }
    }
    loop {
        let page = ports.dead_letters.list(id, None, PAGE).await?;
        if page.dead_letters.is_empty() {
            return Ok(());
        }
        for dead_letter in page.dead_letters {
            ports.dead_letters.delete(id, &dead_letter.id).await?;
        }
    }
}
