//! API keys: shown once, stored by their hash.

use super::Refused;
use crate::digest::{hexadecimal, sha256};
use crate::grants::{ApiKey, Grant, Principal};
use crate::names::KeyId;
use crate::ports::{PortError, Ports};
use crate::time::Time;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::sync::Arc;

/// Keys looked at between two reads.
const PAGE: usize = 100;

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewKey {
    /// What its owner calls it.
    pub name: String,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// When it ceases to be valid.
    pub expires_at: Option<Time>,
}

/// Creates a key. Answers its record and its text, which nobody is ever told again.
///
/// # Errors
/// If it cannot be written.
pub async fn create_key(ports: &Ports, new: NewKey) -> Result<(ApiKey, String), Refused> {
    let mut bytes = [0; 32];
    ports.ids.secret_bytes(&mut bytes);
    let text = format!("rk_{}", URL_SAFE_NO_PAD.encode(bytes));
    let hash = hexadecimal(&sha256([text.as_bytes()]));
    let key = ApiKey {
        id: KeyId::new(format!("key_{}", ports.ids.unique()))
            .map_err(|fault| Refused::Port(PortError::Invalid(fault.to_string())))?,
        name: new.name,
        hash,
        grants: new.grants,
        expires_at: new.expires_at,
        created_at: ports.clock.now(),
    };
    ports.registry.put_key(key.clone()).await?;
    Ok((key, text))
}

/// Makes a key that may do everything if there is no key yet, and answers its text.
///
/// # Errors
/// If keys cannot be read or written.
pub async fn ensure_admin_key(ports: &Ports) -> Result<Option<String>, Refused> {
    if !ports.registry.keys(None, 1).await?.is_empty() {
        return Ok(None);
    }
    let new = NewKey { name: "admin".to_owned(), grants: Principal::admin().grants, expires_at: None };
    create_key(ports, new).await.map(|(_, text)| Some(text))
}

/// Keys by id, after an id, each with when it was last used.
///
/// # Errors
/// If they cannot be read.
pub async fn list_keys(
    ports: &Ports,
    after: Option<&KeyId>,
    limit: usize,
) -> Result<Vec<(Arc<ApiKey>, Option<Time>)>, PortError> {
    let mut listed = Vec::new();
    for key in ports.registry.keys(after, limit).await? {
        let used_at = ports.registry.key_used_at(&key.id).await?;
        listed.push((key, used_at));
    }
    Ok(listed)
}

/// A key by id, with when it was last used.
///
/// # Errors
/// If there is none, or it cannot be read.
pub async fn key(ports: &Ports, id: &KeyId) -> Result<(Arc<ApiKey>, Option<Time>), Refused> {
    let mut after: Option<KeyId> = None;
    loop {
        let page = ports.registry.keys(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Err(Refused::KeyNotFound(id.clone())) };
        after = Some(last.id.clone());
        if let Some(found) = page.into_iter().find(|key| key.id == *id) {
            let used_at = ports.registry.key_used_at(id).await?;
            return Ok((found, used_at));
        }
    }
}

/// Deletes a key: it is not valid from now on.
///
/// # Errors
/// If there is none, or it cannot be written.
pub async fn delete_key(ports: &Ports, id: &KeyId) -> Result<(), Refused> {
    if ports.registry.delete_key(id).await? { Ok(()) } else { Err(Refused::KeyNotFound(id.clone())) }
}
