//! `relay aws`: what an operator does to a broker on AWS beside deploying it.

mod admin_key;
mod compact;
mod init;
mod new_era;
mod resources;

pub use resources::ResourceArgs;

use crate::failure::Failure;
use anyhow::Context;
use clap::{Args, Subcommand};
use relay_aws::{Clients, Options, Resources};
use relay_core::ports::Ports;
use relay_core::ports::webhook::NoWebhooks;
use relay_system::{SystemClock, SystemIds};
use std::sync::Arc;

/// Prepare and look after a broker on AWS, or on an emulator
///
/// Credentials and region come from where every AWS tool has them; AWS_ENDPOINT_URL names an emulator.
#[derive(Args, Clone, Debug)]
pub struct AwsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
    Init(init::InitArgs),
    AdminKey(admin_key::AdminKeyArgs),
    NewEra(new_era::NewEraArgs),
    Compact(compact::CompactArgs),
}

/// Runs a command.
///
/// # Errors
/// If the flags do not say which resources, or AWS refuses.
pub async fn run(args: AwsArgs) -> Result<(), Failure> {
    match args.command {
        Command::Init(args) => init::run(args).await,
        Command::AdminKey(args) => admin_key::run(args).await,
        Command::NewEra(args) => new_era::run(args).await,
        Command::Compact(args) => compact::run(args).await,
    }
}

/// Which broker a command is about.
#[derive(Args, Clone, Debug)]
struct Broker {
    /// CloudFormation stack that was deployed from template.yaml; without it, the resources are named one by one
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    #[command(flatten)]
    resources: ResourceArgs,
}

impl Broker {
    async fn resources(&self) -> Result<Resources, Failure> {
        match &self.stack {
            Some(stack) => Ok(relay_aws::resources_of_stack(stack).await.context("the stack cannot be used")?),
            None => self.resources.resources().map_err(|mut faults| {
                faults.insert(0, "which broker? Name its stack with --stack, or its resources:".to_owned());
                Failure::Configuration(faults)
            }),
        }
    }
}

fn ports(clients: &Clients, resources: Resources) -> Ports {
    let options = Options::new(resources);
    relay_aws::open(clients, &options, Arc::new(SystemClock), Arc::new(SystemIds), Arc::new(NoWebhooks))
}
