//! Dispatch holds a lane, or appends to one: put, switch, wake-up; and settles a request that it has detached.

use super::dispatch::{act, settle};
use crate::model::{About, Model, Next};
use crate::planted::Planted;
use crate::state::{Dispatch, FUTURE, Item, PAST, State, Status, dispatch_owner, lease};
use relay_core::lane::table::{Progress, PutRule};
use relay_core::lane::tenure::Tenure;
use relay_core::lane::work::Detached;
use relay_core::time::Time;

fn table_put(state: &mut State, lane: usize, key: u8, item: Item, model: &Model) {
    let slot = &mut state.lanes[lane].backlog[usize::from(key)];
    let existing = slot.map(|item| u16::from(item.next));
    if PutRule::Append.begins_at(existing, item.next.into()).is_some() || model.plants(Planted::PutRaisesIndex) {
        *slot = Some(item);
    }
}

/// The switch, as the table carries it out; true if the lane item was created.
fn table_switch(state: &mut State, lane: usize, slot: usize, actor: &Dispatch, model: &Model) -> bool {
    let run = &actor.lanes[lane];
    let lease = run.work.is_detaching().then(|| lease(dispatch_owner(slot)));
    let parks = model.plants(Planted::DispatchParks) && actor.status != Status::Active;
    let next_attempt_at: Option<Time> = match (parks, run.work.is_detaching()) {
        (true, _) => None,
        (false, true) => Some(PAST),
        (false, false) => Some(FUTURE),
    };
    let stored = &mut state.lanes[lane].tenure;
    let created = stored.is_none();
    *stored = Some(Tenure::switched(*stored, lease, next_attempt_at));
    created
}

pub(super) fn put(next: &mut Next<'_>, slot: usize, lane: usize, actor: &Dispatch, index: u8) {
    let (now, model) = (next.now, next.model);
    let message = actor.current;
    let key = model.bounds.rest(message);
    let mut effect = now.clone();
    let known = actor.lanes[lane].put_id;
    let put_id = if known > 0 { known } else { now.fresh_put_id(lane, key, &model.bounds) };
    let end = model.bounds.events[usize::from(message)];
    let what = if model.plants(Planted::SwitchedBeforePut) {
        table_switch(&mut effect, lane, slot, actor, model);
        "bump version or create lane item"
    } else {
        table_put(&mut effect, lane, key, Item { put_id, next: index, end, revision: actor.revision }, model);
        if let Some(writer) = &mut effect.dispatch[slot] {
            writer.lanes[lane].put_id = put_id;
        }
        "put backlog item"
    };
    next.write(act(slot, what, lane).about(About::Message(message)), effect, |state| {
        if let Some(writer) = &mut state.dispatch[slot] {
            let run = &mut writer.lanes[lane];
            run.work.put();
            run.put_id = 0;
            if let (true, Some(request)) = (run.work.is_detaching(), run.request.as_mut()) {
                request.put_id = put_id;
            }
        }
        settle(state, slot, model);
    });
}

pub(super) fn switch(next: &mut Next<'_>, slot: usize, lane: usize, actor: &Dispatch) {
    let (now, model) = (next.now, next.model);
    let mut effect = now.clone();
    let mut created = false;
    if model.plants(Planted::SwitchedBeforePut) {
        let key = model.bounds.rest(actor.current);
        let put_id = now.fresh_put_id(lane, key, &model.bounds);
        let end = model.bounds.events[usize::from(actor.current)];
        // The machine does not tell the index any more: what has not been accepted is put.
        let next = (0..end).find(|index| now.lanes[lane].got & (1 << model.bounds.event(actor.current, *index)) == 0);
        let item = Item { put_id, next: next.unwrap_or(0), end, revision: actor.revision };
        table_put(&mut effect, lane, key, item, model);
    } else {
        created = table_switch(&mut effect, lane, slot, actor, model);
    }
    let what = if created { "create lane item" } else { "bump version" };
    next.write(act(slot, what, lane), effect, |state| {
        if let Some(writer) = &mut state.dispatch[slot] {
            writer.lanes[lane].work.switched(created);
        }
        settle(state, slot, model);
    });
}

pub(super) fn wake_up(next: &mut Next<'_>, slot: usize, lane: usize) {
    let mut after = next.now.clone();
    after.lanes[lane].wake = true;
    if let Some(sender) = &mut after.dispatch[slot] {
        sender.lanes[lane].work.woken();
    }
    settle(&mut after, slot, next.model);
    next.push(act(slot, "send wake-up", lane), after);
}

/// The request that goes on after its lane was held.
pub(super) fn detached(next: &mut Next<'_>, slot: usize, lane: usize, actor: &Dispatch) {
    let (now, model) = (next.now, next.model);
    let run = &actor.lanes[lane];
    let Some(request) = run.request else { return };
    let first = model.bounds.event(request.message, request.index);
    let about = About::Events(first, request.count);
    let mut effect = now.clone();
    match run.work.detached() {
        Detached::None => {}
        Detached::InFlight => {
            let answered = |accepted: bool, arrives: bool| {
                let mut state = now.clone();
                if accepted {
                    model.accept(&mut state, lane, first..first + request.count, actor.stale);
                }
                if let Some(actor) = &mut state.dispatch[slot] {
                    actor.lanes[lane].work.detached_answered(accepted && arrives);
                }
                state
            };
            next.push(act(slot, "detached POST: accepted", lane).about(about), answered(true, true));
            next.push(act(slot, "detached POST: accepted, answer lost", lane).about(about), answered(true, false));
            next.push(act(slot, "detached POST: failed", lane).about(about), answered(false, true));
        }
        Detached::Progress => {
            let index = request.index + request.count;
            let end = model.bounds.events[usize::from(request.message)];
            let progress = Progress {
                key: model.bounds.rest(request.message),
                put_id: request.put_id,
                next: (index < end).then_some(index.into()),
            };
            model.progress(&mut effect.lanes[lane], progress);
            next.write(act(slot, "write progress of detached POST", lane).about(about), effect, |state| {
                if let Some(actor) = &mut state.dispatch[slot] {
                    actor.lanes[lane].work.detached_progressed();
                }
            });
        }
        Detached::DropLease(due) => {
            let stored = &mut effect.lanes[lane].tenure;
            let at = if due { PAST } else { FUTURE };
            let dropped = stored.and_then(|tenure| tenure.rescheduled(dispatch_owner(slot), Some(at)));
            *stored = dropped.or(*stored);
            next.write(act(slot, "drop lease of detached lane (if owner)", lane), effect, |state| {
                if let Some(actor) = &mut state.dispatch[slot] {
                    actor.lanes[lane].work.detached_dropped(dropped.is_some());
                }
                settle(state, slot, model);
            });
        }
        Detached::WakeUp => {
            effect.lanes[lane].wake = true;
            if let Some(actor) = &mut effect.dispatch[slot] {
                actor.lanes[lane].work.detached_woken();
            }
            settle(&mut effect, slot, model);
            next.push(act(slot, "send wake-up", lane), effect);
        }
    }
}
