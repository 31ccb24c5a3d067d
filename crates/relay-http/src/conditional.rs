//! Entity tags and conditional requests (RFC 9110, 13).

use crate::problem::{Problem, ProblemKind};
use crate::state::AppState;
use axum::extract::FromRequestParts;
use http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

/// A resource's entity tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag(String);

impl Tag {
    /// The tag of a version of a resource. `life` tells apart resources that had the same name one after another.
    pub(crate) fn new(life: &str, version: u64) -> Tag {
        Tag(format!("\"{life}.{version}\""))
    }

    pub(crate) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

/// `If-Match` and `If-None-Match`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions {
    matches: Option<Vec<String>>,
    matches_not: Option<Vec<String>>,
}

impl FromRequestParts<AppState> for Conditions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        Conditions::parse(&parts.headers)
    }
}

impl Conditions {
    fn parse(headers: &HeaderMap) -> Result<Conditions, Problem> {
        Ok(Conditions { matches: tags(headers, &IF_MATCH)?, matches_not: tags(headers, &IF_NONE_MATCH)? })
    }

    /// Checks the conditions against the resource as it is; none: there is none yet.
    pub(crate) fn check(&self, present: Option<&Tag>) -> Result<(), Problem> {
        let named =
            |tags: &[String]| present.is_some_and(|present| tags.iter().any(|tag| tag == "*" || *tag == present.0));
        let fails = |detail: &'static str| Err(Problem::new(ProblemKind::PreconditionFailed, detail));
        if self.matches.as_deref().is_some_and(|tags| !named(tags)) {
            return fails("the resource is not the one that `If-Match` names");
        }
        if self.matches_not.as_deref().is_some_and(named) {
            return fails("the resource is one that `If-None-Match` names");
        }
        Ok(())
    }
}

/// The tags that a header lists; none if it is not there. Weak ones are kept as they are: they match nothing.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Vec<String>>, Problem> {
    let bad = || Problem::new(ProblemKind::InvalidHeader, format!("`{name}` is a list of entity tags, or `*`"));
    let mut found: Option<Vec<String>> = None;
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| bad())?;
        for tag in text.split(',').map(str::trim) {
            let strong = tag.strip_prefix("W/").unwrap_or(tag);
            let quoted = strong.len() >= 2 && strong.starts_with('"') && strong.ends_with('"');
            if tag != "*" && !quoted {
                return Err(bad());
            }
            found.get_or_insert_default().push(tag.to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: HeaderName, value: &'static str, present: Option<&Tag>) -> Option<ProblemKind> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        let conditions = Conditions::parse(&headers);
        conditions.and_then(|conditions| conditions.check(present)).err().map(|problem| problem.kind())
    }

    #[test]
    fn only_the_same_strong_tag_matches() {
        let tag = Tag::new("top_1", 3);
        let failed = Some(ProblemKind::PreconditionFailed);
        assert_eq!(checked(IF_MATCH, "\"x\", \"top_1.3\"", Some(&tag)), None);
        assert_eq!(checked(IF_MATCH, "*", Some(&tag)), None);
        assert_eq!(checked(IF_MATCH, "*", None), failed);
        assert_eq!(checked(IF_MATCH, "\"top_1.2\"", Some(&tag)), failed);
        assert_eq!(checked(IF_MATCH, "W/\"top_1.3\"", Some(&tag)), failed);
        assert_eq!(checked(IF_MATCH, "top_1.3", Some(&tag)), Some(ProblemKind::InvalidHeader));
        assert_eq!(checked(IF_NONE_MATCH, "*", None), None);
        assert_eq!(checked(IF_NONE_MATCH, "*", Some(&tag)), failed);
    }
}
