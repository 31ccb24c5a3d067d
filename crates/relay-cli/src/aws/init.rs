//! `relay aws init`: queues, table and bucket without the template.

use crate::failure::Failure;
use anyhow::Context;
use clap::Args;
use relay_aws::{Clients, Resources};
use relay_core::manage::ensure_system_topic;
use relay_system::SystemClock;

/// Make queues, table and bucket for `relay serve --aws`
///
/// For an emulator, or an account where one process runs the broker: what `sam deploy` makes for functions, without
/// the functions. What is there already is left as it is. Prints the variables that `relay serve --aws` reads.
#[derive(Args, Clone, Debug)]
pub struct InitArgs {
    /// Begins the names of the queues, and is the table's
    #[arg(long, value_name = "NAME", default_value = "relay")]
    prefix: String,
    /// Name of the bucket; on AWS no two accounts can have the same
    #[arg(long, value_name = "NAME", default_value = "relay")]
    bucket: String,
}

pub(super) async fn run(args: InitArgs) -> Result<(), Failure> {
    let clients = Clients::from_environment().await;
    let made = relay_aws::provision(&clients, &SystemClock, &args.prefix, &args.bucket).await;
    let resources = made.context("the resources cannot be made")?;
    ensure_system_topic(&super::ports(&clients, resources.clone())).await.context("the table cannot be prepared")?;
    anstream::print!("{}", exports(&resources));
    eprintln!("made, or there already; with these variables set, `relay serve --aws` runs on them");
    Ok(())
}

/// Lines for a shell.
fn exports(resources: &Resources) -> String {
    let Resources { events_queue, wake_ups_queue, table, bucket } = resources;
    format!(
        "export RELAY_EVENTS_QUEUE_URL={events_queue}\nexport RELAY_WAKE_UPS_QUEUE_URL={wake_ups_queue}\n\
         export RELAY_TABLE={table}\nexport RELAY_BUCKET={bucket}\n"
    )
}
