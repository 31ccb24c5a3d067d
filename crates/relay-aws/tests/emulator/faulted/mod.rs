//! Every call to AWS of the main flows made to fail, to be throttled, to lose its answer, or to be the last one of its
//! process: nothing that was accepted is lost, and no key is out of order.
//!
//! A flow is run once to count its calls, and then once for each call and fault. `RELAY_FAULTS=all` takes every fault at
//! every call; without it, every write loses its answer, and of the four other faults each call has one, in turn.

mod flows;
pub mod run;

use crate::broker::{Broker, configuration};
use crate::wire::Fault;
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use flows::Flow;
use std::time::Duration;

struct Injection<'a> {
    config: &'a SdkConfig,
    http: &'a SharedHttpClient,
    retries: RetryConfig,
}

impl Injection<'_> {
    /// Runs a flow with a fault; answers its calls as far as they were answered, and how many were begun.
    async fn run(&self, flow: Flow, fault: Option<(usize, Fault)>) -> (Vec<String>, usize) {
        let run = flow.prepare(Broker::new(self.config, self.http).await).await;
        let process = run.broker.process_with(self.retries.clone());
        process.wire.begin(fault);
        flow.act(&run, &process).await;
        let calls: Vec<String> = process.wire.calls().into_iter().map(|call| call.operation).collect();
        let begun = process.wire.begun();
        if let Err(broken) = run.settle(&[&process]).await {
            panic!("{flow:?} with {fault:?}: {broken}\ncalls that were answered: {calls:#?}");
        }
        (calls, begun)
    }

    async fn run_all(&self, flow: Flow, chosen: impl Fn(usize, &str, Fault) -> bool) {
        let (calls, begun) = self.run(flow, None).await;
        assert_eq!(calls.len(), begun);
        let mut runs = 0;
        for at in 0..begun {
            // Of many that are the same, as the shards of a list, the first and the last.
            let is_like = |other: usize| calls.get(other) == Some(&calls[at]);
            if at > 0 && is_like(at - 1) && is_like(at + 1) && calls[at] == "DynamoDB.Query" {
                continue;
            }
            for fault in Fault::ALL.into_iter().filter(|fault| chosen(at, &calls[at], *fault)) {
                self.run(flow, Some((at, fault))).await;
                runs += 1;
            }
        }
        eprintln!("{flow:?}: {begun} calls, {runs} runs with a fault");
        assert!(runs > 0, "{flow:?} calls nothing");
    }
}

/// Whether a fault is tried at a call where not all are.
fn in_turn(at: usize, operation: &str, fault: Fault) -> bool {
    let reads = ["DynamoDB.GetItem", "DynamoDB.BatchGetItem", "DynamoDB.Query", "S3.GetObject"];
    match fault {
        // A read whose answer is lost is a read that failed.
        Fault::LosesAnswer => !reads.contains(&operation),
        Fault::Fails => at.is_multiple_of(4),
        Fault::CutOffBefore => at % 4 == 1,
        Fault::Throttles => at % 4 == 2,
        Fault::CutOffAfter => at % 4 == 3,
    }
}

/// Flows by their place in the list, so that some can run beside others.
async fn every_call(part: usize, of: usize) {
    let (config, http) = configuration().await;
    let injection = Injection { config: &config, http: &http, retries: RetryConfig::disabled() };
    let is_all = std::env::var("RELAY_FAULTS").is_ok_and(|what| what == "all");
    for flow in Flow::ALL.into_iter().skip(part).step_by(of) {
        injection.run_all(flow, |at, operation, fault| is_all || in_turn(at, operation, fault)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_of_any_call_loses_nothing_and_keeps_every_key_in_order_1() {
    every_call(0, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_of_any_call_loses_nothing_and_keeps_every_key_in_order_2() {
    every_call(1, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_and_asked_for_again_by_the_sdk_loses_nothing() {
    let (config, http) = configuration().await;
    let retries = RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(1));
    let injection = Injection { config: &config, http: &http, retries };
    for flow in [Flow::Publish, Flow::Hold, Flow::Drain, Flow::Redrive] {
        injection.run_all(flow, |_, _, fault| fault == Fault::LosesAnswer).await;
    }
}

/// The verdict can fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_acknowledges_too_early_or_out_of_turn_is_caught() {
    let (config, http) = configuration().await;
    let run = Flow::Dispatch.prepare(Broker::new(&config, &http).await).await;
    let process = run.broker.process();
    let messages = process.ports.queue.receive(10).await.unwrap();
    let receipts: Vec<_> = messages.into_iter().map(|message| message.receipt).collect();
    assert!(process.ports.queue.delete(&receipts).await.iter().all(Result::is_ok));
    let verdict = run.settle(&[&process]).await;
    assert!(verdict.as_ref().is_err_and(|broken| broken.contains("is lost")), "{verdict:?}");

    let run = Flow::Dispatch.prepare(Broker::new(&config, &http).await).await;
    let process = run.broker.process();
    for message in process.ports.queue.receive(10).await.unwrap().into_iter().rev() {
        process.dispatcher.handle(vec![message]).await;
    }
    let verdict = run.settle(&[&process]).await;
    assert!(verdict.as_ref().is_err_and(|broken| broken.contains("were taken, not")), "{verdict:?}");
}
