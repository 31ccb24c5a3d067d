//! The functions as Lambda starts them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use relay_functions::settings::{Function, VARIABLES};
use std::process::{Command, Stdio};

fn binary(function: Function) -> &'static str {
    match function {
        Function::Ingest => env!("CARGO_BIN_EXE_ingest"),
        Function::Registry => env!("CARGO_BIN_EXE_registry"),
        Function::Dispatch => env!("CARGO_BIN_EXE_dispatch"),
        Function::Drain => env!("CARGO_BIN_EXE_drain"),
        Function::Sweep => env!("CARGO_BIN_EXE_sweep"),
    }
}

#[test]
fn a_function_without_its_variables_ends_and_names_each() {
    for function in Function::ALL {
        let output = Command::new(binary(function)).env_clear().stdin(Stdio::null()).output().unwrap();
        assert!(!output.status.success(), "{function}");
        let said = String::from_utf8_lossy(&output.stderr);
        for variable in VARIABLES.iter().filter(|variable| variable.required) {
            let reads = variable.readers.contains(&function);
            assert_eq!(said.contains(variable.name), reads, "{function}, {}: {said}", variable.name);
        }
    }
}
