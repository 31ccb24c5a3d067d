//! The tables of `docs/cost.md`, from what was counted.

use super::meter::Usage;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Usage by flow.
pub type Flows = BTreeMap<String, Usage>;

/// US dollars for a million, in us-east-1, on demand, without free tiers: what `docs/cost.md` says and cites.
struct Prices {
    fifo: f64,
    standard: f64,
    write_unit: f64,
    read_unit: f64,
    put: f64,
    get: f64,
    api_request: f64,
    invocation: f64,
    /// For a million GB-seconds of Lambda on arm64.
    gigabyte_second: f64,
}

const PRICES: Prices = Prices {
    fifo: 0.50,
    standard: 0.40,
    write_unit: 0.625,
    read_unit: 0.125,
    put: 5.0,
    get: 0.40,
    api_request: 1.0,
    invocation: 0.20,
    gigabyte_second: 13.333_4,
};

/// Lambda's memory in GB, and milliseconds that an invocation is assumed to take: nothing here measures them.
const MEMORY: f64 = 0.25;
const INGEST_MS: f64 = 10.0;
const DISPATCH_MS: f64 = 100.0;

const BEGIN: &str = "<!-- counted: begin -->\n";
const END: &str = "<!-- counted: end -->\n";

/// US dollars that SQS, DynamoDB and S3 ask for a million times this.
fn dollars(usage: &Usage) -> f64 {
    usage.fifo_requests as f64 * PRICES.fifo
        + usage.standard_requests as f64 * PRICES.standard
        + usage.write_units as f64 * PRICES.write_unit
        + usage.read_units * PRICES.read_unit
        + usage.puts as f64 * PRICES.put
        + usage.gets as f64 * PRICES.get
}

fn per_event(usage: &Usage) -> f64 {
    dollars(usage) / usage.events as f64
}

/// US dollars of a million invocations.
fn invocations(milliseconds: f64) -> f64 {
    PRICES.invocation + milliseconds / 1000.0 * MEMORY * PRICES.gigabyte_second
}

/// What lies between the marks of the page.
pub fn tables(flows: &Flows) -> String {
    let mut out = String::new();
    totals(&mut out, flows);
    detail(&mut out, flows);
    rest(&mut out, flows);
    out
}

/// The page with these tables in it.
pub fn with_tables(page: &str, flows: &Flows) -> String {
    let (before, rest) = page.split_once(BEGIN).expect("the page marks where its tables begin");
    let (_, after) = rest.split_once(END).expect("the page marks where its tables end");
    format!("{before}{BEGIN}{}{END}{after}", tables(flows))
}

fn flow<'a>(flows: &'a Flows, name: &str) -> &'a Usage {
    flows.get(name).unwrap_or_else(|| panic!("the flow {name:?} is counted"))
}

fn totals(out: &mut String, flows: &Flows) {
    out.push_str(
        "### From publish to delivery, per million events\n\n\
         | publish | queue | subscribers | AWS requests | SQS, DynamoDB, S3 | API Gateway | Lambda (computed) | all |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let rows: [(&str, &str, &str, f64, &str, f64); 4] = [
        ("1 event a request", "publish: 1 event a request", "quiet", 1.0, "1 message of 1 event", 1.0),
        ("1 event a request", "publish: 1 event a request", "busy", 1.0, "10 messages of 1 event", 10.0),
        (
            "10 events on 10 keys a request",
            "publish: 10 events on 10 keys a request",
            "busy",
            10.0,
            "10 messages of 1 event",
            10.0,
        ),
        (
            "100 events on 10 keys a request",
            "publish: 100 events on 10 keys a request",
            "busy",
            100.0,
            "10 messages of 10 events",
            100.0,
        ),
    ];
    for (what, publish, queue, per_request, messages, per_batch) in rows {
        for count in ["1", "3", "100"] {
            let plural = if count == "1" { "" } else { "s" };
            let dispatch = flow(flows, &format!("dispatch: {messages}, {count} subscriber{plural}"));
            let publish = flow(flows, publish);
            let requests =
                publish.requests() as f64 / publish.events as f64 + dispatch.requests() as f64 / dispatch.events as f64;
            let services = per_event(publish) + per_event(dispatch);
            let gateway = PRICES.api_request / per_request;
            let lambda = invocations(INGEST_MS) / per_request + invocations(DISPATCH_MS) / per_batch;
            let all = services + gateway + lambda;
            writeln!(
                out,
                "| {what} | {queue} | {count} | {:.2} M | ${services:.2} | ${gateway:.2} | ${lambda:.2} | **${all:.2}** |",
                requests
            )
            .unwrap();
        }
    }
}

fn detail(out: &mut String, flows: &Flows) {
    out.push_str(
        "\n### Each flow\n\n\
         Requests of one run, and what a million *events* of it cost (SQS, DynamoDB, S3 only).\n\n\
         | flow | requests | write units | read units | bytes sent, received | a million events |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for (name, usage) in flows {
        if name.starts_with("idle") {
            continue;
        }
        writeln!(
            out,
            "| {name} | {} | {} | {} | {}, {} | ${:.2} |",
            calls(usage),
            usage.write_units,
            usage.read_units,
            rounded(usage.sent),
            rounded(usage.received),
            per_event(usage)
        )
        .unwrap();
    }
}

fn rest(out: &mut String, flows: &Flows) {
    out.push_str(
        "\n### At rest, a month of 30 days\n\n\
         | what | requests of one | how often | requests a month | a month |\n\
         | --- | --- | --- | --- | --- |\n",
    );
    let month = 30.0 * 86_400.0;
    for (name, what, seconds) in [
        ("idle: a receive of the event queue", "one poller of the event queue", 20.0),
        ("idle: a receive of the wake-ups' queue", "one poller of the wake-ups' queue", 20.0),
        ("idle: a sweep", "sweep", 60.0),
        ("idle: a look at the logs of 2 topics", "sweep's look at the logs of two topics", 900.0),
        ("idle: a look for large payloads", "sweep's look for large payloads of what is held", 3600.0),
    ] {
        let usage = flow(flows, name);
        let times = month / seconds;
        writeln!(
            out,
            "| {what} | {} | every {seconds} s | {:.0} | ${:.2} |",
            calls(usage),
            usage.requests() as f64 * times,
            dollars(usage) * times / 1e6
        )
        .unwrap();
    }
    out.push('\n');
}

fn calls(usage: &Usage) -> String {
    let named = usage.calls.iter().map(|(name, count)| {
        let name = name.split_once('.').map_or(name.as_str(), |(_, name)| name);
        if *count == 1 { name.to_owned() } else { format!("{count} {name}") }
    });
    let named: Vec<String> = named.collect();
    if named.is_empty() { "none".to_owned() } else { named.join(", ") }
}

/// Two digits of it: sizes differ a little from run to run.
fn rounded(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{} B", bytes.div_ceil(100) * 100),
        1000..100_000 => format!("{:.1} kB", bytes as f64 / 1000.0),
        _ => format!("{:.0} kB", bytes as f64 / 1000.0),
    }
}
