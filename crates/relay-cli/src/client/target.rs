//! Paths and queries, with whatever users write made safe to stand in them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt::{self, Write as _};

/// What may stand anywhere as it is (RFC 3986, unreserved).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a request asks for: a path and perhaps a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(String);

impl Target {
    /// The path of these segments.
    #[must_use]
    pub fn path(segments: &[&str]) -> Target {
        let mut text = String::new();
        for segment in segments {
            // Writing to a text cannot fail.
            let _ = write!(text, "/{}", utf8_percent_encode(segment, ENCODED));
        }
        Target(text)
    }

    /// With a parameter more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Target {
        let separator = if self.0.contains('?') { '&' } else { '?' };
        let value = value.to_string();
        // As above.
        let _ = write!(self.0, "{separator}{name}={}", utf8_percent_encode(&value, ENCODED));
        self
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_stays_where_it_was_put() {
        let target =
            Target::path(&["v1", "topics", "a/../b?c", "events"]).with("partitionKey", "é&x=1 +").with("limit", 5);
        assert_eq!(target.to_string(), "/v1/topics/a%2F..%2Fb%3Fc/events?partitionKey=%C3%A9%26x%3D1%20%2B&limit=5");
    }
}
