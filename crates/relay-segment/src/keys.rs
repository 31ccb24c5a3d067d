//! Which keys a frame may hold, so that a reader of one key leaves out the others' frames.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use relay_core::pack::LaneKey;
use relay_core::replay_id::key_hash;
use serde::{Deserialize, Serialize};

/// The first 16 bits of the hashes of a frame's keys, in order, each once. A key whose bits are not among them is not
/// there; of a hundred others, one in 650 looks as if it were. Its text form is base64 of the numbers, high bytes first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FrameKeys(Vec<u16>);

/// The part of a key's hash that is kept. Its last bits are no use: they are the shard's.
fn bits(key: &LaneKey) -> u16 {
    (key_hash(key) >> 48) as u16
}

impl FrameKeys {
    /// Adds a key.
    pub(crate) fn add(&mut self, key: &LaneKey) {
        let bits = bits(key);
        if let Err(place) = self.0.binary_search(&bits) {
            self.0.insert(place, bits);
        }
    }

    /// False if the frame surely does not hold the key.
    pub fn may_hold(&self, key: &LaneKey) -> bool {
        self.0.binary_search(&bits(key)).is_ok()
    }

    /// How many numbers it has.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl From<FrameKeys> for String {
    fn from(keys: FrameKeys) -> String {
        let bytes: Vec<u8> = keys.0.iter().flat_map(|bits| bits.to_be_bytes()).collect();
        STANDARD_NO_PAD.encode(bytes)
    }
}

impl TryFrom<String> for FrameKeys {
    type Error = &'static str;

    fn try_from(text: String) -> Result<FrameKeys, &'static str> {
        let bytes = STANDARD_NO_PAD.decode(text).map_err(|_| "the keys of a frame are not base64")?;
        let (numbers, rest) = bytes.as_chunks::<2>();
        let numbers: Vec<u16> = numbers.iter().map(|number| u16::from_be_bytes(*number)).collect();
        // Were they not in order, keys would not be found that are there.
        let is_whole = rest.is_empty() && numbers.is_sorted();
        is_whole.then_some(FrameKeys(numbers)).ok_or("the keys of a frame are cut off, or not in order")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_core::names::PartitionKey;

    fn key(number: usize) -> LaneKey {
        LaneKey::Ordered(PartitionKey::new(format!("customer-{number}")).unwrap())
    }

    #[test]
    fn a_key_that_was_added_is_found_and_few_others_are() {
        let mut keys = FrameKeys::default();
        (0..100).chain(0..50).for_each(|number| keys.add(&key(number)));
        keys.add(&LaneKey::Unordered(7));
        let text = serde_json::to_string(&keys).unwrap();
        let read: FrameKeys = serde_json::from_str(&text).unwrap();
        assert_eq!(read, keys);
        assert!((0..100).all(|number| read.may_hold(&key(number))) && read.may_hold(&LaneKey::Unordered(7)));
        let others = (100..20_100).filter(|number| read.may_hold(&key(*number))).count();
        assert!((1..100).contains(&others), "{others} of 20,000");
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for bad in ["\"A\"", "\"AAAA\"", "\"AAIAAQ\"", "\"!\"", "7"] {
            assert!(serde_json::from_str::<FrameKeys>(bad).is_err(), "{bad}");
        }
        assert_eq!(serde_json::from_str::<FrameKeys>("\"\"").unwrap(), FrameKeys::default());
    }
}
