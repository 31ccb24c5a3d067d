//! Writing JSON text into a buffer.

use super::read::plain_end;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::Write;

/// A string with its quotes. Besides what JSON demands, U+FFFE and U+FFFF are escaped: queues refuse them.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text;
    while let Some((at, length)) = next_escaped(rest) {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        escape(out, &rest[at..at + length]);
        rest = &rest[at + length..];
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'"');
}

/// A number.
pub(crate) fn number(out: &mut Vec<u8>, number: impl std::fmt::Display) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{number}");
}

/// What has a text form that needs no escapes, as a string.
pub(crate) fn plain(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    let _ = write!(out, "\"{value}\"");
}

/// Bytes as a base64 string.
pub(crate) fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
    out.push(b'"');
}

/// True if the text holds U+FFFE or U+FFFF: valid in JSON, but in no message of SQS.
pub(crate) fn holds_noncharacter(text: &[u8]) -> bool {
    noncharacter(text).is_some()
}

fn noncharacter(text: &[u8]) -> Option<usize> {
    // `contains` is quick, and nearly all texts end here.
    if !text.contains(&0xEF) {
        return None;
    }
    text.windows(3).position(|window| matches!(window, [0xEF, 0xBF, 0xBE | 0xBF]))
}

fn next_escaped(text: &str) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let plain = plain_end(bytes, 0);
    match noncharacter(&bytes[..plain]) {
        Some(at) => Some((at, 3)),
        None if plain < bytes.len() => Some((plain, 1)),
        None => None,
    }
}

fn escape(out: &mut Vec<u8>, character: &str) {
    match character {
        "\"" => out.extend_from_slice(b"\\\""),
        "\\" => out.extend_from_slice(b"\\\\"),
        "\n" => out.extend_from_slice(b"\\n"),
        "\r" => out.extend_from_slice(b"\\r"),
        "\t" => out.extend_from_slice(b"\\t"),
        other => {
            for unit in other.encode_utf16() {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn serde_json_reads_what_is_written(text in "(\\PC|[\u{0}-\u{1f}\"\\\\]|\u{FFFE}|\u{FFFF}){0,40}") {
            prop_assert_eq!(serde_json::from_str::<String>(&written(&text)).unwrap(), text);
        }
    }

    #[test]
    fn what_queues_refuse_is_escaped() {
        assert_eq!(written("a\u{FFFE}b\u{FFFF}\u{0}\n"), "\"a\\ufffeb\\uffff\\u0000\\n\"");
        assert_eq!(written("plain ü \u{FFFD}"), "\"plain ü \u{FFFD}\"");
    }
}
