//! Media types (RFC 9110, section 8.3.1), as far as they decide how a payload is kept.

/// A media type as it stands in `content-type` or `datacontenttype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType<'a> {
    /// What is before the slash.
    kind: &'a str,
    /// What is between the slash and the parameters.
    subtype: &'a str,
    /// Value of the parameter `charset`.
    charset: Option<&'a str>,
}

impl<'a> MediaType<'a> {
    /// Parses a media type; none if it is not one, or holds what cannot stand in a header.
    pub fn parse(text: &'a str) -> Option<Self> {
        if !text.bytes().all(|byte| matches!(byte, b'\t' | 0x20..=0x7E)) {
            return None;
        }
        let (essence, mut rest) = split_at(text, ';');
        let (kind, subtype) = essence.trim().split_once('/')?;
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        let mut charset = None;
        while let Some(parameters) = rest {
            let (parameter, later) = split_at(parameters, ';');
            rest = later;
            let Some((name, value)) = parameter.trim().split_once('=') else { continue };
            if name.eq_ignore_ascii_case("charset") {
                charset = Some(value.trim_matches('"'));
            }
        }
        Some(MediaType { kind, subtype, charset })
    }

    /// True if it is this one, parameters aside.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
    }

    /// True for `json` and all that ends in `+json`.
    pub fn is_json(&self) -> bool {
        let suffix = self.subtype.rsplit('+').next().unwrap_or_default();
        suffix.eq_ignore_ascii_case("json")
    }

    /// True for `text/…`.
    pub fn is_text(&self) -> bool {
        self.kind.eq_ignore_ascii_case("text")
    }

    /// True for all that begins with `application/cloudevents`: structured and batch mode in any format.
    pub fn is_cloud_events(&self) -> bool {
        let name = "cloudevents";
        let begins = self.subtype.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name));
        self.kind.eq_ignore_ascii_case("application") && begins
    }

    /// True unless it names an encoding other than UTF-8 (of which ASCII is a part).
    pub fn is_utf8(&self) -> bool {
        let same = |name: &str| ["utf-8", "utf8", "us-ascii"].iter().any(|known| name.eq_ignore_ascii_case(known));
        self.charset.is_none_or(same)
    }
}

fn split_at(text: &str, separator: char) -> (&str, Option<&str>) {
    text.split_once(separator).map_or((text, None), |(head, tail)| (head, Some(tail)))
}

fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> MediaType<'_> {
        MediaType::parse(text).unwrap()
    }

    #[test]
    fn json_is_told_by_subtype_and_suffix() {
        for json in ["application/json", "Application/JSON; charset=utf-8", "text/json", "application/problem+json"] {
            assert!(parsed(json).is_json(), "{json}");
        }
        for other in ["application/xml", "application/jsonx", "application/json+zip", "text/plain"] {
            assert!(!parsed(other).is_json(), "{other}");
        }
    }

    #[test]
    fn cloud_events_are_told_by_their_beginning() {
        assert!(parsed("application/cloudevents+json").is_cloud_events());
        assert!(parsed("application/CloudEvents-batch+json;charset=UTF-8").is_cloud_events());
        assert!(parsed("application/cloudevents+json; a=b").is("application", "cloudevents+json"));
        assert!(!parsed("text/cloudevents").is_cloud_events());
        assert!(!parsed("application/cloud").is_cloud_events());
    }

    #[test]
    fn the_encoding_is_read_from_the_parameters() {
        assert!(parsed("text/plain").is_utf8());
        assert!(parsed("text/plain; format=flowed; CHARSET=\"UTF-8\"").is_utf8());
        assert!(!parsed("text/plain;charset=iso-8859-1").is_utf8());
    }

    #[test]
    fn what_is_no_media_type_is_refused() {
        for bad in ["", "json", "a/", "/b", "a b/c", "a/b\nc", "é/b"] {
            assert_eq!(MediaType::parse(bad), None, "{bad}");
        }
    }
}
