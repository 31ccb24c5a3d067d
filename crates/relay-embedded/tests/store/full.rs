//! A full disk: refusals, no lies, and life afterwards.

use crate::world::{Folder, JumpingClock, drain, options, pack, ports, send};
use relay_core::ports::PortError;
use relay_embedded::{Store, StoreOptions};

#[tokio::test]
async fn a_full_store_refuses_and_keeps_what_it_took() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    let small = StoreOptions { max_page_count: Some(400), ..options(&clock) };
    let store = Store::open(folder.path(), small.clone()).unwrap();
    let before = ports(&store);
    let mut taken = Vec::new();
    let mut refused = 0;
    for round in 0..40 {
        let packs = (0..10).map(|key| pack(&format!("k{key}"), &format!("{round:03}-{key}"), 8_000)).collect();
        for (key, answer) in before.queue.send(packs).await.into_iter().enumerate() {
            match answer {
                Ok(_) => taken.push(format!("{round:03}-{key}")),
                Err(error) => {
                    assert_eq!(error, PortError::Full);
                    refused += 1;
                }
            }
        }
    }
    assert!(taken.len() > 50 && refused > 100, "{} taken, {refused} refused", taken.len());
    // What is refused is refused on its own: small things still find room, and acknowledgements do.
    let mut received = drain(&before).await;
    received.sort();
    taken.sort();
    assert_eq!(received, taken, "what was taken comes, and nothing that was refused");
    let mut late = String::new();
    for at in 0..100 {
        late = format!("late-{at}");
        match send(&before, pack("k", &late, 8_000)).await {
            Ok(_) => drop(drain(&before).await),
            Err(error) => {
                assert_eq!(error, PortError::Full);
                break;
            }
        }
    }
    assert_eq!(send(&before, pack("k", &late, 8_000)).await, Err(PortError::Full));
    store.close().await.unwrap();
    drop(store);

    let store = Store::open(folder.path(), options(&clock)).unwrap();
    let after = ports(&store);
    assert_eq!(drain(&after).await, Vec::<String>::new());
    let sent = send(&after, pack("k", &late, 8_000)).await.expect("there is room again");
    assert_eq!(sent.repeated, Some(false), "what was refused is no repeat");
    assert_eq!(drain(&after).await, [late]);
}
