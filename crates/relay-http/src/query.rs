//! Query parameters, and what lists make of them.

use crate::problem::{Problem, ProblemKind};
use crate::state::AppState;
use axum::extract::FromRequestParts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use std::future::Future;

/// How many items a list has, unless it is said otherwise.
const DEFAULT_LIMIT: usize = 50;
/// Most items of a list.
const MAX_LIMIT: usize = 1_000;
/// How often a list asks for more, when much of what it reads is not for the caller to see.
const MAX_READS: usize = 50;

/// A request's query parameters that were not read yet.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

/// Which part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) limit: usize,
    /// Where the last part ended.
    pub(crate) after: Option<String>,
}

impl FromRequestParts<AppState> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        Query::parse(parts.uri.query().unwrap_or_default())
    }
}

impl Query {
    fn parse(text: &str) -> Result<Query, Problem> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(invalid(format!("`{name}` is given twice")));
            }
            parameters.push((name, decode(value)?));
        }
        Ok(Query(parameters))
    }

    /// A parameter's value.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(index).1)
    }

    /// A parameter that is `true` or `false`, or there without a value.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.take(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(_) => Err(invalid(format!("`{name}` is `true` or `false`"))),
        }
    }

    /// `limit`.
    pub(crate) fn limit(&mut self) -> Result<usize, Problem> {
        let Some(text) = self.take("limit") else { return Ok(DEFAULT_LIMIT) };
        text.parse()
            .ok()
            .filter(|limit| text.bytes().all(|byte| byte.is_ascii_digit()) && (1..=MAX_LIMIT).contains(limit))
            .ok_or_else(|| invalid(format!("`limit` is an integer from 1 to {MAX_LIMIT}")))
    }

    /// `limit` and `cursor`.
    pub(crate) fn page(&mut self) -> Result<Page, Problem> {
        let limit = self.limit()?;
        let after = match self.take("cursor") {
            None => None,
            Some(text) => Some(cursor_text(&text).ok_or_else(no_cursor)?),
        };
        Ok(Page { limit, after })
    }

    /// Whatever was not read is unknown.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(invalid(format!("`{name}` is not known here"))),
        }
    }
}

/// An opaque cursor that leads on after a position.
pub(crate) fn cursor(position: &str) -> String {
    URL_SAFE_NO_PAD.encode(position)
}

fn cursor_text(cursor: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}

/// The cursor is none that a list gave.
pub(crate) fn no_cursor() -> Problem {
    invalid("`cursor` is none that this list gave".to_owned())
}

impl Page {
    /// The position that the cursor names, as the list's own type.
    pub(crate) fn position<T: TryFrom<String>>(&self) -> Result<Option<T>, Problem> {
        self.after.clone().map(T::try_from).transpose().map_err(|_| no_cursor())
    }

    /// Reads a part of a list of which only some items are for the caller to see. `read` answers up to so many items
    /// after a position; `position` names an item's.
    pub(crate) async fn collect<T, P: Clone, F>(
        &self,
        mut after: Option<P>,
        read: impl Fn(Option<P>, usize) -> F,
        position: impl Fn(&T) -> P,
        visible: impl Fn(&T) -> bool,
    ) -> Result<(Vec<T>, Option<P>), Problem>
    where
        F: Future<Output = Result<Vec<T>, relay_core::ports::PortError>>,
    {
        let mut items: Vec<T> = Vec::new();
        let most = self.limit + 1;
        for _ in 0..MAX_READS {
            let batch = read(after.clone(), most).await?;
            let last = batch.len() < most;
            for item in batch {
                let here = position(&item);
                if !visible(&item) {
                    after = Some(here);
                } else if items.len() == self.limit {
                    return Ok((items, after));
                } else {
                    after = Some(here);
                    items.push(item);
                }
            }
            if last {
                return Ok((items, None));
            }
        }
        Ok((items, after))
    }
}

/// Percent-decodes strictly; `+` is a space.
fn decode(text: &str) -> Result<String, Problem> {
    let bytes = text.as_bytes();
    let whole = |index: usize| bytes.get(index + 1..index + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    if bytes.iter().enumerate().any(|(index, byte)| *byte == b'%' && !whole(index)) {
        return Err(invalid("the query is not percent-encoded".to_owned()));
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| invalid("the query is not UTF-8".to_owned()))
}

/// A query parameter is not valid.
pub(crate) fn invalid(detail: String) -> Problem {
    Problem::new(ProblemKind::InvalidQuery, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_strictly_and_known_once() {
        let mut query = Query::parse("topic=a%20b+c&force&limit=7").unwrap();
        assert_eq!(query.take("topic").as_deref(), Some("a b c"));
        assert!(query.flag("force").unwrap() && !query.flag("other").unwrap());
        assert_eq!(query.page().unwrap(), Page { limit: 7, after: None });
        assert!(query.finish().is_ok());
        for bad in ["a=1&a=2", "a=%zz", "a=%f", "a=%ff"] {
            assert!(Query::parse(bad).is_err(), "{bad}");
        }
        assert!(Query::parse("what=1").unwrap().finish().is_err());
        assert!(Query::parse("force=maybe").unwrap().flag("force").is_err());
    }

    #[test]
    fn limits_and_cursors_are_checked() {
        for bad in ["limit=0", "limit=1001", "limit=x", "limit=-1", "limit=%2B5", "limit=", "cursor=%25", "cursor=a"] {
            assert!(Query::parse(bad).unwrap().page().is_err(), "{bad}");
        }
        let text = format!("cursor={}", cursor("orders"));
        let page = Query::parse(&text).unwrap().page().unwrap();
        assert_eq!(page, Page { limit: 50, after: Some("orders".into()) });
    }
}
