//! Dispatch at work: a shell around `relay_core::lane::work`, one machine per lane, delivering what is live.

use super::receive::{
    acknowledge, append_to_log, crash_and_visibility, end_if_idle, gone, read_again, read_state, receive,
};
use super::{hold, skip};
use crate::model::{About, Act, Model, Next, Who};
use crate::planted::Planted;
use crate::state::{Dispatch, Ignore, Phase, Request, State};
use relay_core::lane::work::{Detached, Step};

pub(super) fn act(slot: usize, what: &'static str, lane: usize) -> Act {
    Act::new(Who::Dispatch(slot), what, lane)
}

pub(crate) fn next(next: &mut Next<'_>, slot: usize) {
    let Some(actor) = next.now.dispatch[slot] else { return receive(next, slot) };
    crash_and_visibility(next, slot, &actor);
    match actor.phase {
        Phase::Log => append_to_log(next, slot, &actor),
        Phase::Read | Phase::ReadRest => read_state(next, slot, &actor),
        Phase::Work => {
            for lane in 0..next.model.bounds.lanes {
                if actor.has_message() {
                    read_again(next, slot, lane, &actor);
                    work(next, slot, lane, &actor);
                }
                hold::detached(next, slot, lane, &actor);
            }
            acknowledge(next, slot, &actor);
        }
    }
}

/// Begins the current message on all lanes.
pub(super) fn begin_message(actor: &mut Dispatch, model: &Model) {
    if !actor.has_message() {
        return;
    }
    let ignores = skip::ignores(actor, model);
    let events = model.bounds.events[usize::from(actor.current)];
    for run in &mut actor.lanes[..model.bounds.lanes] {
        run.ignore = if ignores { Ignore::Yes } else { Ignore::No };
        if !ignores {
            run.work.begin(events.into());
        }
    }
}

/// After a step: leaves out wake-ups that are not modelled, and goes on to the next message when this one is done.
pub(super) fn settle(state: &mut State, slot: usize, model: &Model) {
    let Some(actor) = &mut state.dispatch[slot] else { return };
    for run in &mut actor.lanes[..model.bounds.lanes] {
        if !model.bounds.wake_ups && run.work.step() == Step::WakeUp {
            run.work.woken();
        }
        if !model.bounds.wake_ups && run.work.detached() == Detached::WakeUp {
            run.work.detached_woken();
        }
    }
    while actor.has_message() && actor.lanes[..model.bounds.lanes].iter().all(|run| run.is_done()) {
        actor.done |= 1 << actor.current;
        actor.current += 1;
        begin_message(actor, model);
    }
    for run in &mut actor.lanes {
        let holding = run.work.is_detaching() && run.work.step() != Step::Done;
        if run.work.detached() == Detached::None && !holding {
            run.request = None;
        }
    }
    end_if_idle(state, slot, model);
}

fn work(next: &mut Next<'_>, slot: usize, lane: usize, actor: &Dispatch) {
    let run = &actor.lanes[lane];
    let live = matches!(run.work.step(), Step::Deliver(_)) || run.ignore == Ignore::Yes;
    if live && actor.zombie && !next.model.bounds.skew {
        let mut after = next.now.clone();
        gone(&mut after, slot);
        return next.push(act(slot, "its deadline has passed: stops", lane), after);
    }
    match (run.ignore, run.work.step()) {
        (Ignore::Yes, _) => {
            let mut after = next.now.clone();
            if let Some(actor) = &mut after.dispatch[slot] {
                actor.lanes[lane].ignore = Ignore::Done;
            }
            settle(&mut after, slot, next.model);
            next.push(act(slot, "subscription skips: ignored", lane).about(About::Message(actor.current)), after);
        }
        (Ignore::Done, _) | (_, Step::Done) => {}
        (_, Step::Deliver(index)) => deliver(next, slot, lane, actor, index as u8),
        (_, Step::Put(index)) => hold::put(next, slot, lane, actor, index as u8),
        (_, Step::Switch) => hold::switch(next, slot, lane, actor),
        (_, Step::WakeUp) => hold::wake_up(next, slot, lane),
    }
}

fn deliver(next: &mut Next<'_>, slot: usize, lane: usize, actor: &Dispatch, index: u8) {
    let (now, model) = (next.now, next.model);
    let message = actor.current;
    let count = model.bounds.request.min(model.bounds.events[usize::from(message)] - index);
    let first = model.bounds.event(message, index);
    let about = About::Events(first, count);
    let after = |accepted: bool, report: &dyn Fn(&mut Dispatch)| {
        let mut state = now.clone();
        if accepted {
            model.accept(&mut state, lane, first..first + count, actor.stale);
        }
        state.dispatch[slot].iter_mut().for_each(report);
        settle(&mut state, slot, model);
        state
    };
    let accepted = |actor: &mut Dispatch| actor.lanes[lane].work.accepted(count.into());
    let failed = |actor: &mut Dispatch| actor.lanes[lane].work.failed();
    next.push(act(slot, "POST live: accepted", lane).about(about), after(true, &accepted));
    next.push(act(slot, "POST live: accepted, answer lost", lane).about(about), after(true, &failed));
    let reported = if model.plants(Planted::FailureSkipped) { after(false, &accepted) } else { after(false, &failed) };
    next.push(act(slot, "POST live: failed", lane).about(about), reported);
    if model.bounds.detach {
        let over = |actor: &mut Dispatch| {
            actor.lanes[lane].work.patience_over();
            actor.lanes[lane].request = Some(Request { message, index, count, put_id: 0 });
        };
        next.push(act(slot, "POST live: patience over, detach", lane).about(about), after(false, &over));
    }
    if model.bounds.dead_letters {
        let mut given_up = after(false, &|actor| actor.lanes[lane].work.accepted(1));
        given_up.give_up(lane, first);
        next.push(act(slot, "POST live: rejected, put dead letter", lane).about(About::Events(first, 1)), given_up);
    }
}
