//! Dispatch, before and after its work: receives a batch of the group, appends it to the log, reads the state,
//! acknowledges; or is no more.

use super::dispatch::begin_message;
use crate::bounds::Admin;
use crate::model::{About, Act, Model, Next, Who};
use crate::planted::Planted;
use crate::state::{Dispatch, Ignore, Message, Phase, State, Status, batch, dispatch_owner, messages_of};
use relay_core::lane::work::{Detached, LaneWork, Step};

fn act(slot: usize, what: &'static str) -> Act {
    Act::new(Who::Dispatch(slot), what, 0)
}

/// It is no more; what it had received returns when its visibility ends.
pub(super) fn gone(state: &mut State, slot: usize) {
    for message in &mut state.world.queue {
        if *message == Message::InFlight(slot as u8) {
            *message = Message::Lost;
        }
    }
    state.owner_is_gone(dispatch_owner(slot));
    state.dispatch[slot] = None;
}

/// Ends the invocation if nothing is left to do.
pub(super) fn end_if_idle(state: &mut State, slot: usize, model: &Model) {
    let Some(actor) = &state.dispatch[slot] else { return };
    let settled = actor.lanes.iter().all(|run| run.work.detached() == Detached::None);
    if actor.phase == Phase::Work && !actor.has_message() && actor.done == 0 && settled {
        if model.plants(Planted::AcknowledgedBeforeLog) {
            state.world.log |= model.bounds.all_messages();
        }
        gone(state, slot);
    }
}

/// Receives one or two messages; none while one of the group is in flight.
pub(super) fn receive(next: &mut Next<'_>, slot: usize) {
    let (now, model) = (next.now, next.model);
    if now.world.queue.iter().any(|message| matches!(message, Message::InFlight(_) | Message::Lost)) {
        return;
    }
    let messages = model.bounds.messages();
    let Some(first) = now.world.queue.iter().position(|message| *message == Message::Visible) else { return };
    for last in first..messages.min(first + 2) {
        if now.world.queue[first..=last].iter().any(|message| *message != Message::Visible) {
            continue;
        }
        let mut after = now.clone();
        for message in &mut after.world.queue[first..=last] {
            *message = Message::InFlight(slot as u8);
        }
        let late = model.plants(Planted::StateReadBeforeLog) || model.plants(Planted::AcknowledgedBeforeLog);
        let phase = if late { Phase::Read } else { Phase::Log };
        let mut actor = Dispatch::new(first as u8, last as u8, phase);
        if phase == Phase::Log && !model.bounds.log_is_read() {
            // Nobody can tell when exactly it is appended.
            actor.phase = Phase::Read;
            after.world.log |= ((1 << (last + 1)) - 1) & !((1 << first) - 1);
        }
        after.dispatch[slot] = Some(actor);
        let what = if last > first { "receive 2 messages" } else { "receive 1 message" };
        next.push(act(slot, what).about(About::Message(first as u8)), after);
    }
}

/// A crash, or a table error that makes it give up; and the end of its messages' visibility.
pub(super) fn crash_and_visibility(next: &mut Next<'_>, slot: usize, actor: &Dispatch) {
    let mut after = next.now.clone();
    gone(&mut after, slot);
    next.push_fault(act(slot, "crash or table error"), after);
    let mine = Message::InFlight(slot as u8);
    let waits = actor.lanes.iter().any(|run| run.work.detached() == Detached::InFlight);
    if !actor.zombie && next.now.world.queue.contains(&mine) && (next.model.bounds.skew || !waits) {
        let mut after = next.now.clone();
        for message in after.world.queue.iter_mut().filter(|message| **message == mine) {
            *message = Message::Visible;
        }
        if let Some(actor) = &mut after.dispatch[slot] {
            actor.zombie = true;
        }
        next.push_fault(act(slot, "visibility ends while it lives"), after);
    }
}

pub(super) fn append_to_log(next: &mut Next<'_>, slot: usize, actor: &Dispatch) {
    let mut after = next.now.clone();
    after.world.log |= messages_of(batch(actor.current, actor.last));
    if matches!(next.model.bounds.admin, Admin::CatchUp { .. }) {
        return super::skip::append_to_log(next, slot, actor, &after);
    }
    if let Some(writer) = &mut after.dispatch[slot] {
        writer.phase = Phase::Read;
    }
    next.push(act(slot, "append batch to log"), after);
}

/// Reads status and lanes: at one instant, or first the one and then the others.
pub(super) fn read_state(next: &mut Next<'_>, slot: usize, actor: &Dispatch) {
    let (now, model) = (next.now, next.model);
    let first = actor.phase == Phase::Read;
    let status_first = !model.plants(Planted::LanesReadBeforeStatus);
    let split = model.bounds.split_read;
    let (status, lanes) = (!split || first == status_first, !split || first != status_first);
    let mut after = now.clone();
    let Some(reader) = &mut after.dispatch[slot] else { return };
    if status {
        (reader.status, reader.revision) = (now.world.status, now.world.revision);
    }
    if lanes {
        for (run, lane) in reader.lanes.iter_mut().zip(&now.lanes) {
            run.work = LaneWork::new(lane.tenure.is_some());
        }
    }
    if split && first {
        reader.phase = Phase::ReadRest;
    } else {
        for run in &mut reader.lanes {
            run.work.read_again(reader.status != Status::Active || model.bounds.rate_limited);
        }
        let log_next = model.plants(Planted::StateReadBeforeLog);
        reader.phase = if log_next { Phase::Log } else { Phase::Work };
        begin_message(reader, model);
        forget_entry(reader, model);
    }
    let what = match (status, lanes) {
        (true, true) => "read lanes and status",
        (true, false) => "read status",
        _ => "read lanes",
    };
    next.push(act(slot, what), after);
}

/// Its log entry does not matter any more once it goes by the state.
fn forget_entry(reader: &mut Dispatch, model: &Model) {
    if reader.phase == Phase::Work && !model.bounds.reads_again {
        (reader.batch, reader.after) = (0, false);
    }
}

/// The deadline for live requests is over: reads the lane's state again. Pointless, and left out, without news.
pub(super) fn read_again(next: &mut Next<'_>, slot: usize, lane: usize, actor: &Dispatch) {
    let (now, model) = (next.now, next.model);
    let run = &actor.lanes[lane];
    let news = now.world.revision != actor.revision || (now.lanes[lane].tenure.is_some() && !run.work.is_held());
    let may = matches!(run.work.step(), Step::Deliver(_)) || run.ignore == Ignore::Yes;
    if !model.bounds.reads_again || !news || !may {
        return;
    }
    let mut after = now.clone();
    let Some(reader) = &mut after.dispatch[slot] else { return };
    (reader.status, reader.revision) = (now.world.status, now.world.revision);
    let ignores = super::skip::ignores(reader, model);
    let run = &mut reader.lanes[lane];
    run.work
        .read_again(now.lanes[lane].tenure.is_some() || reader.status != Status::Active || model.bounds.rate_limited);
    match (run.ignore, ignores) {
        (Ignore::Yes, false) => {
            run.ignore = Ignore::No;
            run.work.begin(model.bounds.events[usize::from(actor.current)].into());
        }
        (Ignore::No, true) => run.ignore = Ignore::Yes,
        _ => {}
    }
    next.push(Act { lane, ..act(slot, "deadline for live requests: reads the state again") }, after);
}

/// Deletes finished messages, in any order, early or late. An expired receipt may or may not delete.
pub(super) fn acknowledge(next: &mut Next<'_>, slot: usize, actor: &Dispatch) {
    let (now, model) = (next.now, next.model);
    let mut done = actor.done;
    if model.plants(Planted::AcknowledgedBeforeHold) && actor.has_message() {
        let live = actor.lanes[..model.bounds.lanes].iter().any(|run| matches!(run.work.step(), Step::Deliver(_)));
        done |= u8::from(!live) << actor.current;
    }
    for message in 0..model.bounds.messages() {
        if done & (1 << message) == 0 {
            continue;
        }
        let mut after = now.clone();
        if let Some(actor) = &mut after.dispatch[slot] {
            actor.done &= !(1 << message);
        }
        let about = About::Message(message as u8);
        if now.world.queue[message] != Message::InFlight(slot as u8) {
            let mut refused = after.clone();
            end_if_idle(&mut refused, slot, model);
            next.push(act(slot, "acknowledge: receipt refused").about(about), refused);
        }
        after.world.queue[message] = Message::Acknowledged;
        end_if_idle(&mut after, slot, model);
        next.push(act(slot, "acknowledge").about(about), after);
    }
}
