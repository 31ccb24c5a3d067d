//! The log: one JSON object a line on stdout, which Lambda sends to CloudWatch as it is.

use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging. Lines have the fields `timestamp`, `level` and `message` by which Lambda knows JSON logs
/// (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html>).
pub fn start(filter: Targets) {
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_ansi(false);
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
}
