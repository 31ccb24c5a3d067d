//! The poller of the event queue.

use crate::{AFTER_FAULT, Settings};
use relay_core::dispatch::Dispatcher;
use relay_core::ports::{EventQueue, Message};
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Most messages in one batch: as SQS hands them to a function.
const BATCH: u32 = 10;

/// Receives batches until it is told to stop, then waits for those in progress.
///
/// A message counts against the bound until it is acknowledged; a request that was detached from it does not: an
/// endpoint that hangs must not use up what the others' messages need.
pub(crate) async fn run(
    queue: Arc<dyn EventQueue>,
    dispatcher: Arc<Dispatcher>,
    settings: Settings,
    mut stopped: watch::Receiver<bool>,
) {
    let messages = Arc::new(Semaphore::new(settings.messages));
    let bytes = Arc::new(Semaphore::new(settings.bytes));
    let mut running = JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        let received = tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            received = async {
                let permits = messages.clone().acquire_many_owned(BATCH).await;
                (permits, queue.receive(BATCH as usize).await)
            } => received,
        };
        let (mut permits, batch) = match received {
            (Ok(permits), Ok(batch)) => (permits, batch),
            (_, Err(error)) => {
                tracing::error!(%error, "the event queue cannot be read");
                tokio::time::sleep(AFTER_FAULT).await;
                continue;
            }
            (Err(_), Ok(_)) => break,
        };
        if batch.is_empty() {
            continue;
        }
        drop(permits.split((BATCH as usize).saturating_sub(batch.len())));
        let room = bytes.clone().acquire_many_owned(weight(&batch, settings.bytes)).await;
        let dispatcher = dispatcher.clone();
        running.spawn(async move {
            let detached = dispatcher.deliver(batch).await;
            drop((permits, room));
            detached.await;
        });
    }
    while running.join_next().await.is_some() {}
}

/// Bytes that a batch keeps in memory, roughly, and never more than there are permits.
fn weight(batch: &[Message], most: usize) -> u32 {
    let bytes: usize = batch.iter().map(|message| message.pack.size()).sum();
    u32::try_from(bytes.min(most)).unwrap_or(u32::MAX)
}
