//! Names and identifiers, each checked where it enters.

use crate::limits::{MAX_NAME_BYTES, MAX_PARTITION_KEY_CHARS};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// Topic names are `[a-z0-9][a-z0-9._-]{0,127}`.
    #[error("a name has 1 to 128 characters of a-z, 0-9, '.', '_' and '-', and begins with a letter or digit")]
    Name,
    /// Partition keys have 1 to 256 characters.
    #[error("a partition key has 1 to 256 characters")]
    PartitionKey,
    /// Identifiers are made by the broker.
    #[error("an identifier has 1 to 128 visible ASCII characters")]
    Identifier,
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and takes a text.
            ///
            /// # Errors
            /// A [`NameFault`] that says what is allowed.
            pub fn new(text: impl Into<Arc<str>>) -> Result<Self, NameFault> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameFault;
            fn try_from(text: String) -> Result<Self, NameFault> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

text_type!(
    /// Name of a topic, as publishers and subscribers write it.
    TopicName, check_name
);
text_type!(
    /// Identifier of one life of a topic: made at creation, never used again.
    TopicId, check_identifier
);
text_type!(
    /// Identifier of a subscription.
    SubscriptionId, check_identifier
);
text_type!(
    /// Identifier of an API key; not its secret.
    KeyId, check_identifier
);
text_type!(
    /// What orders events: events of one topic with the same partition key are delivered in order.
    PartitionKey, check_partition_key
);

impl TopicName {
    /// True for names that begin with `relay.`: these topics are the broker's own.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with("relay.")
    }

    /// The topic that carries the broker's system events.
    pub fn system() -> TopicName {
        TopicName(Arc::from("relay.system"))
    }
}

fn check_name(text: &str) -> Result<(), NameFault> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut bytes = text.bytes();
    let head = bytes.next().is_some_and(allowed);
    let tail = bytes.all(|byte| allowed(byte) || matches!(byte, b'.' | b'_' | b'-'));
    if head && tail && text.len() <= MAX_NAME_BYTES { Ok(()) } else { Err(NameFault::Name) }
}

fn check_identifier(text: &str) -> Result<(), NameFault> {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if visible && (1..=128).contains(&text.len()) { Ok(()) } else { Err(NameFault::Identifier) }
}

fn check_partition_key(text: &str) -> Result<(), NameFault> {
    // A character takes at most four bytes, so most keys are settled by their length alone.
    let short = text.len() <= MAX_PARTITION_KEY_CHARS || text.chars().count() <= MAX_PARTITION_KEY_CHARS;
    if !text.is_empty() && short { Ok(()) } else { Err(NameFault::PartitionKey) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_the_grammar_are_refused() {
        for good in ["a", "0", "orders.paid_v2-x", &"a".repeat(128)] {
            assert!(TopicName::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".a", "-a", "A", "a b", "ä", "a/b", &"a".repeat(129)] {
            assert_eq!(TopicName::new(bad), Err(NameFault::Name), "{bad}");
        }
    }

    #[test]
    fn partition_keys_are_counted_in_characters() {
        assert!(PartitionKey::new("ü".repeat(256)).is_ok());
        assert_eq!(PartitionKey::new("ü".repeat(257)), Err(NameFault::PartitionKey));
        assert_eq!(PartitionKey::new(""), Err(NameFault::PartitionKey));
    }

    #[test]
    fn stored_names_are_checked_when_read() {
        assert!(serde_json::from_str::<TopicName>("\"UPPER\"").is_err());
        assert_eq!(serde_json::from_str::<TopicName>("\"ok\"").map(String::from).ok(), Some("ok".to_owned()));
    }
}
