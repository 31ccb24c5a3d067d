//! The flags of `relay bench`.

use crate::load::broker::BrokerArgs;
use crate::span::parse_span;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use std::net::SocketAddr;
use std::time::Duration;

/// Put load on a broker and check what it delivers
///
/// Without --rate the loop is closed: each connection publishes its next request when the one before was answered. With
/// --rate it is open: requests are meant to be sent at fixed times, and latencies count from there, however late the
/// broker lets them be sent. Everything that arrives is checked: order per key, losses, duplicates.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    measurement: Option<Measurement>,
    #[command(flatten)]
    throughput: ThroughputArgs,
}

/// What to find out.
#[derive(Subcommand, Clone, Debug)]
pub(super) enum Measurement {
    #[command(flatten)]
    Deliveries(Scenario),
    /// Fill a log with orders, then measure scanning it for a key, single events, following its end, and its size
    Log(LogArgs),
    /// Fill a log with orders, then measure replays of it to a webhook against the draining of a backlog of the same events
    Replay(ReplayArgs),
}

/// Of deliveries.
#[derive(Subcommand, Clone, Debug)]
pub(super) enum Scenario {
    #[command(skip)]
    Throughput(ThroughputArgs),
    /// Hold a backlog, then measure how fast it drains, in how much memory
    Backlog(BacklogArgs),
    /// Measure what a subscriber that hangs on every request costs another one of the same topic
    Isolation(IsolationArgs),
}

/// What all scenarios have in common.
#[derive(Args, Clone, Debug)]
pub(super) struct CommonArgs {
    #[command(flatten)]
    pub broker: BrokerArgs,
    /// Partition keys
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub keys: u32,
    /// Bytes of each event's data
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(64..=1_000_000))]
    pub size: u32,
    /// Connections to publish on
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: u32,
    /// Events in one request
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub batch: u32,
    /// Keys that the events of one request are spread over
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub keys_per_batch: u32,
    /// Form in which events are delivered
    #[arg(long, value_enum, default_value_t = Mode::Structured)]
    pub mode: Mode,
    /// Most events in one delivery, with --mode batch
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub max_batch: u32,
    /// Where the webhooks listen
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub sink_listen: SocketAddr,
    /// How the broker reaches them, if not at that address
    #[arg(long, value_name = "URL")]
    pub sink_url: Option<String>,
    /// How long to wait for the next delivery, such as 30s or 2m, before what is missing counts as lost
    #[arg(long, default_value = "30s", value_name = "SPAN", value_parser = parse_span)]
    pub grace: Duration,
    /// Leave the topic and its events in the broker
    #[arg(long)]
    pub keep: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Form in which events are delivered.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Mode {
    Structured,
    Binary,
    Batch,
    Raw,
}

#[derive(Args, Clone, Debug)]
pub(super) struct ThroughputArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    /// Events a second, however many are answered; without it, as many as the connections carry
    #[arg(long)]
    pub rate: Option<f64>,
    /// Subscriptions
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub subscribers: u32,
    /// How long to measure, such as 500ms, 10s or 2m
    #[arg(long, default_value = "10s", value_name = "SPAN", value_parser = parse_span)]
    pub duration: Duration,
    /// How long to run before that, in the same form
    #[arg(long, default_value = "2s", value_name = "SPAN", value_parser = parse_span)]
    pub warmup: Duration,
}

#[derive(Args, Clone, Debug)]
pub(super) struct BacklogArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    /// Events to hold
    #[arg(long, default_value_t = 1_000_000)]
    pub events: u64,
    /// Why they are held
    #[arg(long, value_enum, default_value_t = Hold::Failing)]
    pub hold: Hold,
}

/// Why a backlog is held.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Hold {
    /// The webhook answers 500
    Failing,
    /// The subscription is paused
    Paused,
}

#[derive(Args, Clone, Debug)]
pub(super) struct IsolationArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    /// Events a second
    #[arg(long, default_value_t = 500.0)]
    pub rate: f64,
    /// How long each of the three phases is measured, such as 10s or 2m
    #[arg(long, default_value = "10s", value_name = "SPAN", value_parser = parse_span)]
    pub duration: Duration,
    /// How long each phase runs before that, in the same form; with the hanging subscriber, this holds the first `patience`
    #[arg(long, default_value = "5s", value_name = "SPAN", value_parser = parse_span)]
    pub warmup: Duration,
    /// Time-out of the requests that hang, in milliseconds
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1000..=30_000))]
    pub timeout_ms: u32,
}

#[derive(Args, Clone, Debug)]
pub(super) struct LogArgs {
    #[command(flatten)]
    pub broker: BrokerArgs,
    /// Orders to publish, of 1 KiB each
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub events: u64,
    /// Names the corpus: the same seed makes the same orders
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Measure this topic, which an earlier run with --data has filled with as many orders of the same seed
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    pub log: LogArgs,
    /// What to replay; without it, one after the other
    #[arg(long, value_enum)]
    pub of: Option<Replayed>,
}

/// What is replayed.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replayed {
    /// The most frequent key
    Key,
    /// The whole log
    All,
}

impl BenchArgs {
    pub(super) fn into_measurement(self) -> Measurement {
        self.measurement.unwrap_or(Measurement::Deliveries(Scenario::Throughput(self.throughput)))
    }
}

impl LogArgs {
    /// What is wrong beyond what each flag can tell of itself.
    pub(super) fn faults(&self) -> Vec<String> {
        let fault = "--topic: needs the broker of its data, --data or --url; a broker at --url needs a --topic";
        let is_wrong = if self.topic.is_some() {
            self.broker.url.is_none() && self.broker.data.is_none()
        } else {
            self.broker.url.is_some()
        };
        is_wrong.then(|| fault.to_owned()).into_iter().collect()
    }
}

impl Scenario {
    pub(super) fn common(&self) -> &CommonArgs {
        match self {
            Scenario::Throughput(args) => &args.common,
            Scenario::Backlog(args) => &args.common,
            Scenario::Isolation(args) => &args.common,
        }
    }

    /// What is wrong beyond what each flag can tell of itself.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let rate = match self {
            Scenario::Throughput(args) => args.rate,
            Scenario::Isolation(args) => Some(args.rate),
            Scenario::Backlog(args) => {
                if args.events == 0 {
                    faults.push("--events: there must be one at least".to_owned());
                }
                None
            }
        };
        if rate.is_some_and(|rate| !(rate > 0.0 && rate <= 1e7)) {
            faults.push("--rate: from above 0 to 10,000,000 events a second".to_owned());
        }
        let span = match self {
            Scenario::Throughput(args) => Some(args.duration),
            Scenario::Isolation(args) => Some(args.duration),
            Scenario::Backlog(_) => None,
        };
        if span.is_some_and(|span| span.is_zero()) {
            faults.push("--duration: must be longer than nothing".to_owned());
        }
        let common = self.common();
        let request = u64::from(common.batch) * (u64::from(common.size) + 300);
        if request > 4 * 1024 * 1024 {
            faults.push(format!("--batch {} of --size {}: a request holds 4 MiB", common.batch, common.size));
        }
        faults
    }
}
