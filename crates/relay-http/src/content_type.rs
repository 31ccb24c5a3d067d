//! Media types of request bodies.

use crate::problem::{Problem, ProblemKind};
use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// Takes a body of one of these media types, in UTF-8. A request that names none is taken at its word.
pub(crate) fn require(headers: &HeaderMap, allowed: &[&str]) -> Result<(), Problem> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let refuse = || {
        let detail = format!("this route reads {} in UTF-8", allowed.join(" or "));
        Problem::new(ProblemKind::UnsupportedMediaType, detail)
    };
    let text = value.to_str().map_err(|_| refuse())?;
    let mut parts = text.split(';');
    let essence = parts.next().unwrap_or_default().trim();
    let known = allowed.iter().any(|allowed| essence.eq_ignore_ascii_case(allowed));
    let utf_8 = parts.filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
        !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if known && utf_8 { Ok(()) } else { Err(refuse()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_case_do_not_matter_but_the_charset_does() {
        let taken = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(value));
            require(&headers, &["application/json"]).is_ok()
        };
        assert!(taken("application/json") && taken("Application/JSON; charset=UTF-8; x=y"));
        assert!(taken("application/json;charset=\"utf-8\""));
        for bad in ["text/plain", "application/json; charset=latin1", "application/jsonx", "", "json"] {
            assert!(!taken(bad), "{bad}");
        }
        assert!(require(&HeaderMap::new(), &["application/json"]).is_ok());
    }
}
