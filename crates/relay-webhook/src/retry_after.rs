//! `Retry-After`, as a delay from now.

use http::{HeaderMap, HeaderName, header};
use std::time::{Duration, SystemTime};

/// Reads `Retry-After` in either of its forms, seconds or a date.
///
/// A date is measured from the answer's own `Date`, which is the same clock: the delay is then right even if that clock and
/// ours disagree. Only an answer without `Date`, which HTTP allows to servers that have no clock, is measured from ours.
pub(crate) fn retry_after(headers: &HeaderMap, now: impl FnOnce() -> SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits can only fail to parse by being too many.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let from = date(headers, header::DATE).unwrap_or_else(now);
    Some(until.duration_since(from).unwrap_or_default())
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: fn() -> SystemTime = || SystemTime::UNIX_EPOCH;

    fn read(retry_after: &'static str, date: Option<&'static str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, retry_after.parse().unwrap());
        if let Some(date) = date {
            headers.insert(header::DATE, date.parse().unwrap());
        }
        super::retry_after(&headers, EPOCH)
    }

    #[test]
    fn seconds_are_a_delay() {
        assert_eq!(read("120", None), Some(Duration::from_secs(120)));
        assert_eq!(read(" 0 ", None), Some(Duration::ZERO));
        assert_eq!(read("99999999999999999999999", None), Some(Duration::from_secs(u64::MAX)));
    }

    #[test]
    fn a_date_is_measured_from_the_answers_own_date() {
        let delay = read("Fri, 31 Dec 1999 23:59:59 GMT", Some("Fri, 31 Dec 1999 23:58:59 GMT"));
        assert_eq!(delay, Some(Duration::from_secs(60)));
    }

    #[test]
    fn without_a_date_it_is_measured_from_the_clock() {
        assert_eq!(read("Thu, 01 Jan 1970 00:00:30 GMT", None), Some(Duration::from_secs(30)));
        assert_eq!(read("Thu, 01 Jan 1970 00:00:30 GMT", Some("yesterday")), Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_date_that_has_passed_is_no_delay() {
        assert_eq!(read("Thu, 01 Jan 1970 00:00:30 GMT", Some("Fri, 31 Dec 1999 23:58:59 GMT")), Some(Duration::ZERO));
    }

    #[test]
    fn what_cannot_be_read_is_as_if_absent() {
        for value in ["", "soon", "-5", "1.5", "+3", "1 0", "Fri, 99 Dec 1999 23:59:59 GMT"] {
            assert_eq!(read(value, None), None, "{value}");
        }
        assert_eq!(super::retry_after(&HeaderMap::new(), EPOCH), None);
    }
}
