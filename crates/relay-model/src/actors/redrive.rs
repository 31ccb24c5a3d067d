//! Redrive: puts a dead letter back under its own sequence, before the rest of its pack.

use crate::model::{About, Act, Model, Next, Who};
use crate::planted::Planted;
use crate::state::{Item, PAST, Redrive, RedriveStep, State};
use relay_core::lane::table::PutRule;
use relay_core::lane::tenure::Tenure;

pub(crate) fn next(next: &mut Next<'_>) {
    let slots = if next.model.bounds.former_jobs { 2 } else { 1 };
    for slot in 0..slots {
        match next.now.world.redrives[slot] {
            Some(redrive) => go_on(next, slot, redrive),
            None => begin(next, slot),
        }
    }
}

fn go_on(next: &mut Next<'_>, slot: usize, redrive: Redrive) {
    let (now, model) = (next.now, next.model);
    let deletes_first = model.plants(Planted::RedriveDeletesFirst);
    let Redrive { lane, event, mut was_back, .. } = redrive;
    let item = usize::from(lane);
    let mut after = now.clone();
    let (what, following) = match redrive.step {
        RedriveStep::Look => {
            let (message, index) = model.bounds.place_of(event);
            let back = now.lanes[item].backlog[usize::from(model.bounds.single(message, index))].is_some();
            was_back = back;
            let following = if back { RedriveStep::Switch } else { RedriveStep::Put };
            ("redrive: look for the event in the backlog", Some(following))
        }
        RedriveStep::Put => {
            put(&mut after, item, event, model);
            ("redrive: put backlog item", Some(RedriveStep::Switch))
        }
        RedriveStep::Switch => {
            let lane = &mut after.lanes[item];
            lane.tenure = Some(Tenure::switched_sooner(lane.tenure, None, Some(PAST)));
            lane.wake = model.bounds.wake_ups;
            ("redrive: bump version or create lane item", (!deletes_first && !was_back).then_some(RedriveStep::Delete))
        }
        RedriveStep::Delete if redrive.given_up_again && !model.plants(Planted::DeadLetterDeletedUnseen) => {
            ("redrive: it is a dead letter anew, and stays", None)
        }
        RedriveStep::Delete => {
            after.lanes[item].dead &= !(1 << event);
            ("redrive: delete dead letter", deletes_first.then_some(RedriveStep::Put))
        }
    };
    after.world.redrives[slot] = following.map(|step| Redrive { step, was_back, ..redrive });
    next.push(act(what, lane, event), after);
    let mut after = now.clone();
    after.world.redrives[slot] = None;
    next.push_fault(act("redrive crashes", lane, event), after);
}

fn act(what: &'static str, lane: u8, event: u8) -> Act {
    Act::new(Who::Admin, what, lane.into()).about(About::Events(event, 1))
}

fn begin(next: &mut Next<'_>, slot: usize) {
    let first = match next.model.planted {
        Some(Planted::RedriveDeletesFirst) => RedriveStep::Delete,
        Some(Planted::RedriveWithoutLooking) => RedriveStep::Put,
        _ => RedriveStep::Look,
    };
    for lane in 0..next.model.bounds.lanes as u8 {
        let dead = next.now.lanes[usize::from(lane)].dead;
        for event in (0..8).filter(|event| dead & (1 << event) != 0) {
            let mut after = next.now.clone();
            after.world.redrives[slot] =
                Some(Redrive { lane, event, step: first, given_up_again: false, was_back: false });
            next.push(act("redrive: read dead letter", lane, event), after);
        }
    }
}

fn put(state: &mut State, lane: usize, event: u8, model: &Model) {
    let (message, index) = model.bounds.place_of(event);
    let key = model.bounds.single(message, index);
    let put_id = state.fresh_put_id(lane, key, &model.bounds);
    let revision = state.world.revision;
    let slot = &mut state.lanes[lane].backlog[usize::from(key)];
    if PutRule::Append.begins_at(slot.map(|item| item.next.into()), index.into()).is_some() {
        *slot = Some(Item { put_id, next: index, end: index + 1, revision });
    }
}
