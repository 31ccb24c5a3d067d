//! The poller of the event queue.

use crate::{AFTER_FAULT, Settings};
use relay_core::dispatch::Dispatcher;
use relay_core::ports::{EventQueue, Message, Receipt};
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Most messages in one batch: as SQS hands them to a function.
const BATCH: u32 = 10;

/// What may be in dispatch at once, whoever received it.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    messages: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

impl Bounds {
    pub(crate) fn new(settings: &Settings) -> Bounds {
        Bounds {
            messages: Arc::new(Semaphore::new(settings.messages)),
            bytes: Arc::new(Semaphore::new(settings.bytes)),
        }
    }
}

/// Receives batches until it is told to stop, then waits for those in progress.
///
/// A message counts against the bound until it is acknowledged; a request that was detached from it does not: an
/// endpoint that hangs must not use up what the others' messages need.
pub(crate) async fn run(
    queue: Arc<dyn EventQueue>,
    dispatcher: Arc<Dispatcher>,
    bounds: Bounds,
    settings: Settings,
    mut stopped: watch::Receiver<bool>,
) {
    let Bounds { messages, bytes } = bounds;
    let mut running = JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        let receive = async {
            let permits = messages.clone().acquire_many_owned(BATCH).await;
            (permits, queue.receive(BATCH as usize).await)
        };
        tokio::pin!(receive);
        let received = tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => None,
            received = &mut receive => Some(received),
        };
        let Some(received) = received else {
            // Hidden from everybody, what the last receive brings would wait for the end of its visibility.
            if let Ok((_, Ok(batch))) = tokio::time::timeout(settings.last_receive, receive).await {
                give_back(&*queue, &batch).await;
            }
            break;
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

async fn give_back(queue: &dyn EventQueue, batch: &[Message]) {
    let receipts: Vec<Receipt> = batch.iter().map(|message| message.receipt.clone()).collect();
    if receipts.is_empty() {
        return;
    }
    for error in queue.give_back(&receipts).await.into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "a message stays hidden until its visibility ends");
    }
}

/// Bytes that a batch keeps in memory, roughly, and never more than there are permits.
fn weight(batch: &[Message], most: usize) -> u32 {
    let bytes: usize = batch.iter().map(|message| message.pack.size()).sum();
    u32::try_from(bytes.min(most)).unwrap_or(u32::MAX)
}
