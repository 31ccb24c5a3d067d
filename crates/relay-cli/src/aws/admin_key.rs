//! `relay aws admin-key`: the first key, by which all others are made.

use super::Broker;
use crate::failure::Failure;
use anyhow::Context;
use clap::Args;
use relay_aws::Clients;
use relay_core::grants::Principal;
use relay_core::manage::{NewKey, create_key, ensure_admin_key};

/// Make the first admin key of a broker on AWS
///
/// Whoever may write the table may do this. The key is printed on stdout, once: only its hash is stored.
#[derive(Args, Clone, Debug)]
pub struct AdminKeyArgs {
    #[command(flatten)]
    broker: Broker,
    /// Make a key although there are some, as when the first one was lost
    #[arg(long)]
    another: bool,
}

pub(super) async fn run(args: AdminKeyArgs) -> Result<(), Failure> {
    let resources = args.broker.resources().await?;
    let ports = super::ports(&Clients::from_environment().await, resources);
    let key = if args.another {
        let new = NewKey { name: "admin".to_owned(), grants: Principal::admin().grants, expires_at: None };
        Some(create_key(&ports, new).await.context("the key cannot be made")?.1)
    } else {
        ensure_admin_key(&ports).await.context("the key cannot be made")?
    };
    let Some(key) = key else {
        return Err(anyhow::anyhow!("this broker has keys already; with --another one more is made").into());
    };
    anstream::println!("{key}");
    Ok(())
}
