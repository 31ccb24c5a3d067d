//! Who asks, and whether they may.

use crate::problem::{Problem, ProblemKind};
use crate::state::AppState;
use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use relay_core::digest::{hexadecimal, sha256};
use relay_core::grants::{Action, ApiKey, Principal};
use relay_core::names::TopicName;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use subtle::ConstantTimeEq;

/// Most principals that are kept ready.
const MAX_CACHED: usize = 4096;

/// An admin key from the environment: only its digest is kept.
#[derive(Clone)]
pub struct AdminKey([u8; 32]);

/// The text is no admin key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an admin key has 20 to 200 visible ASCII characters")]
pub struct AdminKeyFault;

impl AdminKey {
    /// Takes a key's text.
    ///
    /// # Errors
    /// If it is too short to be safe, or cannot be sent in a header.
    pub fn new(text: &str) -> Result<AdminKey, AdminKeyFault> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && (20..=200).contains(&text.len()) { Ok(AdminKey(digest(text))) } else { Err(AdminKeyFault) }
    }
}

impl fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminKey(..)")
    }
}

/// Finds out who asks.
#[derive(Debug)]
pub(crate) struct Authenticator {
    admin: Option<(AdminKey, Arc<Principal>)>,
    /// Saves the copy of a key's grants; whether the key is still good is asked of the registry each time.
    principals: Mutex<HashMap<[u8; 32], Known>>,
}

/// A key's record as it was read, and the principal made of it.
type Known = (Arc<ApiKey>, Arc<Principal>);

impl Authenticator {
    pub(crate) fn new(admin: Option<AdminKey>) -> Authenticator {
        let admin = admin.map(|key| (key, Arc::new(Principal::admin())));
        Authenticator { admin, principals: Mutex::default() }
    }

    fn principal(&self, digest: [u8; 32], key: &Arc<ApiKey>) -> Arc<Principal> {
        let mut cached = self.principals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, principal)) = cached.get(&digest)
            && Arc::ptr_eq(known, key)
        {
            return principal.clone();
        }
        let principal = Arc::new(Principal { name: key.id.to_string(), grants: key.grants.clone() });
        if cached.len() >= MAX_CACHED {
            cached.clear();
        }
        cached.insert(digest, (key.clone(), principal.clone()));
        principal
    }
}

/// Who asks, by the `Authorization` header.
///
/// # Errors
/// 401 if nobody is known by what it says.
pub(crate) async fn authenticate(state: &AppState, headers: &HeaderMap) -> Result<Arc<Principal>, Problem> {
    let refuse = |detail: &'static str| Problem::new(ProblemKind::Unauthorized, detail);
    let token = token(headers).ok_or_else(|| refuse("send `Authorization: Bearer <API key>`"))?;
    let digest = digest(token);
    let authenticator = state.authenticator();
    if let Some((key, admin)) = &authenticator.admin
        && bool::from(key.0.ct_eq(&digest))
    {
        return Ok(admin.clone());
    }
    let ports = state.ports();
    let Some(key) = ports.registry.key_by_hash(&hexadecimal(&digest)).await? else {
        return Err(refuse("the key is not known"));
    };
    let now = ports.clock.now();
    if key.expires_at.is_some_and(|end| end <= now) {
        return Err(refuse("the key has expired"));
    }
    ports.registry.note_key_use(&key.id, now);
    Ok(authenticator.principal(digest, &key))
}

/// The credentials that a request carries.
pub(crate) fn token(headers: &HeaderMap) -> Option<&str> {
    bearer(headers.get(AUTHORIZATION)?)
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn digest(text: &str) -> [u8; 32] {
    sha256([text.as_bytes()])
}

/// Who asks, as an argument of a handler.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) Arc<Principal>);

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        authenticate(state, &parts.headers).await.map(Caller)
    }
}

/// Requires a grant on a topic that the request names. It says nothing about whether the topic exists.
///
/// # Errors
/// 403 if the principal lacks it.
pub(crate) fn require(principal: &Principal, action: Action, topic: &TopicName) -> Result<(), Problem> {
    if principal.may(action, topic) {
        return Ok(());
    }
    let action = match action {
        Action::Publish => "publish",
        Action::Subscribe => "subscribe",
        Action::Manage => "manage",
    };
    Err(Problem::new(ProblemKind::Forbidden, format!("this needs the grant `{action}` on the topic {topic}")))
}

impl Caller {
    /// Requires a grant on a topic that the request names.
    pub(crate) fn require(&self, action: Action, topic: &TopicName) -> Result<(), Problem> {
        require(&self.0, action, topic)
    }

    /// Requires the grant to manage keys.
    pub(crate) fn require_keys(&self) -> Result<(), Problem> {
        if self.0.may_manage_keys() {
            return Ok(());
        }
        Err(Problem::new(ProblemKind::Forbidden, "keys need the grant `manage` on `>`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_keys_are_long_visible_and_not_shown() {
        assert!(AdminKey::new("short").is_err());
        assert!(AdminKey::new(&"a".repeat(201)).is_err());
        assert!(AdminKey::new("twenty characters with spaces").is_err());
        let key = AdminKey::new("abcdefghijklmnopqrst").unwrap();
        assert_eq!(format!("{key:?}"), "AdminKey(..)");
    }

    #[test]
    fn only_bearer_tokens_are_credentials() {
        let token = |text: &'static str| bearer(&HeaderValue::from_static(text)).map(str::to_owned);
        assert_eq!(token("Bearer abc"), Some("abc".into()));
        assert_eq!(token("bearer  abc"), Some("abc".into()));
        for bad in ["", "abc", "Bearer", "Bearer ", "Basic abc"] {
            assert_eq!(token(bad), None, "{bad}");
        }
    }
}
