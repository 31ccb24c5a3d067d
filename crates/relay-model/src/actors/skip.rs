//! Skip and catch up: status and position; then `collecting`, a load from the log, the end of the join: what
//! `relay_core::replay` does in pages, with the product's own rule of what a put writes.

use super::dispatch::begin_message;
use super::jobs::{act, change};
use super::rewind::{load_from, switch};
use crate::bounds::{Admin, Bounds};
use crate::model::{About, Act, Model, Next, Who};
use crate::planted::Planted;
use crate::state::{CatchUp, Dispatch, FormerJoiner, Item, Load, Phase, State, Status, batch, messages_of};
use relay_core::lane::table::PutRule;

/// Dispatch ignores the events of a skipping subscription if its own log entry lies at or after the position that it
/// read with the status; else it holds.
pub(super) fn ignores(actor: &Dispatch, model: &Model) -> bool {
    actor.status == Status::Skipping && (actor.after || model.plants(Planted::PositionNotCompared))
}

/// A skip that sets a position may still come.
fn may_skip(bounds: &Bounds, state: &State) -> bool {
    let Admin::CatchUp { twice } = bounds.admin else { return false };
    let known = state.world.catch_up;
    !known.skipped || (twice && !known.skipped_again)
}

/// Where the entry lies, seen from the position: clocks differ, so it may lie before one that was set earlier.
pub(super) fn append_to_log(next: &mut Next<'_>, slot: usize, actor: &Dispatch, appended: &State) {
    let model = next.model;
    let mine = batch(actor.current, actor.last);
    let may_skip = may_skip(&model.bounds, appended);
    let log = |after_position: bool, whole: bool| {
        let mut after = appended.clone();
        if after_position {
            after.world.catch_up.after |= if whole { messages_of(mine) } else { 1 << actor.last };
        }
        after.world.catch_up.entries |= if may_skip { mine } else { 0 };
        if let Some(writer) = &mut after.dispatch[slot] {
            writer.batch = if may_skip { mine } else { 0 };
            (writer.after, writer.logged) = (after_position && whole, true);
            writer.phase = Phase::Read;
            if model.plants(Planted::StateReadBeforeLog) {
                writer.phase = Phase::Work;
                begin_message(writer, model);
            }
        }
        after
    };
    let say = |what| Act::new(Who::Dispatch(slot), what, 0);
    if appended.world.catch_up.position {
        next.push(say("append batch to log, before the position"), log(false, true));
        next.push(say("append batch to log, after the position"), log(true, true));
        if model.plants(Planted::EntriesStraddle) && actor.last > actor.current {
            next.push(say("append batch to log, around the position"), log(true, false));
        }
    } else {
        next.push(say("append batch to log"), log(false, true));
    }
}

/// Which entries, and whose, lie at or after the position that a skip now sets: any, as clocks are what they are.
fn positions(now: &State) -> Vec<State> {
    let entries = now.world.catch_up.entries;
    let mut choices = Vec::new();
    for subset in (0..=entries).filter(|subset| subset & !entries == 0) {
        for mine in 0..4u8 {
            let mut after = now.clone();
            after.world.catch_up.after = messages_of(subset);
            let mut possible = true;
            for (slot, actor) in after.dispatch.iter_mut().enumerate() {
                let wanted = mine & (1 << slot) != 0;
                possible &= !wanted || actor.is_some_and(|actor| subset & actor.batch != 0);
                actor.iter_mut().for_each(|actor| actor.after = wanted);
            }
            if possible {
                choices.push(after);
            }
        }
    }
    choices
}

pub(super) fn next(next: &mut Next<'_>) {
    let now = next.now;
    let known = now.world.catch_up;
    let Admin::CatchUp { twice } = next.model.bounds.admin else { return };
    match now.world.status {
        Status::Active if now.world.turns == 0 && !known.skipped => {
            let mut after = now.clone();
            change(&mut after, Status::Paused);
            after.world.turns = 1;
            next.push(act("pause"), after);
        }
        Status::Paused => {
            let mut after = now.clone();
            change(&mut after, Status::Active);
            next.push(act("resume: status active, job recorded"), after);
        }
        _ => {}
    }
    if !known.skipped {
        skip(next, "skip: status skipping, position");
    } else if twice && !known.skipped_again && now.world.status != Status::Skipping {
        skip(next, "second skip: status skipping");
    }
    join(next);
    former_joiner(next);
}

fn skip(next: &mut Next<'_>, what: &'static str) {
    let (now, model) = (next.now, next.model);
    let keeps = now.world.catch_up.position && !model.plants(Planted::PositionMoved);
    for mut after in if keeps { vec![now.clone()] } else { positions(now) } {
        let known = &mut after.world.catch_up;
        known.former = former(now, model);
        (known.skipped_again, known.skipped) = (known.skipped, true);
        (known.position, known.before_join) = (true, 0);
        after.world.load = Load::None;
        change(&mut after, Status::Skipping);
        if !may_skip(&model.bounds, &after) {
            after.world.catch_up.entries = 0;
            after.dispatch.iter_mut().flatten().for_each(|actor| actor.batch = 0);
        }
        let set = after.world.catch_up.after;
        next.push(act(what).about(About::Messages(set)), after);
    }
}

/// The joiner at work, as it goes on when it has lost its job.
fn former(now: &State, model: &Model) -> Option<FormerJoiner> {
    let works = matches!(now.world.load, Load::Put { .. } | Load::Switch { .. } | Load::End);
    (model.bounds.former_jobs && works).then_some(FormerJoiner { revision: now.world.revision, load: now.world.load })
}

fn join(next: &mut Next<'_>) {
    let (now, model) = (next.now, next.model);
    let mut after = now.clone();
    let early = model.plants(Planted::LogReadEarly);
    match (now.world.status, now.world.load) {
        (Status::Skipping, Load::None) if early => {
            after.world.load = Load::ReadEarly(now.world.catch_up.after);
            next.push(act("join: read log").about(About::Messages(now.world.catch_up.after)), after);
        }
        (Status::Skipping, load) => {
            change(&mut after, Status::Collecting);
            after.world.catch_up.before_join = now.world.catch_up.after;
            after.world.load = if early { load } else { Load::Begun };
            next.push(act("join: status collecting"), after);
        }
        (Status::Collecting, Load::ReadEarly(set)) => {
            after.world.load = load_from(set);
            next.push(act("join: begin to load"), after);
        }
        (Status::Collecting, Load::Begun) => {
            // It finds what was logged before `collecting`, and perhaps what was logged after it.
            let mut sets = vec![now.world.catch_up.before_join, now.world.catch_up.after];
            sets.dedup();
            for set in sets {
                let mut after = now.clone();
                let loaded = if model.plants(Planted::JoinedWithoutLoad) { 0 } else { set };
                after.world.load = load_from(loaded);
                if now.world.faults == model.bounds.faults {
                    after.world.catch_up.before_join = 0;
                }
                next.push(act("join: read log").about(About::Messages(loaded)), after);
            }
        }
        (Status::Collecting, load) => {
            let revision = now.world.revision;
            let (what, load) = load_step(&mut after, load, revision, model);
            after.world.load = load;
            next.push(act(what), after);
            if !early && load_can_crash(now.world.load) {
                let mut after = now.clone();
                after.world.load = Load::Begun;
                next.push_fault(act("crash: load starts again"), after.clone());
                if now.world.catch_up.former.is_none() && model.bounds.former_jobs {
                    after.world.catch_up.former = former(now, model);
                    next.push_fault(act("load starts again, its former worker lives on"), after);
                }
            }
        }
        _ => {}
    }
}

fn load_can_crash(load: Load) -> bool {
    matches!(load, Load::Put { .. } | Load::Switch { .. } | Load::End)
}

/// One step of a load, whoever does it.
fn load_step(state: &mut State, load: Load, revision: u8, model: &Model) -> (&'static str, Load) {
    match load {
        Load::Put { rest, at } => {
            put_absent(state, at, revision, model);
            ("join: put backlog item", Load::Switch { rest, at })
        }
        Load::Switch { rest, at } => {
            switch(state, model);
            ("join: bump version or create lane item", load_from(rest & !(1 << at)))
        }
        _ => {
            end(state);
            ("join: status active, no position", Load::None)
        }
    }
}

/// An item that exists keeps its index, which says what was accepted, and its put id.
fn put_absent(state: &mut State, message: u8, revision: u8, model: &Model) {
    let key = model.bounds.rest(message);
    for lane in 0..model.bounds.lanes {
        let put_id = state.fresh_put_id(lane, key, &model.bounds);
        let end = model.bounds.events[usize::from(message)];
        let item = &mut state.lanes[lane].backlog[usize::from(key)];
        if PutRule::Join.begins_at(item.map(|item| item.next.into()), 0).is_some() {
            *item = Some(Item { put_id, next: 0, end, revision });
        }
    }
}

fn end(state: &mut State) {
    change(state, Status::Active);
    let known = state.world.catch_up;
    let kept = CatchUp { after: 0, before_join: 0, position: false, ..known };
    (state.world.catch_up, state.world.load) = (kept, Load::None);
    state.dispatch.iter_mut().flatten().for_each(|actor| actor.after = false);
}

/// A joiner that has lost its job.
fn former_joiner(next: &mut Next<'_>) {
    let (now, model) = (next.now, next.model);
    let Some(me) = now.world.catch_up.former else { return };
    let mut after = now.clone();
    after.world.catch_up.former = None;
    next.push(act("former joiner stops"), after);
    let mut after = now.clone();
    if me.load == Load::End {
        if now.world.revision == me.revision || model.plants(Planted::JoinEndUnconditional) {
            end(&mut after);
            after.world.catch_up.former = former(now, model);
            next.push(act("former joiner: status active, no position"), after);
        }
        return;
    }
    let (_, load) = load_step(&mut after, me.load, me.revision, model);
    after.world.catch_up.former = Some(FormerJoiner { load, ..me });
    next.push(act("former joiner goes on with its load"), after);
}
