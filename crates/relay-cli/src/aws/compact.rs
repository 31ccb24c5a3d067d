//! `relay aws compact`: writes segments at once.

use super::Broker;
use crate::failure::Failure;
use anyhow::Context;
use clap::Args;
use relay_aws::Clients;
use relay_core::ports::Clock;
use relay_system::SystemClock;
use std::time::Duration;

/// Later than anything has to wait for.
const AN_HOUR: Duration = Duration::from_secs(3_600);

/// Write all that is in the log into segments now
///
/// Sweep does so by itself, once there is enough or after a quarter of an hour. What was logged in the last ten seconds
/// is left to it. It may run meanwhile.
#[derive(Args, Clone, Debug)]
pub struct CompactArgs {
    #[command(flatten)]
    broker: Broker,
}

pub(super) async fn run(args: CompactArgs) -> Result<(), Failure> {
    let resources = args.broker.resources().await?;
    let bucket = resources.bucket.clone();
    let log = super::ports(&Clients::from_environment().await, resources).log;
    let mut events = 0;
    loop {
        match log.compact(SystemClock.now() + AN_HOUR).await.context("the log cannot be compacted")? {
            0 => break,
            some => events += some,
        }
    }
    anstream::println!("{events} events written to s3://{bucket}/events");
    Ok(())
}
