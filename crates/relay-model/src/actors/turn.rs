//! Drain, where one step of its machine takes several accesses: reading the backlog and the head, closing a circuit.

use super::drain::{act, close_circuit, tell};
use crate::model::{About, Next};
use crate::planted::Planted;
use crate::state::{Backlog, Drain, Part, drain_owner};
use relay_core::lane::table::ItemView;

/// The version, for as long as it is this drain's lane.
fn version(next: &Next<'_>, slot: usize, lane: usize) -> Option<u64> {
    let owner = drain_owner(slot);
    let anyone = next.model.plants(Planted::QueryTrustedWithoutOwner);
    let tenure = next.now.lanes[lane].tenure?;
    if anyone { Some(tenure.version) } else { tenure.version_for(owner) }
}

/// Reads version, backlog, version: at one instant, or access by access.
pub(super) fn read_backlog(next: &mut Next<'_>, slot: usize, actor: &Drain) {
    let (now, model) = (next.now, next.model);
    let lane = usize::from(actor.lane);
    let stored = now.lanes[lane].backlog;
    let version = version(next, slot, lane);
    let mut after = now.clone();
    let (part, what) = match actor.part {
        Part::Reading { before, at, mut items } if at < model.bounds.key_count() => {
            items[usize::from(at)] = stored[usize::from(at)];
            (Part::Reading { before, at: next_key(next, at + 1), items }, "read backlog")
        }
        Part::Reading { before, items, .. } => {
            let trusts = model.plants(Planted::QueryTrusted);
            let read = if trusts { before } else { version };
            tell(&mut after, slot, model, |drain| {
                drain.part = Part::Start;
                drain.machine.backlog(before, views(&items, model.plants(Planted::RevisionIgnored)), read);
            });
            let what = if trusts { "trust the query" } else { "read version again" };
            return next.push(act(slot, what, lane).about(About::Version(version)), after);
        }
        _ if model.bounds.torn_reads && version.is_some() => {
            (Part::Reading { before: version, at: next_key(next, 0), items: Backlog::default() }, "read version")
        }
        _ => {
            tell(&mut after, slot, model, |drain| {
                drain.machine.backlog(version, views(&stored, model.plants(Planted::RevisionIgnored)), version);
            });
            return next.push(act(slot, "read version and backlog", lane).about(About::Version(version)), after);
        }
    };
    let about = match (actor.part, part) {
        (Part::Reading { at, .. }, _) => About::Key(at),
        _ => About::Version(version),
    };
    tell(&mut after, slot, model, |drain| drain.part = part);
    next.push(act(slot, what, lane).about(about), after);
}

/// The head is what a query finds that stops at the first item.
pub(super) fn read_head(next: &mut Next<'_>, slot: usize, actor: &Drain) {
    let model = next.model;
    let lane = usize::from(actor.lane);
    let backlog = next.now.lanes[lane].backlog;
    let at = match actor.part {
        Part::ReadingHead { at } => at,
        _ => next_key(next, 0),
    };
    let found = backlog[usize::from(at)].map(|item| (at, item.put_id, u16::from(item.next)));
    let following = next_key(next, at + 1);
    let mut after = next.now.clone();
    tell(&mut after, slot, model, |drain| {
        if found.is_some() || following == model.bounds.key_count() {
            drain.part = Part::Start;
            drain.machine.head(found);
        } else {
            drain.part = Part::ReadingHead { at: following };
        }
    });
    next.push(act(slot, "read head again", lane).about(About::Key(at)), after);
}

/// The first key from this one on under which anything is ever put.
fn next_key(next: &Next<'_>, from: u8) -> u8 {
    let end = next.model.bounds.key_count();
    (from..end).find(|key| !next.model.bounds.is_unused(*key)).unwrap_or(end)
}

fn views(items: &Backlog, without_revision: bool) -> Vec<ItemView<u8, u8>> {
    let read = items.iter().enumerate().filter_map(|(key, item)| item.map(|item| item.view(key as u8)));
    read.map(|view| ItemView { revision: if without_revision { 0 } else { view.revision }, ..view }).collect()
}

/// A probe was accepted: closes the circuit, and only then writes the progress.
pub(super) fn close(next: &mut Next<'_>, slot: usize, actor: &Drain, sent: u8) {
    let mut after = next.now.clone();
    close_circuit(&mut after);
    tell(&mut after, slot, next.model, |drain| {
        drain.part = Part::Start;
        drain.machine.sent(sent.into());
    });
    next.push(act(slot, "close circuit, record resume", usize::from(actor.lane)), after);
}
