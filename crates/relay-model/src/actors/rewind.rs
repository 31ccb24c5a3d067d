//! Rewind: status, wait, load from the log message by message, resume: what `relay_core::replay` does in pages, with the
//! product's own rule of what a put writes.

use super::jobs::{act, change};
use crate::bounds::Admin;
use crate::model::{About, Model, Next};
use crate::planted::Planted;
use crate::state::{FUTURE, Item, Load, Phase, State, Status, drain_owner, first_of};
use relay_core::lane::drain::Step;
use relay_core::lane::table::PutRule;
use relay_core::lane::tenure::Tenure;

pub(super) fn next(next: &mut Next<'_>) {
    let (now, model) = (next.now, next.model);
    let Admin::Rewind { position, anywhere } = model.bounds.admin else { return };
    let before = (1u8 << position) - 1;
    let mut after = now.clone();
    match now.world.load {
        // A subscriber rewinds to what it has received: everything before the position is delivered.
        Load::None if !anywhere && now.lanes[..model.bounds.lanes].iter().any(|lane| lane.got & before != before) => {}
        Load::None => {
            change(&mut after, Status::Rewinding);
            after.world.load = Load::Begun;
            mark_stale(&mut after);
            next.push(act("rewind: status rewinding"), after);
        }
        Load::Begun if model.plants(Planted::RewindAtOnce) || !may_still_send(now) => {
            let messages = 0..model.bounds.messages() as u8;
            let wanted = messages.filter(|message| model.bounds.rewind_index(*message).is_some());
            let set = now.world.log & wanted.fold(0, |set, message| set | 1 << message);
            (after.world.loaded, after.world.load) = (set, load_from(set));
            next.push(act("rewind: read log").about(About::Messages(set)), after);
        }
        Load::Put { rest, at } => {
            put(&mut after, at, model);
            after.world.load = Load::Switch { rest, at };
            next.push(act("rewind: put backlog item").about(About::Message(at)), after);
        }
        Load::Switch { rest, at } => {
            switch(&mut after, model);
            after.world.load = load_from(rest & !(1 << at));
            next.push(act("rewind: bump version or create lane item"), after);
        }
        Load::End => {
            change(&mut after, Status::Active);
            after.world.load = Load::Over;
            next.push(act("rewind: status active, resume recorded"), after);
        }
        _ => {}
    }
    if matches!(now.world.load, Load::Put { .. } | Load::Switch { .. }) {
        let mut after = now.clone();
        (after.world.load, after.world.loaded) = (Load::Begun, 0);
        next.push_fault(act("crash: load starts again"), after);
    }
}

pub(super) fn load_from(set: u8) -> Load {
    if set == 0 { Load::End } else { Load::Put { rest: set, at: first_of(set) } }
}

/// Puts a message from the position on. An index is only ever lowered; the put is a new one in any case.
fn put(state: &mut State, message: u8, model: &Model) {
    let Some(next) = model.bounds.rewind_index(message) else { return };
    let (key, revision) = (model.bounds.rest(message), state.world.revision);
    for lane in 0..model.bounds.lanes {
        let put_id = state.fresh_put_id(lane, key, &model.bounds);
        let slot = &mut state.lanes[lane].backlog[usize::from(key)];
        let existing = slot.map(|item| item.next);
        if existing.is_some() && model.plants(Planted::RewindKeepsItems) {
            continue;
        }
        let written = PutRule::Rewind.begins_at(existing.map(Into::into), next.into());
        let lowered = written.and_then(|index| u8::try_from(index).ok()).unwrap_or(next);
        let next = if model.plants(Planted::RewindRaisesIndex) { next } else { lowered };
        *slot = Some(Item { put_id, next, end: model.bounds.events[usize::from(message)], revision });
    }
}

pub(super) fn switch(state: &mut State, model: &Model) {
    for lane in &mut state.lanes[..model.bounds.lanes] {
        lane.tenure = Some(Tenure::switched(lane.tenure, None, Some(FUTURE)));
    }
}

/// Somebody who read the status before the rewind, and is within his lease or deadline.
fn may_still_send(now: &State) -> bool {
    let drains = now.drain.iter().enumerate().any(|(slot, drain)| {
        let Some(drain) = drain.as_ref().filter(|drain| drain.stale) else { return false };
        let lease = now.lanes[usize::from(drain.lane)].tenure.and_then(|tenure| tenure.lease);
        lease.is_some_and(|lease| lease == crate::state::lease(drain_owner(slot)))
    });
    drains || now.dispatch.iter().flatten().any(|actor| actor.stale && !actor.zombie)
}

fn mark_stale(state: &mut State) {
    for actor in state.dispatch.iter_mut().flatten() {
        actor.stale = actor.phase == Phase::Work;
    }
    for drain in state.drain.iter_mut().flatten() {
        if !matches!(drain.machine.step(), Step::ReadSubscription | Step::Park(_)) {
            std::rc::Rc::make_mut(drain).stale = true;
        }
    }
}
