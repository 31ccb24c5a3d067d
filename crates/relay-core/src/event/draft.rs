//! An event while it is read: attributes come one by one, in any order, from JSON members or from headers.

use super::fault::Faults;
use super::grammar::{is_extension_name, is_text, is_time, is_uri, is_uri_reference};
use super::media_type::MediaType;
use super::{AttributeValue, Event, EventData, Incoming};
use crate::limits::{MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES_BYTES, MAX_EXTENSIONS, MAX_ID_BYTES};
use crate::log::line;
use crate::names::PartitionKey;
use std::borrow::Cow;

/// Attributes that are the broker's to give: a publisher's are dropped, as are those that only lines of the log have.
/// `sequencetype` goes with `sequence`, whose type it would misstate.
const GIVEN_BY_THE_BROKER: [&str; 3] = ["sequence", "sequencetype", "replayid"];

/// A value as it came.
pub(super) enum Given<'a> {
    /// The same as absent.
    Null,
    Boolean(bool),
    Integer(i32),
    Text(Cow<'a, str>),
    /// What no attribute can be.
    Other,
}

pub(super) struct Draft<'a> {
    /// Index in the batch, for faults.
    index: Option<usize>,
    version: bool,
    id: Option<Cow<'a, str>>,
    source: Option<Cow<'a, str>>,
    kind: Option<Cow<'a, str>>,
    subject: Option<Cow<'a, str>>,
    time: Option<Cow<'a, str>>,
    content_type: Option<Cow<'a, str>>,
    data_schema: Option<Cow<'a, str>>,
    partition_key: Option<PartitionKey>,
    extensions: Vec<(String, AttributeValue)>,
    /// Names that came but are not kept.
    passed: Vec<String>,
    /// Names that came with a fault, so are not missing.
    faulty: Vec<String>,
    bytes: usize,
}

impl<'a> Draft<'a> {
    pub(super) fn new(index: Option<usize>) -> Self {
        Draft {
            index,
            version: false,
            id: None,
            source: None,
            kind: None,
            subject: None,
            time: None,
            content_type: None,
            data_schema: None,
            partition_key: None,
            extensions: Vec::new(),
            passed: Vec::new(),
            faulty: Vec::new(),
            bytes: 0,
        }
    }

    /// The media type of the data, if it has a plausible one.
    pub(super) fn media_type(&self) -> Option<MediaType<'_>> {
        self.content_type.as_deref().and_then(MediaType::parse)
    }

    /// Takes an attribute, or notes what is wrong with it.
    pub(super) fn take(&mut self, name: Cow<'_, str>, value: Given<'a>, faults: &mut Faults) {
        if let Err(detail) = self.try_take(&name, value) {
            faults.add(self.index, &name, detail);
            self.faulty.push(name.into_owned());
        }
    }

    fn try_take(&mut self, name: &str, value: Given<'a>) -> Result<(), Cow<'static, str>> {
        if self.passed.iter().any(|passed| passed == name) {
            return Err("given twice".into());
        }
        self.bytes += name.len();
        match value {
            Given::Null => {
                self.passed.push(name.to_owned());
                return Ok(());
            }
            Given::Other => return Err("an attribute is a string, a boolean or an integer of 32 bits".into()),
            Given::Text(ref text) => {
                self.bytes += text.len();
                if text.len() > MAX_ATTRIBUTE_BYTES {
                    return Err(format!("longer than {MAX_ATTRIBUTE_BYTES} bytes").into());
                }
                if name != "partitionkey" && !is_text(text) {
                    return Err("holds control characters, or code points that are no characters".into());
                }
            }
            Given::Boolean(_) | Given::Integer(_) => self.bytes += 8,
        }
        let text = |value: Given<'a>| match value {
            Given::Text(text) if text.is_empty() => Err(Cow::Borrowed("must not be empty")),
            Given::Text(text) => Ok(text),
            _ => Err(Cow::Borrowed("must be a string")),
        };
        match name {
            "specversion" => {
                if text(value)? != "1.0" {
                    return Err("must be \"1.0\"".into());
                }
                if std::mem::replace(&mut self.version, true) { Err("given twice".into()) } else { Ok(()) }
            }
            "id" => {
                let id = text(value)?;
                if id.len() > MAX_ID_BYTES {
                    return Err(format!("longer than {MAX_ID_BYTES} bytes").into());
                }
                set(&mut self.id, id)
            }
            "source" => {
                let source = text(value)?;
                check(is_uri_reference(&source), "must be a URI-reference")?;
                set(&mut self.source, source)
            }
            "type" => set(&mut self.kind, text(value)?),
            "subject" => set(&mut self.subject, text(value)?),
            "time" => {
                let time = text(value)?;
                check(is_time(&time), "must be a time as RFC 3339 writes it")?;
                set(&mut self.time, time)
            }
            "datacontenttype" => {
                let content_type = text(value)?;
                check(MediaType::parse(&content_type).is_some(), "must be a media type")?;
                set(&mut self.content_type, content_type)
            }
            "dataschema" => {
                let schema = text(value)?;
                check(is_uri(&schema), "must be a URI")?;
                set(&mut self.data_schema, schema)
            }
            "partitionkey" => {
                let key = PartitionKey::new(&*text(value)?).map_err(|fault| fault.to_string())?;
                set(&mut self.partition_key, key)
            }
            // A member of the JSON format: as an attribute it cannot be told from the payload.
            "data" => Err("no attribute has this name".into()),
            extension => self.extend(extension, value),
        }
    }

    fn extend(&mut self, name: &str, value: Given<'a>) -> Result<(), Cow<'static, str>> {
        check(is_extension_name(name), "extension attributes have 1 to 64 characters of a-z and 0-9")?;
        if GIVEN_BY_THE_BROKER.contains(&name) || line::EXTENSIONS.contains(&name) {
            self.passed.push(name.to_owned());
            return Ok(());
        }
        check(self.extensions.iter().all(|(given, _)| given != name), "given twice")?;
        check(self.extensions.len() < MAX_EXTENSIONS, "too many extension attributes")?;
        let value = match value {
            Given::Boolean(truth) => AttributeValue::Boolean(truth),
            Given::Integer(number) => AttributeValue::Integer(number),
            Given::Text(text) => AttributeValue::Text(text.into_owned()),
            Given::Null | Given::Other => return Err("not a value".into()),
        };
        self.extensions.push((name.to_owned(), value));
        Ok(())
    }

    /// The event, with its payload and its size as sent; none if anything is missing.
    pub(super) fn finish(self, data: EventData, bytes: usize, faults: &mut Faults) -> Option<Incoming> {
        if self.bytes > MAX_ATTRIBUTES_BYTES {
            let detail = format!("the attributes take more than {MAX_ATTRIBUTES_BYTES} bytes");
            faults.add(self.index, "", detail);
        }
        let present = [
            ("specversion", self.version),
            ("id", self.id.is_some()),
            ("source", self.source.is_some()),
            ("type", self.kind.is_some()),
        ];
        for (name, present) in present {
            if !present && !self.faulty.iter().any(|faulty| faulty == name) {
                faults.add(self.index, name, "is required");
            }
        }
        let event = Event {
            id: self.id?.into_owned(),
            source: self.source?.into_owned(),
            kind: self.kind?.into_owned(),
            subject: self.subject.map(Cow::into_owned),
            time: self.time.map(Cow::into_owned),
            content_type: self.content_type.map(Cow::into_owned),
            data_schema: self.data_schema.map(Cow::into_owned),
            extensions: self.extensions,
            data,
            made: false,
        };
        Some(Incoming { event, partition_key: self.partition_key, bytes })
    }
}

fn check(holds: bool, detail: &'static str) -> Result<(), Cow<'static, str>> {
    if holds { Ok(()) } else { Err(detail.into()) }
}

fn set<T>(slot: &mut Option<T>, value: T) -> Result<(), Cow<'static, str>> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err("given twice".into()),
    }
}
