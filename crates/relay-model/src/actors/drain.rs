//! Drain: a shell around `relay_core::lane::drain`. Takes a lane's lease, does what the machine says, and gives the
//! lease back.

use super::turn;
use crate::bounds::Admin;
use crate::model::{About, Act, Model, Next, Who};
use crate::planted::Planted;
use crate::state::{Drain, FUTURE, NOW, Part, Resume, State, Status, drain_owner, lease};
use relay_core::lane::drain::{Drain as Machine, LeaseTime, Outcome, Readiness, Step};
use relay_core::lane::table::{ItemView, Progress};
use relay_core::lane::tenure::Tenure;
use std::rc::Rc;

pub(super) fn act(slot: usize, what: &'static str, lane: usize) -> Act {
    Act::new(Who::Drain(slot), what, lane)
}

/// It is no more.
fn gone(state: &mut State, slot: usize) {
    state.owner_is_gone(drain_owner(slot));
    state.drain[slot] = None;
}

/// Changes a drain's memory, and ends it if its machine has stopped.
pub(super) fn tell(state: &mut State, slot: usize, model: &Model, change: impl FnOnce(&mut Drain)) {
    let Some(drain) = &mut state.drain[slot] else { return };
    let drain = Rc::make_mut(drain);
    change(drain);
    if model.bounds.admin == Admin::None && drain.machine.step() == Step::ReadSubscription {
        // Nobody can tell when exactly it is read.
        drain.machine.subscription(Readiness::Active(0));
    }
    if drain.machine.step() == Step::Stop {
        gone(state, slot);
    }
}

pub(crate) fn next(next: &mut Next<'_>, slot: usize) {
    let Some(actor) = next.now.drain[slot].clone() else {
        for lane in 0..next.model.bounds.lanes {
            come(next, slot, lane);
        }
        return;
    };
    let mut after = next.now.clone();
    gone(&mut after, slot);
    next.push_fault(act(slot, "crash or table error", 0), after);
    advance(next, slot, &actor);
}

/// Follows a wake-up, or a probe.
fn come(next: &mut Next<'_>, slot: usize, lane: usize) {
    let (now, model) = (next.now, next.model);
    let Some(tenure) = now.lanes[lane].tenure else {
        if now.lanes[lane].wake {
            let mut after = now.clone();
            after.lanes[lane].wake = false;
            next.push(act(slot, "wake-up: lane is live", lane), after);
        }
        return;
    };
    if now.world.status == Status::Suspended {
        take(next, slot, lane, tenure, Some(now.world.revision));
    }
    let due = tenure.taken(lease(drain_owner(slot)), NOW, false).is_some();
    if !model.bounds.wake_ups && due {
        take(next, slot, lane, tenure, None);
    }
    if model.bounds.wake_ups && now.lanes[lane].wake {
        let mut after = now.clone();
        after.lanes[lane].wake = false;
        if due {
            take(next, slot, lane, tenure, None);
        } else {
            next.push(act(slot, "wake-up: not due", lane), after);
        }
    }
}

fn take(next: &mut Next<'_>, slot: usize, lane: usize, tenure: Tenure, probe: Option<u8>) {
    let (now, model) = (next.now, next.model);
    let Some(taken) = tenure.taken(lease(drain_owner(slot)), NOW, probe.is_some()) else { return };
    let mut after = now.clone();
    let mut drain = Drain {
        lane: lane as u8,
        probe,
        stale: false,
        revision: 0,
        part: Part::Start,
        machine: Machine::new(taken.version),
    };
    if model.plants(Planted::StatusReadBeforeLease) {
        drain.part = Part::Early { active: now.world.status == Status::Active };
        drain.revision = now.world.revision;
        after.drain[slot] = Some(Rc::new(drain));
        return next.push(act(slot, "read status, before the lease", lane), after);
    }
    after.lanes[lane].tenure = Some(taken);
    after.lanes[lane].wake = false;
    after.drain[slot] = Some(Rc::new(drain));
    tell(&mut after, slot, model, |_| {});
    if model.bounds.wake_ups {
        let mut repeated = after.clone();
        repeated.lanes[lane].wake = true;
        next.push_fault(act(slot, "take lease, wake-up repeated", lane), repeated);
    }
    next.push(act(slot, if probe.is_some() { "take lease for a probe" } else { "take lease" }, lane), after);
}

fn advance(next: &mut Next<'_>, slot: usize, actor: &Drain) {
    let (now, model) = (next.now, next.model);
    let lane = usize::from(actor.lane);
    match (actor.part, actor.machine.step()) {
        (Part::Early { active }, _) => take_late(next, slot, actor, active),
        (Part::Wake, _) => {
            let mut after = now.clone();
            after.lanes[lane].wake = true;
            tell(&mut after, slot, model, |drain| drain.machine.stop());
            next.push(act(slot, "send wake-up", lane), after);
        }
        (Part::Close { sent }, _) => turn::close(next, slot, actor, sent),
        (_, Step::ReadSubscription) => read_subscription(next, slot, actor),
        (_, Step::Park(version)) => park(next, slot, lane, version),
        (_, Step::ReadBacklog) => turn::read_backlog(next, slot, actor),
        (_, Step::ReadHead) => turn::read_head(next, slot, actor),
        (_, Step::CheckLease) => check_lease(next, slot, actor),
        (_, Step::RenewLease) => renew(next, slot, lane),
        (_, Step::Send(head)) => send(next, slot, actor, head),
        (_, Step::Progress(progress)) => write_progress(next, slot, lane, progress),
        (_, Step::Reschedule) => reschedule(next, slot, lane),
        (_, Step::Release(version)) => release(next, slot, lane, version),
        (_, Step::Stop) => {}
    }
}

/// Planted: the lease is taken with the status already known.
fn take_late(next: &mut Next<'_>, slot: usize, actor: &Drain, active: bool) {
    let (now, model) = (next.now, next.model);
    let lane = usize::from(actor.lane);
    let mut after = now.clone();
    match now.lanes[lane].tenure.and_then(|tenure| tenure.taken(lease(drain_owner(slot)), NOW, false)) {
        Some(taken) => {
            after.lanes[lane].tenure = Some(taken);
            let ready = if active { Readiness::Active(actor.revision.into()) } else { Readiness::Inactive };
            tell(&mut after, slot, model, |drain| {
                drain.part = Part::Start;
                drain.machine = Machine::new(taken.version);
                drain.machine.subscription(ready);
            });
        }
        None => gone(&mut after, slot),
    }
    next.push(act(slot, "take lease", lane), after);
}

fn read_subscription(next: &mut Next<'_>, slot: usize, actor: &Drain) {
    let mut after = next.now.clone();
    let revision = next.now.world.revision;
    let (ready, what) = match next.now.world.status {
        Status::Active => (Readiness::Active(revision.into()), "read status: active"),
        Status::Suspended if actor.probe == Some(revision) => (Readiness::Probe(revision.into()), "read status: probe"),
        _ => (Readiness::Inactive, "read status: not active"),
    };
    tell(&mut after, slot, next.model, |drain| {
        (drain.revision, drain.stale) = (revision, false);
        drain.machine.subscription(ready);
    });
    next.push(act(slot, what, usize::from(actor.lane)), after);
}

fn park(next: &mut Next<'_>, slot: usize, lane: usize, version: u64) {
    let (now, model) = (next.now, next.model);
    let mut effect = now.clone();
    let stored = &mut effect.lanes[lane].tenure;
    let version = match stored {
        Some(tenure) if model.plants(Planted::ParkedWithoutVersion) => tenure.version,
        _ => version,
    };
    let parked = stored.and_then(|tenure| tenure.parked(drain_owner(slot), version));
    *stored = parked.or(*stored);
    let outcome = if parked.is_some() { Outcome::Done } else { Tenure::refusal(*stored, drain_owner(slot)) };
    let what = if parked.is_some() { "park: never due, drop lease" } else { "park refused" };
    next.write(act(slot, what, lane).about(About::Version(Some(version))), effect, |state| {
        tell(state, slot, model, |drain| drain.machine.parked(outcome));
    });
}

/// What it believes of its lease: the truth, or with a skewed clock that there is time although there is none.
fn check_lease(next: &mut Next<'_>, slot: usize, actor: &Drain) {
    let (now, model) = (next.now, next.model);
    let lane = usize::from(actor.lane);
    let report = |left: LeaseTime| {
        let mut state = now.clone();
        tell(&mut state, slot, model, |drain| drain.machine.lease(left));
        state
    };
    if now.world.revision != actor.revision {
        let mut after = now.clone();
        tell(&mut after, slot, model, |drain| drain.machine.status_is_old());
        next.push(act(slot, "status is old", lane), after);
    }
    let mine = now.lanes[lane].tenure.filter(|tenure| tenure.is_owned_by(drain_owner(slot)));
    let runs = mine.and_then(|tenure| tenure.lease).is_some_and(|lease| lease.until > NOW);
    if runs {
        next.push(act(slot, "lease has time left", lane), report(LeaseTime::Enough));
        return next.push(act(slot, "lease is nearly over", lane), report(LeaseTime::Short));
    }
    if model.bounds.skew {
        next.push(act(slot, "lease has run out unnoticed", lane), report(LeaseTime::Enough));
    }
    if let (true, Some(tenure)) = (model.plants(Planted::RenewedInPlace), mine) {
        let mut after = report(LeaseTime::Enough);
        after.lanes[lane].tenure = Some(Tenure { lease: Some(lease(drain_owner(slot))), ..tenure });
        next.push(act(slot, "lease has run out: renewed in place", lane), after);
    }
    next.push(act(slot, "lease has run out: stop", lane), report(LeaseTime::Over));
}

fn renew(next: &mut Next<'_>, slot: usize, lane: usize) {
    let mut effect = next.now.clone();
    let stored = &mut effect.lanes[lane].tenure;
    let renewed = stored.and_then(|tenure| tenure.renewed(lease(drain_owner(slot)), NOW));
    *stored = renewed.or(*stored);
    let model = next.model;
    next.write(act(slot, "renew lease", lane), effect, |state| {
        tell(state, slot, model, |drain| drain.machine.renewed(renewed.map(|tenure| tenure.version)));
    });
}

fn send(next: &mut Next<'_>, slot: usize, actor: &Drain, head: ItemView<u8, u8>) {
    let (now, model) = (next.now, next.model);
    let lane = usize::from(actor.lane);
    let events = events_of(actor, model);
    let count = events.len() as u8;
    let about = About::Events(events.first().copied().unwrap_or(0), count);
    let accept = || {
        let mut state = now.clone();
        events.iter().for_each(|event| model.accept(&mut state, lane, *event..*event + 1, actor.stale));
        state
    };
    let mut accepted = accept();
    tell(&mut accepted, slot, model, |drain| {
        if drain.machine.is_probing() {
            (drain.part, drain.probe) = (Part::Close { sent: count }, None);
        } else {
            drain.machine.sent(count.into());
        }
    });
    next.push(act(slot, "POST: accepted", lane).about(about), accepted);
    let failed = |mut state: State| {
        tell(&mut state, slot, model, |drain| {
            drain.probe = None;
            drain.machine.failed();
        });
        state
    };
    next.push(act(slot, "POST: accepted, answer lost", lane).about(about), failed(accept()));
    next.push(act(slot, "POST: failed", lane).about(about), failed(now.clone()));
    if model.bounds.dead_letters {
        let event = model.bounds.event(model.bounds.message_of(head.key), head.next as u8);
        let mut after = now.clone();
        after.give_up(lane, event);
        tell(&mut after, slot, model, |drain| {
            drain.probe = None;
            drain.machine.sent(1);
        });
        next.push(act(slot, "POST: given up, put dead letter", lane).about(About::Events(event, 1)), after);
    }
}

/// The consecutive events that go into one request, from the head on.
fn events_of(actor: &Drain, model: &Model) -> Vec<u8> {
    let most = if actor.machine.is_probing() { 1 } else { model.bounds.request };
    let known = actor.machine.view().iter().filter(|item| item.revision <= actor.revision.into());
    let events = known.flat_map(|item| {
        let message = model.bounds.message_of(item.key);
        (item.next..item.end).map(move |index| model.bounds.event(message, index as u8))
    });
    events.take(most.into()).collect()
}

fn write_progress(next: &mut Next<'_>, slot: usize, lane: usize, progress: Progress<u8, u8>) {
    let model = next.model;
    let mut effect = next.now.clone();
    model.progress(&mut effect.lanes[lane], progress);
    let what = if progress.next.is_some() { "write progress: advance item" } else { "write progress: delete item" };
    next.write(act(slot, what, lane).about(About::Key(progress.key)), effect, |state| {
        tell(state, slot, model, |drain| drain.machine.progressed());
    });
}

fn reschedule(next: &mut Next<'_>, slot: usize, lane: usize) {
    let model = next.model;
    let mut effect = next.now.clone();
    let stored = &mut effect.lanes[lane].tenure;
    let rescheduled = stored.and_then(|tenure| tenure.rescheduled(drain_owner(slot), Some(FUTURE)));
    *stored = rescheduled.or(*stored);
    next.write(act(slot, "set next attempt, drop lease (if owner)", lane), effect, |state| {
        tell(state, slot, model, |drain| {
            if model.bounds.wake_ups && rescheduled.is_some() {
                drain.part = Part::Wake;
            } else {
                drain.machine.stop();
            }
        });
    });
}

fn release(next: &mut Next<'_>, slot: usize, lane: usize, version: u64) {
    let (now, model) = (next.now, next.model);
    let me = drain_owner(slot);
    let mut effect = now.clone();
    let stored = &mut effect.lanes[lane].tenure;
    let may = stored.is_some_and(|tenure| {
        let version = if model.plants(Planted::ReleasedWithoutVersion) { tenure.version } else { version };
        let anyone = model.plants(Planted::ReleasedWithoutOwner);
        let owner = if anyone { tenure.lease.map_or(me, |lease| lease.owner) } else { me };
        tenure.may_be_released(owner, version) || (anyone && tenure.lease.is_none() && tenure.version == version)
    });
    let outcome = if may { Outcome::Done } else { Tenure::refusal(*stored, me) };
    if may {
        *stored = None;
    }
    let what = if may { "release" } else { "release refused" };
    next.write(act(slot, what, lane).about(About::Version(Some(version))), effect, |state| {
        tell(state, slot, model, |drain| drain.machine.released(outcome));
    });
}

/// The circuit closes, and the resume is recorded with the same write.
pub(super) fn close_circuit(state: &mut State) {
    if state.world.status == Status::Suspended {
        (state.world.status, state.world.resume) = (Status::Active, Resume::List);
        state.world.revision += 1;
    }
}
