//! The main flows: what has to be there before, and what then happens while calls fail.

use super::run::Run;
use crate::broker::{Broker, Draft, Process};
use relay_core::attempt::health::change;
use relay_core::manage::{Selection, redrive};
use relay_core::ports::WakeUp;
use relay_core::resume;
use relay_core::retry::{OnRejected, RetryPolicy};
use relay_core::subscription::Change;
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// Requests of several keys, one of them too large for the queue, by a cold process.
    Publish,
    /// Two subscribers take everything.
    Dispatch,
    /// One of two subscribers fails: its lanes are held.
    Hold,
    /// As before, with a pack too large for a row.
    HoldLarge,
    /// Events join lanes that are held.
    Append,
    /// A held lane is drained and released.
    Drain,
    /// As before, with packs in the bucket.
    DrainLarge,
    /// A drain's attempt fails again.
    FailAgain,
    /// The endpoint rejects an event, and the policy gives it up at once.
    Reject,
    /// A drain gives an event up, and goes on with the next.
    Exhaust,
    /// Dead letters go back into their lanes.
    Redrive,
    /// Sweep wakes lanes that are due.
    Sweep,
    /// A pause ends.
    Resume,
    /// A probe closes an open circuit.
    Probe,
    /// Events without a key fail, each for itself.
    HoldUnordered,
    /// They are attempted again.
    DrainUnordered,
    /// A message that nobody can read lies before others.
    Quarantine,
}

impl Flow {
    pub const ALL: [Flow; 17] = [
        Flow::Publish,
        Flow::Dispatch,
        Flow::Hold,
        Flow::HoldLarge,
        Flow::Append,
        Flow::Drain,
        Flow::DrainLarge,
        Flow::FailAgain,
        Flow::Reject,
        Flow::Exhaust,
        Flow::Redrive,
        Flow::Sweep,
        Flow::Resume,
        Flow::Probe,
        Flow::HoldUnordered,
        Flow::DrainUnordered,
        Flow::Quarantine,
    ];

    fn policy(self) -> RetryPolicy {
        match self {
            Flow::Reject | Flow::Redrive => {
                RetryPolicy { on_rejected: OnRejected::DeadLetter, ..RetryPolicy::default() }
            }
            Flow::Exhaust => RetryPolicy { schedule_ms: vec![1000], max_age_ms: 60_000, ..RetryPolicy::default() },
            // Rounds take longer than the default goes on.
            _ => RetryPolicy { max_age_ms: 1000 * 86_400_000, ..RetryPolicy::default() },
        }
    }

    /// All that comes before, without a fault.
    pub async fn prepare(self, broker: Broker) -> Run {
        let subscriptions = if matches!(self, Flow::Dispatch | Flow::Hold) { 2 } else { 1 };
        let run = Run::new(broker, subscriptions, &self.policy()).await;
        let quiet = &run.quiet;
        match self {
            Flow::Publish => {}
            Flow::Dispatch => run.publish(quiet, two_keys()).await,
            Flow::Hold => {
                run.refuse(0, 503);
                run.publish(quiet, two_keys()).await;
            }
            Flow::HoldLarge => {
                run.refuse(0, 503);
                run.publish(quiet, large()).await;
            }
            Flow::Append => {
                held(&run, two_keys()).await;
                run.publish(quiet, vec![vec![Draft::new("e5", "a"), Draft::new("e6", "b")]]).await;
            }
            Flow::Drain | Flow::Sweep => {
                held(&run, two_keys()).await;
                run.broker.webhooks.recover();
            }
            Flow::DrainLarge => {
                held(&run, large()).await;
                run.broker.webhooks.recover();
            }
            Flow::FailAgain | Flow::Exhaust => held(&run, two_keys()).await,
            Flow::Reject => {
                run.refuse(0, 400);
                run.publish(quiet, two_keys()).await;
            }
            Flow::Redrive => {
                run.refuse(0, 400);
                run.publish(quiet, two_keys()).await;
                run.dispatch(quiet).await;
                assert_eq!(run.note_dead_letters().await, 4);
                run.broker.webhooks.recover();
            }
            Flow::Resume => {
                let id = &run.subscriptions[0];
                change(&quiet.ports, id, Change::Pause, "").await.unwrap().unwrap();
                run.publish(quiet, two_keys()).await;
                run.dispatch(quiet).await;
                drain_held(&run, quiet).await;
                change(&quiet.ports, id, Change::Resume, "").await.unwrap().unwrap();
            }
            Flow::Probe => {
                held(&run, two_keys()).await;
                change(&quiet.ports, &run.subscriptions[0], Change::Open, "failing").await.unwrap().unwrap();
                run.broker.webhooks.recover();
            }
            Flow::HoldUnordered => {
                run.refuse(0, 503);
                run.publish(quiet, without_key()).await;
            }
            Flow::DrainUnordered => {
                held(&run, without_key()).await;
                run.broker.webhooks.recover();
            }
            Flow::Quarantine => {
                let group = {
                    run.publish(quiet, vec![vec![Draft::new("e0", "a")]]).await;
                    let messages = quiet.ports.queue.receive(1).await.unwrap();
                    quiet.dispatcher.handle(messages.clone()).await;
                    messages[0].pack.group().to_string()
                };
                let call = run.broker.clients.sqs.send_message().queue_url(&run.broker.resources.events_queue);
                let call = call.message_body("{\"w\":1}").message_group_id(group).message_deduplication_id("bad");
                call.send().await.unwrap();
                run.publish(quiet, two_keys()).await;
            }
        }
        if !matches!(self, Flow::Publish | Flow::Dispatch) {
            run.broker.clock.advance(Duration::from_secs(1200));
        }
        run
    }

    /// What happens while calls fail. Errors are what the caller of a use-case would see.
    pub async fn act(self, run: &Run, process: &Process) {
        match self {
            Flow::Publish => {
                let mut requests = two_keys();
                requests.insert(1, vec![Draft { bytes: 300 * 1024, ..Draft::new("large", "a") }]);
                run.publish(process, requests).await;
            }
            Flow::Dispatch
            | Flow::Hold
            | Flow::HoldLarge
            | Flow::Append
            | Flow::Reject
            | Flow::HoldUnordered
            | Flow::Quarantine => {
                process.dispatch_once().await;
                process.dispatch_once().await;
            }
            Flow::Drain | Flow::DrainLarge | Flow::FailAgain | Flow::Exhaust | Flow::DrainUnordered => {
                drain_held(run, process).await;
            }
            Flow::Redrive => {
                if let Ok(Some(subscription)) = process.ports.registry.subscription(&run.subscriptions[0]).await {
                    // An operator sees the error, and asks again: the verdict does so.
                    let _ = redrive(&process.ports, &subscription, Selection::All).await;
                }
            }
            Flow::Sweep => {
                process.sweeper.run().await;
                process.drain_once().await;
            }
            Flow::Resume => {
                // Sweep goes on with a job that fails.
                let _ = resume::run(&process.ports, &run.subscriptions[0]).await;
                process.drain_once().await;
            }
            Flow::Probe => {
                let probe = WakeUp::Probe(run.subscriptions[0].clone());
                // A probe that is lost is sent again by sweep.
                let _ = process.drainer.handle(probe).await;
                process.drain_once().await;
            }
        }
    }
}

fn two_keys() -> Vec<Vec<Draft>> {
    vec![vec![Draft::new("e1", "a"), Draft::new("e2", "b"), Draft::new("e3", "a")], vec![Draft::new("e4", "a")]]
}

fn large() -> Vec<Vec<Draft>> {
    let large = |id| Draft { bytes: 20 * 1024, ..Draft::new(id, "a") };
    vec![vec![large("e1"), large("e2")], vec![large("e3")]]
}

fn without_key() -> Vec<Vec<Draft>> {
    let draft = |id: &str| Draft { key: None, ..Draft::new(id, "") };
    vec![vec![draft("e1"), draft("e2"), draft("e3")]]
}

/// Publishes to a subscriber that fails: its lanes are held.
async fn held(run: &Run, requests: Vec<Vec<Draft>>) {
    run.refuse(0, 503);
    run.publish(&run.quiet, requests).await;
    run.dispatch(&run.quiet).await;
}

/// Follows wake-ups of all lanes that are held: their delays go by SQS's clock.
async fn drain_held(run: &Run, process: &Process) {
    let lanes = run.quiet.ports.lanes.held_items(&run.subscriptions[0], None, 100).await.unwrap();
    assert!(!lanes.is_empty(), "lanes are held");
    for item in lanes {
        // The lease ends by itself, and sweep wakes the lane again.
        let _ = process.drainer.handle(WakeUp::Lane(item.lane)).await;
    }
}
