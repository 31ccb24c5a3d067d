//! Why was it not delivered? Where an event is, for one subscription.

use super::Refused;
use super::consumers::committed;
use crate::lane::{LaneItem, lane_id, rest_key};
use crate::pack::{LaneId, LaneKey};
use crate::ports::{Attempt, AttemptOutcome, DeadLetter, LogEntry, PortError, Ports};
use crate::replay_id::{LogPosition, ReplayId};
use crate::sequence::Sequence;
use crate::subscription::Subscription;
use crate::time::Time;
use std::time::Duration;

/// How many of a subscription's newest attempts are searched, and how many at once.
const ATTEMPTS: usize = 10_000;
const ATTEMPTS_PAGE: usize = 500;
/// How many of a topic's newest log entries are searched, and how many at once.
const LOG_ENTRIES: usize = 50_000;
const LOG_PAGE: usize = 200;
/// How many of a subscription's dead letters are searched, and how many at once.
const DEAD_LETTERS: usize = 5_000;
const DEAD_LETTERS_PAGE: usize = 200;

/// What became of an event, as far as one subscription is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its webhook has accepted it.
    Delivered,
    /// What the subscription's consumer has committed has passed it.
    Committed,
    /// The subscription's consumer has not committed it yet.
    Uncommitted,
    /// It waits in its lane's backlog.
    Held,
    /// It is a dead letter.
    DeadLettered,
    /// It waits in the queue, or is being delivered at this moment.
    Queued,
    /// It waits in the log until the subscription, which is not active, is resumed.
    Skipped,
    /// It is done with: skipped by an operator, or delivered and its attempts are no longer on record.
    Settled,
    /// It was accepted before the subscription was created.
    NotMatched,
}

/// The lane that an event belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneState {
    /// Names it.
    pub id: LaneId,
    /// Its item, if it is held.
    pub held: Option<LaneItem>,
    /// The event that heads its backlog.
    pub head: Option<Sequence>,
}

/// Where an event is.
#[derive(Clone, Debug, PartialEq)]
pub struct Whereabouts {
    /// What became of it.
    pub state: State,
    /// What orders it.
    pub key: LaneKey,
    /// Its position within its key.
    pub sequence: Sequence,
    /// When it was accepted, if the log still tells.
    pub accepted_at: Option<Time>,
    /// Names it in its topic, if the log still tells.
    pub replay_id: Option<ReplayId>,
    /// Its lane; none if the subscription is pulled.
    pub lane: Option<LaneState>,
    /// Attempts so far.
    pub attempts: u32,
    /// The newest of them that is on record.
    pub last_attempt: Option<Attempt>,
    /// When it is attempted next, if it heads its lane and that is known.
    pub next_attempt_at: Option<Time>,
}

/// An event that was found.
struct Found {
    key: LaneKey,
    sequence: Sequence,
    logged: Option<(Time, LogPosition)>,
}

/// Finds out where an event is. It is looked for among the newest attempts, in the newest part of the log, and among
/// the dead letters; of several events with that id (ids are unique per source only) the newest one is meant.
///
/// # Errors
/// If nothing is known of it, or a store cannot be read.
pub async fn whereabouts(ports: &Ports, subscription: &Subscription, event: &str) -> Result<Whereabouts, Refused> {
    if subscription.is_pulled() {
        return of_consumer(ports, subscription, event).await;
    }
    let last_attempt = newest_attempt(ports, subscription, event).await?;
    let found = match logged(ports, subscription, event).await? {
        Some(found) => found,
        None => match &last_attempt {
            Some(attempt) => Found { key: attempt.key.clone(), sequence: attempt.sequence, logged: None },
            None => dead_letter(ports, subscription, event).await?.ok_or(Refused::EventNotFound)?,
        },
    };
    let last_attempt = last_attempt.filter(|attempt| attempt.sequence == found.sequence);
    let lane = lane_id(&subscription.id, &subscription.topic_id, &found.key);
    let held = ports.lanes.lane(&lane).await?;
    let head = match held {
        Some(_) => ports.lanes.head(&lane).await?.map(|(key, _, next)| key.pack.event(next)),
        None => None,
    };
    let own = ports.lanes.backlog_item(&lane, found.sequence).await?;
    let rest = ports.lanes.backlog_item(&lane, rest_key(found.sequence.pack)).await?;
    let index = found.sequence.index;
    let item = [own, rest].into_iter().flatten().find(|item| (item.next..item.end).contains(&index));
    let letter = ports.dead_letters.get(&subscription.id, &DeadLetter::id_of(&lane, found.sequence)).await?;
    let accepted_at = found.logged.map(|(at, _)| at);
    let attempts = match (&item, &letter) {
        (Some(item), _) if item.next == index => item.attempts,
        (None, Some(letter)) => letter.attempts,
        _ => last_attempt.as_ref().map_or(0, |attempt| attempt.number),
    };
    let next_attempt_at = match &item {
        Some(item) if !found.key.is_ordered() => item.due_at,
        Some(_) if head == Some(found.sequence) => held.as_ref().and_then(|held| held.next_attempt_at),
        _ => None,
    };
    let state = if item.is_some() {
        State::Held
    } else if letter.is_some() {
        State::DeadLettered
    } else {
        unheld(ports, subscription, last_attempt.as_ref(), found.logged).await?
    };
    Ok(Whereabouts {
        state,
        replay_id: found.logged.map(|(_, position)| ReplayId::logged(&found.key, position, found.sequence)),
        key: found.key,
        sequence: found.sequence,
        accepted_at,
        lane: Some(LaneState { id: lane, held, head }),
        attempts,
        last_attempt,
        next_attempt_at,
    })
}

/// As [`whereabouts`], for a subscription that is pulled: the log has the event, and the consumer is before or behind it.
async fn of_consumer(ports: &Ports, subscription: &Subscription, event: &str) -> Result<Whereabouts, Refused> {
    let Found { key, sequence, logged } = logged(ports, subscription, event).await?.ok_or(Refused::EventNotFound)?;
    let cursor = committed(ports, &subscription.id).await?.cursor;
    let is_passed = logged.is_some_and(|(_, position)| cursor.has_passed(&key, position, sequence));
    Ok(Whereabouts {
        state: if is_passed { State::Committed } else { State::Uncommitted },
        replay_id: logged.map(|(_, position)| ReplayId::logged(&key, position, sequence)),
        key,
        sequence,
        accepted_at: logged.map(|(at, _)| at),
        lane: None,
        attempts: 0,
        last_attempt: None,
        next_attempt_at: None,
    })
}

/// What became of an event that is in no backlog and no dead letter: by the invariants it was delivered (or skipped),
/// or its message is still in the queue.
async fn unheld(
    ports: &Ports,
    subscription: &Subscription,
    last_attempt: Option<&Attempt>,
    logged: Option<(Time, LogPosition)>,
) -> Result<State, PortError> {
    let accepted_at = logged.map(|(at, _)| at);
    let skipped = subscription.skipped_from.zip(logged).is_some_and(|(from, (_, position))| position >= from);
    if skipped {
        return Ok(State::Skipped);
    }
    if last_attempt.is_some_and(|attempt| attempt.outcome == AttemptOutcome::Delivered) {
        return Ok(State::Delivered);
    }
    let before = accepted_at.is_some_and(|at| at < subscription.created_at);
    if before && last_attempt.is_none() {
        return Ok(State::NotMatched);
    }
    let lag = ports.queue.lag().await?;
    let waited = accepted_at.map(|at| ports.clock.now().since(at));
    let queued = lag.messages > 0 && waited.is_some_and(|waited| waited <= lag.oldest + Duration::from_secs(1));
    Ok(if queued { State::Queued } else { State::Settled })
}

async fn newest_attempt(ports: &Ports, of: &Subscription, event: &str) -> Result<Option<Attempt>, PortError> {
    let mut cursor: Option<String> = None;
    for _ in 0..ATTEMPTS / ATTEMPTS_PAGE {
        let page = ports.attempts.list(&of.id, cursor.as_deref(), ATTEMPTS_PAGE).await?;
        if let Some(found) = page.attempts.into_iter().find(|attempt| attempt.event_id == event) {
            return Ok(Some(found));
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    Ok(None)
}

async fn logged(ports: &Ports, of: &Subscription, event: &str) -> Result<Option<Found>, PortError> {
    let mut before = None;
    for _ in 0..LOG_ENTRIES / LOG_PAGE {
        let page = ports.log.newest(&of.topic_id, before, LOG_PAGE).await?;
        for LogEntry { position, sequence, pack } in &page {
            before = Some(*position);
            let index = pack.events.iter().position(|candidate| candidate.id == event);
            if let Some(index) = index.and_then(|index| u16::try_from(index).ok()) {
                let logged = Some((pack.accepted_at, *position));
                return Ok(Some(Found { key: pack.key.clone(), sequence: sequence.event(index), logged }));
            }
        }
        if page.is_empty() {
            break; // one that is short may have left out what was logged twice
        }
    }
    Ok(None)
}

async fn dead_letter(ports: &Ports, of: &Subscription, event: &str) -> Result<Option<Found>, PortError> {
    let mut after: Option<String> = None;
    for _ in 0..DEAD_LETTERS / DEAD_LETTERS_PAGE {
        let page = ports.dead_letters.list(&of.id, after.as_deref(), DEAD_LETTERS_PAGE).await?;
        for letter in &page.dead_letters {
            let found = letter.pack.events.get(usize::from(letter.sequence.index));
            if found.is_some_and(|found| found.id == event) {
                let logged = Some((letter.pack.accepted_at, letter.position));
                return Ok(Some(Found { key: letter.pack.key.clone(), sequence: letter.sequence, logged }));
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    Ok(None)
}
