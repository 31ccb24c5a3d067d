//! The contract of the ports.

use crate::world::World;
use relay_core::conformance;

const DEDUPLICATION: &str = "SQS's deduplication interval of five minutes goes by SQS's clock, which no test can move";
const DELAY: &str = "a message's delay goes by SQS's clock, which no test can move by minutes";

const LIFECYCLE: &str = "payloads go by the bucket's lifecycle rules, by S3's clock";

/// Cases that cannot be run against SQS, and why. What they are about is in `details.rs` beside this file and in
/// `tests/faults`, as far as it is this crate's part.
pub const EXCUSES: [(&str, &str); 8] = [
    ("after_five_minutes_the_same_pack_is_another", DEDUPLICATION),
    ("a_repeat_is_recognised_after_a_crash", DEDUPLICATION),
    // These two publish the same events again after days.
    ("what_is_past_the_retention_goes", DEDUPLICATION),
    ("what_a_backlog_refers_to_stays_readable", DEDUPLICATION),
    ("a_payload_outlives_its_retention_and_goes", LIFECYCLE),
    ("what_nothing_names_any_more_goes", LIFECYCLE),
    ("a_wake_up_comes_after_its_delay_and_not_before", DELAY),
    ("a_later_wake_up_of_a_lane_is_not_swallowed_by_an_earlier_one", DELAY),
];

const STALE: &str = "LocalStack takes a receipt from before the message was received anew for a good one";
const RENUMBERED: &str = "LocalStack answers a deduplicated send with a new sequence number";

/// What LocalStack does otherwise than SQS, as `localstack/README.md` says, too. MiniStack passes these.
pub const EXCUSES_ON_LOCALSTACK: [(&str, &str); 4] = [
    ("a_stale_receipt_acknowledges_nothing", STALE),
    ("a_stale_receipt_gives_nothing_back", STALE),
    ("the_same_pack_within_five_minutes_is_queued_once", RENUMBERED),
    ("the_same_pack_twice_at_the_same_time_is_queued_once", RENUMBERED),
];

/// Why a case is not run here.
pub fn excuse(case: &str) -> Option<&'static str> {
    let is_localstack = std::env::var("TEST_AWS_EMULATOR").is_ok_and(|emulator| emulator == "localstack");
    let here = if is_localstack { &EXCUSES_ON_LOCALSTACK[..] } else { &[] };
    EXCUSES.iter().chain(here).find(|(name, _)| *name == case).map(|(_, why)| *why)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_keeps_its_contract() {
    conformance::queue::run_all(World::new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_keeps_its_contract() {
    conformance::log::run_all(World::new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_keep_their_contract() {
    conformance::lanes::run_all(World::new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wake_ups_keep_their_contract() {
    conformance::wake_ups::run_all(World::new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_registry_keeps_its_contract() {
    conformance::registry::run_all(World::new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replays_keep_their_contract() {
    conformance::replays::run_all(World::new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_keep_their_contract() {
    conformance::cursors::run_all(World::new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_keep_their_contract() {
    conformance::attempts::run_all(World::new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_keep_their_contract() {
    conformance::dead_letters::run_all(World::new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_keep_their_contract() {
    conformance::payloads::run_all(World::new).await;
}
