//! Which queues, table and bucket.

use clap::Args;
use relay_aws::Resources;

/// The resources of a broker on AWS, named one by one.
#[derive(Args, Clone, Debug, Default)]
pub struct ResourceArgs {
    /// On AWS: URL of the FIFO queue of accepted events
    #[arg(long, env = "RELAY_EVENTS_QUEUE_URL", value_name = "URL")]
    events_queue_url: Option<String>,
    /// On AWS: URL of the queue of wake-ups
    #[arg(long, env = "RELAY_WAKE_UPS_QUEUE_URL", value_name = "URL")]
    wake_ups_queue_url: Option<String>,
    /// On AWS: name of the table
    #[arg(long, env = "RELAY_TABLE", value_name = "NAME")]
    table: Option<String>,
    /// On AWS: name of the bucket
    #[arg(long, env = "RELAY_BUCKET", value_name = "NAME")]
    bucket: Option<String>,
}

impl ResourceArgs {
    /// All of them.
    ///
    /// # Errors
    /// Those that are not named. An empty variable counts as one that is not set.
    pub fn resources(&self) -> Result<Resources, Vec<String>> {
        let mut faults = Vec::new();
        let mut named = |flag: &str, variable: &str, given: &Option<String>| {
            let given = given.clone().filter(|value| !value.is_empty());
            given.unwrap_or_else(|| {
                faults.push(format!(
                    "--{flag} ({variable}) is not given; `relay aws init` and the stack's outputs say it"
                ));
                String::new()
            })
        };
        let resources = Resources {
            events_queue: named("events-queue-url", "RELAY_EVENTS_QUEUE_URL", &self.events_queue_url),
            wake_ups_queue: named("wake-ups-queue-url", "RELAY_WAKE_UPS_QUEUE_URL", &self.wake_ups_queue_url),
            table: named("table", "RELAY_TABLE", &self.table),
            bucket: named("bucket", "RELAY_BUCKET", &self.bucket),
        };
        if faults.is_empty() { Ok(resources) } else { Err(faults) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_that_is_missing_or_empty_is_named() {
        let args = ResourceArgs { table: Some("t".to_owned()), bucket: Some(String::new()), ..ResourceArgs::default() };
        let faults = args.resources().unwrap_err().join("\n");
        for name in ["--events-queue-url (RELAY_EVENTS_QUEUE_URL)", "--wake-ups-queue-url", "--bucket (RELAY_BUCKET)"] {
            assert!(faults.contains(name), "{name} in {faults}");
        }
        assert!(!faults.contains("--table"), "{faults}");
    }
}
