//! Changes of status, and the resume job.

use crate::bounds::Admin;
use crate::model::{About, Act, Next, Who};
use crate::planted::Planted;
use crate::state::{NOW, Resume, State, Status, first_of};

pub(super) fn act(what: &'static str) -> Act {
    Act::new(Who::Admin, what, 0)
}

pub(crate) fn next(next: &mut Next<'_>) {
    let (now, model) = (next.now, next.model);
    match model.bounds.admin {
        Admin::None => {}
        Admin::Pause(turns) => pause(next, turns),
        Admin::Circuit(turns) => open_circuit(next, turns),
        Admin::Rewind { .. } => super::rewind::next(next),
        Admin::CatchUp { .. } => super::skip::next(next),
    }
    resume(next);
    if matches!(now.world.resume, Resume::MakeDue(_) | Resume::List) && model.plants(Planted::ResumeNotRecorded) {
        let mut after = now.clone();
        after.world.resume = Resume::None;
        next.push_fault(act("crash: rest of resume is lost"), after);
    }
}

/// Writes a status; every change raises the revision.
pub(super) fn change(state: &mut State, status: Status) {
    state.world.status = status;
    state.world.revision += 1;
    if status == Status::Active {
        state.world.resume = Resume::List;
    }
}

fn pause(next: &mut Next<'_>, turns: u8) {
    let mut after = next.now.clone();
    match next.now.world.status {
        Status::Active if next.now.world.turns < turns => {
            change(&mut after, Status::Paused);
            after.world.turns += 1;
            next.push(act("pause"), after);
        }
        Status::Paused => {
            change(&mut after, Status::Active);
            next.push(act("resume: status active, job recorded"), after);
        }
        _ => {}
    }
}

fn open_circuit(next: &mut Next<'_>, turns: u8) {
    if next.now.world.status == Status::Active && next.now.world.turns < turns {
        let mut after = next.now.clone();
        change(&mut after, Status::Suspended);
        after.world.turns += 1;
        next.push(act("circuit opens"), after);
    }
}

/// Makes the held lanes due that it finds after the status is written. A crashed one starts again, which is the same.
fn resume(next: &mut Next<'_>) {
    let (now, model) = (next.now, next.model);
    let mut after = now.clone();
    let goes_on = |rest: u8| if rest == 0 { Resume::None } else { Resume::MakeDue(rest) };
    match now.world.resume {
        Resume::None => {}
        Resume::List => {
            let held = (0..model.bounds.lanes).filter(|lane| now.lanes[*lane].tenure.is_some());
            after.world.resume = goes_on(held.fold(0, |set, lane| set | 1 << lane));
            next.push(act("resume: list held lanes"), after);
        }
        Resume::MakeDue(rest) => {
            let lane = usize::from(first_of(rest));
            let item = &mut after.lanes[lane];
            if let Some(tenure) = item.tenure {
                item.tenure = Some(tenure.made_due(NOW));
                item.wake = model.bounds.wake_ups;
            }
            after.world.resume = goes_on(rest & !(1 << lane));
            let version = after.lanes[lane].tenure.map(|tenure| tenure.version);
            next.push(Act { lane, ..act("resume: make lane due") }.about(About::Version(version)), after);
        }
    }
}
