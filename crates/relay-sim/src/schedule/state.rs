//! What the scheduler knows: who waits where, and what time it is.

use super::hazards::Hazards;
use super::trace::Trace;
use crate::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;

/// Names a task.
pub type TaskId = u64;

/// Names a process: tasks that are killed together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Group(u64);

pub(super) struct TaskInfo {
    pub name: Arc<str>,
    pub group: Option<Group>,
    pub mortal: bool,
    /// Tasks go at different speeds, so that one may overtake another many times over.
    pub weight: u64,
}

pub(super) type Body = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct Spawned {
    pub info: TaskInfo,
    pub future: Body,
}

struct WaitingPoint {
    id: u64,
    task: TaskId,
    eligible_at: u64,
    waker: Waker,
    granted: bool,
}

struct Timer {
    task: TaskId,
    waker: Waker,
}

pub(super) struct State {
    pub now_ms: u64,
    pub decisions: u64,
    pub random: Random,
    pub hazards: Hazards,
    pub trace: Trace,
    pub current: TaskId,
    pub tasks: BTreeMap<TaskId, TaskInfo>,
    pub spawned: Vec<Spawned>,
    pub doomed: Vec<Group>,
    pub stalled: BTreeMap<TaskId, u64>,
    points: Vec<WaitingPoint>,
    timers: BTreeMap<(u64, u64), Timer>,
    next: u64,
}

/// What the scheduler decided.
pub(super) enum Choice {
    /// Wake this one.
    Wake(Waker),
    /// This task crashes here.
    Kill(TaskId),
    /// Time passed, or somebody was stalled.
    Nothing,
    /// These tasks' stall is over.
    Recovered(Vec<TaskId>),
    /// Nobody will ever go on.
    Idle,
}

impl State {
    pub fn new(random: Random) -> State {
        State {
            now_ms: 0,
            decisions: 0,
            random,
            hazards: Hazards::none(),
            trace: Trace::default(),
            current: 0,
            tasks: BTreeMap::new(),
            spawned: Vec::new(),
            doomed: Vec::new(),
            stalled: BTreeMap::new(),
            points: Vec::new(),
            timers: BTreeMap::new(),
            next: 1,
        }
    }

    pub fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub fn new_group(&mut self) -> Group {
        Group(self.fresh())
    }

    pub fn note(&mut self, text: &str) {
        let name = self.tasks.get(&self.current).map_or("-", |task| &task.name);
        self.trace.add(self.now_ms, name, text);
    }

    pub fn add_point(&mut self, waker: &Waker) -> u64 {
        let id = self.fresh();
        let latency = if self.random.happens(self.hazards.slow_call) {
            self.random.within(1_000..5_000)
        } else if self.random.happens(self.hazards.latency) {
            self.random.within(1..6)
        } else {
            0
        };
        let (task, eligible_at) = (self.current, self.now_ms + latency);
        self.points.push(WaitingPoint { id, task, eligible_at, waker: waker.clone(), granted: false });
        id
    }

    /// True if the point was picked; it is gone then.
    pub fn take_granted(&mut self, id: u64, waker: &Waker) -> bool {
        let Some(at) = self.points.iter().position(|point| point.id == id) else { return true };
        if self.points[at].granted {
            self.points.swap_remove(at);
            return true;
        }
        self.points[at].waker.clone_from(waker);
        false
    }

    pub fn forget_point(&mut self, id: u64) {
        self.points.retain(|point| point.id != id);
    }

    pub fn add_timer(&mut self, deadline: u64, waker: &Waker) -> u64 {
        let id = self.fresh();
        self.timers.insert((deadline, id), Timer { task: self.current, waker: waker.clone() });
        id
    }

    /// True if the timer was picked; it is gone then.
    pub fn has_fired(&mut self, deadline: u64, id: u64, waker: &Waker) -> bool {
        match self.timers.get_mut(&(deadline, id)) {
            Some(timer) => {
                timer.waker.clone_from(waker);
                false
            }
            None => true,
        }
    }

    pub fn forget_timer(&mut self, deadline: u64, id: u64) {
        self.timers.remove(&(deadline, id));
    }

    fn runs(&self, task: TaskId) -> bool {
        !self.stalled.contains_key(&task)
    }

    /// Decides what happens next.
    pub fn choose(&mut self, horizon: u64) -> Choice {
        self.decisions += 1;
        let over: Vec<TaskId> =
            self.stalled.iter().filter(|(_, until)| **until <= self.now_ms).map(|(task, _)| *task).collect();
        if !over.is_empty() {
            self.stalled.retain(|_, until| *until > self.now_ms);
            return Choice::Recovered(over);
        }
        let hurried = self.random.happens(self.hazards.hurry);
        match self.pick() {
            Some(picked) if !hurried => self.grant(picked),
            Some(picked) => {
                if self.advance(horizon) {
                    Choice::Nothing
                } else {
                    self.grant(picked)
                }
            }
            None => {
                if self.advance(horizon) {
                    Choice::Nothing
                } else {
                    Choice::Idle
                }
            }
        }
    }

    /// Picks among the points and timers that could go on, by the weight of their tasks.
    fn pick(&mut self) -> Option<Picked> {
        let weight = |task: &TaskId| self.tasks.get(task).map_or(1, |task| task.weight);
        let able = |point: &&WaitingPoint| !point.granted && point.eligible_at <= self.now_ms && self.runs(point.task);
        let points = self.points.iter().filter(able).map(|point| (weight(&point.task), Picked::Point(point.id)));
        let due = self.timers.range(..=(self.now_ms, u64::MAX)).filter(|(_, timer)| self.runs(timer.task));
        let timers = due.map(|(key, timer)| (weight(&timer.task), Picked::Timer(*key)));
        let candidates: Vec<(u64, Picked)> = points.chain(timers).collect();
        let total = candidates.iter().map(|(weight, _)| weight).sum();
        let mut drawn = self.random.within(0..total);
        candidates.into_iter().find_map(|(weight, picked)| {
            let here = drawn < weight;
            drawn = drawn.saturating_sub(weight);
            here.then_some(picked)
        })
    }

    fn grant(&mut self, picked: Picked) -> Choice {
        let id = match picked {
            Picked::Timer(key) => {
                return self.timers.remove(&key).map_or(Choice::Nothing, |timer| Choice::Wake(timer.waker));
            }
            Picked::Point(id) => id,
        };
        let Some(at) = self.points.iter().position(|point| point.id == id) else { return Choice::Nothing };
        let task = self.points[at].task;
        if self.tasks.get(&task).is_some_and(|task| task.mortal) {
            if self.random.happens(self.hazards.crash) {
                return Choice::Kill(task);
            }
            if self.random.happens(self.hazards.stall) {
                let span = self.random.within(20_000..240_000);
                self.stalled.insert(task, self.now_ms + span);
                self.current = task;
                self.note(&format!("… stalls for {} s", span / 1000));
                return Choice::Nothing;
            }
        }
        self.points[at].granted = true;
        Choice::Wake(self.points[at].waker.clone())
    }

    /// Moves the clock to the next time at which somebody can go on; false if that is past the horizon.
    fn advance(&mut self, horizon: u64) -> bool {
        let waiting = self.points.iter().filter(|point| !point.granted && self.runs(point.task));
        let points = waiting.map(|point| point.eligible_at);
        let timers = self.timers.iter().filter(|(_, timer)| self.runs(timer.task)).map(|((at, _), _)| *at);
        let stalls = self.stalled.values().copied();
        match points.chain(timers).chain(stalls).filter(|at| *at > self.now_ms).min() {
            Some(at) if at <= horizon => {
                self.now_ms = at;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Removes what is known of a task that ended.
    pub fn forget_task(&mut self, task: TaskId) {
        self.tasks.remove(&task);
        self.stalled.remove(&task);
    }

    /// The tasks of the processes that are to be killed.
    pub fn take_doomed(&mut self) -> BTreeSet<TaskId> {
        let doomed = std::mem::take(&mut self.doomed);
        let member = |info: &TaskInfo| info.group.is_some_and(|group| doomed.contains(&group));
        self.tasks.iter().filter(|(_, info)| member(info)).map(|(task, _)| *task).collect()
    }
}

enum Picked {
    Point(u64),
    Timer((u64, u64)),
}
