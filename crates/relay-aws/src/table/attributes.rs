//! Rows of the table, and their attributes.

use super::Key;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use relay_core::ports::PortError;
use std::collections::HashMap;
use std::str::FromStr;

/// A number.
pub(crate) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A text.
pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// Bytes.
pub(crate) fn binary(value: Vec<u8>) -> AttributeValue {
    AttributeValue::B(Blob::new(value))
}

/// One item of the table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Row(pub(crate) HashMap<String, AttributeValue>);

impl Row {
    /// Version of the rows' form.
    pub(crate) const VERSION: u64 = 1;

    /// A row with its key and the version of its form.
    pub(crate) fn of(key: &Key) -> Row {
        Row::default().with("pk", text(&key.pk)).with("sk", text(&key.sk)).with("v", number(Row::VERSION))
    }

    pub(crate) fn with(mut self, name: &str, value: AttributeValue) -> Row {
        self.0.insert(name.to_owned(), value);
        self
    }

    pub(crate) fn with_some(self, name: &str, value: Option<AttributeValue>) -> Row {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Refuses a row that a later version wrote. Projections must include `v`.
    pub(crate) fn checked(self) -> Result<Row, PortError> {
        match self.number::<u64>("v")? {
            Row::VERSION => Ok(self),
            other => Err(PortError::Corrupt(format!("a row has version {other}; this broker reads {}", Row::VERSION))),
        }
    }

    fn missing(&self, name: &str) -> PortError {
        let part = |name| self.find_text(name).unwrap_or_default();
        PortError::Corrupt(format!("row {} {} has no valid {name}", part("pk"), part("sk")))
    }

    pub(crate) fn find_text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_s().ok().map(String::as_str)
    }

    pub(crate) fn text(&self, name: &str) -> Result<&str, PortError> {
        self.find_text(name).ok_or_else(|| self.missing(name))
    }

    /// A number, if the attribute is there and is one.
    pub(crate) fn find_number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.0.get(name)?.as_n().ok()?.parse().ok()
    }

    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Result<T, PortError> {
        self.find_number(name).ok_or_else(|| self.missing(name))
    }

    pub(crate) fn find_binary(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name)?.as_b().ok().map(Blob::as_ref)
    }

    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| value.as_bool() == Ok(&true))
    }

    pub(crate) fn key(&self) -> Result<Key, PortError> {
        Ok(Key::new(self.text("pk")?, self.text("sk")?))
    }
}
