//! Events: CloudEvents 1.0 (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>).

pub mod binary;
mod draft;
pub mod fault;
mod grammar;
pub mod media_type;
pub mod plain;
#[cfg(test)]
pub(crate) mod samples;
pub mod structured;
pub mod write;

use crate::json::read::{Cursor, JsonFault, Kind};
use crate::json::write as json;
use crate::limits::PAYLOADS_OUTLIVE;
use crate::names::PartitionKey;
use crate::topic::Retention;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// An event as its publisher sent it, with what the broker filled in. `partitionkey`, `sequence` and `replayid` are
/// not here: the first belongs to its [`crate::pack::Pack`], the others to the place it was accepted at. A publisher's
/// own `sequence` (with `sequencetype`) and `replayid` are dropped: these names are the broker's to give.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `id`: unique per source.
    pub id: String,
    /// `source`: a URI-reference.
    pub source: String,
    /// `type`.
    pub kind: String,
    /// `subject`.
    pub subject: Option<String>,
    /// `time`, RFC 3339, as it was given.
    pub time: Option<String>,
    /// `datacontenttype`.
    pub content_type: Option<String>,
    /// `dataschema`.
    pub data_schema: Option<String>,
    /// Extension attributes in the order they came.
    pub extensions: Vec<(String, AttributeValue)>,
    /// The payload.
    pub data: EventData,
    /// True if the broker made `id` or `source`, so that `id` alone names the event.
    pub made: bool,
}

/// An event as it came in, and what goes with it but is not of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Incoming {
    /// The event.
    pub event: Event,
    /// What it asks to be ordered by.
    pub partition_key: Option<PartitionKey>,
    /// Its size as sent: that of the request's body, or of its own JSON in a batch.
    pub bytes: usize,
}

/// Value of an extension attribute in the JSON format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AttributeValue {
    /// `Boolean`.
    Boolean(bool),
    /// `Integer`: 32 bits, signed.
    Integer(i32),
    /// Every other type, in its text form.
    Text(String),
}

impl AttributeValue {
    /// Reads it as [`AttributeValue::write_json`] wrote it.
    pub(crate) fn read_json(cursor: &mut Cursor<'_>) -> Result<AttributeValue, JsonFault> {
        Ok(match cursor.kind()? {
            Kind::Boolean => AttributeValue::Boolean(cursor.boolean()?),
            Kind::Number => AttributeValue::Integer(cursor.integer()?),
            _ => AttributeValue::Text(cursor.string()?.into_owned()),
        })
    }

    /// Appends it as a JSON value.
    pub(crate) fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            AttributeValue::Boolean(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
            AttributeValue::Integer(number) => json::number(out, number),
            AttributeValue::Text(text) => json::string(out, text),
        }
    }
}

/// An event's payload, byte for byte as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventData {
    /// No data.
    None,
    /// JSON text: valid, and kept as it was written.
    Json(Bytes),
    /// Text that is not JSON; UTF-8.
    Text(String),
    /// Anything else (`data_base64` in the JSON format).
    Binary(Bytes),
    /// Too large for a pack: kept in the payload store (a claim check).
    Stored(StoredData),
}

/// Where a payload too large for a pack is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredData {
    /// SHA-256 of the bytes, in hexadecimal: with the retention, the payload's name.
    pub hash: String,
    /// Size in bytes.
    pub bytes: u64,
    /// What the bytes are.
    pub form: StoredForm,
    /// The retention that it is stored for; none where an earlier broker stored it, which kept all for the longest.
    pub retention: Option<Retention>,
}

impl StoredData {
    /// How long it is kept from when it was stored last.
    pub fn kept(&self) -> Duration {
        self.retention.unwrap_or(Retention::LONGEST).duration() + PAYLOADS_OUTLIVE
    }

    /// The folder of payloads that are stored for a retention, in a data folder or a bucket.
    pub fn folder_for(retention: Option<Retention>) -> String {
        match retention {
            Some(retention) => format!("payloads/retention={}", retention.word()),
            None => "payloads".to_owned(),
        }
    }
}

/// What a stored payload's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StoredForm {
    /// See [`EventData::Json`].
    Json,
    /// See [`EventData::Text`].
    Text,
    /// See [`EventData::Binary`].
    Binary,
}

impl StoredForm {
    /// The word that stored packs and lines of the log have for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            StoredForm::Json => "json",
            StoredForm::Text => "text",
            StoredForm::Binary => "binary",
        }
    }

    /// The form that a word stands for.
    pub(crate) fn of_word(word: &str) -> Option<StoredForm> {
        [StoredForm::Json, StoredForm::Text, StoredForm::Binary].into_iter().find(|form| form.word() == word)
    }
}

impl EventData {
    /// Size of the payload in bytes.
    pub fn len(&self) -> usize {
        match self {
            EventData::None => 0,
            EventData::Json(bytes) | EventData::Binary(bytes) => bytes.len(),
            EventData::Text(text) => text.len(),
            EventData::Stored(stored) => usize::try_from(stored.bytes).unwrap_or(usize::MAX),
        }
    }

    /// True if there is no data or it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, where they may be part of something larger.
    pub(crate) fn shared_mut(&mut self) -> Option<&mut Bytes> {
        match self {
            EventData::Json(bytes) | EventData::Binary(bytes) => Some(bytes),
            EventData::None | EventData::Text(_) | EventData::Stored(_) => None,
        }
    }
}
