//! Dispatch: takes accepted packs from the queue and delivers them to live lanes, or puts them in backlogs.
//!
//! For a batch of messages: (1) append all to the log; (2) only then read the state of all their lanes and
//! subscriptions: this order lets a new subscription join without a gap; (3) handle groups concurrently, a group's
//! messages strictly one after another, a message's lanes at once; (4) acknowledge a message when it is in the log
//! and each of its lanes is done. A failing webhook is never an error here: only a failing queue, table or store is,
//! and then the message and what follows it in its group are given back.

mod lane;
mod message;
mod patience;
mod state;
mod unordered;

use crate::attempt::Attempter;
use crate::pack::GroupId;
use crate::ports::{Attempt, Message, PortError, Ports, Receipt};
use crate::replay_id::LogPosition;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
pub(crate) use lane::wake;
use message::GroupRun;
use state::{BatchState, SubscriptionCache};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;

/// The dispatch use-case. One per process: it remembers subscriptions between batches.
pub struct Dispatcher {
    ports: Ports,
    attempter: Arc<Attempter>,
    cache: SubscriptionCache,
}

/// What a future of a batch leaves behind when it ends.
enum End {
    /// A message of the group is finished: delete it and go on with the next.
    Finished(GroupRun, Receipt, Left),
    /// The group cannot go on: this message and what follows it are given back.
    Failed(GroupRun, PortError, Left),
    /// Messages were deleted or given back.
    Deleted,
}

/// What a message leaves to be done after it.
#[derive(Default)]
struct Left {
    /// Attempts made.
    attempts: Vec<Attempt>,
    /// Requests that go on, each until it is settled.
    detached: Vec<BoxFuture<'static, Vec<Attempt>>>,
}

impl Dispatcher {
    /// A dispatcher over these ports.
    pub fn new(ports: Ports, attempter: Arc<Attempter>) -> Dispatcher {
        Dispatcher { ports, attempter, cache: SubscriptionCache::default() }
    }

    /// Handles a batch of messages as the queue gave it, those of a group in order. Acknowledges what is done, as
    /// soon as it is done, and gives back what is not. Ends when the requests that it detached are settled, too.
    pub async fn handle(&self, batch: Vec<Message>) {
        self.deliver(batch).await.await;
    }

    /// As [`Dispatcher::handle`], but ends when all messages are acknowledged or given back. What it answers then
    /// still has to be awaited: it settles the detached requests.
    pub async fn deliver(&self, batch: Vec<Message>) -> BoxFuture<'static, ()> {
        if batch.is_empty() {
            return std::future::ready(()).boxed();
        }
        let (positions, mut state) = match self.begin(&batch).await {
            Ok(begun) => begun,
            Err(error) => {
                tracing::warn!(%error, messages = batch.len(), "dispatch gives a batch back");
                let receipts: Vec<Receipt> = batch.into_iter().map(|message| message.receipt).collect();
                self.give_back(&receipts).await;
                return std::future::ready(()).boxed();
            }
        };
        let mut detached: FuturesUnordered<BoxFuture<'static, Vec<Attempt>>> = FuturesUnordered::new();
        let mut running: FuturesUnordered<BoxFuture<'_, End>> = FuturesUnordered::new();
        for group in groups(batch, positions) {
            if let Some(lanes) = state.take_lanes(&group.0) {
                running.push(self.next_message(GroupRun::new(group.1, lanes)).boxed());
            } else {
                // The topic is gone, and what is undelivered goes with it.
                let receipts = group.1.into_iter().map(|(message, _)| message.receipt).collect();
                running.push(self.delete(receipts).boxed());
            }
        }
        let mut attempts = Vec::new();
        let mut finished: Vec<Receipt> = Vec::new();
        loop {
            let mut next = std::future::poll_fn(|context| {
                while let Poll::Ready(Some(made)) = detached.poll_next_unpin(context) {
                    attempts.extend(made);
                }
                running.poll_next_unpin(context)
            });
            // What is ready now is taken in first, so that messages that end together are deleted together.
            let ready = (&mut next).now_or_never();
            if ready.is_none() && !finished.is_empty() {
                running.push(self.delete(std::mem::take(&mut finished)).boxed());
                continue;
            }
            let end = match ready {
                Some(end) => end,
                None => next.await,
            };
            match end {
                Some(End::Finished(group, receipt, left)) => {
                    finished.push(receipt);
                    attempts.extend(left.attempts);
                    detached.extend(left.detached);
                    if !group.is_empty() {
                        running.push(self.next_message(group).boxed());
                    }
                }
                Some(End::Failed(group, error, left)) => {
                    tracing::warn!(%error, "dispatch gives the rest of a group back");
                    attempts.extend(left.attempts);
                    detached.extend(left.detached);
                    let receipts = group.into_receipts();
                    running.push(async move { self.give_back(&receipts).await }.map(|()| End::Deleted).boxed());
                }
                Some(End::Deleted) => {}
                None => break,
            }
        }
        self.delete(finished).await;
        record(&self.ports, attempts).await;
        if detached.is_empty() {
            return std::future::ready(()).boxed();
        }
        let ports = self.ports.clone();
        async move {
            let attempts: Vec<Attempt> = detached.concat().await;
            record(&ports, attempts).await;
        }
        .boxed()
    }

    async fn begin(&self, batch: &[Message]) -> Result<(Vec<LogPosition>, BatchState), PortError> {
        let positions = self.ports.log.append(batch).await?;
        if positions.len() != batch.len() {
            return Err(PortError::Corrupt("the log answered fewer positions than it was given messages".to_owned()));
        }
        let state = BatchState::read(&self.ports, &self.cache, batch).await?;
        Ok((positions, state))
    }

    async fn delete(&self, receipts: Vec<Receipt>) -> End {
        if receipts.is_empty() {
            return End::Deleted;
        }
        for result in self.ports.queue.delete(&receipts).await {
            // The message comes again, and is delivered again: at least once.
            if let Err(error) = result {
                tracing::debug!(%error, "a message is not acknowledged");
            }
        }
        End::Deleted
    }

    async fn give_back(&self, receipts: &[Receipt]) {
        for result in self.ports.queue.give_back(receipts).await {
            // Its visibility ends by itself.
            if let Err(error) = result {
                tracing::debug!(%error, "a message is not given back");
            }
        }
    }
}

/// Records attempts. Nobody fails a delivery because its record is lost.
async fn record(ports: &Ports, attempts: Vec<Attempt>) {
    if attempts.is_empty() {
        return;
    }
    if let Err(error) = ports.attempts.record(attempts).await {
        tracing::warn!(%error, "attempts are not recorded");
    }
}

/// A message and where it lies in the log.
type Entry = (Message, LogPosition);

/// The batch by groups, in the order in which they first appear.
fn groups(batch: Vec<Message>, positions: Vec<LogPosition>) -> Vec<(GroupId, VecDeque<Entry>)> {
    let mut groups: Vec<(GroupId, VecDeque<Entry>)> = Vec::new();
    for (message, position) in batch.into_iter().zip(positions) {
        let id = message.pack.group();
        match groups.iter_mut().find(|(group, _)| *group == id) {
            Some((_, entries)) => entries.push_back((message, position)),
            None => groups.push((id, VecDeque::from([(message, position)]))),
        }
    }
    groups
}
