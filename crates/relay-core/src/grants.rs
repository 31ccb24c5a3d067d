//! API keys and what they may do.

use crate::names::{KeyId, TopicName};
use crate::time::Time;
use serde::{Deserialize, Serialize};

/// What a grant allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Publish events.
    Publish,
    /// Subscriptions, attempts, lanes, dead letters, pull.
    Subscribe,
    /// Topics and their settings; with the pattern `>`, keys.
    Manage,
}

/// A pattern over topic names: segments are separated by dots, `*` stands for one, `>` (last) for one or more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicPattern(String);

/// Why a pattern was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pattern is a topic's name in which a whole segment may be '*', and the last one '>'")]
pub struct PatternFault;

impl TopicPattern {
    /// Checks and takes a pattern.
    ///
    /// # Errors
    /// A [`PatternFault`] if it could match no topic.
    pub fn new(text: impl Into<String>) -> Result<Self, PatternFault> {
        let text = text.into();
        let last = text.split('.').count() - 1;
        let mut stand_in = Vec::new();
        for (index, segment) in text.split('.').enumerate() {
            match segment {
                "*" => stand_in.push("a"),
                ">" if index == last => stand_in.push("a"),
                plain => stand_in.push(plain),
            }
        }
        TopicName::new(stand_in.join(".")).map_err(|_| PatternFault)?;
        Ok(TopicPattern(text))
    }

    /// The pattern that matches every topic.
    pub fn all() -> Self {
        TopicPattern(">".to_owned())
    }

    /// True if it matches every topic.
    pub fn is_all(&self) -> bool {
        self.0 == ">"
    }

    /// The pattern's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if the topic's name matches.
    pub fn matches(&self, topic: &TopicName) -> bool {
        let mut segments = topic.as_str().split('.');
        for pattern in self.0.split('.') {
            match (pattern, segments.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (plain, Some(segment)) if plain == segment => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }
}

impl TryFrom<String> for TopicPattern {
    type Error = PatternFault;
    fn try_from(text: String) -> Result<Self, PatternFault> {
        Self::new(text)
    }
}

impl From<TopicPattern> for String {
    fn from(pattern: TopicPattern) -> String {
        pattern.0
    }
}

/// Permission for one action on the topics that match.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// What is allowed.
    pub action: Action,
    /// On which topics.
    pub topics: TopicPattern,
}

/// An API key as it is stored: by the hash of its text.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiKey {
    /// Names the key; not secret.
    pub id: KeyId,
    /// What its owner calls it.
    pub name: String,
    /// SHA-256 of the key's text, in hexadecimal.
    pub hash: String,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// When it ceases to be valid.
    pub expires_at: Option<Time>,
    /// When it was made.
    pub created_at: Time,
}

/// Who asks.
#[derive(Clone, PartialEq, Debug)]
pub struct Principal {
    /// Name for audits: a key's id, or `admin`.
    pub name: String,
    /// What it may do.
    pub grants: Vec<Grant>,
}

impl Principal {
    /// The operator: may do all on every topic.
    pub fn admin() -> Principal {
        let all = |action| Grant { action, topics: TopicPattern::all() };
        Principal {
            name: "admin".to_owned(),
            grants: vec![all(Action::Publish), all(Action::Subscribe), all(Action::Manage)],
        }
    }

    /// True if some grant allows the action on the topic.
    pub fn may(&self, action: Action, topic: &TopicName) -> bool {
        self.grants.iter().any(|grant| grant.action == action && grant.topics.matches(topic))
    }

    /// True if it may manage keys: `manage` on every topic.
    pub fn may_manage_keys(&self) -> bool {
        self.grants.iter().any(|grant| grant.action == Action::Manage && grant.topics.is_all())
    }

    /// True if it holds any grant on the topic: then the topic's existence is no secret to it.
    pub fn knows(&self, topic: &TopicName) -> bool {
        self.grants.iter().any(|grant| grant.topics.matches(topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, topic: &str) -> bool {
        TopicPattern::new(pattern).unwrap().matches(&TopicName::new(topic).unwrap())
    }

    #[test]
    fn a_star_is_one_segment_and_an_angle_is_the_rest() {
        assert!(matches("orders.*", "orders.paid"));
        assert!(!matches("orders.*", "orders"));
        assert!(!matches("orders.*", "orders.paid.eu"));
        assert!(matches("orders.>", "orders.paid.eu"));
        assert!(!matches("orders.>", "orders"));
        assert!(matches("*.paid", "orders.paid"));
        assert!(matches(">", "orders.paid"));
        assert!(matches("orders", "orders"));
        assert!(!matches("orders", "orders.paid"));
    }

    #[test]
    fn patterns_that_match_nothing_are_refused() {
        for bad in ["", "a.>.b", "a*", "A.*", ">.a", "-.*"] {
            assert!(TopicPattern::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_grant_is_for_one_action() {
        let topic = TopicName::new("orders").unwrap();
        let grants = vec![Grant { action: Action::Publish, topics: TopicPattern::new("orders").unwrap() }];
        let principal = Principal { name: "k".into(), grants };
        assert!(principal.may(Action::Publish, &topic));
        assert!(!principal.may(Action::Subscribe, &topic));
        assert!(!principal.may_manage_keys());
        assert!(Principal::admin().may_manage_keys());
    }
}
