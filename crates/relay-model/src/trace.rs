//! A step of a trace, in words.

use crate::model::{About, Act, Model, Who};
use crate::state::{FUTURE, GONE, NOW, State, dispatch_owner, drain_owner};
use relay_core::lane::OwnerId;
use std::fmt::Write;

/// The step, and what the lane is like after it.
pub(crate) fn describe(model: &Model, act: &Act, after: &State) -> String {
    let mut line = String::new();
    if act.fault {
        line.push_str("FAULT ");
    }
    line.push_str(&who(act.who));
    if model.bounds.lanes > 1 {
        let _ = write!(line, " lane {}", act.lane + 1);
    }
    let _ = write!(line, ": {}", act.what);
    match act.about {
        About::Nothing => {}
        About::Events(first, 1) => drop(write!(line, " e{}", first + 1)),
        About::Events(first, count) => drop(write!(line, " e{}-e{}", first + 1, first + count)),
        About::Message(message) => drop(write!(line, " m{}", message + 1)),
        About::Messages(set) => drop(write!(line, " {}", names(set, "m"))),
        About::Version(Some(version)) => drop(write!(line, " (version {version})")),
        About::Version(None) => line.push_str(" (none)"),
        About::Key(key) => drop(write!(line, " {}", key_name(model, key))),
    }
    if act.repeats {
        line.push_str(" (takes effect, answer lost, to be repeated)");
    }
    let _ = write!(line, "   | {}", lane(model, after, act.lane));
    line
}

fn who(who: Who) -> String {
    match who {
        Who::Dispatch(slot) => format!("dispatch {}", slot + 1),
        Who::Drain(slot) => format!("drain {}", slot + 1),
        Who::Admin => "admin".to_owned(),
        Who::Time => "time".to_owned(),
        Who::Sweep => "sweep".to_owned(),
        Who::Queue => "queue".to_owned(),
    }
}

fn lane(model: &Model, state: &State, number: usize) -> String {
    let lane = &state.lanes[number];
    let mut line = match lane.tenure {
        None => "live".to_owned(),
        Some(tenure) => {
            let lease = match tenure.lease {
                None => "no lease".to_owned(),
                Some(lease) => {
                    let over = if lease.until <= NOW { ", run out" } else { "" };
                    format!("lease of {}{over}", owner(lease.owner))
                }
            };
            let due = match tenure.next_attempt_at {
                None => "never due",
                Some(FUTURE) => "due later",
                Some(_) => "due",
            };
            format!("held, version {}, {lease}, {due}", tenure.version)
        }
    };
    let items: Vec<String> = lane
        .backlog
        .iter()
        .enumerate()
        .filter_map(|(key, item)| item.map(|item| (key as u8, item)))
        .map(|(key, item)| {
            let mut text = format!("{}[{}..{}]#{}", key_name(model, key), item.next, item.end, item.put_id);
            if item.revision > 0 {
                let _ = write!(text, " rev {}", item.revision);
            }
            text
        })
        .collect();
    let _ = write!(line, "; backlog [{}]; accepted [{}]", items.join(", "), names(lane.got, "e"));
    if lane.dead > 0 {
        let _ = write!(line, "; dead letters [{}]", names(lane.dead, "e"));
    }
    let acknowledged: Vec<_> = state.world.queue[..model.bounds.messages()]
        .iter()
        .enumerate()
        .filter(|(_, message)| **message == crate::state::Message::Acknowledged)
        .collect();
    if !acknowledged.is_empty() {
        let set = acknowledged.iter().fold(0, |set, (number, _)| set | 1 << number);
        let _ = write!(line, "; acknowledged [{}]", names(set, "m"));
    }
    line
}

fn owner(owner: OwnerId) -> String {
    let slots = 0..2;
    if owner == GONE {
        return "one who is gone".to_owned();
    }
    let dispatch = slots.clone().find(|slot| owner == dispatch_owner(*slot)).map(|slot| who(Who::Dispatch(slot)));
    let drain = slots.clone().find(|slot| owner == drain_owner(*slot)).map(|slot| who(Who::Drain(slot)));
    dispatch.or(drain).unwrap_or_default()
}

fn key_name(model: &Model, key: u8) -> String {
    let message = model.bounds.message_of(key);
    if model.bounds.rest(message) == key {
        return format!("m{}", message + 1);
    }
    format!("m{}/{}", message + 1, key - model.bounds.single(message, 0))
}

fn names(set: u8, prefix: &str) -> String {
    let numbers = (0..8).filter(|number| set & (1 << number) != 0);
    numbers.map(|number| format!("{prefix}{}", number + 1)).collect::<Vec<_>>().join(" ")
}
