//! The one table: calls with the conditions, the paging and the repeats that they need, and nothing of what is in it.
//!
//! Reads are strongly consistent unless they go by the index. A conditional write that the SDK repeated after a lost
//! answer may be refused by its own effect: callers recognise what they wrote.

pub(crate) mod attributes;
mod batch;
mod query;
mod transaction;

pub(crate) use query::Query;
pub(crate) use transaction::{Transacted, Transaction};

use crate::fault::of_call;
use attributes::Row;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use aws_smithy_runtime_api::client::result::SdkError;
use relay_core::ports::{Clock, Ids, PortError};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Names of the index.
pub(crate) const INDEX: &str = "gsi1";

/// Most repeats of what was throttled, in conflict with a transaction, or left unprocessed.
const REPEATS: u32 = 8;

/// Key of a row.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) pk: String,
    pub(crate) sk: String,
}

impl Key {
    pub(crate) fn new(pk: impl Into<String>, sk: impl Into<String>) -> Key {
        Key { pk: pk.into(), sk: sk.into() }
    }

    fn attributes(&self) -> HashMap<String, AttributeValue> {
        HashMap::from([("pk".to_owned(), attributes::text(&self.pk)), ("sk".to_owned(), attributes::text(&self.sk))])
    }
}

/// An expression and the values that it names. Attributes are named so that none is a reserved word.
#[derive(Clone, Debug, Default)]
pub(crate) struct Condition {
    pub(crate) text: String,
    pub(crate) values: Vec<(&'static str, AttributeValue)>,
}

impl Condition {
    pub(crate) fn new(text: impl Into<String>) -> Condition {
        Condition { text: text.into(), values: Vec::new() }
    }

    pub(crate) fn value(mut self, name: &'static str, value: AttributeValue) -> Condition {
        self.values.push((name, value));
        self
    }

    fn map(&self) -> Option<HashMap<String, AttributeValue>> {
        let map: HashMap<_, _> = self.values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Some(map).filter(|map| !map.is_empty())
    }
}

/// What a conditional write did.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Written {
    /// It wrote; with the row before (put, delete) or after (update), if there is one.
    Yes(Option<Row>),
    /// Its condition did not hold; with the row that is there.
    Refused(Option<Row>),
}

/// The table.
#[derive(Clone)]
pub(crate) struct Table {
    client: Client,
    name: String,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

/// The answer of a conditional write, or the row that its condition met.
macro_rules! conditional {
    ($table:expr, $call:literal, $error:ident, $send:expr) => {{
        let mut repeat = 0;
        loop {
            match $send.send().await {
                Ok(answer) => break Ok(Written::Yes(answer.attributes.map(Row))),
                Err(SdkError::ServiceError(context)) if context.err().$error() => {
                    break Ok(Written::Refused(context.into_err().into_row()));
                }
                Err(error) => $table.pause_or(&mut repeat, of_call($call, &error)).await?,
            }
        }
    }};
}

impl Table {
    pub(crate) fn new(client: Client, name: String, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Table {
        Table { client, name, clock, ids }
    }

    /// Waits before a repeat, longer each time and not all at once; or gives the error back.
    async fn pause_or(&self, repeat: &mut u32, error: PortError) -> Result<(), PortError> {
        if error != PortError::Throttled || *repeat == REPEATS {
            return Err(error);
        }
        *repeat += 1;
        let most = 20.0 * f64::from(1 << *repeat.min(&mut 6));
        self.clock.sleep(Duration::from_secs_f64(most * (0.2 + 0.8 * self.ids.jitter()) / 1000.0)).await;
        Ok(())
    }

    /// Reads a row.
    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Row>, PortError> {
        let call = self.client.get_item().table_name(&self.name).set_key(Some(key.attributes())).consistent_read(true);
        let read = call.send().await.map_err(|error| of_call("GetItem", &error))?;
        read.item.map(|item| Row(item).checked()).transpose()
    }

    /// Writes a row.
    pub(crate) async fn put(&self, row: Row) -> Result<(), PortError> {
        let call = self.client.put_item().table_name(&self.name).set_item(Some(row.0));
        call.send().await.map(drop).map_err(|error| of_call("PutItem", &error))
    }

    /// Writes a row on a condition; answers the one before, or the one that the condition met.
    pub(crate) async fn put_if(&self, row: Row, condition: Condition) -> Result<Written, PortError> {
        conditional!(
            self,
            "PutItem",
            is_conditional_check_failed_exception,
            self.client
                .put_item()
                .table_name(&self.name)
                .set_item(Some(row.0.clone()))
                .condition_expression(&condition.text)
                .set_expression_attribute_values(condition.map())
                .return_values(ReturnValue::AllOld)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        )
    }

    /// Changes a row on a condition; values of both expressions stand with the condition.
    pub(crate) async fn update_if(&self, key: &Key, update: &str, condition: Condition) -> Result<Written, PortError> {
        conditional!(
            self,
            "UpdateItem",
            is_conditional_check_failed_exception,
            self.client
                .update_item()
                .table_name(&self.name)
                .set_key(Some(key.attributes()))
                .update_expression(update)
                .condition_expression(&condition.text)
                .set_expression_attribute_values(condition.map())
                .return_values(ReturnValue::AllNew)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        )
    }

    /// Deletes a row on a condition.
    pub(crate) async fn delete_if(&self, key: &Key, condition: Condition) -> Result<Written, PortError> {
        conditional!(
            self,
            "DeleteItem",
            is_conditional_check_failed_exception,
            self.client
                .delete_item()
                .table_name(&self.name)
                .set_key(Some(key.attributes()))
                .condition_expression(&condition.text)
                .set_expression_attribute_values(condition.map())
                .return_values(ReturnValue::AllOld)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        )
    }
}

/// An error that may carry the row that a condition met.
trait IntoRow {
    fn into_row(self) -> Option<Row>;
}

macro_rules! into_row {
    ($($error:path),*) => {
        $(impl IntoRow for $error {
            fn into_row(self) -> Option<Row> {
                match self {
                    Self::ConditionalCheckFailedException(refused) => refused.item.map(Row),
                    _ => None,
                }
            }
        })*
    };
}
into_row!(
    aws_sdk_dynamodb::operation::put_item::PutItemError,
    aws_sdk_dynamodb::operation::update_item::UpdateItemError,
    aws_sdk_dynamodb::operation::delete_item::DeleteItemError
);
