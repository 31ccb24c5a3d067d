//! What flags and environment say, read once, with all faults told together.

use crate::aws::ResourceArgs;
use crate::span::parse_span;
use clap::Args;
use ipnet::IpNet;
use relay_aws::Resources;
use relay_http::AdminKey;
use relay_webhook::AddressPolicy;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;
use tracing_subscriber::filter::Targets;

/// Run the broker
///
/// Everything is kept in one data folder, or on AWS. The first start without RELAY_ADMIN_KEY makes an admin key and shows it, once.
/// SIGTERM and SIGINT stop the broker: what is in progress is finished, for at most 30 seconds.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeArgs {
    /// Address to listen on; port 0 picks a free one
    #[arg(long, env = "RELAY_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: String,
    /// Folder that holds everything; one process at a time
    #[arg(long, env = "RELAY_DATA", value_name = "FOLDER", default_value = "./relay-data")]
    data: String,
    /// Private networks that webhooks may live in, comma-separated; loopback is allowed while the broker itself listens
    /// on loopback
    #[arg(long, env = "RELAY_ALLOW_ENDPOINT_CIDRS", value_name = "CIDRS", default_value = "")]
    allow_endpoint_cidrs: String,
    /// How long a subscription is paused, suspended or disabled until what is published for it costs nothing: then it
    /// is passed over, and loaded from the log once the subscription goes on
    #[arg(long, env = "RELAY_SKIP_AFTER", value_name = "SPAN", default_value = SKIP_AFTER)]
    skip_after: String,
    /// What to log: error, warn, info, debug or trace, for all or by module, as in info,relay_http=debug
    #[arg(long, env = "RELAY_LOG", value_name = "FILTER", default_value = "info")]
    log: String,
    /// Form of the log: pretty or json
    #[arg(long, env = "RELAY_LOG_FORMAT", value_name = "FORMAT", default_value = "pretty")]
    log_format: String,
    /// Run on SQS, DynamoDB and S3 in place of the data folder (RELAY_AWS=1); `relay aws init` makes what is needed
    #[arg(long)]
    aws: bool,
    #[command(flatten)]
    resources: ResourceArgs,
    #[arg(skip)]
    environment: Environment,
}

/// The default, as people write it.
const SKIP_AFTER: &str = "3m";

/// What has no flag, so that it shows in no list of processes.
#[derive(Clone, Debug, Default)]
struct Environment {
    admin_key: Option<String>,
    aws: Option<String>,
}

/// Checked settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where everything is kept.
    pub storage: Storage,
    /// Accepted as an admin key, and never stored.
    pub admin_key: Option<AdminKey>,
    /// Networks that webhooks may live in beside the public ones.
    pub allow_endpoint_cidrs: Vec<IpNet>,
    /// A subscription that is not active for so long skips what is published.
    pub skip_after: Duration,
    /// What is logged.
    pub log: Targets,
    /// In which form.
    pub log_format: LogFormat,
}

/// Where everything is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In one folder.
    Embedded {
        /// The folder.
        data: PathBuf,
    },
    /// On AWS.
    Aws(Resources),
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Storage::Embedded { data } => write!(f, "data in {}", data.display()),
            Storage::Aws(resources) => write!(f, "data in table {} and bucket {}", resources.table, resources.bucket),
        }
    }
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl ServeArgs {
    /// Adds what only the environment says.
    #[must_use]
    pub fn with_environment(mut self) -> ServeArgs {
        let read = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        self.environment = Environment { admin_key: read("RELAY_ADMIN_KEY"), aws: read("RELAY_AWS") };
        self
    }
}

impl Settings {
    /// Checks everything.
    ///
    /// # Errors
    /// Every fault there is. An empty variable counts as one that is not set.
    pub fn from_args(args: ServeArgs) -> Result<Settings, Vec<String>> {
        let mut faults = Vec::new();
        let listen = note(&mut faults, parse_listen(or(&args.listen, "127.0.0.1:8080")));
        let cidrs = parse_cidrs(&args.allow_endpoint_cidrs, &mut faults);
        let skip_after = note(&mut faults, parse_skip_after(or(&args.skip_after, SKIP_AFTER)));
        let log = note(&mut faults, parse_log(or(&args.log, "info")));
        let log_format = note(&mut faults, parse_log_format(or(&args.log_format, "pretty")));
        let key = args.environment.admin_key.as_deref().filter(|key| !key.is_empty());
        let admin_key = key.map(|key| AdminKey::new(key).map_err(|fault| format!("RELAY_ADMIN_KEY: {fault}")));
        let admin_key = note(&mut faults, admin_key.transpose());
        let aws = note(&mut faults, parse_switch(args.environment.aws.as_deref()));
        let storage = if args.aws || aws == Some(true) {
            args.resources.resources().map(Storage::Aws).map_err(|missing| faults.extend(missing)).ok()
        } else {
            Some(Storage::Embedded { data: PathBuf::from(or(&args.data, "./relay-data")) })
        };
        match (listen, storage, admin_key, skip_after, log, log_format) {
            (Some(listen), Some(storage), Some(admin_key), Some(skip_after), Some(log), Some(log_format))
                if faults.is_empty() =>
            {
                Ok(Settings { listen, storage, admin_key, allow_endpoint_cidrs: cidrs, skip_after, log, log_format })
            }
            _ => Err(faults),
        }
    }

    /// Which addresses webhooks may live at.
    #[must_use]
    pub fn address_policy(&self) -> AddressPolicy {
        AddressPolicy::public_only()
            .with_loopback(self.listen.ip().is_loopback())
            .with_allowed(self.allow_endpoint_cidrs.iter().copied())
    }
}

fn or<'a>(given: &'a str, default: &'a str) -> &'a str {
    if given.is_empty() { default } else { given }
}

fn note<T>(faults: &mut Vec<String>, checked: Result<T, String>) -> Option<T> {
    checked.map_err(|fault| faults.push(fault)).ok()
}

fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let fault = |why: String| format!("--listen (RELAY_LISTEN) {text:?}: {why}");
    let mut found =
        text.to_socket_addrs().map_err(|_| fault("write an address and a port, such as 127.0.0.1:8080".into()))?;
    found.next().ok_or_else(|| fault("no address has this name".into()))
}

fn parse_cidrs(text: &str, faults: &mut Vec<String>) -> Vec<IpNet> {
    let (networks, bad) = relay_webhook::parse_networks(text);
    let fault = |entry| {
        format!("--allow-endpoint-cidrs (RELAY_ALLOW_ENDPOINT_CIDRS) {entry:?}: is no network such as 10.1.0.0/16")
    };
    faults.extend(bad.into_iter().map(fault));
    networks
}

fn parse_skip_after(text: &str) -> Result<Duration, String> {
    parse_span(text).map_err(|fault| format!("--skip-after (RELAY_SKIP_AFTER) {text:?}: {fault}"))
}

fn parse_log(text: &str) -> Result<Targets, String> {
    relay_system::log_filter(text).map_err(|entry| {
        format!(
            "--log (RELAY_LOG) {entry:?}: is neither a level (error, warn, info, debug, trace, off) nor module=level"
        )
    })
}

fn parse_log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("--log-format (RELAY_LOG_FORMAT) {other:?}: is neither pretty nor json")),
    }
}

fn parse_switch(text: Option<&str>) -> Result<bool, String> {
    match text.unwrap_or_default() {
        "" | "0" | "false" => Ok(false),
        "1" | "true" => Ok(true),
        other => Err(format!("RELAY_AWS {other:?}: is neither 1 nor 0")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_has_a_default() {
        let settings = Settings::from_args(ServeArgs::default()).unwrap();
        assert_eq!(settings.listen, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(settings.storage, Storage::Embedded { data: PathBuf::from("./relay-data") });
        assert!(settings.admin_key.is_none() && settings.allow_endpoint_cidrs.is_empty());
        assert_eq!(settings.skip_after, relay_core::limits::SKIP_AFTER);
        assert_eq!(settings.log_format, LogFormat::Pretty);
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let args = ServeArgs {
            listen: "nowhere".into(),
            allow_endpoint_cidrs: "10.0.0.0/8,10.0.0.0/99,fd00::/8,x".into(),
            skip_after: "soon".into(),
            log: "loud".into(),
            log_format: "xml".into(),
            aws: true,
            environment: Environment { admin_key: Some("short".into()), aws: Some("perhaps".into()) },
            ..ServeArgs::default()
        };
        let faults = Settings::from_args(args).unwrap_err();
        let named = [
            "RELAY_LISTEN",
            "10.0.0.0/99",
            "\"x\"",
            "RELAY_SKIP_AFTER",
            "RELAY_LOG)",
            "RELAY_LOG_FORMAT",
            "RELAY_ADMIN_KEY",
            "perhaps",
            "RELAY_EVENTS_QUEUE_URL",
            "RELAY_WAKE_UPS_QUEUE_URL",
            "RELAY_TABLE",
            "RELAY_BUCKET",
        ];
        for name in named {
            assert_eq!(faults.iter().filter(|fault| fault.contains(name)).count(), 1, "{name} in {faults:?}");
        }
        assert_eq!(faults.len(), named.len(), "{faults:?}");
    }

    #[test]
    fn loopback_webhooks_are_allowed_only_while_the_broker_listens_on_loopback() {
        let policy = |listen: &str| {
            let args = ServeArgs { listen: listen.into(), ..ServeArgs::default() };
            Settings::from_args(args).unwrap().address_policy()
        };
        assert!(policy("127.0.0.1:0").check_url("http://127.0.0.1:9000/hook").is_ok());
        assert!(policy("[::1]:0").check_url("http://127.0.0.1:9000/hook").is_ok());
        assert!(policy("0.0.0.0:0").check_url("http://127.0.0.1:9000/hook").is_err());
    }

    #[test]
    fn networks_that_are_admitted_are_reachable_over_plain_http() {
        let args = ServeArgs { allow_endpoint_cidrs: "10.1.0.0/16, 192.168.7.9".into(), ..ServeArgs::default() };
        let policy = Settings::from_args(args).unwrap().address_policy();
        assert!(policy.check_url("http://10.1.2.3/hook").is_ok());
        assert!(policy.check_url("http://192.168.7.9/hook").is_ok());
        assert!(policy.check_url("http://192.168.7.8/hook").is_err());
        assert!(policy.check_url("http://10.2.2.3/hook").is_err());
    }
}
