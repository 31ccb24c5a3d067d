//! Redrive: dead letters go back into their lanes under their own sequence, so before what is undelivered there.

use crate::lane::table::NewLane;
use crate::lane::{BacklogItem, HoldReason, LaneRef};
use crate::ports::{DeadLetter, PortError, Ports, WakeUp};
use crate::subscription::Subscription;
use futures_util::StreamExt;
use futures_util::stream;
use std::collections::BTreeMap;
use std::time::Duration;

/// Dead letters read at once.
const PAGE: usize = 200;
/// Lanes worked on at once.
const AT_ONCE: usize = 16;

/// Which dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All there are.
    All,
    /// Those of these ids; what is not there (any more) is passed over.
    Ids(Vec<String>),
}

/// Puts dead letters back into their lanes, due now, and deletes them; answers how many. Each is deleted after its
/// event is in the backlog: a crash in between leaves a dead letter that may be redriven once more, never a loss.
/// While the subscription is not active the events wait in their lanes.
///
/// An event may be attempted and given up again before its dead letter is deleted: so only what was read is deleted,
/// and nothing whose event was in the backlog already (a drain may be about to delete that item, having put the dead
/// letter that was read). Both rules are model-checked.
///
/// # Errors
/// If a store fails; what was not redriven is still a dead letter.
pub async fn redrive(ports: &Ports, subscription: &Subscription, which: Selection) -> Result<u64, PortError> {
    let mut redriven = 0;
    match which {
        Selection::All => {
            let mut after: Option<String> = None;
            loop {
                let page = ports.dead_letters.list(&subscription.id, after.as_deref(), PAGE).await?;
                redriven += put_back(ports, subscription, page.dead_letters).await?;
                match page.next {
                    Some(next) => after = Some(next),
                    None => return Ok(redriven),
                }
            }
        }
        Selection::Ids(mut ids) => {
            // Ids of a lane sort by sequence.
            ids.sort_unstable();
            ids.dedup();
            for page in ids.chunks(PAGE) {
                let mut found = Vec::with_capacity(page.len());
                for id in page {
                    found.extend(ports.dead_letters.get(&subscription.id, id).await?);
                }
                redriven += put_back(ports, subscription, found).await?;
            }
            Ok(redriven)
        }
    }
}

async fn put_back(ports: &Ports, subscription: &Subscription, letters: Vec<DeadLetter>) -> Result<u64, PortError> {
    let mut lanes: BTreeMap<_, (LaneRef, Vec<DeadLetter>)> = BTreeMap::new();
    for letter in letters {
        let lane = LaneRef::new(&subscription.id, &letter.topic_id, &letter.pack.topic, &letter.pack.key);
        lanes.entry(lane.id).or_insert_with(|| (lane, Vec::new())).1.push(letter);
    }
    let mut running = stream::iter(lanes.into_values())
        .map(|(lane, letters)| put_back_lane(ports, subscription, lane, letters))
        .buffer_unordered(AT_ONCE);
    let mut redriven = 0;
    let mut failed = None;
    while let Some(result) = running.next().await {
        match result {
            Ok(count) => redriven += count,
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(redriven), Err)
}

async fn put_back_lane(
    ports: &Ports,
    subscription: &Subscription,
    lane: LaneRef,
    mut letters: Vec<DeadLetter>,
) -> Result<u64, PortError> {
    letters.sort_unstable_by_key(|letter| letter.sequence);
    let now = ports.clock.now();
    let (mut items, mut put_back) = (Vec::with_capacity(letters.len()), Vec::with_capacity(letters.len()));
    for letter in &letters {
        if ports.lanes.backlog_item(&lane.id, letter.sequence).await?.is_some() {
            continue; // the switch is for it, too: a redrive that crashed may have left it without a lane
        }
        put_back.push(letter);
        items.push(BacklogItem {
            key: letter.sequence,
            pack: letter.pack.clone(),
            position: letter.position,
            next: letter.sequence.index,
            end: letter.sequence.index.saturating_add(1),
            put_id: ports.ids.put_id(),
            revision: subscription.revision,
            attempts: 0,
            first_failed_at: None,
            due_at: (!lane.key.is_ordered()).then_some(now),
            replay: false,
        });
    }
    let new = NewLane {
        lane: lane.clone(),
        reason: HoldReason::Redriven,
        since: now,
        next_attempt_at: Some(now),
        lease: None,
        attempts: 0,
        last_status: None,
        last_error: None,
    };
    ports.lanes.append(items, &new, true).await?;
    if let Err(error) = ports.wake_ups.send(vec![(WakeUp::Lane(lane), Duration::ZERO)]).await {
        tracing::debug!(%error, "a wake-up is not sent"); // the lane is due: sweep sends it
    }
    let mut redriven = 0;
    for letter in put_back {
        redriven += u64::from(ports.dead_letters.delete_put(letter).await?);
    }
    Ok(redriven)
}
