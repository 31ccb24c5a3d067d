//! The contract of the ports, on the simulated adapters: calm, and under the scheduler while nothing goes wrong.

use async_trait::async_trait;
use futures_util::FutureExt;
use relay_core::conformance::{Harness, run_all};
use relay_core::ports::Ports;
use relay_core::time::Time;
use relay_sim::random::Random;
use relay_sim::schedule::{Executor, Hazards};
use relay_sim::{ManualClock, Shape, Simulated};
use std::sync::Arc;
use std::time::Duration;

const NOW: Time = Time(1_800_000_000_000);

struct Calm {
    simulated: Simulated,
    clock: Arc<ManualClock>,
}

#[async_trait]
impl Harness for Calm {
    fn ports(&self) -> Ports {
        self.simulated.ports()
    }

    async fn advance(&self, span: Duration) {
        self.clock.advance(span);
    }

    async fn crash(&self) {
        self.simulated.forget_in_flight();
    }
}

#[test]
fn calm_adapters_keep_the_contract_of_the_ports() {
    let make = async || {
        let clock = Arc::new(ManualClock::new(NOW));
        Calm { simulated: Simulated::calm(clock.clone()), clock }
    };
    // Calm calls never wait, so the whole suite is one poll.
    assert_eq!(run_all(make).now_or_never(), Some(()));
}

struct Scheduled {
    simulated: Simulated,
}

#[async_trait]
impl Harness for Scheduled {
    fn ports(&self) -> Ports {
        self.simulated.ports()
    }

    async fn advance(&self, span: Duration) {
        self.simulated.ports().clock.sleep(span).await;
    }

    async fn crash(&self) {}
}

fn run_scheduled(shape: Shape) {
    let mut executor = Executor::new(Random::new(1), Hazards::default());
    let scheduler = executor.scheduler().clone();
    let make = async || {
        let simulated = Simulated::scheduled(&scheduler, shape);
        Scheduled { simulated }
    };
    assert_eq!(executor.run(run_all(make)), Some(()));
}

#[test]
fn scheduled_adapters_keep_the_contract_with_queue_and_log_apart() {
    run_scheduled(Shape::Apart);
}

#[test]
fn scheduled_adapters_keep_the_contract_with_queue_and_log_in_one() {
    run_scheduled(Shape::One);
}
