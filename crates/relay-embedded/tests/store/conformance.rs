//! The contract of the ports.

use crate::world::{Folder, JumpingClock, options, ports};
use async_trait::async_trait;
use relay_core::conformance::{self, Harness};
use relay_core::ports::Ports;
use relay_embedded::Store;
use std::sync::Mutex;
use std::time::Duration;

struct World {
    clock: JumpingClock,
    store: Mutex<(Store, Ports)>,
    folder: Folder,
}

impl World {
    fn new() -> World {
        let (clock, folder) = (JumpingClock::new(), Folder::new());
        let store = Store::open(folder.path(), options(&clock)).unwrap();
        let ports = ports(&store);
        World { clock, store: Mutex::new((store, ports)), folder }
    }
}

#[async_trait]
impl Harness for World {
    fn ports(&self) -> Ports {
        self.store.lock().unwrap().1.clone()
    }

    async fn advance(&self, span: Duration) {
        self.clock.jump(span);
    }

    async fn crash(&self) {
        let mut store = self.store.lock().unwrap();
        store.0.abandon();
        let again = Store::open(self.folder.path(), options(&self.clock)).unwrap();
        let ports = ports(&again);
        *store = (again, ports);
    }
}

async fn make() -> World {
    World::new()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_keeps_its_contract() {
    conformance::queue::run_all(make).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_keeps_its_contract() {
    conformance::log::run_all(make).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_keep_their_contract() {
    conformance::lanes::run_all(make).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wake_ups_keep_their_contract() {
    conformance::wake_ups::run_all(make).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_registry_keeps_its_contract() {
    conformance::registry::run_all(make).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replays_keep_their_contract() {
    conformance::replays::run_all(make).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_keep_their_contract() {
    conformance::cursors::run_all(make).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_keep_their_contract() {
    conformance::attempts::run_all(make).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_keep_their_contract() {
    conformance::dead_letters::run_all(make).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_keep_their_contract() {
    conformance::payloads::run_all(make).await;
}
