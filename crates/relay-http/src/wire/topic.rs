//! Topics.

use super::At;
use crate::conditional::Tag;
use crate::document::{Faults, Object};
use relay_core::limits::{DEFAULT_MAX_EVENT_BYTES, MAX_REQUEST_BYTES};
use relay_core::manage::TopicSettings;
use relay_core::topic::{Retention, Topic};
use serde::Serialize;
use serde_json::Value;

/// A topic as clients see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TopicView<'a> {
    name: &'a str,
    id: &'a str,
    description: Option<&'a str>,
    owner: Option<&'a str>,
    retention: &'static str,
    max_event_bytes: u32,
    access: &'static str,
    created_at: At,
    updated_at: At,
}

impl<'a> From<&'a Topic> for TopicView<'a> {
    fn from(topic: &'a Topic) -> Self {
        TopicView {
            name: topic.name.as_str(),
            id: topic.id.as_str(),
            description: topic.description.as_deref(),
            owner: topic.owner.as_deref(),
            retention: topic.retention.word(),
            max_event_bytes: topic.max_event_bytes,
            access: "open",
            created_at: At(topic.created_at),
            updated_at: At(topic.updated_at),
        }
    }
}

/// The entity tag of a topic.
pub(crate) fn tag(topic: &Topic) -> Tag {
    Tag::new(topic.id.as_str(), topic.version)
}

/// Reads a topic's settings from a whole document; `present` is the topic as clients see it now, or just its name.
pub(crate) fn settings(mut document: Object, present: &Value, faults: &mut Faults) -> TopicSettings {
    let settings = TopicSettings {
        description: document.text("description", 0..=4096, faults),
        owner: document.text("owner", 0..=256, faults),
        retention: document
            .word("retention", &Retention::ALL.map(|class| (class.word(), class)), &[], faults)
            .unwrap_or_default(),
        max_event_bytes: document
            .integer("maxEventBytes", 1..=MAX_REQUEST_BYTES as u64, faults)
            .and_then(|bytes| u32::try_from(bytes).ok())
            .unwrap_or(DEFAULT_MAX_EVENT_BYTES),
    };
    document.word("access", &[("open", ())], &["approval", "private"], faults);
    document.fixed(&["name", "id", "createdAt", "updatedAt"], Some(present), faults);
    document.later(&["schema", "schemaVersions", "validation", "kind", "approval"], faults);
    document.finish(faults);
    settings
}
