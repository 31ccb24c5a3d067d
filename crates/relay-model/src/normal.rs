//! States told apart by what they can still do, not by how they came about: numbers that are only ever compared get
//! names, and what will never be looked at again is forgotten.

use crate::bounds::{Admin, LANES};
use crate::model::Model;
use crate::state::{Backlog, Drain, Message, Part, Phase, State};
use relay_core::lane::drain::Step;
use relay_core::lane::table::ItemView;
use std::rc::Rc;

/// Name of a put that is stored; of those that dispatchers may have to repeat; and of those that are nowhere any more.
const STORED: u8 = 1;
const REPEATED: [u8; 2] = [2, 3];
const NOWHERE: u8 = 0;

/// Normalises the state; `before` is a normal one that it came from, for what need not be looked at again.
pub(crate) fn normalise(state: &mut State, before: Option<&State>, model: &Model) {
    forget_log(state, model);
    let floor = least_revision_known(state);
    let old_floor = before.map(least_revision_known);
    for lane in 0..model.bounds.lanes {
        let same = before.is_some_and(|before| {
            let (was, is) = (&before.lanes[lane], &state.lanes[lane]);
            was.backlog == is.backlog
                && was.tenure.map(|tenure| tenure.version) == is.tenure.map(|tenure| tenure.version)
                && (0..2).all(|slot| same_slot(before, state, slot))
        });
        if !same || old_floor != Some(floor) {
            rename(state, lane, floor, model);
        }
    }
    if !model.bounds.reads_again {
        for actor in state.dispatch.iter_mut().flatten().filter(|actor| actor.revision <= floor) {
            actor.revision = 0;
        }
    }
}

fn same_slot(before: &State, state: &State, slot: usize) -> bool {
    let drains = match (&before.drain[slot], &state.drain[slot]) {
        (Some(was), Some(is)) => Rc::ptr_eq(was, is),
        (was, is) => was.is_none() && is.is_none(),
    };
    drains && before.dispatch[slot] == state.dispatch[slot]
}

/// Where nobody reads the log, it matters only that what is acknowledged is in it.
fn forget_log(state: &mut State, model: &Model) {
    if model.bounds.log_is_read() {
        return;
    }
    for message in 0..model.bounds.messages() as u8 {
        let held = state
            .dispatch
            .iter()
            .flatten()
            .any(|actor| (actor.current..=actor.last).contains(&message) || actor.done & (1 << message) != 0);
        if state.world.queue[usize::from(message)] != Message::Acknowledged && !held {
            state.world.log &= !(1 << message);
        }
    }
}

/// The least revision that a drain goes by: an item's revision matters to those who know an earlier one, and whoever
/// reads the status later knows none that is earlier.
fn least_revision_known(state: &State) -> u8 {
    let knows = |drain: &&Rc<Drain>| !matches!(drain.machine.step(), Step::ReadSubscription | Step::Park(_));
    state.drain.iter().flatten().filter(knows).map(|drain| drain.revision).min().unwrap_or(u8::MAX)
}

fn rename(state: &mut State, lane: usize, floor: u8, model: &Model) {
    let version = state.lanes[lane].tenure.map(|tenure| tenure.version);
    let names = PutNames::of(state, lane, model);
    for item in state.lanes[lane].backlog.iter_mut().flatten() {
        item.put_id = STORED;
        item.revision = if item.revision > floor { item.revision } else { 0 };
    }
    if let (Some(tenure), false) = (state.lanes[lane].tenure.as_mut(), model.bounds.counted_versions) {
        tenure.version = 1;
    }
    let version_name = |number: u64| match (model.bounds.counted_versions, Some(number) == version) {
        (true, _) => number,
        (false, same) => u64::from(same),
    };
    let revision_name = |number: u64| if number > floor.into() { number } else { 0 };
    for drain in state.drain.iter_mut().flatten().filter(|drain| usize::from(drain.lane) == lane) {
        let knows_status = !matches!(drain.machine.step(), Step::ReadSubscription | Step::Park(_));
        let knows_version = needs_version(drain, model);
        let machine = drain.machine.renumbered(
            |number| if knows_version { version_name(number) } else { 0 },
            |item| ItemView {
                put_id: names.of_id(item.key, item.put_id),
                revision: revision_name(item.revision),
                ..*item
            },
            |number| if knows_status { number } else { 0 },
        );
        let part = match drain.part {
            Part::Reading { before, at, mut items } => {
                names.rename(&mut items, floor);
                Part::Reading { before: before.map(version_name), at, items }
            }
            part => part,
        };
        let revision = if knows_status || drain.part != Part::Start { drain.revision } else { 0 };
        if machine != drain.machine || part != drain.part || revision != drain.revision {
            let drain = Rc::make_mut(drain);
            (drain.machine, drain.part, drain.revision) = (machine, part, revision);
        }
    }
    names.write_back(state, lane, model);
}

/// True if the version that the drain knows may still be looked at.
fn needs_version(drain: &Drain, model: &Model) -> bool {
    match drain.machine.step() {
        Step::Park(_) | Step::Release(_) => true,
        Step::ReadBacklog | Step::RenewLease | Step::Reschedule | Step::Stop => false,
        // Parked by it, if the subscription turns out not to be active.
        _ => model.bounds.admin != Admin::None,
    }
}

/// The put ids of a lane that still matter.
struct PutNames {
    stored: Backlog,
    repeated: [Option<(u8, u8)>; 2],
}

impl PutNames {
    fn of(state: &State, lane: usize, model: &Model) -> PutNames {
        let repeats = |slot: usize| {
            let actor =
                state.dispatch[slot].as_ref().filter(|actor| actor.phase == Phase::Work && actor.has_message())?;
            let put_id = actor.lanes[lane].put_id;
            (put_id > 0).then(|| (model.bounds.rest(actor.current), put_id))
        };
        PutNames { stored: state.lanes[lane].backlog, repeated: [repeats(0), repeats(1)] }
    }

    fn of_id(&self, key: u8, put_id: u8) -> u8 {
        if self.stored[usize::from(key)].is_some_and(|item| item.put_id == put_id) {
            return STORED;
        }
        let repeated = self.repeated.iter().position(|repeated| *repeated == Some((key, put_id)));
        repeated.map_or(NOWHERE, |slot| REPEATED[slot])
    }

    fn rename(&self, items: &mut Backlog, floor: u8) {
        for (key, item) in items.iter_mut().enumerate() {
            if let Some(item) = item {
                item.put_id = self.of_id(key as u8, item.put_id);
                item.revision = if item.revision > floor { item.revision } else { 0 };
            }
        }
    }

    fn write_back(&self, state: &mut State, lane: usize, model: &Model) {
        debug_assert!(lane < LANES);
        for (slot, actor) in state.dispatch.iter_mut().enumerate() {
            let Some(run) = actor.as_mut().map(|actor| &mut actor.lanes[lane]) else { continue };
            if let Some((key, put_id)) = self.repeated[slot] {
                run.put_id = self.of_id(key, put_id);
            }
            if let Some(request) = run.request.as_mut().filter(|request| request.put_id > 0) {
                request.put_id = self.of_id(model.bounds.rest(request.message), request.put_id);
            }
        }
    }
}
