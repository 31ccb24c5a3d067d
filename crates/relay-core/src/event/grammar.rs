//! The grammars of attributes (CloudEvents 1.0, "Type system"; RFC 3339; RFC 3986).

use crate::limits::MAX_EXTENSION_NAME_BYTES;

/// True for a String of CloudEvents: no control characters, no code points that are no characters.
pub(super) fn is_text(text: &str) -> bool {
    let visible = |byte: u8| matches!(byte, 0x20..=0x7E);
    text.bytes().all(visible) || text.chars().all(is_allowed)
}

fn is_allowed(c: char) -> bool {
    let code = u32::from(c);
    !c.is_control() && !(0xFDD0..=0xFDEF).contains(&code) && code & 0xFFFE != 0xFFFE
}

/// True for a URI-reference; letters beyond ASCII are let through, as IRIs have them.
pub(super) fn is_uri_reference(text: &str) -> bool {
    let bytes = text.as_bytes();
    let escape_at = |at: usize| {
        let digits = bytes.get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let allowed = |(at, byte): (usize, &u8)| match byte {
        b'%' => escape_at(at),
        b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => false,
        0..=0x20 | 0x7F => false,
        _ => true,
    };
    !text.is_empty() && bytes.iter().enumerate().all(allowed)
}

/// True for a URI: a URI-reference with a scheme.
pub(super) fn is_uri(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else { return false };
    let head = scheme.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let tail = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    head && tail && is_uri_reference(text)
}

/// True for the name of an extension attribute.
pub(super) fn is_extension_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=MAX_EXTENSION_NAME_BYTES).contains(&name.len()) && name.bytes().all(allowed)
}

/// True for a time of RFC 3339: a date that exists, a time of day, an offset.
pub(super) fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<u32> {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0, |number, byte| char::from(*byte).to_digit(10).map(|digit| number * 10 + digit))
    };
    let is = |at: usize, any: &[u8]| bytes.get(at).is_some_and(|byte| any.contains(byte));
    let separators = is(4, b"-") && is(7, b"-") && is(10, b"Tt") && is(13, b":") && is(16, b":");
    let (Some(year), Some(month), Some(day)) = (number(0, 4), number(5, 7), number(8, 10)) else { return false };
    let (Some(hour), Some(minute), Some(second)) = (number(11, 13), number(14, 16), number(17, 19)) else {
        return false;
    };
    let mut at = 19;
    if is(at, b".") {
        let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return false;
        }
        at += 1 + digits;
    }
    let offset = if is(at, b"Zz") {
        bytes.len() == at + 1
    } else {
        let parts = (number(at + 1, at + 3), number(at + 4, at + 6));
        is(at, b"+-") && is(at + 3, b":") && bytes.len() == at + 6 && matches!(parts, (Some(0..=23), Some(0..=59)))
    };
    let time = hour <= 23 && minute <= 59 && second <= 60;
    separators && time && offset && (1..=12).contains(&month) && (1..=days(year, month)).contains(&day)
}

fn days(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(check: impl Fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(check(text), "{text:?} is good");
        }
        for text in bad {
            assert!(!check(text), "{text:?} is bad");
        }
    }

    #[test]
    fn texts_have_no_control_characters() {
        all(is_text, &["", "a b", "é😀\u{FFFD}"], &["\n", "a\u{0}", "\u{7f}", "é\u{85}", "\u{FFFE}", "\u{FDD0}"]);
    }

    #[test]
    fn uri_references_are_told_from_other_texts() {
        let good = ["/shop", "https://example.com/a?b=c#d", "urn:uuid:6e8b", "a%20b", "..", "mailto:x@y", "/é", "1:2"];
        all(is_uri_reference, &good, &["", "a b", "a%2", "a%zz", "<x>", "a\"b", "a\\b", "a\u{7f}"]);
        all(is_uri, &["https://example.com/s", "urn:x"], &["/shop", "1a:b", ":x", "", "ex ample:b"]);
    }

    #[test]
    fn times_are_those_of_rfc_3339() {
        let good = [
            "2026-11-18T11:06:40Z",
            "2026-11-18t11:06:40.123456789z",
            "2024-02-29T23:59:60+14:00",
            "0000-01-01T00:00:00-00:00",
        ];
        let bad = [
            "",
            "2026-11-18",
            "2026-11-18 11:06:40Z",
            "2026-11-18T11:06:40",
            "2026-11-18T11:06Z",
            "2025-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00Zx",
            "+026-01-01T00:00:00Z",
            "2026-01-01T00:00:00é",
        ];
        all(is_time, &good, &bad);
    }

    #[test]
    fn extension_names_are_lower_case_letters_and_digits() {
        all(is_extension_name, &["a", "x1", &"a".repeat(64)], &["", "A", "a_b", "a-b", "é", &"a".repeat(65)]);
    }

    proptest! {
        #[test]
        fn what_the_broker_writes_as_a_time_is_one(millis in 0u64..253_402_207_200_000) {
            prop_assert!(is_time(&crate::time::Time(millis).to_string()));
        }

        #[test]
        fn no_text_makes_a_grammar_panic(text: String) {
            let _ = (is_time(&text), is_uri(&text), is_uri_reference(&text), is_text(&text));
        }
    }
}
