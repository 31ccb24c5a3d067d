//! Runs the model check and prints traces: `cargo run --release -p relay-model [-- [--all] <part of a run's name>]`.

use relay_model::{Run, Size, runs};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

/// States at which a search gives up.
const LIMIT: usize = 60_000_000;

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (options, names): (Vec<_>, Vec<_>) = arguments.iter().partition(|argument| argument.starts_with("--"));
    let all = options.iter().any(|option| *option == "--all");
    let wanted = |run: &Run| match names.first() {
        Some(part) => run.name.contains(part.as_str()),
        None => all || run.size < Size::Large,
    };
    let mut surprises = 0;
    for run in runs().iter().filter(|run| wanted(run)) {
        surprises += u32::from(!report(run)?);
    }
    Ok(if surprises == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(run: &Run) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    writeln!(out, "== {}\n   {}", run.name, run.bounds())?;
    out.flush()?;
    let start = Instant::now();
    let report = run.search(LIMIT);
    let expected = run.is_as_expected(&report);
    let verdict = match (&report.violation, report.complete) {
        (Some(violation), _) => format!("BROKEN: {}", violation.property),
        (None, true) => "holds".to_owned(),
        (None, false) => "nothing broken within the limit".to_owned(),
    };
    writeln!(
        out,
        "   {} states, {} steps, depth {}, {:.1} s: {verdict}{}",
        report.states,
        report.steps,
        report.depth,
        start.elapsed().as_secs_f64(),
        if expected { "" } else { "   <-- NOT AS EXPECTED" }
    )?;
    for line in report.violation.iter().flat_map(|violation| &violation.trace) {
        writeln!(out, "     {line}")?;
    }
    Ok(expected)
}
