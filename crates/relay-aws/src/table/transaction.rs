//! Writes of several rows, all or none: at most 100
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>).

use super::attributes::Row;
use super::{Condition, Key, Table};
use crate::fault::{of_call, of_cancellation};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem, Update};
use aws_smithy_runtime_api::client::result::SdkError;
use relay_core::ports::PortError;

const MAX_WRITES: usize = 100;

enum Step {
    Put(Row, Option<Condition>),
    Update(Key, String, Condition),
    Delete(Key, Option<Condition>),
}

/// Writes to be made together.
#[derive(Default)]
pub(crate) struct Transaction(Vec<Step>);

/// How a transaction ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transacted {
    /// All is written.
    Done,
    /// A condition did not hold, and nothing is written.
    Refused,
}

impl Transaction {
    pub(crate) fn put(mut self, row: Row) -> Transaction {
        self.0.push(Step::Put(row, None));
        self
    }

    pub(crate) fn put_if(mut self, row: Row, condition: Condition) -> Transaction {
        self.0.push(Step::Put(row, Some(condition)));
        self
    }

    /// An update; its condition carries the values, and may be empty.
    pub(crate) fn update_if(mut self, key: &Key, update: &str, condition: Condition) -> Transaction {
        self.0.push(Step::Update(key.clone(), update.to_owned(), condition));
        self
    }

    pub(crate) fn delete(mut self, key: &Key) -> Transaction {
        self.0.push(Step::Delete(key.clone(), None));
        self
    }

    pub(crate) fn delete_if(mut self, key: &Key, condition: Condition) -> Transaction {
        self.0.push(Step::Delete(key.clone(), Some(condition)));
        self
    }
}

fn text_of(condition: &Condition) -> Option<String> {
    Some(condition.text.clone()).filter(|text| !text.is_empty())
}

fn item_of(table: &str, step: Step) -> Result<TransactWriteItem, PortError> {
    let item = TransactWriteItem::builder();
    let fault = |error: aws_sdk_dynamodb::error::BuildError| PortError::Invalid(error.to_string());
    let item = match step {
        Step::Put(row, condition) => {
            let condition = condition.unwrap_or_default();
            let put = Put::builder().table_name(table).set_item(Some(row.0));
            let put = put.set_condition_expression(text_of(&condition));
            item.put(put.set_expression_attribute_values(condition.map()).build().map_err(fault)?)
        }
        Step::Update(key, text, condition) => {
            let update = Update::builder().table_name(table).set_key(Some(key.attributes())).update_expression(text);
            let update = update.set_condition_expression(text_of(&condition));
            item.update(update.set_expression_attribute_values(condition.map()).build().map_err(fault)?)
        }
        Step::Delete(key, condition) => {
            let condition = condition.unwrap_or_default();
            let delete = Delete::builder().table_name(table).set_key(Some(key.attributes()));
            let delete = delete.set_condition_expression(text_of(&condition));
            item.delete(delete.set_expression_attribute_values(condition.map()).build().map_err(fault)?)
        }
    };
    Ok(item.build())
}

impl Table {
    /// Makes all writes or none. A transaction keeps its token while it may have been made, in the SDK's repeats and in
    /// ours (after a lost answer, DynamoDB may say for a while that the first try is in progress), so it is made once and
    /// not refused by its own effect. A conflict with another transaction is waited out.
    pub(crate) async fn transact(&self, transaction: Transaction) -> Result<Transacted, PortError> {
        if transaction.0.len() > MAX_WRITES {
            return Err(PortError::Invalid(format!("a transaction of {} writes", transaction.0.len())));
        }
        let items: Result<Vec<_>, _> = transaction.0.into_iter().map(|step| item_of(&self.name, step)).collect();
        let items = items?;
        let (mut repeat, mut token) = (0, self.ids.unique());
        loop {
            let call = self.client.transact_write_items().set_transact_items(Some(items.clone()));
            let call = call.client_request_token(&token);
            let error = match call.send().await {
                Ok(_) => return Ok(Transacted::Done),
                Err(SdkError::ServiceError(context)) => match context.err() {
                    TransactWriteItemsError::TransactionCanceledException(cancelled) => {
                        // Nothing is written: the next try is another transaction.
                        token = self.ids.unique();
                        of_cancellation("TransactWriteItems", cancelled.cancellation_reasons())
                    }
                    _ => of_call("TransactWriteItems", &SdkError::ServiceError(context)),
                },
                Err(error) => of_call("TransactWriteItems", &error),
            };
            if error == PortError::Conflict {
                return Ok(Transacted::Refused);
            }
            self.pause_or(&mut repeat, error).await?;
        }
    }
}
