//! All ports over the clients and the resources of one broker.

use crate::attempts::AttemptsPort;
use crate::clients::Clients;
use crate::cursors::CursorsPort;
use crate::dead_letters::DeadLettersPort;
use crate::lanes::LanesPort;
use crate::log::LogPort;
use crate::objects::Objects;
use crate::options::Options;
use crate::payloads::PayloadsPort;
use crate::queue::{Inbox, QueuePort};
use crate::registry::RegistryPort;
use crate::replays::ReplaysPort;
use crate::stamp::Stamps;
use crate::table::Table;
use crate::wake_ups::WakeUpsPort;
use relay_core::ports::webhook::WebhookClient;
use relay_core::ports::{Clock, Ids, Ports};
use std::sync::Arc;

/// The ports of a broker on AWS. Opening calls nothing: connections and the queue's era come with the first use.
pub fn open(
    clients: &Clients,
    options: &Options,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    webhooks: Arc<dyn WebhookClient>,
) -> Ports {
    let resources = &options.resources;
    let table = Table::new(clients.dynamodb.clone(), resources.table.clone(), clock.clone(), ids.clone());
    let objects = Objects::new(clients.s3.clone(), resources.bucket.clone());
    let stamps = Arc::new(Stamps::new(clock.clone(), ids.clone()));
    let queue = QueuePort {
        client: clients.sqs.clone(),
        options: options.clone(),
        inbox: Inbox::new(clients, options, clock.clone(), ids.clone()),
        clock: clock.clone(),
        ids: ids.clone(),
        in_flight: Default::default(),
        gather: Default::default(),
    };
    Ports {
        queue: Arc::new(queue),
        log: Arc::new(LogPort::new(table.clone(), objects.clone(), stamps.clone(), clock.clone())),
        lanes: Arc::new(LanesPort { table: table.clone(), objects: objects.clone(), ids: ids.clone() }),
        wake_ups: Arc::new(WakeUpsPort { client: clients.sqs.clone(), options: options.clone() }),
        registry: Arc::new(RegistryPort::new(table.clone(), clock.clone())),
        replays: Arc::new(ReplaysPort { table: table.clone(), clock: clock.clone() }),
        cursors: Arc::new(CursorsPort { table: table.clone() }),
        attempts: Arc::new(AttemptsPort::new(table.clone(), stamps, clock.clone())),
        dead_letters: Arc::new(DeadLettersPort { table: table.clone(), objects: objects.clone() }),
        payloads: Arc::new(PayloadsPort::new(table, objects)),
        webhooks,
        clock,
        ids,
    }
}
