//! The poller of the event queue.

use crate::{AFTER_FAULT, Settings};
use relay_core::dispatch::Dispatcher;
use relay_core::ports::{EventQueue, Message};
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Most messages in one batch: as SQS hands them to a function.
const BATCH: usize = 10;

/// Receives batches until it is told to stop, then waits for those in progress.
pub(crate) async fn run(
    queue: Arc<dyn EventQueue>,
    dispatcher: Arc<Dispatcher>,
    settings: Settings,
    mut stopped: watch::Receiver<bool>,
) {
    let batches = Arc::new(Semaphore::new(settings.batches));
    let bytes = Arc::new(Semaphore::new(settings.bytes));
    let mut running = JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        let received = tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            received = async {
                let permit = batches.clone().acquire_owned().await;
                (permit, queue.receive(BATCH).await)
            } => received,
        };
        let (permit, batch) = match received {
            (permit, Ok(batch)) => (permit, batch),
            (_, Err(error)) => {
                tracing::error!(%error, "the event queue cannot be read");
                tokio::time::sleep(AFTER_FAULT).await;
                continue;
            }
        };
        if batch.is_empty() {
            continue;
        }
        let room = bytes.clone().acquire_many_owned(weight(&batch, settings.bytes)).await;
        let dispatcher = dispatcher.clone();
        running.spawn(async move {
            dispatcher.handle(batch).await;
            drop((permit, room));
        });
    }
    while running.join_next().await.is_some() {}
}

/// Bytes that a batch keeps in memory, roughly, and never more than there are permits.
fn weight(batch: &[Message], most: usize) -> u32 {
    let bytes: usize = batch.iter().map(|message| message.pack.size()).sum();
    u32::try_from(bytes.min(most)).unwrap_or(u32::MAX)
}
