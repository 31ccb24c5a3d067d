//! Batch calls: what they leave unprocessed is asked again
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html#Programming.Errors.BatchOperations>).

use super::attributes::Row;
use super::{Key, Table};
use crate::fault::of_call;
use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, KeysAndAttributes, WriteRequest};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use relay_core::ports::PortError;
use std::collections::{HashMap, HashSet};

/// Most keys of a BatchGetItem.
const MAX_GETS: usize = 100;
/// Most writes of a BatchWriteItem.
const MAX_WRITES: usize = 25;
/// Batch calls at the same time.
const AT_ONCE: usize = 4;

impl Table {
    /// Reads rows by key, strongly consistent. A key that is not in the answer has no row; one that cannot be had is an
    /// error and never absent.
    pub(crate) async fn batch_get(
        &self,
        keys: &[Key],
        projection: Option<&'static str>,
    ) -> Result<HashMap<Key, Row>, PortError> {
        // DynamoDB refuses a call that names a key twice.
        let mut seen = HashSet::new();
        let keys: Vec<Key> = keys.iter().filter(|key| seen.insert(*key)).cloned().collect();
        let chunks: Vec<Vec<Key>> = keys.chunks(MAX_GETS).map(<[Key]>::to_vec).collect();
        let read = stream::iter(chunks).map(|chunk| self.get_chunk(chunk, projection)).buffer_unordered(AT_ONCE);
        let rows: Vec<Vec<Row>> = read.try_collect().await?;
        rows.into_iter().flatten().map(|row| Ok((row.key()?, row))).collect()
    }

    async fn get_chunk(&self, keys: Vec<Key>, projection: Option<&'static str>) -> Result<Vec<Row>, PortError> {
        let mut left: Vec<HashMap<String, AttributeValue>> = keys.iter().map(Key::attributes).collect();
        let (mut rows, mut repeat) = (Vec::with_capacity(keys.len()), 0);
        while !left.is_empty() {
            // Of what is unprocessed only the keys are taken over: each call says itself that it is consistent.
            let asked = KeysAndAttributes::builder().set_keys(Some(left.clone())).consistent_read(true);
            let asked = asked.set_projection_expression(projection.map(str::to_owned)).build();
            let asked = asked.map_err(|error| PortError::Invalid(error.to_string()))?;
            let call = self.client.batch_get_item().request_items(&self.name, asked).send().await;
            match call.map_err(|error| of_call("BatchGetItem", &error)) {
                Ok(answer) => {
                    let of_table = answer.responses.and_then(|mut tables| tables.remove(&self.name));
                    for row in of_table.unwrap_or_default() {
                        let row = Row(row);
                        rows.push(if projection.is_none() { row.checked()? } else { row });
                    }
                    let of_table = answer.unprocessed_keys.and_then(|mut tables| tables.remove(&self.name));
                    left = of_table.map(|left| left.keys).unwrap_or_default();
                    if !left.is_empty() {
                        self.pause_or(&mut repeat, PortError::Throttled).await?;
                    }
                }
                Err(error) => self.pause_or(&mut repeat, error).await?,
            }
        }
        Ok(rows)
    }

    /// Deletes rows by key, without a condition.
    pub(crate) async fn batch_delete(&self, keys: &[Key]) -> Result<(), PortError> {
        for chunk in keys.chunks(MAX_WRITES) {
            let requests = chunk.iter().map(|key| {
                let delete = DeleteRequest::builder().set_key(Some(key.attributes())).build();
                let delete = delete.map_err(|error| PortError::Invalid(error.to_string()))?;
                Ok(WriteRequest::builder().delete_request(delete).build())
            });
            let mut left: Vec<WriteRequest> = requests.collect::<Result<_, PortError>>()?;
            let mut repeat = 0;
            while !left.is_empty() {
                let call = self.client.batch_write_item().request_items(&self.name, left.clone()).send().await;
                match call.map_err(|error| of_call("BatchWriteItem", &error)) {
                    Ok(answer) => {
                        let of_table = answer.unprocessed_items.and_then(|mut tables| tables.remove(&self.name));
                        left = of_table.unwrap_or_default();
                        if !left.is_empty() {
                            self.pause_or(&mut repeat, PortError::Throttled).await?;
                        }
                    }
                    Err(error) => self.pause_or(&mut repeat, error).await?,
                }
            }
        }
        Ok(())
    }
}
