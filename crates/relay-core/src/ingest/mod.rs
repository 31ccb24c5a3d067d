//! Ingest: a publish request becomes packs in the queue.
//!
//! 1. The request is read and checked as a whole: a fault names the event, and nothing is accepted.
//! 2. Payloads too large for a pack go to the payload store.
//! 3. Events that share a partition key are packed; each key's packs are sent one after another.
//! 4. Every event is answered, in the order of the request, once all packs are durable or given up.

mod claim_check;
mod request;
mod send;

use crate::event::Incoming;
use crate::event::fault::{EventFault, FaultKind};
use crate::limits::{MAX_EVENTS_PER_REQUEST, MAX_REQUEST_BYTES};
use crate::metrics;
use crate::names::PartitionKey;
use crate::pack::Pack;
use crate::packing::{self, Place};
use crate::ports::{Clock, EventQueue, Ids, Payloads, PortError, Ports, Sent};
use crate::replay_id::ReplayId;
use crate::sequence::Sequence;
use crate::time::Time;
use crate::topic::Topic;
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;

/// A publish request.
#[derive(Clone, Debug)]
pub struct PublishRequest<'a> {
    /// All headers, names in lower case.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body; let go as soon as it is read.
    pub body: Bytes,
    /// Name of the principal that publishes: tells apart the `Idempotency-Key`s of several.
    pub publisher: &'a str,
}

/// Why nothing of a request was accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestFault {
    /// Neither CloudEvents nor plain JSON; what its `content-type` says.
    #[error("the media type is none that events are published in")]
    UnsupportedMediaType(Option<String>),
    /// Events, or headers, break rules.
    #[error("the events are not valid")]
    Invalid(Vec<EventFault>),
    /// The body is too large.
    #[error("a request may have {MAX_REQUEST_BYTES} bytes")]
    RequestTooLarge,
    /// The batch has too many events.
    #[error("a request may have {MAX_EVENTS_PER_REQUEST} events")]
    TooManyEvents,
    /// An event is larger than its topic allows.
    #[error("an event has {bytes} bytes; its topic allows {limit}")]
    EventTooLarge {
        /// Its index in the batch.
        index: Option<usize>,
        /// Its size as sent.
        bytes: usize,
        /// The topic's `maxEventBytes`.
        limit: u32,
    },
    /// A payload could not be stored.
    #[error(transparent)]
    Port(PortError),
}

impl IngestFault {
    fn header(index: Option<usize>, name: &str, detail: impl Into<Cow<'static, str>>) -> IngestFault {
        IngestFault::Invalid(vec![EventFault::new(index, name, detail, FaultKind::Header)])
    }
}

/// Why a pack is not in the queue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// The queue did not take it.
    #[error(transparent)]
    Port(PortError),
    /// A pack of the same key, which has to be in the queue before it, is not.
    #[error("an earlier event of the same partition key was not accepted")]
    Predecessor,
}

/// What became of a request's events.
#[derive(Debug)]
pub struct Published {
    packs: Vec<(Arc<Pack>, Result<Sent, NotSent>)>,
    places: Vec<Place>,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventResult<'a> {
    /// Its `id`.
    pub id: &'a str,
    /// What it is ordered by.
    pub partition_key: Option<&'a PartitionKey>,
    /// Where it is, or why it was not accepted.
    pub outcome: Result<Accepted, &'a NotSent>,
}

/// Where an accepted event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its position within its key.
    pub sequence: Sequence,
    /// Names it in its topic; absent where a repeat cannot be told from a first.
    pub replay_id: Option<ReplayId>,
}

impl Published {
    /// What became of each event, in the order of the request.
    pub fn results(&self) -> impl ExactSizeIterator<Item = EventResult<'_>> {
        self.places.iter().map(|place| {
            let (pack, sent) = &self.packs[place.pack];
            EventResult {
                id: &pack.events[usize::from(place.index)].id,
                partition_key: pack.key.partition_key(),
                outcome: sent.as_ref().map(|sent| accepted(pack, sent, place.index)),
            }
        })
    }

    /// The first reason why an event was not accepted; none if all were.
    pub fn failure(&self) -> Option<&NotSent> {
        self.packs.iter().find_map(|(_, sent)| sent.as_ref().err())
    }
}

fn accepted(pack: &Pack, sent: &Sent, index: u16) -> Accepted {
    let sequence = sent.sequence.event(index);
    let replay_id = match (sent.position, sent.repeated) {
        (Some(position), Some(_)) => Some(ReplayId::logged(&pack.key, position, sequence)),
        (None, Some(false)) => Some(ReplayId::accepted(&pack.key, pack.accepted_at, sequence)),
        // The first one was accepted earlier, at a time that is not known here: a look-up would begin too late.
        (None, Some(true)) | (_, None) => None,
    };
    Accepted { sequence, replay_id }
}

/// The ports that ingest needs.
#[derive(Clone, Copy)]
struct Needs<'a> {
    clock: &'a dyn Clock,
    ids: &'a dyn Ids,
    queue: &'a dyn EventQueue,
    payloads: &'a dyn Payloads,
}

impl<'a> From<&'a Ports> for Needs<'a> {
    fn from(ports: &'a Ports) -> Self {
        Needs { clock: &*ports.clock, ids: &*ports.ids, queue: &*ports.queue, payloads: &*ports.payloads }
    }
}

/// Publishes the events of a request.
///
/// # Errors
/// An [`IngestFault`]: nothing was accepted. Failures of single packs are in [`Published`].
pub async fn publish(ports: &Ports, topic: &Topic, request: PublishRequest<'_>) -> Result<Published, IngestFault> {
    read_and_accept(ports.into(), topic, request).await
}

/// Accepts events that were read and checked.
///
/// # Errors
/// If a payload could not be stored: nothing was accepted. Failures of single packs are in [`Published`].
pub async fn accept(ports: &Ports, topic: &Topic, events: Vec<Incoming>) -> Result<Published, PortError> {
    let needs = Needs::from(ports);
    accept_at(needs, topic, needs.clock.now(), events).await
}

async fn read_and_accept(
    needs: Needs<'_>,
    topic: &Topic,
    request: PublishRequest<'_>,
) -> Result<Published, IngestFault> {
    let now = needs.clock.now();
    let events = request::read(topic, &request, now, needs.ids)?;
    drop(request);
    accept_at(needs, topic, now, events).await.map_err(IngestFault::Port)
}

async fn accept_at(
    needs: Needs<'_>,
    topic: &Topic,
    now: Time,
    mut events: Vec<Incoming>,
) -> Result<Published, PortError> {
    claim_check::store_large(needs, topic.retention, &mut events).await?;
    let packing = packing::pack(topic, now, events);
    let packs = send::send(needs, packing.packs).await;
    let sent = packs.iter().filter(|(_, sent)| sent.as_ref().is_ok_and(|sent| sent.repeated != Some(true)));
    metrics::accepted(sent.map(|(pack, _)| pack.events.len() as u64).sum());
    Ok(Published { packs, places: packing.places })
}

#[cfg(test)]
#[path = "ingest_tests.rs"]
mod tests;
