//! Metrics as lines of the log that CloudWatch turns into metrics, so that none costs a call: the embedded metric
//! format (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
//!
//! What was counted during an invocation becomes one line at its end; what was not counted is not in it.

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use relay_core::metrics::ALL;
use relay_core::time::Time;
use serde_json::{Map, Value, json};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// The namespace of the metrics in CloudWatch.
pub const NAMESPACE: &str = "EventRelay";
/// The one dimension. A stack's functions have names of their own, so no two brokers are mixed up.
pub const DIMENSION: &str = "FunctionName";

/// Where this process counts.
static METRICS: OnceLock<Metrics> = OnceLock::new();

/// Starts counting. Once a process: what comes later changes nothing.
pub fn start() {
    let made = METRICS.get_or_init(Metrics::default);
    // Somebody counts already: then it is this one.
    let _ = metrics::set_global_recorder(made.clone());
}

/// Writes what was counted since the last time.
#[allow(clippy::print_stdout, reason = "stdout is where Lambda takes it from")]
pub fn flush(now: Time) {
    let function = std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
    if let Some(line) = METRICS.get().and_then(|metrics| metrics.line(&function, now)) {
        println!("{line}");
    }
}

/// One cell for each metric there is, in the order of [`ALL`].
#[derive(Clone, Debug)]
struct Metrics(Arc<[Arc<Cell>]>);

#[derive(Debug, Default)]
struct Cell {
    /// A count, or the bits of a gauge.
    value: AtomicU64,
    is_gauge: AtomicBool,
    touched: AtomicBool,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics(ALL.iter().map(|_| Arc::default()).collect())
    }
}

impl Metrics {
    fn cell(&self, key: &Key) -> Option<Arc<Cell>> {
        let at = ALL.iter().position(|metric| metric.name == key.name())?;
        self.0.get(at).cloned()
    }

    fn line(&self, function: &str, now: Time) -> Option<String> {
        let (mut declared, mut line) = (Vec::new(), Map::new());
        for (metric, cell) in ALL.iter().zip(self.0.iter()) {
            if !cell.touched.swap(false, Ordering::Relaxed) {
                continue;
            }
            let value = cell.value.swap(0, Ordering::Relaxed);
            let gauge = cell.is_gauge.load(Ordering::Relaxed);
            line.insert(metric.name.to_owned(), if gauge { json!(f64::from_bits(value)) } else { json!(value) });
            declared.push(json!({ "Name": metric.name, "Unit": unit(metric.unit) }));
        }
        if declared.is_empty() {
            return None;
        }
        line.insert(DIMENSION.to_owned(), Value::from(function));
        let metrics = json!({ "Namespace": NAMESPACE, "Dimensions": [[DIMENSION]], "Metrics": declared });
        line.insert("_aws".to_owned(), json!({ "Timestamp": now.as_millis(), "CloudWatchMetrics": [metrics] }));
        Some(Value::from(line).to_string())
    }
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Seconds => "Seconds",
        _ => "Count",
    }
}

impl metrics::CounterFn for Cell {
    fn increment(&self, value: u64) {
        self.value.fetch_add(value, Ordering::Relaxed);
        self.touched.store(true, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.value.store(value, Ordering::Relaxed);
        self.touched.store(true, Ordering::Relaxed);
    }
}

impl metrics::GaugeFn for Cell {
    fn increment(&self, value: f64) {
        self.set(f64::from_bits(self.value.load(Ordering::Relaxed)) + value);
    }

    fn decrement(&self, value: f64) {
        metrics::GaugeFn::increment(self, -value);
    }

    fn set(&self, value: f64) {
        self.value.store(value.to_bits(), Ordering::Relaxed);
        self.is_gauge.store(true, Ordering::Relaxed);
        self.touched.store(true, Ordering::Relaxed);
    }
}

impl Recorder for Metrics {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.cell(key).map_or_else(Counter::noop, Counter::from_arc)
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.cell(key).map_or_else(Gauge::noop, Gauge::from_arc)
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics::{counter, gauge};
    use relay_core::metrics::{ATTEMPTS_FAILED, DRAIN_LAG, EVENTS_ACCEPTED};

    #[test]
    fn a_line_says_what_was_counted_since_the_last_one_and_nothing_else() {
        let recorder = Metrics::default();
        metrics::with_local_recorder(&recorder, || {
            counter!(EVENTS_ACCEPTED).increment(2);
            counter!(EVENTS_ACCEPTED).increment(3);
            gauge!(DRAIN_LAG).set(1.5);
            counter!("somebody_elses").increment(1);
        });
        let line: Value = serde_json::from_str(&recorder.line("relay-Ingest-1", Time(1_000)).unwrap()).unwrap();
        let expected = json!({
            "_aws": {
                "Timestamp": 1_000,
                "CloudWatchMetrics": [{
                    "Namespace": "EventRelay",
                    "Dimensions": [["FunctionName"]],
                    "Metrics": [
                        { "Name": "relay_events_accepted_total", "Unit": "Count" },
                        { "Name": "relay_drain_lag_seconds", "Unit": "Seconds" },
                    ],
                }],
            },
            "FunctionName": "relay-Ingest-1",
            "relay_events_accepted_total": 5,
            "relay_drain_lag_seconds": 1.5,
        });
        assert_eq!(line, expected);
        assert_eq!(recorder.line("relay-Ingest-1", Time(2_000)), None);
        metrics::with_local_recorder(&recorder, || counter!(ATTEMPTS_FAILED).increment(1));
        let line: Value = serde_json::from_str(&recorder.line("f", Time(3_000)).unwrap()).unwrap();
        assert_eq!((&line[ATTEMPTS_FAILED], &line[EVENTS_ACCEPTED]), (&json!(1), &Value::Null));
    }
}
