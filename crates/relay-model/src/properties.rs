//! What must hold in every state, and what must stay within reach.

use crate::bounds::Admin;
use crate::model::Model;
use crate::state::{Load, Message, Resume, State, Status};
use std::fmt;

/// A promise of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Property {
    /// The first acceptance of an event never precedes that of the one before it, unless that became a dead letter.
    Order,
    /// An acknowledged event is in the log, and it is accepted, in the backlog of a held lane, a dead letter, or in the
    /// log after the position of a subscription that is catching up. No actor's memory is accepted as an excuse.
    NoLoss,
    /// After a rewind, first redeliveries are in order, and nobody who knows nothing of it delivers out of turn.
    RewindOrder,
    /// After a rewind, each event is redelivered or waits in the backlog of a held lane.
    RewindGap,
    /// From every state, steps that are no faults can deliver everything, release all lanes and end all work.
    Liveness,
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Property::Order => "order: an event is accepted before its predecessor ever was",
            Property::NoLoss => "no loss: an acknowledged event is neither delivered nor kept anywhere",
            Property::RewindOrder => "rewind, order: an event is redelivered out of turn",
            Property::RewindGap => "rewind, gap: an event is neither redelivered nor in the backlog of a held lane",
            Property::Liveness => "liveness: from here nothing without a fault delivers and releases everything",
        })
    }
}

/// What a state breaks, if anything.
pub(crate) fn broken(model: &Model, state: &State) -> Option<Property> {
    let seen = state.world.seen;
    if seen.out_of_order {
        return Some(Property::Order);
    }
    if seen.redelivered_out_of_order || seen.stale_after_load {
        return Some(Property::RewindOrder);
    }
    (0..model.bounds.messages() as u8).find_map(|message| message_is_lost(model, state, message))
}

fn message_is_lost(model: &Model, state: &State, message: u8) -> Option<Property> {
    let (world, bounds) = (&state.world, &model.bounds);
    let bit = 1u8 << message;
    let acknowledged = world.queue[usize::from(message)] == Message::Acknowledged;
    let rewound = matches!(bounds.admin, Admin::Rewind { .. }) && matches!(world.load, Load::End | Load::Over);
    if !acknowledged && !rewound {
        return None;
    }
    if acknowledged && world.log & bit == 0 {
        return Some(Property::NoLoss);
    }
    let behind = world.catch_up.position && world.status != Status::Active && world.catch_up.after & bit != 0;
    for lane in &state.lanes[..bounds.lanes] {
        for index in 0..bounds.events[usize::from(message)] {
            let event = bounds.event(message, index);
            let bit_of_event = 1u8 << event;
            let holds =
                |key: u8| lane.backlog[usize::from(key)].is_some_and(|item| item.next <= index && index < item.end);
            let waits = lane.tenure.is_some() && (holds(bounds.rest(message)) || holds(bounds.single(message, index)));
            let delivered = (lane.got | lane.dead) & bit_of_event != 0;
            if acknowledged && !delivered && !waits && !behind {
                return Some(Property::NoLoss);
            }
            let again = if world.loaded & bit != 0 { lane.regot } else { lane.since } & bit_of_event != 0;
            let old = bounds.rewind_index(message).is_none_or(|first| index < first);
            if rewound && !old && !again && !waits && (acknowledged || world.loaded & bit != 0) {
                return Some(Property::RewindGap);
            }
        }
    }
    None
}

/// Everything delivered, acknowledged and released, nobody at work.
pub(crate) fn is_goal(model: &Model, state: &State) -> bool {
    let world = &state.world;
    let delivered = |lane: &crate::state::Lane| {
        lane.tenure.is_none() && (lane.got | lane.dead) & model.bounds.all_events() == model.bounds.all_events()
    };
    world.queue.iter().all(|message| *message == Message::Acknowledged)
        && state.lanes[..model.bounds.lanes].iter().all(delivered)
        && state.dispatch.iter().all(Option::is_none)
        && state.drain.iter().all(Option::is_none)
        && matches!(world.status, Status::Active | Status::Suspended)
        && world.resume == Resume::None
        && world.redrives == [None, None]
        && matches!(world.load, Load::None | Load::Over)
        && world.catch_up.former.is_none()
}
