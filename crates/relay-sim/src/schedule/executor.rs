//! Runs tasks one poll at a time, on one thread.

use super::state::{Body, Choice, Spawned, TaskId};
use super::{Hazards, Scheduler};
use crate::locked;
use crate::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

type Woken = Arc<Mutex<BTreeSet<TaskId>>>;

struct TaskWaker {
    task: TaskId,
    woken: Woken,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        locked(&self.woken).insert(self.task);
    }
}

/// How a step went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Something happened.
    Moved,
    /// Nothing more will happen before the horizon.
    Idle,
}

/// Owns the tasks.
pub struct Executor {
    scheduler: Scheduler,
    tasks: BTreeMap<TaskId, (Body, Waker)>,
    woken: Woken,
    /// Stalled tasks that were woken meanwhile.
    missed: BTreeSet<TaskId>,
    /// The future that [`Executor::run`] polls itself.
    root: Option<TaskId>,
}

impl Executor {
    /// An executor whose decisions follow from a seed.
    pub fn new(random: Random, hazards: Hazards) -> Executor {
        let scheduler = Scheduler::new(random);
        scheduler.set_hazards(hazards);
        let (woken, missed) = (Woken::default(), BTreeSet::new());
        Executor { scheduler, tasks: BTreeMap::new(), woken, missed, root: None }
    }

    /// What tasks and adapters use.
    pub fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// Does one thing: polls a task, or decides who goes on, or lets time pass (not beyond `horizon`, in
    /// milliseconds).
    pub fn step(&mut self, horizon: u64) -> Progress {
        self.kill_doomed();
        self.adopt();
        if let Some(task) = self.next_woken() {
            self.poll(task);
            return Progress::Moved;
        }
        let choice = self.scheduler.state().choose(horizon);
        match choice {
            Choice::Wake(waker) => waker.wake(),
            Choice::Kill(task) => self.kill(task),
            Choice::Nothing => {}
            Choice::Recovered(tasks) => {
                let missed = tasks.into_iter().filter(|task| self.missed.remove(task));
                locked(&self.woken).extend(missed.collect::<Vec<_>>());
            }
            Choice::Idle => return Progress::Idle,
        }
        Progress::Moved
    }

    /// Runs until a future is done that is not a task of its own; none if it never will be.
    pub fn run<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let root = self.scheduler.state().fresh();
        let waker = Waker::from(Arc::new(TaskWaker { task: root, woken: Arc::clone(&self.woken) }));
        let mut future = pin!(future);
        self.root = Some(root);
        locked(&self.woken).insert(root);
        loop {
            if locked(&self.woken).remove(&root) {
                self.scheduler.state().current = root;
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Some(output);
                }
            } else if self.step(u64::MAX) == Progress::Idle {
                return None;
            }
        }
    }

    /// Number of tasks that have not ended.
    pub fn tasks(&self) -> usize {
        self.tasks.len()
    }

    fn adopt(&mut self) {
        let spawned = std::mem::take(&mut self.scheduler.state().spawned);
        for Spawned { info, future } in spawned {
            let mut state = self.scheduler.state();
            let task = state.fresh();
            state.tasks.insert(task, info);
            drop(state);
            let waker = Waker::from(Arc::new(TaskWaker { task, woken: Arc::clone(&self.woken) }));
            self.tasks.insert(task, (future, waker));
            locked(&self.woken).insert(task);
        }
    }

    fn next_woken(&mut self) -> Option<TaskId> {
        loop {
            let task = *locked(&self.woken).iter().find(|task| Some(**task) != self.root)?;
            locked(&self.woken).remove(&task);
            if self.scheduler.state().stalled.contains_key(&task) {
                self.missed.insert(task);
            } else if self.tasks.contains_key(&task) {
                return Some(task);
            }
        }
    }

    fn poll(&mut self, task: TaskId) {
        let Some((future, waker)) = self.tasks.get_mut(&task) else { return };
        self.scheduler.state().current = task;
        if future.as_mut().poll(&mut Context::from_waker(waker)).is_ready() {
            self.remove(task);
        }
    }

    fn kill(&mut self, task: TaskId) {
        let mut state = self.scheduler.state();
        state.current = task;
        state.note("✗ crashes");
        drop(state);
        self.remove(task);
    }

    fn kill_doomed(&mut self) {
        let doomed = self.scheduler.state().take_doomed();
        doomed.into_iter().for_each(|task| self.kill(task));
    }

    /// The future is dropped without any lock held: what it owns may look at the scheduler while it goes.
    fn remove(&mut self, task: TaskId) {
        let gone = self.tasks.remove(&task);
        drop(gone);
        self.missed.remove(&task);
        self.scheduler.state().forget_task(task);
    }
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::TaskKind;
    use std::time::Duration;

    fn kind(name: &str, mortal: bool) -> TaskKind {
        TaskKind { name: name.to_owned(), group: None, mortal }
    }

    fn run(executor: &mut Executor) {
        while executor.step(u64::MAX) == Progress::Moved {}
    }

    fn order_of(seed: u64) -> Vec<(u64, u64)> {
        let mut executor = Executor::new(Random::new(seed), Hazards::none());
        let seen = Arc::new(Mutex::new(Vec::new()));
        for task in 0..4 {
            let (scheduler, seen) = (executor.scheduler().clone(), Arc::clone(&seen));
            executor.scheduler().spawn(kind("t", false), async move {
                for _ in 0..5 {
                    scheduler.point().await;
                    locked(&seen).push((task, scheduler.now_ms()));
                }
            });
        }
        run(&mut executor);
        std::mem::take(&mut *locked(&seen))
    }

    #[test]
    fn a_seed_fixes_the_order_of_tasks_and_other_seeds_give_other_orders() {
        assert_eq!(order_of(7), order_of(7));
        assert_ne!(order_of(7), order_of(8));
        assert_eq!(order_of(7).len(), 20);
    }

    #[test]
    fn time_passes_only_for_sleepers() {
        let mut executor = Executor::new(Random::new(1), Hazards::default());
        let scheduler = executor.scheduler().clone();
        let woke = executor.scheduler().spawn(kind("t", false), async move {
            scheduler.sleep(Duration::from_secs(3600)).await;
            scheduler.now_ms()
        });
        let answer = executor.scheduler().spawn(kind("u", false), woke);
        run(&mut executor);
        assert_eq!(executor.scheduler().now_ms(), 3_600_000);
        assert_eq!(futures_util::FutureExt::now_or_never(answer), Some(Some(Some(3_600_000))));
    }

    #[test]
    fn a_killed_task_is_dropped_at_a_point_and_its_waiter_learns_of_it() {
        let mut executor = Executor::new(Random::new(1), Hazards { crash: 10_000, ..Hazards::default() });
        let scheduler = executor.scheduler().clone();
        let end = executor.scheduler().spawn(kind("t", true), async move { scheduler.point().await });
        let answer = executor.scheduler().spawn(kind("u", false), end);
        run(&mut executor);
        assert_eq!(futures_util::FutureExt::now_or_never(answer), Some(Some(None)));
        assert_eq!(executor.tasks(), 0);
    }

    #[test]
    fn a_stalled_task_goes_on_later() {
        let mut executor = Executor::new(Random::new(1), Hazards { stall: 10_000, ..Hazards::default() });
        let scheduler = executor.scheduler().clone();
        executor.scheduler().spawn(kind("t", true), async move {
            scheduler.point().await;
            scheduler.now_ms()
        });
        while executor.scheduler().now_ms() == 0 {
            executor.step(u64::MAX);
        }
        executor.scheduler().set_hazards(Hazards::default());
        run(&mut executor);
        assert!(executor.scheduler().now_ms() >= 20_000);
        assert_eq!(executor.tasks(), 0);
    }
}
