//! `relay bench`: load on a broker, and what became of it.

mod args;
mod backlog;
mod isolation;
mod log;
mod progress;
mod report;
mod stage;
mod throughput;

pub use args::BenchArgs;
pub use report::Report;

use crate::failure::Failure;
use crate::load::broker::{Broker, random};
use args::{LogArgs, Measurement, Scenario};
use std::io::Write;

/// Runs the scenario that was asked for and prints its report.
///
/// # Errors
/// [`Failure::Verdict`] if events were lost or came out of order.
pub async fn run(args: BenchArgs) -> Result<(), Failure> {
    let (report, as_json) = match args.into_measurement() {
        Measurement::Deliveries(scenario) => (deliveries(&scenario).await?, scenario.common().json),
        Measurement::Log(args) => (of_log(&args, log::run(&args)).await?, args.json),
        Measurement::Replay(args) => (of_log(&args.log, log::replay(&args)).await?, args.log.json),
    };
    print(&report, as_json)?;
    if report.holds() { Ok(()) } else { Err(Failure::Verdict) }
}

async fn of_log(args: &LogArgs, measured: impl Future<Output = Result<Report, Failure>>) -> Result<Report, Failure> {
    let faults = args.faults();
    if !faults.is_empty() {
        return Err(Failure::Configuration(faults));
    }
    tokio::select! {
        report = measured => report,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
    }
}

async fn deliveries(scenario: &Scenario) -> Result<Report, Failure> {
    let common = scenario.common();
    let faults = scenario.faults();
    if !faults.is_empty() {
        return Err(Failure::Configuration(faults));
    }
    let broker = Broker::open(&common.broker).await?;
    let run = random();
    let topic = stage::topic_of(run);
    // Before anything that could fail: only a topic that was made can be left behind.
    broker.api.create_topic(&topic).await?;
    let outcome = tokio::select! {
        outcome = run_scenario(scenario, &broker, run) => outcome.map_err(Failure::Runtime),
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
    };
    let left = !common.keep && broker.outlives_run();
    if left && let Err(error) = broker.api.delete_topic(&topic).await {
        eprintln!("warning: the topic {topic} is left behind: {error:#}");
    }
    let closed = broker.close().await;
    let report = outcome?;
    closed?;
    Ok(report)
}

async fn run_scenario(scenario: &Scenario, broker: &Broker, run: u64) -> anyhow::Result<Report> {
    match scenario {
        Scenario::Throughput(args) => throughput::run(args, broker, run).await,
        Scenario::Backlog(args) => backlog::run(args, broker, run).await,
        Scenario::Isolation(args) => isolation::run(args, broker, run).await,
    }
}

fn print(report: &Report, as_json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if as_json {
        serde_json::to_writer_pretty(&mut out, report)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(())
}
