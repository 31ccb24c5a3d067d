//! Queues, table and bucket of a test's own, made by `relay aws init`.

use crate::broker::{Site, relay};
use rand::Rng;
use std::process::Output;

/// Runs `relay aws …` and waits for its end.
pub fn aws(args: &[&str], environment: &[(String, String)]) -> Output {
    let environment = environment.iter().map(|(name, value)| (name, value));
    relay().arg("aws").args(args).envs(environment).output().unwrap()
}

/// What it printed, after it ended well.
pub fn said(output: &Output) -> &str {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::str::from_utf8(&output.stdout).unwrap()
}

/// Makes resources; answers the variables that it printed.
pub fn init() -> Vec<(String, String)> {
    assert!(
        std::env::var_os("AWS_ENDPOINT_URL").is_some(),
        "these tests need an emulator: scripts/with-emulator.sh starts one"
    );
    let prefix = format!("t{:016x}", rand::rng().random::<u64>());
    let output = aws(&["init", "--prefix", &prefix, "--bucket", &prefix], &[]);
    let exports = said(&output).lines().map(|line| line.strip_prefix("export ").unwrap().split_once('=').unwrap());
    exports.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A site whose brokers serve these resources.
pub fn site(resources: Vec<(String, String)>) -> Site {
    Site::with_environment(resources.into_iter().chain([("RELAY_AWS".to_owned(), "1".to_owned())]).collect())
}
