//! Killed at any moment, the broker loses nothing and keeps the order.

use crate::broker::Site;
use crate::kill::kill_under_load;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_under_load_lose_nothing_and_keep_every_key_in_order() {
    kill_under_load(&Site::new(), 50, 20).await;
}
