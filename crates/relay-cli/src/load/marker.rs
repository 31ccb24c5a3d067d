//! What each generated event carries, to be found again in whatever form it is delivered.

use super::stopwatch::Nanos;
use memchr::memmem::{FindIter, Finder};
use std::sync::OnceLock;

/// Names one event of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The run: what another run left behind must not be counted.
    pub run: u64,
    /// The key, from 0.
    pub key: u32,
    /// The event's number within its key, from 0.
    pub number: u32,
    /// When it was meant to be sent.
    pub at: Nanos,
}

const NAME: &[u8] = b"\"relayMarker\":\"";

impl Marker {
    /// Length of the encoded form.
    pub const LENGTH: usize = 16 + 1 + 8 + 1 + 8 + 1 + 16;

    /// The member of a JSON object that carries a marker, as text to be filled in by [`Marker::write`], and where in it
    /// the marker begins.
    #[must_use]
    pub fn member() -> (Vec<u8>, usize) {
        let mut text = NAME.to_vec();
        let start = text.len();
        text.resize(start + Self::LENGTH, b'0');
        text.push(b'"');
        (text, start)
    }

    /// Writes the encoded form over the first [`Marker::LENGTH`] bytes.
    pub fn write(&self, out: &mut [u8]) {
        for (range, value) in FIELDS.into_iter().zip([self.run, self.key.into(), self.number.into(), self.at]) {
            if range.start > 0 {
                out[range.start - 1] = b'.';
            }
            write_hex(&mut out[range], value);
        }
    }

    /// All markers in a body, in order.
    pub fn find_all(body: &[u8]) -> impl Iterator<Item = Marker> {
        static FINDER: OnceLock<Finder<'static>> = OnceLock::new();
        let found: FindIter<'_, '_> = FINDER.get_or_init(|| Finder::new(NAME)).find_iter(body);
        found.filter_map(|at| Marker::read(body.get(at + NAME.len()..)?))
    }

    fn read(text: &[u8]) -> Option<Marker> {
        let text = text.get(..Self::LENGTH)?;
        let [run, key, number, at] = FIELDS.map(|range| read_hex(&text[range]));
        Some(Marker { run: run?, key: key?.try_into().ok()?, number: number?.try_into().ok()?, at: at? })
    }
}

const FIELDS: [std::ops::Range<usize>; 4] = [0..16, 17..25, 26..34, 35..51];

/// Writes a number over the whole of a buffer, in hexadecimal with leading zeros.
pub fn write_hex(out: &mut [u8], value: u64) {
    let mut rest = value;
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(rest & 0xf) as usize];
        rest >>= 4;
    }
}

fn read_hex(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0_u64, |value, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        Some(value << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(marker: Marker) -> Vec<u8> {
        let (mut text, start) = Marker::member();
        marker.write(&mut text[start..]);
        text
    }

    #[test]
    fn a_marker_is_found_in_whatever_surrounds_it() {
        let marker = Marker { run: u64::MAX, key: 7, number: 0xdead_beef, at: 1_234_567_890_123 };
        let body = [b"{\"specversion\":\"1.0\",\"data\":{".as_slice(), &encoded(marker), b"}}"].concat();
        assert_eq!(Marker::find_all(&body).collect::<Vec<_>>(), [marker]);
    }

    #[test]
    fn the_markers_of_a_batch_are_found_in_order() {
        let markers = [0, 1, 2].map(|number| Marker { run: 1, key: 2, number, at: 3 });
        let body = markers.map(encoded).join(&b',');
        assert_eq!(Marker::find_all(&body).collect::<Vec<_>>(), markers);
    }

    #[test]
    fn what_is_cut_off_or_damaged_is_no_marker() {
        let text = encoded(Marker { run: 1, key: 2, number: 3, at: 4 });
        assert_eq!(Marker::find_all(&text[..text.len() - 2]).count(), 0);
        let mut damaged = text;
        damaged[NAME.len() + 3] = b'x';
        assert_eq!(Marker::find_all(&damaged).count(), 0);
        assert_eq!(Marker::find_all(b"").count(), 0);
    }
}
