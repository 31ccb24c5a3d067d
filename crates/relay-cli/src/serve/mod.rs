//! `relay serve`: the broker in one process.
//!
//! ```text
//!   Settings ─▶ Store (data folder, AWS) ─▶ Ports ─┬─▶ Engine: dispatch, drain, sweep ─▶ webhooks
//!                                             └─▶ router ─▶ Server ◀── publishers, subscribers, operators
//! ```
//!
//! It starts in that order and stops in the reverse one: nothing new is accepted, requests in progress are answered,
//! deliveries in progress are finished, and the store is closed last.

mod greeting;
mod jobs;
mod log;
mod metrics;
mod open_files;
mod server;
mod settings;
mod store;
mod waking;

pub use settings::{ServeArgs, Settings};

use crate::failure::Failure;
use crate::signals::Signals;
use anyhow::Context;
use jobs::EngineJobs;
use relay_core::manage::{ensure_admin_key, ensure_system_topic};
use relay_core::ports::Clock;
use relay_engine::Engine;
use relay_http::{AppState, Options};
use relay_system::SystemClock;
use relay_webhook::{Config, HttpWebhookClient};
use server::Server;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use store::Store;
use tokio::runtime::{Handle, Runtime};

/// How long requests and deliveries in progress may take after the process was told to stop.
const FINISHED_WITHIN: Duration = Duration::from_secs(30);

/// Runs the broker until it is told to stop.
///
/// # Errors
/// [`Failure::Configuration`] with every fault of flags and environment; or if it cannot start.
pub fn run(args: ServeArgs) -> Result<(), Failure> {
    let settings = Settings::from_args(args).map_err(Failure::Configuration)?;
    log::start(&settings);
    open_files::raise_limit();
    let requests = runtime("relay-requests")?;
    // Deliveries have threads of their own: a flood of publishes must not starve them, nor they the publishers.
    let deliveries = runtime("relay-deliveries")?;
    let served = requests.block_on(serve(settings, deliveries.handle()));
    // What is still blocked on a disk must not keep the process.
    deliveries.shutdown_timeout(Duration::from_secs(1));
    requests.shutdown_timeout(Duration::from_secs(1));
    served
}

fn runtime(name: &str) -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().thread_name(name).enable_all().build()
}

async fn serve(settings: Settings, deliveries: &Handle) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let counted = metrics::start()?;
    let store = Store::open(&settings).await?;
    let policy = settings.address_policy();
    let clock = Arc::new(|| UNIX_EPOCH + Duration::from_millis(SystemClock.now().as_millis()));
    let webhooks = HttpWebhookClient::new(Config::new(policy.clone(), clock)).context("webhooks cannot be called")?;
    let ports = store.ports(Arc::new(webhooks));
    ensure_system_topic(&ports).await.with_context(|| format!("{} cannot be prepared", settings.storage))?;
    if store.forgets_wake_ups() {
        waking::wake_held_lanes(&ports).await.context("held lanes cannot be read")?;
    }

    let server = Server::bind(settings.listen).await?;
    // Made once and shown once: only when nothing stands between it and the greeting.
    let made_key = match settings.admin_key {
        Some(_) => None,
        None => ensure_admin_key(&ports).await.context("the first admin key cannot be made")?,
    };
    let engine = {
        let _deliveries = deliveries.enter();
        let engine = relay_engine::Settings { skip_after: settings.skip_after, ..store.engine_settings() };
        Engine::start(ports.clone(), engine)
    };
    let check = move |url: &str| policy.check_url(url).map_err(|fault| fault.to_string());
    let mut options = Options::new(Arc::new(check), Arc::new(EngineJobs(engine.jobs())));
    options.admin_key = settings.admin_key.clone();
    let router = metrics::route(relay_http::router(AppState::new(ports, options)), counted);
    greeting::greet(&settings, server.address(), made_key.as_deref());

    let stopping = server.run(router, signals.next()).await;
    let finish = async {
        stopping.finish().await;
        engine.stop().await;
    };
    tokio::select! {
        finished = within(FINISHED_WITHIN, finish) => if !finished {
            tracing::warn!("not all that was in progress is finished; what is not acknowledged is delivered again");
        },
        () = signals.next() => tracing::warn!("told to stop twice: what is in progress is left"),
    }
    store.close().await?;
    tracing::info!("stopped");
    Ok(())
}

/// True if the work was done in time.
async fn within(span: Duration, work: impl Future<Output = ()>) -> bool {
    tokio::time::timeout(span, work).await.is_ok()
}
