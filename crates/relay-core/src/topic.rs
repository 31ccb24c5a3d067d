//! Topics.

use crate::limits::DEFAULT_MAX_EVENT_BYTES;
use crate::names::{TopicId, TopicName};
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A named stream of events, ordered per partition key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Topic {
    /// Identifier of this life of the topic.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// What it is for, in its owner's words.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// How long accepted events are kept.
    pub retention: Retention,
    /// Largest event that is accepted, in bytes as sent.
    pub max_event_bytes: u32,
    /// Counts the changes of this record: the ETag, and the condition of every write.
    pub version: u64,
    /// When it was created.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// When it was deleted; its name stays reserved for a while.
    pub deleted_at: Option<Time>,
}

impl Topic {
    /// A topic with defaults for all that its creator need not say.
    pub fn new(id: TopicId, name: TopicName, now: Time) -> Topic {
        Topic {
            id,
            name,
            description: None,
            owner: None,
            retention: Retention::default(),
            max_event_bytes: DEFAULT_MAX_EVENT_BYTES,
            version: 1,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        }
    }
}

/// Retention classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Retention {
    /// One day.
    #[serde(rename = "1d")]
    Days1,
    /// Three days.
    #[serde(rename = "3d")]
    Days3,
    /// A week: the default.
    #[default]
    #[serde(rename = "7d")]
    Days7,
    /// Two weeks.
    #[serde(rename = "14d")]
    Days14,
    /// 30 days.
    #[serde(rename = "30d")]
    Days30,
    /// 90 days.
    #[serde(rename = "90d")]
    Days90,
    /// A year.
    #[serde(rename = "365d")]
    Days365,
}

impl Retention {
    /// All of them, shortest first.
    pub const ALL: [Retention; 7] = [
        Retention::Days1,
        Retention::Days3,
        Retention::Days7,
        Retention::Days14,
        Retention::Days30,
        Retention::Days90,
        Retention::Days365,
    ];

    /// The longest.
    pub const LONGEST: Retention = Retention::Days365;

    /// The class of a name.
    pub fn of_word(word: &str) -> Option<Retention> {
        Retention::ALL.into_iter().find(|retention| retention.word() == word)
    }

    /// Its name: a number of days and `d`.
    pub const fn word(self) -> &'static str {
        match self {
            Retention::Days1 => "1d",
            Retention::Days3 => "3d",
            Retention::Days7 => "7d",
            Retention::Days14 => "14d",
            Retention::Days30 => "30d",
            Retention::Days90 => "90d",
            Retention::Days365 => "365d",
        }
    }

    /// Its length.
    pub const fn duration(self) -> Duration {
        let days = match self {
            Retention::Days1 => 1,
            Retention::Days3 => 3,
            Retention::Days7 => 7,
            Retention::Days14 => 14,
            Retention::Days30 => 30,
            Retention::Days90 => 90,
            Retention::Days365 => 365,
        };
        Duration::from_secs(days * 86_400)
    }
}
