use super::*;
use relay_core::names::SubscriptionId;
use relay_core::time::Time;
use relay_sim::{ManualClock, Simulated};
use serde_json::json;
use std::time::Duration;

const NOW: u64 = 1_795_000_000_000;

/// `probe <subscription>`.
fn decode(body: &str) -> Result<WakeUp, PortError> {
    let id = body.strip_prefix("probe ").and_then(|id| SubscriptionId::new(id).ok());
    id.map(WakeUp::Probe).ok_or_else(|| PortError::Corrupt("no wake-up".to_owned()))
}

fn event(bodies: &[&str]) -> SqsEvent {
    let record = |(at, body)| json!({ "messageId": format!("{at}"), "receiptHandle": "r", "body": body });
    let records: Vec<_> = bodies.iter().enumerate().map(record).collect();
    serde_json::from_value(json!({ "Records": records })).unwrap()
}

fn failed(response: &SqsBatchResponse) -> Vec<&str> {
    response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect()
}

/// Fails for one subscription, hangs for another, panics for a third, and is done with all others.
struct Troubled;

#[async_trait]
impl Follow for Troubled {
    async fn follow(&self, wake_up: WakeUp) -> Result<(), PortError> {
        match wake_up {
            WakeUp::Probe(id) if id.as_str() == "fails" => Err(PortError::Throttled),
            WakeUp::Probe(id) if id.as_str() == "hangs" => std::future::pending().await,
            WakeUp::Probe(id) if id.as_str() == "panics" => panic!("planned"),
            _ => Ok(()),
        }
    }
}

fn function(clock: &Arc<ManualClock>) -> DrainFunction {
    DrainFunction { clock: clock.clone(), decode, drainer: Arc::new(Troubled) }
}

#[tokio::test]
async fn a_recorded_wake_up_is_followed() {
    let clock = Arc::new(ManualClock::new(Time(NOW)));
    let function = DrainFunction::new(Simulated::calm(clock).ports(), decode);
    let event: SqsEvent = serde_json::from_str(include_str!("../../fixtures/sqs-standard.json")).unwrap();
    let response = function.handle(event, Deadline::of_invocation(NOW + 60_000)).await;
    assert_eq!(failed(&response), [""; 0]);
}

#[tokio::test]
async fn only_what_fails_comes_again_and_what_cannot_be_read_does_not() {
    let clock = Arc::new(ManualClock::new(Time(NOW)));
    let event = event(&["probe fails", "probe good", "garbage", "probe panics", "probe other"]);
    let response = function(&clock).handle(event, Deadline::of_invocation(NOW + 60_000)).await;
    assert_eq!(failed(&response), ["0", "3"]);
}

#[tokio::test]
async fn what_is_not_done_when_time_is_up_comes_again() {
    let clock = Arc::new(ManualClock::new(Time(NOW)));
    let function = function(&clock);
    let work = function.handle(event(&["probe hangs", "probe good"]), Deadline::of_invocation(NOW + 60_000));
    let (response, ()) = tokio::join!(work, async {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_secs(56));
    });
    assert_eq!(failed(&response), ["0"]);
}
