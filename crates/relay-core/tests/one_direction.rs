//! The domain depends on no runtime, HTTP client, database or cloud SDK: read from cargo's own metadata.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::process::Command;

const FORBIDDEN: [&str; 12] = [
    "tokio",
    "async-std",
    "smol",
    "hyper",
    "reqwest",
    "axum",
    "http",
    "rusqlite",
    "rustls",
    "rand",
    "mio",
    "aws-config",
];

/// All that a package needs to be built, itself included, without what only its tests need.
fn needed(metadata: &Value, package: &str) -> BTreeSet<String> {
    let nodes: HashMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (node["id"].as_str().unwrap(), node))
        .collect();
    let names: HashMap<&str, &str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| (package["id"].as_str().unwrap(), package["name"].as_str().unwrap()))
        .collect();
    let start = names.iter().find(|(_, name)| **name == package).map(|(id, _)| *id).unwrap();
    let (mut found, mut left) = (BTreeSet::from([start]), vec![start]);
    while let Some(id) = left.pop() {
        for dependency in nodes[id]["deps"].as_array().unwrap() {
            let built_in = dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"] != "dev");
            let id = dependency["pkg"].as_str().unwrap();
            if built_in && found.insert(id) {
                left.push(id);
            }
        }
    }
    found.into_iter().map(|id| names[id].to_owned()).collect()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_domain_needs_no_runtime_client_or_store() {
    let needed = needed(&metadata(), "relay-core");
    assert!(needed.contains("serde_json"), "the graph was not read: {needed:?}");
    let wrong: Vec<&String> = needed
        .iter()
        .filter(|name| FORBIDDEN.contains(&name.as_str()) || name.starts_with("aws-") || name.starts_with("relay-e"))
        .collect();
    assert!(wrong.is_empty(), "relay-core depends on {wrong:?}");
}

#[test]
fn no_crate_but_the_embedded_store_needs_sqlite() {
    let metadata = metadata();
    for package in ["relay-core", "relay-webhook", "relay-http"] {
        let known = metadata["packages"].as_array().unwrap().iter().any(|found| found["name"] == package);
        assert!(known, "{package} is no member any more");
        assert!(!needed(&metadata, package).contains("rusqlite"), "{package} needs SQLite");
    }
}
