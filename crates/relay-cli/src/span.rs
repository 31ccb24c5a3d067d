//! Spans of time as people write them on a command line.

use std::time::Duration;

/// Reads a whole number and its unit: `250ms`, `10s`, `2m`, `1h`. A bare number means seconds.
///
/// # Errors
/// What is allowed, if it is none of that.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let number: Option<u64> = number.parse().ok();
    match number.and_then(|number| number.checked_mul(millis)) {
        Some(total) if millis > 0 => Ok(Duration::from_millis(total)),
        _ => Err("a span is a whole number with ms, s, m or h, such as 10s; without any it is of seconds".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_number_with_its_unit() {
        for (text, millis) in [("250ms", 250), ("10s", 10_000), ("10", 10_000), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(parse_span(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "1.5s", "-1s", "10 s", "10d", "99999999999999999999s", "18446744073709551615h"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }
}
