//! Every run of the model check but the large ones: the promises hold within the bounds, and each planted fault is
//! caught. `cargo run --release -p relay-model -- --all` runs the large ones, too.

use relay_model::{Size, runs};

/// More states than any run that is meant to be complete has: a search that reaches it has failed.
const LIMIT: usize = 8_000_000;

#[test]
fn the_protocol_holds_and_every_planted_fault_is_caught() {
    let mut surprises = Vec::new();
    let (mut held, mut caught) = (0, 0);
    for run in runs().iter().filter(|run| run.size < Size::Large) {
        let report = run.search(LIMIT);
        let broken = report.violation.as_ref().map(|violation| violation.property.to_string());
        println!("{}: {} states, {}", run.name, report.states, broken.as_deref().unwrap_or("holds"));
        if run.is_as_expected(&report) {
            *(if broken.is_some() { &mut caught } else { &mut held }) += 1;
            continue;
        }
        for line in report.violation.iter().flat_map(|violation| &violation.trace) {
            println!("    {line}");
        }
        surprises.push(run.name);
    }
    assert!(surprises.is_empty(), "not as expected: {surprises:?}");
    assert!(held > 5 && caught > 10, "too few runs to mean anything: {held} hold, {caught} caught");
}
