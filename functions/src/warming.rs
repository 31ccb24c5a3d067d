//! Connections, opened before the first event is asked for: during init a function has more of a processor than its
//! memory buys it later, and the first event does not wait for handshakes.

use crate::settings::Function;
use futures_util::future::join;
use relay_core::names::TopicName;
use relay_core::ports::{PortError, Ports};
use std::future::Future;
use std::time::Duration;

/// Leaves a function cold, to measure what warming costs (`scripts/cold-start.py`). Lambda gives no arguments.
const COLD: &str = "--cold";
/// How long it may take. What is not warm by then is warmed by its first use.
const AT_MOST: Duration = Duration::from_secs(2);

/// Whether connections are warmed, by the arguments of the process.
pub fn is_wanted(mut arguments: impl Iterator<Item = String>) -> bool {
    !arguments.any(|argument| argument == COLD)
}

/// Opens the connections that a function's first event needs, by a cheap call on each: of the table for all, of the
/// queue for the one that sends to it. Others (S3, a webhook's) are needed by few events.
pub async fn warm(function: Function, ports: &Ports) {
    let name = TopicName::system();
    let table = async { tell("table", ports.registry.topic(&name).await) };
    let queue = async {
        if function == Function::Ingest {
            tell("queue", ports.queue.lag().await);
        }
    };
    within(ports, join(table, queue)).await;
}

/// A store that does not answer is not this moment's concern: whoever needs it is told.
fn tell<T>(store: &str, answer: Result<T, PortError>) {
    if let Err(error) = answer {
        tracing::debug!(%error, store, "a connection is not warm");
    }
}

async fn within<T>(ports: &Ports, work: impl Future<Output = T>) {
    tokio::select! {
        _ = work => {}
        () = ports.clock.sleep(AT_MOST) => tracing::debug!("connections take long to warm"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_warmed_unless_a_measurement_asks_for_a_cold_start() {
        let arguments = |given: &[&str]| given.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>();
        assert!(is_wanted(arguments(&["bootstrap"]).into_iter()));
        assert!(!is_wanted(arguments(&["bootstrap", "--cold"]).into_iter()));
    }
}
