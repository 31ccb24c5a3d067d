//! The contract of [`crate::ports::Payloads`].

use super::{Harness, run};
use crate::digest::{hexadecimal, sha256};
use crate::ports::PortError;
use bytes::Bytes;

/// Runs all cases.
pub async fn run_all<H: Harness>(make: impl AsyncFn() -> H) {
    run!(make;
        a_payload_is_read_as_it_was_stored_and_survives_a_crash,
        an_unknown_payload_is_not_found,
        a_payload_that_is_not_what_its_name_says_is_not_served,
    );
}

fn name_of(bytes: &[u8]) -> String {
    hexadecimal(&sha256([bytes]))
}

async fn a_payload_is_read_as_it_was_stored_and_survives_a_crash<H: Harness>(harness: &H) {
    let big: Vec<u8> = (0..300_000u32).map(|at| (at % 251) as u8).collect();
    for bytes in [Bytes::new(), Bytes::from_static(b"\0\xff"), Bytes::from(big)] {
        let name = name_of(&bytes);
        let payloads = harness.ports().payloads;
        payloads.put(&name, bytes.clone()).await.unwrap();
        payloads.put(&name, bytes.clone()).await.unwrap();
        assert_eq!(payloads.get(&name).await.unwrap(), bytes);
        harness.crash().await;
        assert_eq!(harness.ports().payloads.get(&name).await.unwrap(), bytes);
    }
}

async fn an_unknown_payload_is_not_found<H: Harness>(harness: &H) {
    let payloads = harness.ports().payloads;
    assert_eq!(payloads.get(&name_of(b"never stored")).await, Err(PortError::NotFound));
}

async fn a_payload_that_is_not_what_its_name_says_is_not_served<H: Harness>(harness: &H) {
    let payloads = harness.ports().payloads;
    let name = name_of(b"this");
    if payloads.put(&name, Bytes::from_static(b"that")).await.is_ok() {
        let read = payloads.get(&name).await;
        assert!(matches!(read, Err(PortError::Corrupt(_))), "{read:?}");
    }
    let hostile = payloads.get("../../etc/passwd").await;
    assert!(matches!(hostile, Err(PortError::NotFound | PortError::Invalid(_))), "{hostile:?}");
}
