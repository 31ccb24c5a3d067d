//! `relay log compact`: writes segments at once.

use crate::failure::Failure;
use anyhow::Context;
use clap::Args;
use relay_core::ports::Clock;
use relay_core::ports::webhook::NoWebhooks;
use relay_embedded::{Store, StoreOptions};
use relay_system::SystemClock;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Later than anything has to wait for.
const AN_HOUR: Duration = Duration::from_secs(3_600);

/// Write all that is in the log into segments now
///
/// A running broker does so by itself, once there is enough or after a quarter of an hour. Stop it first: one process
/// at a time may open a data folder.
#[derive(Args, Clone, Debug)]
pub struct CompactArgs {
    /// The broker's data folder
    #[arg(long, env = "RELAY_DATA", value_name = "FOLDER", default_value = "./relay-data")]
    data: PathBuf,
}

pub(super) async fn run(args: CompactArgs) -> Result<(), Failure> {
    if !args.data.join("relay.db").is_file() {
        let fault = format!("--data {}: there is no broker's data in this folder", args.data.display());
        return Err(Failure::configuration([fault]));
    }
    let store = Store::open(&args.data, StoreOptions::default()).context("the data folder cannot be opened")?;
    let log = store.ports(Arc::new(NoWebhooks)).log;
    let mut events = 0;
    loop {
        match log.compact(SystemClock.now() + AN_HOUR).await.context("the log cannot be compacted")? {
            0 => break,
            some => events += some,
        }
    }
    store.close().await.context("the data folder cannot be closed")?;
    anstream::println!("{events} events written to {}", args.data.join("events").display());
    Ok(())
}
