//! What a folder of exported events says of itself.

use super::durable;
use relay_core::names::{PartitionKey, TopicName};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// The manifest's name in its folder.
pub(super) const NAME: &str = "export.json";

/// Which events are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub topic: TopicName,
    pub partition_key: Option<PartitionKey>,
    /// A place as it was written; none means where the retention begins.
    pub from: Option<String>,
    pub to: Option<String>,
}

impl Request {
    /// Where to begin.
    pub fn begin(&self) -> String {
        self.from.clone().unwrap_or_else(|| "earliest".to_owned())
    }
}

/// What is in a folder, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    /// Of this form: 1.
    pub version: u32,
    #[serde(flatten)]
    pub request: Request,
    /// The place after the last event; none if there is nothing yet.
    pub cursor: Option<String>,
    /// Events in its files.
    pub events: u64,
    /// The number that its next file gets.
    pub next_part: u64,
    /// All that is wanted is there: what comes later is not.
    pub is_complete: bool,
}

const VERSION: u32 = 1;

impl Manifest {
    /// Of a folder without events.
    pub fn new(request: Request) -> Manifest {
        Manifest { version: VERSION, request, cursor: None, events: 0, next_part: 0, is_complete: false }
    }

    /// Reads that of a folder, if there is one.
    pub fn read(folder: &Path) -> io::Result<Option<Manifest>> {
        let text = match std::fs::read(folder.join(NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let manifest: Manifest = serde_json::from_slice(&text)?;
        if manifest.version == VERSION {
            Ok(Some(manifest))
        } else {
            Err(io::Error::other(format!(
                "{NAME} is of version {}, which this `relay` does not know",
                manifest.version
            )))
        }
    }

    /// Writes it.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        durable::replace(&folder.join(NAME), &serde_json::to_vec_pretty(self)?)
    }

    /// Why this folder cannot take what is wanted now.
    pub fn refuses(&self, wanted: &Request) -> Option<String> {
        let known = &self.request;
        let said = |what: &str, value: Option<&str>| format!("{what} {}", value.unwrap_or("not given"));
        let key = |request: &Request| request.partition_key.as_ref().map(|key| key.as_str().to_owned());
        if known.topic != wanted.topic {
            Some(format!("the topic {}", known.topic))
        } else if known.partition_key != wanted.partition_key {
            Some(said("--key", key(known).as_deref()))
        } else if wanted.from.is_some() && known.from != wanted.from {
            Some(said("--from", known.from.as_deref()))
        } else if known.to != wanted.to {
            Some(said("--to", known.to.as_deref()))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            topic: TopicName::new("orders").unwrap(),
            partition_key: Some(PartitionKey::new("k").unwrap()),
            from: Some("earliest".into()),
            to: None,
        }
    }

    #[test]
    fn its_form_is_read_by_later_versions() {
        let written = r#"{ "version": 1, "topic": "orders", "partitionKey": "k", "from": "earliest", "to": null,
                           "cursor": "AAA", "events": 7, "nextPart": 2, "isComplete": false }"#;
        let manifest: Manifest = serde_json::from_str(written).unwrap();
        let expected = Manifest { cursor: Some("AAA".into()), events: 7, next_part: 2, ..Manifest::new(request()) };
        assert_eq!(manifest, expected);
        let text = serde_json::to_string(&manifest).unwrap();
        let (one, other): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(&text).unwrap(), serde_json::from_str(written).unwrap());
        assert_eq!(one, other);
    }

    #[test]
    fn a_folder_takes_only_more_of_the_same() {
        let manifest = Manifest::new(request());
        assert_eq!(manifest.refuses(&request()), None);
        assert_eq!(manifest.refuses(&Request { from: None, ..request() }), None, "it goes on");
        for (wanted, named) in [
            (Request { topic: TopicName::new("bills").unwrap(), ..request() }, "the topic orders"),
            (Request { partition_key: None, ..request() }, "--key k"),
            (Request { from: Some("latest".into()), ..request() }, "--from earliest"),
            (Request { to: Some("2026-11-20T21:00:00.000Z".into()), ..request() }, "--to not given"),
        ] {
            assert_eq!(manifest.refuses(&wanted).as_deref(), Some(named));
        }
    }
}
