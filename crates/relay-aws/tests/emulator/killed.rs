//! The process dies again and again, under load, with all its pollers: nothing that was accepted is lost, and no key is
//! out of order. `RELAY_SEED` repeats a run, as far as the emulator's timing allows; `RELAY_KILLS` says how often.

use crate::broker::{Broker, Draft, HandClock, Random, configuration};
use crate::faulted::run::Run;
use aws_config::retry::RetryConfig;
use relay_core::limits::VISIBILITY;
use relay_core::ports::Ids;
use relay_core::retry::RetryPolicy;
use relay_engine::{Engine, Settings};
use relay_system::SystemIds;
use std::sync::Arc;
use std::time::Duration;

const KEYS: usize = 8;
const EVENTS: usize = 10;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Requests of several keys each.
fn requests(count: usize) -> Vec<Vec<Draft>> {
    let draft = |at: usize| Draft::new(format!("e{at:06}"), &format!("key-{}", at * 7 % KEYS));
    (0..count).map(|request| (0..EVENTS).map(|at| draft(request * EVENTS + at)).collect()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pollers_that_are_killed_under_load_lose_nothing_and_keep_every_key_in_order() {
    let seed = number("RELAY_SEED").unwrap_or_else(|| SystemIds.random());
    let kills = number("RELAY_KILLS").unwrap_or(25);
    eprintln!("RELAY_SEED={seed} RELAY_KILLS={kills}");
    let mut random = Random::new(seed);
    let (config, http) = configuration().await;
    let broker = Broker::with(&config, &http, HandClock::going()).await;
    let retry = RetryPolicy { schedule_ms: vec![100, 500], max_age_ms: 1000 * 86_400_000, ..RetryPolicy::default() };
    let run = Arc::new(Run::new(broker, 3, &retry).await);
    // More than is delivered meanwhile, so that every process dies at work.
    run.plan(requests(usize::try_from(kills).unwrap() * 3));
    let settings = Settings { sweep_every: Duration::from_millis(300), ..Settings::default() };
    let mut dead = Vec::new();
    for _ in 0..kills {
        run.broker.webhooks.be_flaky(5 + random.next(20), Random::new(random.next(u64::MAX >> 33)));
        let process = Arc::new(run.broker.process_waiting(RetryConfig::standard(), Duration::from_secs(1)));
        let engine = Engine::start(process.ports.clone(), settings);
        let publisher = tokio::spawn({
            let (run, process) = (run.clone(), process.clone());
            async move {
                loop {
                    run.publish_rest(&process).await;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        });
        tokio::time::sleep(Duration::from_millis(20 + random.next(1500))).await;
        publisher.abort();
        drop(engine);
        dead.push(process);
        // Its messages and its leases are given up after a while.
        run.broker.clock.advance(VISIBILITY);
        for process in &dead {
            run.broker.show(&process.wire).await;
        }
    }
    let accepted = run.accepted();
    eprintln!("{accepted} events were accepted, {} deliveries made", run.broker.webhooks.taken().len());
    assert!(accepted > 0, "nothing was published");
    run.forget_unpublished();
    // What was on its way when a process died has arrived by the time its messages are shown again.
    let dead: Vec<_> = dead.iter().map(AsRef::as_ref).collect();
    if let Err(broken) = run.settle(&dead).await {
        panic!("with RELAY_SEED={seed}: {broken}");
    }
}
