//! The search: breadth first over all states, so that a trace is a shortest one; then, for liveness, backwards from the
//! states in which everything is done, along steps that are no faults.

use crate::actors::{dispatch, drain, environment, jobs, redrive};
use crate::collection::{Collection, Packed};
use crate::model::{Act, Model, Next};
use crate::normal::normalise;
use crate::properties::{Property, broken, is_goal};
use crate::state::State;
use crate::trace::describe;

/// What a search has found.
#[derive(Clone, Debug)]
pub struct Report {
    /// States that were told apart.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// Length of the longest of all shortest ways to a state.
    pub depth: u32,
    /// The kinds of steps that were taken, whether or not they led to a new state.
    pub steps_taken: Vec<&'static str>,
    /// False if the search stopped at its limit.
    pub complete: bool,
    /// What does not hold, and a shortest way there.
    pub violation: Option<Violation>,
}

/// A promise that is broken.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub property: Property,
    /// A shortest way there, a line each step.
    pub trace: Vec<String>,
}

fn successors(model: &Model, now: &State, out: &mut Vec<(Act, State)>) {
    out.clear();
    let mut next = Next { model, now, out };
    for slot in 0..2 {
        // Slots are interchangeable: of two that are free, the first is as good as the second.
        if slot == 0 || now.dispatch[0].is_some() || now.dispatch[1].is_some() {
            dispatch::next(&mut next, slot);
        }
        if slot == 0 || now.drain[0].is_some() || now.drain[1].is_some() {
            drain::next(&mut next, slot);
        }
    }
    jobs::next(&mut next);
    redrive::next(&mut next);
    environment::next(&mut next);
}

/// Steps between states, in the order of the states they come from.
#[derive(Default)]
struct Steps {
    ends: Vec<u64>,
    targets: Vec<u32>,
}

impl Steps {
    fn of(&self, number: usize) -> &[u32] {
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.targets[start as usize..self.ends[number] as usize]
    }

    fn reversed(&self, states: usize) -> Steps {
        let mut ends = vec![0u64; states];
        self.targets.iter().for_each(|target| ends[*target as usize] += 1);
        let mut sum = 0;
        for end in &mut ends {
            sum += *end;
            *end = sum;
        }
        // Filled from behind: what ends as a state's start begins as its end.
        let mut next = ends.clone();
        let mut targets = vec![0u32; self.targets.len()];
        for from in 0..states {
            for target in self.of(from) {
                let at = &mut next[*target as usize];
                *at -= 1;
                targets[*at as usize] = from as u32;
            }
        }
        Steps { ends, targets }
    }
}

/// Searches all states, or as many as `limit`.
pub(crate) fn explore(model: &Model, limit: usize) -> Report {
    let mut collection = Collection::new();
    let mut parents: Vec<u32> = vec![u32::MAX];
    let mut goals: Vec<bool> = Vec::new();
    let mut steps = Steps::default();
    let (mut count, mut depth, mut level_end) = (0, 0, 1);
    let (mut out, mut all_packed) = (Vec::new(), Vec::new());
    let mut initial = State::initial(&model.bounds);
    normalise(&mut initial, None, model);
    let packed = collection.pack(&mut initial, None);
    collection.insert(packed);
    let mut steps_taken = Vec::new();
    let mut found: Option<(Property, u32)> = None;
    let mut at = 0;
    'search: while at < collection.len() && collection.len() <= limit {
        if at == level_end {
            (depth, level_end) = (depth + 1, collection.len());
        }
        let packed = collection.packed(at as u32);
        let now = collection.state(&packed);
        goals.push(is_goal(model, &now));
        successors(model, &now, &mut out);
        count += out.len();
        all_packed.clear();
        for (_, after) in &mut out {
            normalise(after, Some(&now), model);
            all_packed.push(collection.pack(after, Some((&now, &packed))));
        }
        collection.prefetch(&all_packed);
        for ((act, after), after_packed) in out.iter().zip(&all_packed) {
            let (number, new) = collection.insert(*after_packed);
            if !steps_taken.contains(&act.what) {
                steps_taken.push(act.what);
            }
            if new {
                parents.push(at as u32);
                if let Some(property) = broken(model, after) {
                    found = Some((property, number));
                    break 'search;
                }
            }
            if !act.fault {
                steps.targets.push(number);
            }
        }
        steps.ends.push(steps.targets.len() as u64);
        at += 1;
    }
    let complete = found.is_none() && at == collection.len();
    if complete {
        found = cannot_finish(goals, &steps).map(|number| (Property::Liveness, number));
    }
    let violation =
        found.map(|(property, number)| Violation { property, trace: trace(model, &mut collection, &parents, number) });
    Report { states: collection.len(), steps: count, depth, steps_taken, complete, violation }
}

/// The first state from which no goal can be reached.
fn cannot_finish(mut good: Vec<bool>, steps: &Steps) -> Option<u32> {
    let back = steps.reversed(good.len());
    let mut reached: Vec<u32> = (0..good.len() as u32).filter(|number| good[*number as usize]).collect();
    while let Some(number) = reached.pop() {
        for from in back.of(number as usize) {
            if !std::mem::replace(&mut good[*from as usize], true) {
                reached.push(*from);
            }
        }
    }
    good.iter().position(|good| !good).map(|number| number as u32)
}

/// Walks the way again with actors and numbers that keep their names.
fn trace(model: &Model, collection: &mut Collection, parents: &[u32], number: u32) -> Vec<String> {
    let mut way = vec![number];
    while let Some(parent) = parents.get(way[way.len() - 1] as usize).filter(|parent| **parent != u32::MAX) {
        way.push(*parent);
    }
    way.reverse();
    let mut now = State::initial(&model.bounds);
    let mut lines = Vec::new();
    let mut out = Vec::new();
    for number in &way[1..] {
        let target = collection.packed(*number);
        successors(model, &now, &mut out);
        let step = out.iter().position(|(_, after)| is(after, &target, collection, model));
        let Some(step) = step else {
            // A put that is repeated by both dispatchers: its names depend on their slots.
            let parent = collection.packed(parents[*number as usize]);
            now = collection.state(&parent);
            successors(model, &now, &mut out);
            lines.push("(actors change places)".to_owned());
            let Some(step) = out.iter().position(|(_, after)| is(after, &target, collection, model)) else { break };
            let (act, after) = out.swap_remove(step);
            lines.push(describe(model, &act, &after));
            now = after;
            continue;
        };
        let (act, after) = out.swap_remove(step);
        lines.push(describe(model, &act, &after));
        now = after;
    }
    lines
}

fn is(state: &State, target: &Packed, collection: &mut Collection, model: &Model) -> bool {
    let mut state = state.clone();
    normalise(&mut state, None, model);
    collection.pack(&mut state, None) == *target
}
