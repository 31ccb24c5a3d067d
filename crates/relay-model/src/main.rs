//! Runs the model check and prints traces: `cargo run --release -p relay-model -- [--all] [--table] [part of a name]`.

use relay_model::{Report, Run, Size, runs};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

/// States at which a search gives up.
const LIMIT: usize = 60_000_000;

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (options, names): (Vec<_>, Vec<_>) = arguments.iter().partition(|argument| argument.starts_with("--"));
    let has = |wanted: &str| options.iter().any(|option| *option == wanted);
    let wanted = |run: &Run| match names.first() {
        Some(part) => run.name.contains(part.as_str()),
        None => has("--all") || run.size < Size::Large,
    };
    let mut out = io::stdout().lock();
    if has("--table") {
        writeln!(out, "| run | states | result |\n| --- | ---: | --- |")?;
    }
    let mut surprises = 0;
    for run in runs().iter().filter(|run| wanted(run)) {
        let expected = if has("--table") { tabulate(&mut out, run)? } else { tell(&mut out, run)? };
        surprises += u32::from(!expected);
    }
    Ok(if surprises == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verdict(run: &Run, report: &Report) -> String {
    let verdict = match (&report.violation, report.complete) {
        (Some(violation), _) => format!("breaks {}", violation.property),
        (None, true) => "holds".to_owned(),
        (None, false) => "nothing is broken within the limit".to_owned(),
    };
    if run.is_as_expected(report) { verdict } else { format!("{verdict}   <-- NOT AS EXPECTED") }
}

/// A run in full, with the trace of what it breaks.
fn tell(out: &mut impl Write, run: &Run) -> io::Result<bool> {
    writeln!(out, "== {}\n   {}", run.name, run.bounds())?;
    out.flush()?;
    let start = Instant::now();
    let report = run.search(LIMIT);
    let (seconds, verdict) = (start.elapsed().as_secs_f64(), verdict(run, &report));
    writeln!(
        out,
        "   {} states, {} steps, depth {}, {seconds:.1} s: {verdict}",
        report.states, report.steps, report.depth
    )?;
    for line in report.violation.iter().flat_map(|violation| &violation.trace) {
        writeln!(out, "     {line}")?;
    }
    Ok(run.is_as_expected(&report))
}

/// A run as a row of the README's table.
fn tabulate(out: &mut impl Write, run: &Run) -> io::Result<bool> {
    let report = run.search(LIMIT);
    let digits = report.states.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    let mark = if run.size == Size::Large { " *" } else { "" };
    writeln!(out, "| {}{mark} | {} | {} |", run.name, groups.join(","), verdict(run, &report))?;
    out.flush()?;
    Ok(run.is_as_expected(&report))
}
