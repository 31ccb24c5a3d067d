//! A deterministic scheduler of tasks with virtual time.
//!
//! Every port call is a scheduling point, once before its effect and once after: there the task waits until the
//! [`Executor`] picks it, by the seed, among all that could go on. A task may be killed there (its future is dropped:
//! a crash), or stalled for minutes of virtual time (a *zombie*). The clock moves when nobody can go on, or by the
//! seed a little earlier.

mod executor;
mod hazards;
mod reply;
mod state;
mod trace;

pub use executor::{Executor, Progress};
pub use hazards::Hazards;
pub use reply::{Replier, Reply, reply};
pub use state::{Group, TaskId};

use crate::locked;
use crate::random::Random;
use state::{Spawned, State, TaskInfo};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

/// The tasks' side of the scheduler: clone it freely.
#[derive(Clone)]
pub struct Scheduler {
    state: Arc<Mutex<State>>,
}

/// What a new task is like.
#[derive(Clone, Debug)]
pub struct TaskKind {
    /// Its name, in traces.
    pub name: String,
    /// The process that it dies with.
    pub group: Option<Group>,
    /// It may be killed or stalled at any port call.
    pub mortal: bool,
}

impl Scheduler {
    fn new(random: Random) -> Scheduler {
        Scheduler { state: Arc::new(Mutex::new(State::new(random))) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// Milliseconds since the beginning.
    pub fn now_ms(&self) -> u64 {
        self.state().now_ms
    }

    /// Number of scheduling decisions so far.
    pub fn decisions(&self) -> u64 {
        self.state().decisions
    }

    /// Waits to be picked.
    pub fn point(&self) -> Point {
        Point { scheduler: self.clone(), id: None }
    }

    /// Waits in virtual time.
    pub fn sleep(&self, span: Duration) -> Sleep {
        let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Sleep { scheduler: self.clone(), deadline: self.now_ms().saturating_add(span), id: None }
    }

    /// Starts a task; the answer comes when it ends, whether by itself or killed.
    pub fn spawn<F>(&self, kind: TaskKind, future: F) -> Reply<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (replier, answer) = reply();
        let body = Box::pin(async move { replier.send(future.await) });
        let mut state = self.state();
        let weight = state.random.within(1..9);
        let info = TaskInfo { name: kind.name.into(), group: kind.group, mortal: kind.mortal, weight };
        state.spawned.push(Spawned { info, future: body });
        answer
    }

    /// A name for a process, whose tasks can be killed together.
    pub fn new_group(&self) -> Group {
        self.state().new_group()
    }

    /// Has all tasks of a process killed, before anything else happens.
    pub fn kill_group(&self, group: Group) {
        self.state().doomed.push(group);
    }

    /// Draws from the seed.
    pub fn draw<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.state().random)
    }

    /// True if a hazard strikes now.
    pub fn strikes(&self, hazard: impl FnOnce(&Hazards) -> u32) -> bool {
        let mut state = self.state();
        let rate = hazard(&state.hazards);
        state.random.happens(rate)
    }

    /// Changes what may go wrong from now on.
    pub fn set_hazards(&self, hazards: Hazards) {
        self.state().hazards = hazards;
    }

    /// Keeps a trace from now on.
    pub fn keep_trace(&self) {
        self.state().trace.keep();
    }

    /// Adds a line to the trace, if one is kept.
    pub fn note(&self, text: impl FnOnce() -> String) {
        let mut state = self.state();
        if state.trace.is_kept() {
            let text = text();
            state.note(&text);
        }
    }

    /// The trace's lines.
    pub fn trace(&self) -> Vec<String> {
        self.state().trace.lines().map(str::to_owned).collect()
    }
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scheduler")
    }
}

/// Waits until the executor picks it.
#[derive(Debug)]
pub struct Point {
    scheduler: Scheduler,
    id: Option<u64>,
}

impl Future for Point {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = locked(&self.scheduler.state);
        let Some(id) = self.id else {
            let id = state.add_point(context.waker());
            drop(state);
            self.id = Some(id);
            return Poll::Pending;
        };
        if state.take_granted(id, context.waker()) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Point {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.scheduler.state().forget_point(id);
        }
    }
}

/// Waits until a virtual time.
#[derive(Debug)]
pub struct Sleep {
    scheduler: Scheduler,
    deadline: u64,
    id: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline;
        let mut state = locked(&self.scheduler.state);
        let Some(id) = self.id else {
            let id = state.add_timer(deadline, context.waker());
            drop(state);
            self.id = Some(id);
            return Poll::Pending;
        };
        if state.has_fired(deadline, id, context.waker()) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.scheduler.state().forget_timer(self.deadline, id);
        }
    }
}
