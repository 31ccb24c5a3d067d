//! API keys.

use super::{At, word_for};
use crate::document::{Faults, Object};
use relay_core::grants::{Action, ApiKey, Grant, TopicPattern};
use relay_core::manage::NewKey;
use relay_core::time::Time;
use serde::Serialize;

const ACTIONS: &[(&str, Action)] =
    &[("publish", Action::Publish), ("subscribe", Action::Subscribe), ("manage", Action::Manage)];
const MAX_GRANTS: usize = 100;

/// A key as clients see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyView<'a> {
    id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    grants: Vec<GrantView<'a>>,
    expires_at: Option<At>,
    created_at: At,
    last_used_at: Option<At>,
}

#[derive(Debug, Serialize)]
struct GrantView<'a> {
    action: &'static str,
    topics: &'a str,
}

impl<'a> KeyView<'a> {
    /// A key without its text.
    pub(crate) fn new(key: &'a ApiKey, last_used_at: Option<Time>) -> Self {
        let grant =
            |grant: &'a Grant| GrantView { action: word_for(ACTIONS, &grant.action), topics: grant.topics.as_str() };
        KeyView {
            id: key.id.as_str(),
            name: &key.name,
            key: None,
            grants: key.grants.iter().map(grant).collect(),
            expires_at: key.expires_at.map(At),
            created_at: At(key.created_at),
            last_used_at: last_used_at.map(At),
        }
    }

    /// With its text, which was just made.
    #[must_use]
    pub(crate) fn revealing(self, text: &'a str) -> Self {
        KeyView { key: Some(text), ..self }
    }
}

/// Reads what is asked for.
pub(crate) fn read(mut document: Object, now: Time, faults: &mut Faults) -> NewKey {
    let name = document.text("name", 1..=256, faults);
    let grants = document.array("grants", 1..=MAX_GRANTS, faults);
    let expires = document.pointer_to("expiresAt");
    let expires_at = document.take("expiresAt").and_then(|value| {
        let time = value.as_str().and_then(Time::parse).filter(|time| *time > now);
        if time.is_none() {
            faults.invalid(expires, "must be a time to come, in RFC 3339");
        }
        time
    });
    let name = document.require("name", name, faults).unwrap_or_default();
    let grants = document.require("grants", grants, faults).unwrap_or_default();
    let grants = grants.into_iter().filter_map(|element| grant(element, faults)).collect();
    document.fixed(&["id", "key", "createdAt", "lastUsedAt"], None, faults);
    document.finish(faults);
    NewKey { name, grants, expires_at }
}

fn grant(element: (String, serde_json::Value), faults: &mut Faults) -> Option<Grant> {
    let mut object = Object::of_element(element, faults)?;
    let action = object.word("action", ACTIONS, &[], faults);
    let action = object.require("action", action, faults);
    let pattern = object.text("topics", 1..=256, faults);
    let topics = object.require("topics", pattern, faults).and_then(|text| {
        TopicPattern::new(text).map_err(|fault| faults.invalid(object.pointer_to("topics"), fault.to_string())).ok()
    });
    object.finish(faults);
    Some(Grant { action: action?, topics: topics? })
}
