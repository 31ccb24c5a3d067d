//! What a run found, for people and for machines.

use super::stage::Stage;
use crate::load::broker::Broker;
use crate::load::disk;
use crate::load::generator::{Publishing, lock};
use crate::load::resident::Resident;
use crate::load::stopwatch::Window;
use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// A run's report. Spans are in milliseconds, memory in MiB.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Which scenario.
    pub scenario: &'static str,
    /// Of this binary.
    pub version: &'static str,
    /// The flags that matter.
    pub settings: Value,
    /// What publishing was like.
    pub accepted: Accepted,
    /// What the subscribers had of it.
    pub delivered: Delivered,
    /// What was checked.
    pub checks: Checks,
    /// What is particular to the scenario.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// The disk that the data is on, if that is known.
    pub disk: Option<Disk>,
    /// The broker's memory, if it was started for the run.
    pub memory: Option<Memory>,
}

/// What publishing was like.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// Events answered with 202, all told.
    pub events: u64,
    /// Events a second answered with 202 while it was measured.
    pub per_second: f64,
    /// From the time that a request was meant to be sent to its 202.
    pub latency_ms: Option<Percentiles>,
    /// Events that were not answered with 202.
    pub refused: u64,
    /// Why the first of them was not.
    pub first_refusal: Option<String>,
    /// Requests that were due but could not be sent.
    pub unsent: u64,
}

/// What the subscribers had of it.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivered {
    /// Events delivered, all told, once for each subscriber.
    pub events: u64,
    /// Of them, a second, while it was measured.
    pub per_second: f64,
    /// From the time that an event was meant to be sent to its arrival.
    pub latency_ms: Option<Percentiles>,
}

/// What was checked.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checks {
    /// Events that came after a later one of their key, per subscriber.
    pub order_violations: u64,
    /// Events that were accepted and never came.
    pub lost: u64,
    /// Arrivals of events that had come before.
    pub duplicates: u64,
    /// Deliveries that belong to nothing that was published.
    pub strangers: u64,
}

/// One more figure.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What it is.
    pub name: &'static str,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
}

/// Percentiles of a latency, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// Nine of ten are no longer.
    pub p90: f64,
    /// All but one of a hundred.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// How long the disk takes for 4 KiB and `fdatasync`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Disk {
    /// Before the load.
    pub before: Percentiles,
    /// After it.
    pub after: Percentiles,
}

/// The broker's resident memory.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// The most it ever was.
    pub peak_mib: f64,
    /// At the end of the run.
    pub end_mib: f64,
}

impl Percentiles {
    /// Those of what was recorded; none if nothing was.
    pub(super) fn of(micros: &Histogram<u64>) -> Option<Percentiles> {
        let at = |quantile| micros.value_at_quantile(quantile) as f64 / 1000.0;
        let all = Percentiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: micros.max() as f64 / 1000.0 };
        (!micros.is_empty()).then_some(all)
    }
}

impl Report {
    /// The report of a run that has settled.
    pub(super) fn new(
        scenario: &'static str,
        settings: Value,
        stage: &Stage<'_>,
        publishing: &Publishing,
        window: Window,
    ) -> anyhow::Result<Report> {
        let published = lock(&stage.published);
        let ledger = lock(&stage.ledger);
        let accounts = ledger.accounts();
        let mut latency = crate::load::ledger::histogram()?;
        for account in accounts {
            latency.add(account.latency())?;
        }
        let delivered_in_window: u64 = accounts.iter().map(|account| account.delivered_in_window()).sum();
        Ok(Report {
            scenario,
            version: env!("CARGO_PKG_VERSION"),
            settings,
            accepted: Accepted {
                events: published.accepted(),
                per_second: publishing.accepted_in_window as f64 / window.seconds(),
                latency_ms: Percentiles::of(&publishing.latency),
                refused: published.refused(),
                first_refusal: published.first_refusal().map(str::to_owned),
                unsent: publishing.unsent,
            },
            delivered: Delivered {
                events: accounts.iter().map(|account| account.delivered()).sum(),
                per_second: delivered_in_window as f64 / window.seconds(),
                latency_ms: Percentiles::of(&latency),
            },
            checks: Checks {
                order_violations: accounts.iter().map(|account| account.out_of_order()).sum(),
                lost: accounts.iter().map(|account| account.missing(&published)).sum(),
                duplicates: accounts.iter().map(|account| account.duplicates()).sum(),
                strangers: ledger.strangers(),
            },
            findings: Vec::new(),
            disk: None,
            memory: stage.broker.resident().map(Memory::from),
        })
    }

    /// True if nothing was lost or out of order.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.checks.lost == 0 && self.checks.order_violations == 0
    }
}

impl From<Resident> for Memory {
    fn from(resident: Resident) -> Memory {
        let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
        Memory { peak_mib: mib(resident.peak), end_mib: mib(resident.now) }
    }
}

/// Measures the broker's disk, if it is known where that is.
pub(super) async fn probe_disk(broker: &Broker) -> anyhow::Result<Option<Percentiles>> {
    let Some(folder) = broker.data().map(std::path::Path::to_owned) else {
        return Ok(None);
    };
    let took = tokio::task::spawn_blocking(move || disk::probe(&folder)).await??;
    Ok(Percentiles::of(&took))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { accepted, delivered, checks, .. } = self;
        writeln!(
            f,
            "{:<22}{:>12} events/s   {:>12} events",
            "accepted",
            grouped(accepted.per_second),
            accepted.events
        )?;
        writeln!(
            f,
            "{:<22}{:>12} events/s   {:>12} events",
            "delivered",
            grouped(delivered.per_second),
            delivered.events
        )?;
        for (name, latency) in [("publish to 202", accepted.latency_ms), ("publish to delivery", delivered.latency_ms)]
        {
            if let Some(latency) = latency {
                writeln!(f, "{name:<22}{latency}")?;
            }
        }
        for finding in &self.findings {
            writeln!(f, "{:<22}{:>12} {}", finding.name, grouped(finding.value), finding.unit)?;
        }
        if let Some(disk) = &self.disk {
            writeln!(f, "{:<22}{}", "fdatasync before", disk.before)?;
            writeln!(f, "{:<22}{}", "fdatasync after", disk.after)?;
        }
        if let Some(memory) = &self.memory {
            writeln!(
                f,
                "{:<22}{:>12.1} MiB at most, {:.1} MiB at the end",
                "broker's memory", memory.peak_mib, memory.end_mib
            )?;
        }
        writeln!(
            f,
            "{:<22}{} out of order, {} lost, {} duplicates",
            "checks", checks.order_violations, checks.lost, checks.duplicates
        )?;
        if checks.strangers > 0 {
            writeln!(f, "{:<22}{} that belong to nothing published", "deliveries", checks.strangers)?;
        }
        if accepted.refused > 0 {
            let why = accepted.first_refusal.as_deref().unwrap_or_default();
            writeln!(f, "{:<22}{} events; the first: {why}", "not accepted", accepted.refused)?;
        }
        if accepted.unsent > 0 {
            writeln!(f, "{:<22}{} requests: the broker cannot keep this rate", "not sent in time", accepted.unsent)?;
        }
        Ok(())
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Percentiles { p50, p90, p99, max } = self;
        write!(f, "p50 {p50:>9.3} ms  p90 {p90:>9.3} ms  p99 {p99:>9.3} ms  max {max:>9.3} ms")
    }
}

/// With thousands apart, and decimals only where they say something.
fn grouped(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.2}") } else { indicatif::HumanCount(value.round() as u64).to_string() }
}
