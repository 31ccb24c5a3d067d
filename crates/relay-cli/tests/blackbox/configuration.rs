//! Faulty configuration: exit code 2, with every fault named.

use crate::broker::{Site, relay};

fn refused(args: &[&str], environment: &[(&str, &str)]) -> String {
    let output = relay().args(args).envs(environment.iter().copied()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty());
    said
}

#[test]
fn every_fault_of_serve_is_named_at_once() {
    let site = Site::new();
    let data = site.data();
    let said = refused(
        &["serve", "--listen", "nowhere", "--data", data.to_str().unwrap(), "--log-format", "xml"],
        &[
            ("RELAY_ADMIN_KEY", "short"),
            ("RELAY_ALLOW_ENDPOINT_CIDRS", "10.0.0.0/8,10.0.0.0/99"),
            ("RELAY_SKIP_AFTER", "soon"),
            ("RELAY_LOG", "loud"),
            ("RELAY_AWS", "1"),
        ],
    );
    let named = [
        "RELAY_LISTEN",
        "RELAY_LOG_FORMAT",
        "RELAY_ADMIN_KEY",
        "10.0.0.0/99",
        "RELAY_SKIP_AFTER",
        "RELAY_LOG)",
        "RELAY_TABLE",
    ];
    for name in named {
        assert!(said.contains(name), "{name} in {said}");
    }
    assert!(!said.contains("short"), "a key is not repeated: {said}");
    assert!(!data.exists(), "nothing was begun");
}

#[test]
fn an_unknown_flag_and_an_unknown_command_are_named() {
    assert!(refused(&["serve", "--lisen", "127.0.0.1:0"], &[]).contains("--lisen"));
    assert!(refused(&["server"], &[]).contains("server"));
}

#[test]
fn the_faults_of_the_other_commands_are_named() {
    let said = refused(&["bench", "--url", "https://example.com", "--rate", "0"], &[]);
    assert!(said.contains("--rate"), "{said}");
    let said = refused(&["demo", "--url", "ftp://example.com"], &[]);
    assert!(said.contains("--url ftp://example.com") && said.contains("RELAY_ADMIN_KEY"), "{said}");
    let said = refused(&["listen", "127.0.0.1:0", "--secret", "x", "--secret", "y"], &[]);
    assert!(said.contains("number 1") && said.contains("number 2"), "{said}");
}
