//! Whether the stores answer.

use crate::names::{TopicId, TopicName};
use crate::ports::{PortError, Ports};
use futures_util::future::{self, Either};
use std::future::Future;
use std::time::Duration;

/// How long a store may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// A store that was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Which.
    pub name: &'static str,
    /// How it went.
    pub result: Result<(), PortError>,
}

/// Asks queue, table and log.
pub async fn check_health(ports: &Ports) -> Vec<Check> {
    let name = TopicName::system();
    let table = async { ports.registry.topic(&name).await.map(drop) };
    let queue = async { ports.queue.lag().await.map(drop) };
    let log = async {
        let id = TopicId::new("top_none").map_err(|fault| PortError::Invalid(fault.to_string()))?;
        ports.log.newest(&id, None, 1).await.map(drop)
    };
    let (queue, table, log) = future::join3(timely(ports, queue), timely(ports, table), timely(ports, log)).await;
    vec![
        Check { name: "queue", result: queue },
        Check { name: "table", result: table },
        Check { name: "log", result: log },
    ]
}

async fn timely(ports: &Ports, ask: impl Future<Output = Result<(), PortError>>) -> Result<(), PortError> {
    let ask = std::pin::pin!(ask);
    match future::select(ask, ports.clock.sleep(PATIENCE)).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(PortError::Unavailable("no answer in time".to_owned())),
    }
}
