//! What the functions read of their environment: one table, from which `template.yaml` is tested.

use ipnet::IpNet;
use std::fmt;
use tracing_subscriber::filter::Targets;

/// The functions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Function {
    /// Takes published events.
    Ingest,
    /// Topics, subscriptions, keys, held lanes, dead letters.
    Registry,
    /// Delivers events from the queue.
    Dispatch,
    /// Delivers the backlogs of held lanes.
    Drain,
    /// Makes up for what was lost.
    Sweep,
}

impl Function {
    /// All of them.
    pub const ALL: [Function; 5] =
        [Function::Ingest, Function::Registry, Function::Dispatch, Function::Drain, Function::Sweep];
}

impl fmt::Display for Function {
    /// The name of its resource in the template.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A variable of the environment.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// Without it the function does not start; otherwise not set and empty are the same.
    pub required: bool,
    /// Who reads it.
    pub readers: &'static [Function],
}

use Function::{Dispatch, Drain, Ingest, Registry, Sweep};

/// Every variable that a function reads, beside those that Lambda sets and the SDK reads.
pub const VARIABLES: [Variable; 8] = [
    Variable {
        name: "RELAY_EVENTS_QUEUE_URL",
        meaning: "URL of the FIFO queue of accepted events",
        required: true,
        readers: &Function::ALL,
    },
    Variable {
        name: "RELAY_WAKE_UPS_QUEUE_URL",
        meaning: "URL of the queue of wake-ups",
        required: true,
        readers: &[Registry, Dispatch, Drain, Sweep],
    },
    Variable { name: "RELAY_TABLE", meaning: "Name of the table", required: true, readers: &Function::ALL },
    Variable { name: "RELAY_BUCKET", meaning: "Name of the bucket", required: true, readers: &Function::ALL },
    Variable {
        name: "RELAY_ALLOW_ENDPOINT_CIDRS",
        meaning: "Private networks that webhooks may live in, comma-separated; none if empty",
        required: false,
        readers: &[Registry, Dispatch, Drain],
    },
    Variable {
        name: "RELAY_LOG",
        meaning: "What is logged: a level for all, or by module, as in info,relay_core=debug; info if empty",
        required: false,
        readers: &Function::ALL,
    },
    Variable {
        name: "RELAY_METRICS",
        meaning: "Whether metrics are written for CloudWatch, which bills them: true or false; false if empty",
        required: false,
        readers: &Function::ALL,
    },
    Variable {
        name: "AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH",
        meaning: "Read by lambda_http: a request's path is taken as it was sent, without the stage",
        required: false,
        readers: &[Ingest, Registry],
    },
];

/// Checked settings of one function. What it does not read is empty.
#[derive(Clone, Debug)]
pub struct Settings {
    /// URL of the queue of accepted events.
    pub events_queue: String,
    /// URL of the queue of wake-ups.
    pub wake_ups_queue: String,
    /// Name of the table.
    pub table: String,
    /// Name of the bucket.
    pub bucket: String,
    /// Networks that webhooks may live in beside the public ones.
    pub allow_endpoint_cidrs: Vec<IpNet>,
    /// What is logged.
    pub log: Targets,
    /// Whether metrics are written.
    pub metrics: bool,
}

/// Every fault of a function's environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsFault(pub Vec<String>);

impl fmt::Display for SettingsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for SettingsFault {}

impl Settings {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// Every fault there is.
    pub fn from_environment(function: Function) -> Result<Settings, SettingsFault> {
        Settings::read(function, |name| std::env::var(name).ok())
    }

    /// Reads what `lookup` says of the variables of a function, and no others.
    ///
    /// # Errors
    /// Every fault there is.
    pub fn read(function: Function, lookup: impl Fn(&str) -> Option<String>) -> Result<Settings, SettingsFault> {
        let mut faults = Vec::new();
        let mut value = |name: &str| {
            let Some(variable) = VARIABLES.iter().find(|known| known.name == name && known.readers.contains(&function))
            else {
                return String::new();
            };
            let value = lookup(name).unwrap_or_default();
            if variable.required && value.is_empty() {
                faults.push(format!("{name} is not set: {}", variable.meaning));
            }
            value
        };
        let (events_queue, wake_ups_queue) = (value("RELAY_EVENTS_QUEUE_URL"), value("RELAY_WAKE_UPS_QUEUE_URL"));
        let (table, bucket) = (value("RELAY_TABLE"), value("RELAY_BUCKET"));
        let (cidrs, log) = (value("RELAY_ALLOW_ENDPOINT_CIDRS"), value("RELAY_LOG"));
        let metrics = value("RELAY_METRICS");
        let metrics = parse_switch(&metrics, &mut faults);
        let allow_endpoint_cidrs = parse_cidrs(&cidrs, &mut faults);
        let log = parse_log(&log).unwrap_or_else(|fault| {
            faults.push(fault);
            Targets::new()
        });
        if !faults.is_empty() {
            return Err(SettingsFault(faults));
        }
        Ok(Settings { events_queue, wake_ups_queue, table, bucket, allow_endpoint_cidrs, log, metrics })
    }
}

fn parse_cidrs(text: &str, faults: &mut Vec<String>) -> Vec<IpNet> {
    let (networks, bad) = relay_webhook::parse_networks(text);
    let fault = |entry| format!("RELAY_ALLOW_ENDPOINT_CIDRS {entry:?}: is no network such as 10.1.0.0/16");
    faults.extend(bad.into_iter().map(fault));
    networks
}

fn parse_switch(text: &str, faults: &mut Vec<String>) -> bool {
    match text {
        "true" => true,
        "false" | "" => false,
        other => {
            faults.push(format!("RELAY_METRICS {other:?}: is neither true nor false"));
            false
        }
    }
}

fn parse_log(text: &str) -> Result<Targets, String> {
    let text = if text.is_empty() { "info" } else { text };
    relay_system::log_filter(text).map_err(|entry| format!("RELAY_LOG {entry:?}: is neither a level nor module=level"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::{BTreeMap, BTreeSet};

    /// Where tests/template finds what each function reads.
    const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/variables.json");

    fn good(name: &str) -> Option<String> {
        let optional = ["RELAY_LOG", "RELAY_ALLOW_ENDPOINT_CIDRS", "RELAY_METRICS"];
        Some(if optional.contains(&name) { String::new() } else { name.to_owned() })
    }

    #[test]
    fn the_recorded_variables_are_those_of_the_table() {
        let of = |function: &Function| {
            let read = VARIABLES.iter().filter(|variable| variable.readers.contains(function));
            (function.to_string(), read.map(|variable| variable.name).collect::<BTreeSet<_>>())
        };
        let table: BTreeMap<_, _> = Function::ALL.iter().map(of).collect();
        let text = serde_json::to_string_pretty(&table).unwrap() + "\n";
        if std::env::var_os("RELAY_RECORD").is_some() {
            std::fs::write(RECORDED, &text).unwrap();
        }
        let recorded = std::fs::read_to_string(RECORDED).unwrap();
        assert_eq!(recorded, text, "run this test with RELAY_RECORD=1, and give the template what is new");
    }

    #[test]
    fn a_function_reads_its_variables_and_no_others() {
        for function in Function::ALL {
            let asked = RefCell::new(BTreeSet::new());
            let lookup = |name: &str| {
                asked.borrow_mut().insert(name.to_owned());
                good(name)
            };
            Settings::read(function, lookup).unwrap();
            let ours =
                |variable: &&Variable| variable.readers.contains(&function) && variable.name.starts_with("RELAY");
            let table: BTreeSet<_> = VARIABLES.iter().filter(ours).map(|variable| variable.name.to_owned()).collect();
            assert_eq!(asked.into_inner(), table, "{function}");
        }
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let lookup = |name: &str| match name {
            "RELAY_TABLE" => None,
            "RELAY_BUCKET" => Some(String::new()),
            "RELAY_ALLOW_ENDPOINT_CIDRS" => Some("10.0.0.0/8, 10.0.0.0/99,fd00::1".to_owned()),
            "RELAY_LOG" => Some("info,relay_core=loud".to_owned()),
            "RELAY_METRICS" => Some("perhaps".to_owned()),
            other => good(other),
        };
        let faults = Settings::read(Function::Dispatch, lookup).unwrap_err().0;
        for name in ["RELAY_TABLE", "RELAY_BUCKET", "10.0.0.0/99", "relay_core=loud", "perhaps"] {
            assert_eq!(faults.iter().filter(|fault| fault.contains(name)).count(), 1, "{name} in {faults:?}");
        }
        assert_eq!(faults.len(), 5, "{faults:?}");
    }

    #[test]
    fn networks_are_read_with_blanks_between_them() {
        let lookup = |name: &str| match name {
            "RELAY_ALLOW_ENDPOINT_CIDRS" => Some("10.1.0.0/16, 192.168.7.9".to_owned()),
            other => good(other),
        };
        let settings = Settings::read(Function::Drain, lookup).unwrap();
        let expected: Vec<IpNet> = vec!["10.1.0.0/16".parse().unwrap(), "192.168.7.9/32".parse().unwrap()];
        assert_eq!(settings.allow_endpoint_cidrs, expected);
    }
}
