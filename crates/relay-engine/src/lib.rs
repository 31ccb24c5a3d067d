//! Runs the broker's background work in one process: what a cloud does by invoking functions, pollers do here.
//!
//! - [`dispatch`]: receives messages and hands them to dispatch, many batches at once, bounded in bytes;
//! - [`drain`]: follows wake-ups, bounded in total and per subscription, so that one slow endpoint cannot take all;
//! - sweep, and the gauges of the metrics, once at the start and then every minute, and beside it compaction of the log;
//! - jobs that a request starts: resume, replay, removal.

mod dispatch;
mod drain;

use relay_core::attempt::Attempter;
use relay_core::dispatch::Dispatcher;
use relay_core::drain::Drainer;
use relay_core::limits::SKIP_AFTER;
use relay_core::metrics;
use relay_core::names::SubscriptionId;
use relay_core::ports::{PortError, Ports};
use relay_core::replay;
use relay_core::resume;
use relay_core::sweep::Sweeper;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Bounds on what runs at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Messages in dispatch at once, at least ten. More than endpoints take at once would only wait for them, and use
    /// up the patience that is meant for the endpoints.
    pub messages: usize,
    /// Bytes of packs in dispatch at once.
    pub bytes: usize,
    /// Lanes drained at once.
    pub drains: usize,
    /// Lanes of one subscription drained at once.
    pub drains_per_subscription: usize,
    /// Receivers of the event queue. One is enough where a receive takes no time; a queue behind a network wants more.
    pub receivers: usize,
    /// How long a receive in progress may go on when the engine is told to stop; what it brings is given back. Zero
    /// for a queue that loses nothing by a receive that is dropped.
    pub last_receive: Duration,
    /// Time from one sweep to the next.
    pub sweep_every: Duration,
    /// A subscription that is not active for so long skips what is published. Where it is shorter, it is also the time
    /// from one sweep to the next.
    pub skip_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            messages: 512,
            bytes: 8 * 1024 * 1024,
            drains: 512,
            drains_per_subscription: 128,
            receivers: 1,
            last_receive: Duration::ZERO,
            sweep_every: Duration::from_secs(60),
            skip_after: SKIP_AFTER,
        }
    }
}

/// The running background work. Dropping it stops everything at once; [`Engine::stop`] finishes what is in progress.
#[derive(Debug)]
pub struct Engine {
    stop: watch::Sender<bool>,
    loops: JoinSet<()>,
    jobs: Jobs,
}

/// Starts jobs; cheap to clone.
#[derive(Clone, Debug)]
pub struct Jobs {
    ports: Ports,
    runtime: tokio::runtime::Handle,
    /// Each job listens to it for as long as it runs.
    stop: watch::Sender<bool>,
}

impl Engine {
    /// Starts all loops on the present runtime.
    pub fn start(ports: Ports, settings: Settings) -> Engine {
        let (stop, stopped) = watch::channel(false);
        let attempter = Attempter::new(ports.clone());
        let dispatcher = Arc::new(Dispatcher::new(ports.clone(), attempter.clone()));
        let drainer = Arc::new(Drainer::new(ports.clone(), attempter));
        let mut loops = JoinSet::new();
        let bounds = dispatch::Bounds::new(&settings);
        for _ in 0..settings.receivers {
            let (queue, dispatcher) = (ports.queue.clone(), dispatcher.clone());
            loops.spawn(dispatch::run(queue, dispatcher, bounds.clone(), settings, stopped.clone()));
        }
        loops.spawn(drain::run(ports.wake_ups.clone(), drainer, settings, stopped.clone()));
        loops.spawn(compact(ports.clone(), settings.sweep_every, stopped.clone()));
        let jobs = Jobs { ports: ports.clone(), runtime: tokio::runtime::Handle::current(), stop: stop.clone() };
        loops.spawn(sweep(ports, jobs.clone(), settings, stopped));
        Engine { stop, loops, jobs }
    }

    /// What requests start jobs with.
    pub fn jobs(&self) -> Jobs {
        self.jobs.clone()
    }

    /// Receives nothing more, and waits until what is in progress is finished. Jobs are left where they are: they may
    /// be long, and sweep goes on with them after the next start.
    pub async fn stop(mut self) {
        // Also if nobody listens now: a job may yet be started.
        self.stop.send_replace(true);
        while self.loops.join_next().await.is_some() {}
        self.stop.closed().await;
    }
}

impl Jobs {
    /// Makes a resumed subscription's held lanes due.
    pub fn resume(&self, subscription: SubscriptionId) {
        let ports = self.ports.clone();
        self.spawn("resume", async move { resume::run(&ports, &subscription).await });
    }

    /// Loads what a subscription's replay wants into its lanes.
    pub fn replay(&self, subscription: SubscriptionId) {
        let ports = self.ports.clone();
        self.spawn("replay", async move { replay::run(&ports, &subscription, None).await });
    }

    /// Goes on with the replays that nobody works on: a former process left them, or a circuit was closed.
    fn take_up_replays(&self) {
        let (ports, jobs) = (self.ports.clone(), self.clone());
        self.spawn("replays", async move {
            let unsettled = ports.registry.unsettled().await?;
            unsettled.iter().filter(|one| one.rewind.is_some()).for_each(|one| jobs.replay(one.id.clone()));
            Ok(())
        });
    }

    /// Removes a deleted subscription's lanes, backlogs and dead letters.
    pub fn remove(&self, subscription: SubscriptionId) {
        let ports = self.ports.clone();
        self.spawn("remove", async move { resume::remove(&ports, &subscription).await });
    }

    fn spawn(&self, job: &'static str, work: impl Future<Output = Result<(), PortError>> + Send + 'static) {
        let mut stopped = self.stop.subscribe();
        self.runtime.spawn(async move {
            let ended = tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => return,
                ended = work => ended,
            };
            if let Err(error) = ended {
                tracing::warn!(%error, job, "a job is not finished; sweep goes on with it");
            }
        });
    }
}

async fn sweep(ports: Ports, jobs: Jobs, settings: Settings, mut stopped: watch::Receiver<bool>) {
    let sweeper = Sweeper::new(ports.clone()).without_loads().with_skip_after(settings.skip_after);
    let mut ticks = tokio::time::interval(settings.sweep_every.min(settings.skip_after).max(LEAST_PAUSE));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        sweeper.run().await;
        jobs.take_up_replays();
        if let Err(error) = metrics::measure(&ports).await {
            tracing::warn!(%error, "gauges cannot be measured");
        }
    }
}

/// Beside sweep, since under load it has much to do.
async fn compact(ports: Ports, every: Duration, mut stopped: watch::Receiver<bool>) {
    let sweeper = Sweeper::new(ports);
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        // Whoever dies over it leaves nothing undone that the next one does not find.
        tokio::select! {
            () = sweeper.compact(COMPACTION) => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
    }
}

/// The longest that compaction goes on without a pause.
const COMPACTION: Duration = Duration::from_secs(600);
/// From one sweep to the next, however soon subscriptions are to skip.
const LEAST_PAUSE: Duration = Duration::from_millis(100);
/// How long a poller waits after its queue failed.
const AFTER_FAULT: Duration = Duration::from_millis(500);
