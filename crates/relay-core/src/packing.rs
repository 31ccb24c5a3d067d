//! Packing: which events of a request share a queue message.
//!
//! The boundaries depend only on the bytes that the client sent, so a repeated request makes the same packs, and the
//! queue recognises them.

use crate::event::{Event, Incoming};
use crate::limits::{MAX_ATTRIBUTES_BYTES, MAX_EVENTS_PER_PACK, MAX_PACK_BYTES, UNORDERED_GROUPS};
use crate::pack::{DedupId, LaneKey, Pack};
use crate::time::Time;
use crate::topic::Topic;
use bytes::BytesMut;
use std::collections::HashMap;
use std::sync::Arc;

/// A request's events in packs.
#[derive(Debug)]
pub struct Packing {
    /// The packs; those of one key in order.
    pub packs: Vec<Planned>,
    /// For each event of the request, in its order, where it is. Events that are the same have the same place.
    pub places: Vec<Place>,
}

/// A pack, and when it may be sent.
#[derive(Debug)]
pub struct Planned {
    /// The pack.
    pub pack: Arc<Pack>,
    /// The pack of the same key that must be in the queue before.
    pub previous: Option<usize>,
    /// Number of packs of the same key before it.
    pub round: usize,
}

/// Place of an event in its request's packs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Index of the pack.
    pub pack: usize,
    /// Index in the pack.
    pub index: u16,
}

/// A pack that may take more events.
struct Open {
    pack: Pack,
    bytes: usize,
    previous: Option<usize>,
    round: usize,
}

/// Packs the events of a request. Of events with the same `source` and `id` the first one counts.
pub fn pack(topic: &Topic, accepted_at: Time, events: Vec<Incoming>) -> Packing {
    let originals = originals(&events);
    let mut open: Vec<Open> = Vec::new();
    let mut newest: HashMap<LaneKey, usize> = HashMap::new();
    let mut places: Vec<Place> = Vec::with_capacity(events.len());
    let single = events.len() == 1;
    for (position, incoming) in events.into_iter().enumerate() {
        if let Some(original) = originals.get(position).copied().filter(|original| *original < position) {
            places.push(places[original]);
            continue;
        }
        // What is larger than a pack has its payload elsewhere, and only attributes are left.
        let bytes = if incoming.bytes > MAX_PACK_BYTES { MAX_ATTRIBUTES_BYTES } else { incoming.bytes };
        let key = lane_key(&incoming);
        let last = if single { None } else { newest.get(&key).copied() };
        let fits = |open: &Open| open.pack.events.len() < MAX_EVENTS_PER_PACK && open.bytes + bytes <= MAX_PACK_BYTES;
        let index = match last.filter(|last| fits(&open[*last])) {
            Some(index) => index,
            None => {
                if !single {
                    newest.insert(key.clone(), open.len());
                }
                open.push(Open {
                    pack: Pack {
                        topic: topic.name.clone(),
                        topic_id: topic.id.clone(),
                        key,
                        accepted_at,
                        events: Vec::new(),
                    },
                    bytes: 0,
                    previous: last,
                    round: last.map_or(0, |last| open[last].round + 1),
                });
                open.len() - 1
            }
        };
        let target = &mut open[index];
        target.bytes += bytes;
        // At most `MAX_EVENTS_PER_PACK`.
        places.push(Place { pack: index, index: target.pack.events.len() as u16 });
        target.pack.events.push(incoming.event);
    }
    let planned = |mut open: Open| {
        own_payloads(&mut open.pack.events);
        Planned { pack: Arc::new(open.pack), previous: open.previous, round: open.round }
    };
    Packing { packs: open.into_iter().map(planned).collect(), places }
}

/// Moves payloads, which were slices of the request's body, into one piece of memory of the pack's own: a pack outlives
/// its request by far, and would keep the body, many times its size, with it.
fn own_payloads(events: &mut [Event]) {
    let mut payloads: Vec<_> = events.iter_mut().filter_map(|event| event.data.shared_mut()).collect();
    let mut own = BytesMut::with_capacity(payloads.iter().map(|payload| payload.len()).sum());
    for payload in &mut payloads {
        own.extend_from_slice(payload);
        **payload = own.split().freeze();
    }
}

/// For each event the position of the first one that is the same; empty for a single event.
fn originals(events: &[Incoming]) -> Vec<usize> {
    if events.len() < 2 {
        return Vec::new();
    }
    let mut first = HashMap::with_capacity(events.len());
    let positions = events.iter().enumerate();
    positions
        .map(|(position, incoming)| {
            *first.entry((incoming.event.source.as_str(), incoming.event.id.as_str())).or_insert(position)
        })
        .collect()
}

/// What orders the event. Without a partition key nothing does, and a repeat must come to the same group.
fn lane_key(incoming: &Incoming) -> LaneKey {
    match &incoming.partition_key {
        Some(key) => LaneKey::Ordered(key.clone()),
        None => {
            let hash = DedupId::of([incoming.event.source.as_bytes(), incoming.event.id.as_bytes()]);
            LaneKey::Unordered(u16::from_be_bytes([hash.0[0], hash.0[1]]) % UNORDERED_GROUPS)
        }
    }
}

#[cfg(test)]
#[path = "packing_tests.rs"]
mod tests;
