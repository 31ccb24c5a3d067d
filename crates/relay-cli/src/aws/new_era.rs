//! `relay aws new-era`: the step after a table was restored.

use super::Broker;
use crate::failure::Failure;
use anyhow::Context;
use clap::Args;
use relay_aws::{BegunEra, Clients};
use relay_system::{SystemClock, SystemIds};
use std::sync::Arc;

/// Begin a new era, after the table was restored from a backup
///
/// What is accepted from then on sorts after everything that was accepted before, whatever the restored table knows of
/// it. Functions and processes know the era from their start: run it before they are pointed at the restored table.
/// docs/restore.md has the steps.
#[derive(Args, Clone, Debug)]
pub struct NewEraArgs {
    #[command(flatten)]
    broker: Broker,
}

pub(super) async fn run(args: NewEraArgs) -> Result<(), Failure> {
    let resources = args.broker.resources().await?;
    let clients = Clients::from_environment().await;
    let begun = relay_aws::begin_era(&clients, &resources, Arc::new(SystemClock), Arc::new(SystemIds)).await;
    let BegunEra { before, era } = begun.context("no era was begun")?;
    anstream::println!("era {era} of table {}, after {before}", resources.table);
    Ok(())
}
