//! SHA-256 (FIPS 180-4): names things by what they are made of.

use ring::digest::{Context, SHA256};

/// SHA-256 over parts, one right after another.
pub fn sha256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    parts.into_iter().for_each(|part| context.update(part));
    finish(context)
}

/// SHA-256 over parts, each preceded by its length (8 bytes, big-endian), so that no two lists come to the same bytes.
pub fn sha256_of_list<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    finish(context)
}

fn finish(context: Context) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

/// Bytes in hexadecimal, lower case.
pub fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from(DIGITS[usize::from(digit)]));
    bytes.iter().flat_map(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standard() {
        // FIPS 180-4's example of one block.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hexadecimal(&sha256([&b"a"[..], b"bc"])), expected);
    }

    #[test]
    fn lists_that_join_to_the_same_text_differ() {
        let list = |parts: &[&'static [u8]]| sha256_of_list(parts.iter().copied());
        assert_ne!(list(&[b"ab", b"c"]), list(&[b"a", b"bc"]));
        assert_ne!(list(&[b"abc"]), list(&[b"abc", b""]));
        assert_eq!(list(&[b"abc"]), sha256([&[0, 0, 0, 0, 0, 0, 0, 3][..], b"abc"]));
    }
}
