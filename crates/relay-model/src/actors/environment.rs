//! What just happens: time, sweep, the ends of leases and visibility, lost wake-ups.

use crate::model::{Act, Next, Who};
use crate::state::{FUTURE, GONE, Message, NOW, PAST, State, dispatch_owner, drain_owner};
use relay_core::lane::OwnerId;
use relay_core::lane::drain::Step;
use relay_core::lane::work::Detached;

pub(crate) fn next(next: &mut Next<'_>) {
    let now = next.now;
    if now.world.queue.contains(&Message::Lost) {
        let mut after = now.clone();
        for message in after.world.queue.iter_mut().filter(|message| **message == Message::Lost) {
            *message = Message::Visible;
        }
        next.push(Act::new(Who::Queue, "visibility of a lost dispatcher ends", 0), after);
    }
    for lane in 0..next.model.bounds.lanes {
        lease_ends(next, lane);
        head_is_due(next, lane);
        wake_ups(next, lane);
    }
}

fn lease_ends(next: &mut Next<'_>, lane: usize) {
    let now = next.now;
    let mut after = now.clone();
    let Some(lease) = after.lanes[lane].tenure.as_mut().and_then(|tenure| tenure.lease.as_mut()) else { return };
    if lease.until <= NOW {
        return;
    }
    let owner = lease.owner;
    lease.until = PAST;
    if owner == GONE {
        next.push(Act::new(Who::Time, "lease of a lost holder ends", lane), after);
    } else if next.model.bounds.skew || !has_request_in_flight(now, lane, owner) {
        next.push_fault(Act::new(Who::Time, "lease ends while its holder lives", lane), after);
    }
}

fn has_request_in_flight(now: &State, lane: usize, owner: OwnerId) -> bool {
    (0..2).any(|slot| {
        let detached = now.dispatch[slot].is_some_and(|actor| actor.lanes[lane].work.detached() == Detached::InFlight);
        let sends = now.drain[slot].as_ref().is_some_and(|drain| matches!(drain.machine.step(), Step::Send(_)));
        (owner == dispatch_owner(slot) && detached) || (owner == drain_owner(slot) && sends)
    })
}

fn head_is_due(next: &mut Next<'_>, lane: usize) {
    let mut after = next.now.clone();
    let Some(tenure) = after.lanes[lane].tenure.as_mut() else { return };
    if tenure.next_attempt_at == Some(FUTURE) {
        tenure.next_attempt_at = Some(PAST);
        next.push(Act::new(Who::Time, "next attempt is due", lane), after);
    }
}

fn wake_ups(next: &mut Next<'_>, lane: usize) {
    let mut after = next.now.clone();
    let item = &mut after.lanes[lane];
    let due = item.tenure.and_then(|tenure| tenure.lease.map(|lease| lease.until).or(tenure.next_attempt_at));
    if item.wake {
        item.wake = false;
        next.push_fault(Act::new(Who::Queue, "wake-up lost", lane), after);
    } else if next.model.bounds.wake_ups && due.is_some_and(|at| at <= NOW) {
        item.wake = true;
        next.push(Act::new(Who::Sweep, "wake-up for due lane", lane), after);
    }
}
