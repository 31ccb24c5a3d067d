//! The poller of wake-ups.

use crate::{AFTER_FAULT, Settings};
use relay_core::drain::Drainer;
use relay_core::names::SubscriptionId;
use relay_core::ports::{WakeUp, WakeUps};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Wake-ups received at once.
const BATCH: usize = 64;
/// Wake-ups that wait for their subscription's turn; more are dropped, and sweep sends them again.
const MOST_WAITING: usize = 10_000;

/// Follows wake-ups until it is told to stop, then waits for the drains in progress.
pub(crate) async fn run(
    wake_ups: Arc<dyn WakeUps>,
    drainer: Arc<Drainer>,
    settings: Settings,
    mut stopped: watch::Receiver<bool>,
) {
    let (received, mut incoming) = mpsc::channel(BATCH);
    let mut poller = JoinSet::new();
    poller.spawn(poll(wake_ups, received));
    let mut running: JoinSet<SubscriptionId> = JoinSet::new();
    let mut turns = Turns::new(settings.drains_per_subscription);
    loop {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            Some(ended) = running.join_next(), if !running.is_empty() => match ended {
                Ok(subscription) => turns.end(&subscription),
                Err(error) => tracing::error!(%error, "a drain was cut off"),
            },
            Some(wake_up) = incoming.recv(), if running.len() < settings.drains => turns.queue(wake_up),
        }
        while running.len() < settings.drains {
            let Some(wake_up) = turns.next() else { break };
            running.spawn(follow(drainer.clone(), wake_up));
        }
    }
    while running.join_next().await.is_some() {}
}

/// Receives on its own: what was received is never dropped because something else happened first.
async fn poll(wake_ups: Arc<dyn WakeUps>, received: mpsc::Sender<WakeUp>) {
    loop {
        match wake_ups.receive(BATCH).await {
            Ok(batch) => {
                for wake_up in batch {
                    if received.send(wake_up).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "wake-ups cannot be read");
                tokio::time::sleep(AFTER_FAULT).await;
            }
        }
    }
}

/// Drains, and answers whose turn has ended, also if the drain panics: then its lane's lease ends by itself.
async fn follow(drainer: Arc<Drainer>, wake_up: WakeUp) -> SubscriptionId {
    let subscription = subscription_of(&wake_up).clone();
    match tokio::spawn(async move { drainer.handle(wake_up).await }).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, %subscription, "a drain could not go on"),
        Err(error) => tracing::error!(%error, %subscription, "a drain was cut off"),
    }
    subscription
}

fn subscription_of(wake_up: &WakeUp) -> &SubscriptionId {
    match wake_up {
        WakeUp::Lane(lane) => &lane.subscription,
        WakeUp::Probe(subscription) => subscription,
    }
}

/// Whose turn it is: subscriptions one after another, each up to its bound.
struct Turns {
    bound: usize,
    waiting: HashMap<SubscriptionId, VecDeque<WakeUp>>,
    running: HashMap<SubscriptionId, usize>,
    order: VecDeque<SubscriptionId>,
}

impl Turns {
    fn new(bound: usize) -> Turns {
        Turns { bound, waiting: HashMap::new(), running: HashMap::new(), order: VecDeque::new() }
    }

    fn queue(&mut self, wake_up: WakeUp) {
        let id = subscription_of(&wake_up).clone();
        let waiting = self.waiting.entry(id.clone()).or_default();
        if waiting.len() >= MOST_WAITING {
            return;
        }
        if waiting.is_empty() {
            self.order.push_back(id);
        }
        waiting.push_back(wake_up);
    }

    /// The next wake-up of a subscription that is below its bound.
    fn next(&mut self) -> Option<WakeUp> {
        for _ in 0..self.order.len() {
            let id = self.order.pop_front()?;
            let running = self.running.get(&id).copied().unwrap_or(0);
            let Some(waiting) = self.waiting.get_mut(&id) else { continue };
            if running >= self.bound {
                self.order.push_back(id);
                continue;
            }
            let wake_up = waiting.pop_front();
            if waiting.is_empty() {
                self.waiting.remove(&id);
            } else {
                self.order.push_back(id.clone());
            }
            if wake_up.is_some() {
                *self.running.entry(id).or_default() += 1;
                return wake_up;
            }
        }
        None
    }

    fn end(&mut self, id: &SubscriptionId) {
        if let Some(running) = self.running.get_mut(id) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.running.remove(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(id: &str) -> WakeUp {
        WakeUp::Probe(SubscriptionId::new(id).unwrap())
    }

    #[test]
    fn a_subscription_with_many_wake_ups_leaves_room_for_others() {
        let mut turns = Turns::new(2);
        (0..5).for_each(|_| turns.queue(probe("slow")));
        turns.queue(probe("other"));
        let started: Vec<WakeUp> = std::iter::from_fn(|| turns.next()).collect();
        assert_eq!(started, [probe("slow"), probe("other"), probe("slow")]);
        turns.end(&SubscriptionId::new("slow").unwrap());
        assert_eq!(turns.next(), Some(probe("slow")));
        assert_eq!(turns.next(), None);
    }
}
