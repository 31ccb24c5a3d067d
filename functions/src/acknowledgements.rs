//! The event queue as a function sees it: Lambda receives a batch and, after the answer, deletes what was not reported.
//!
//! So a message that is done needs no call of ours, unless others of its batch still wait: then its group would wait
//! with them. It is deleted at once as soon as nothing else of its group is in the batch.

use async_trait::async_trait;
use relay_core::pack::{GroupId, Pack};
use relay_core::ports::{EventQueue, Message, PortError, QueueLag, Receipt, Sent};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An [`EventQueue`] that knows the present batch. One per process, whose invocations come one after another.
pub struct Acknowledgements {
    queue: Arc<dyn EventQueue>,
    batch: Mutex<Vec<Entry>>,
}

struct Entry {
    /// The message's id, by which Lambda knows it.
    id: String,
    receipt: Receipt,
    group: GroupId,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not done.
    Waiting,
    /// Done, and left to Lambda.
    Finished,
    /// Done, and deleted.
    Deleted,
    /// Given back: to be reported.
    Returned,
}

impl Acknowledgements {
    /// Acknowledges through this queue.
    pub fn new(queue: Arc<dyn EventQueue>) -> Acknowledgements {
        Acknowledgements { queue, batch: Mutex::default() }
    }

    /// Begins a batch: messages with the ids that Lambda gave them, in its order.
    pub fn begin<'a>(&self, batch: impl IntoIterator<Item = (String, &'a Message)>) {
        let entry = |(id, message): (String, &Message)| Entry {
            id,
            receipt: message.receipt.clone(),
            group: message.pack.group(),
            state: State::Waiting,
        };
        *self.entries() = batch.into_iter().map(entry).collect();
    }

    /// Deletes everything that is done: what follows in their groups shall not wait for the answer.
    pub async fn delete_finished(&self) {
        let finished = take(&mut self.entries(), State::Finished, State::Deleted);
        self.delete_now(&finished).await;
    }

    /// Gives back what is not done.
    pub async fn give_back_rest(&self) {
        let rest = take(&mut self.entries(), State::Waiting, State::Returned);
        if !rest.is_empty() {
            self.show(&rest).await;
        }
    }

    /// Ends the batch: the ids to report, in the order of the batch. Whatever is not done is among them.
    pub fn end(&self) -> Vec<String> {
        let entries = std::mem::take(&mut *self.entries());
        let failed = |entry: &Entry| matches!(entry.state, State::Waiting | State::Returned);
        entries.into_iter().filter(failed).map(|entry| entry.id).collect()
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what became of messages; answers the receipts that should not wait for the end of the batch.
    fn settle(&self, receipts: &[Receipt], state: State) -> Vec<Receipt> {
        let mut entries = self.entries();
        for entry in entries.iter_mut().filter(|entry| receipts.contains(&entry.receipt)) {
            entry.state = state;
        }
        let waiting: Vec<GroupId> =
            entries.iter().filter(|entry| entry.state == State::Waiting).map(|entry| entry.group).collect();
        if waiting.is_empty() {
            return Vec::new(); // Lambda gets the answer now
        }
        let free = |entry: &&mut Entry| entry.state == State::Finished && !waiting.contains(&entry.group);
        let mut now = Vec::new();
        for entry in entries.iter_mut().filter(free) {
            entry.state = State::Deleted;
            now.push(entry.receipt.clone());
        }
        now
    }

    /// One that is not deleted is left to Lambda, which does not see it among the failed ones.
    async fn delete_now(&self, receipts: &[Receipt]) {
        if receipts.is_empty() {
            return;
        }
        for error in self.queue.delete(receipts).await.into_iter().filter_map(Result::err) {
            tracing::debug!(%error, "a message is left to Lambda to delete");
        }
    }

    async fn show(&self, receipts: &[Receipt]) {
        for error in self.queue.give_back(receipts).await.into_iter().filter_map(Result::err) {
            tracing::debug!(%error, "a message stays hidden until its visibility ends");
        }
    }
}

fn take(entries: &mut [Entry], from: State, to: State) -> Vec<Receipt> {
    let mut taken = Vec::new();
    for entry in entries.iter_mut().filter(|entry| entry.state == from) {
        entry.state = to;
        taken.push(entry.receipt.clone());
    }
    taken
}

#[async_trait]
impl EventQueue for Acknowledgements {
    async fn send(&self, packs: Vec<Arc<Pack>>) -> Vec<Result<Sent, PortError>> {
        self.queue.send(packs).await
    }

    async fn receive(&self, max: usize) -> Result<Vec<Message>, PortError> {
        self.queue.receive(max).await
    }

    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        let now = self.settle(receipts, State::Finished);
        self.delete_now(&now).await;
        receipts.iter().map(|_| Ok(())).collect()
    }

    async fn give_back(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        let now = self.settle(receipts, State::Returned);
        // First what was done before them: while it is hidden, they are, too.
        self.delete_now(&now).await;
        self.show(receipts).await;
        receipts.iter().map(|_| Ok(())).collect()
    }

    async fn lag(&self) -> Result<QueueLag, PortError> {
        self.queue.lag().await
    }
}
