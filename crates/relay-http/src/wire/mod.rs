//! The forms in which clients see the domain's types and write them.

pub(crate) mod attempt;
pub(crate) mod committed;
pub(crate) mod dead_letter;
pub(crate) mod endpoint;
pub(crate) mod key;
pub(crate) mod lane;
pub(crate) mod replay;
pub(crate) mod retry;
pub(crate) mod start_from;
pub(crate) mod stats;
pub(crate) mod subscription;
pub(crate) mod topic;
pub(crate) mod whereabouts;

use relay_core::time::Time;
use serde::{Serialize, Serializer};

/// A time, in RFC 3339.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At(pub(crate) Time);

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A part of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next_cursor: Option<String>,
}

/// The word that stands for a value in a table of words.
pub(crate) fn word_for<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> &'static str {
    words.iter().find(|(_, meaning)| meaning == value).map_or("", |(word, _)| word)
}
