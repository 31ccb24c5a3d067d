//! Reading a partition, page by page: a page ends at 1 MiB, whatever the limit
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html>).

use super::attributes::{Row, text};
use super::{INDEX, Table};
use crate::fault::of_call;
use aws_sdk_dynamodb::types::AttributeValue;
use relay_core::ports::PortError;
use std::collections::HashMap;

/// What to read of one partition, in the order of the sort key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    partition: String,
    by_index: bool,
    condition: &'static str,
    bounds: Vec<(&'static str, String)>,
    backward: bool,
    projection: Option<&'static str>,
    limit: Option<usize>,
}

impl Query {
    /// A partition of the table, strongly consistent.
    pub(crate) fn of(partition: impl Into<String>) -> Query {
        Query { partition: partition.into(), ..Query::default() }
    }

    /// A partition of the index, which follows the table after a moment. It holds keys only.
    pub(crate) fn of_index(partition: impl Into<String>) -> Query {
        Query { by_index: true, ..Query::of(partition) }
    }

    /// Only sort keys after this one.
    pub(crate) fn after(mut self, bound: Option<impl Into<String>>) -> Query {
        if let Some(bound) = bound {
            self.condition = if self.by_index { " AND gsk > :a" } else { " AND sk > :a" };
            self.bounds = vec![(":a", bound.into())];
        }
        self
    }

    /// Only sort keys up to this one, itself included.
    pub(crate) fn up_to(mut self, bound: impl Into<String>) -> Query {
        self.condition = if self.by_index { " AND gsk <= :b" } else { " AND sk <= :b" };
        self.bounds = vec![(":b", bound.into())];
        self
    }

    /// Only sort keys from one to another, both included.
    pub(crate) fn between(mut self, from: impl Into<String>, to: impl Into<String>) -> Query {
        self.condition = if self.by_index { " AND gsk BETWEEN :a AND :b" } else { " AND sk BETWEEN :a AND :b" };
        self.bounds = vec![(":a", from.into()), (":b", to.into())];
        self
    }

    /// Last ones first.
    pub(crate) fn backward(mut self) -> Query {
        self.backward = true;
        self
    }

    /// Only these attributes. For rows that are decoded they include `v`.
    pub(crate) fn only(mut self, projection: &'static str) -> Query {
        self.projection = Some(projection);
        self
    }

    /// At most so many.
    pub(crate) fn limit(mut self, limit: usize) -> Query {
        self.limit = Some(limit);
        self
    }
}

impl Table {
    /// One page of at most `limit` rows, and where the next one starts.
    async fn page(
        &self,
        query: &Query,
        from: Option<HashMap<String, AttributeValue>>,
        limit: Option<usize>,
    ) -> Result<(Vec<Row>, Option<HashMap<String, AttributeValue>>), PortError> {
        let partition = if query.by_index { "gpk" } else { "pk" };
        let mut call = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression(format!("{partition} = :p{}", query.condition))
            .expression_attribute_values(":p", text(&query.partition))
            .scan_index_forward(!query.backward)
            .set_projection_expression(query.projection.map(str::to_owned))
            .set_exclusive_start_key(from)
            .set_limit(limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX)));
        for (name, bound) in &query.bounds {
            call = call.expression_attribute_values(*name, text(bound));
        }
        call = if query.by_index { call.index_name(INDEX) } else { call.consistent_read(true) };
        let read = call.send().await.map_err(|error| of_call("Query", &error))?;
        let rows = read.items.unwrap_or_default().into_iter().map(Row);
        let next = read.last_evaluated_key.filter(|key| !key.is_empty());
        Ok((rows.collect(), next))
    }

    /// All rows that a query asks for.
    pub(crate) async fn query(&self, query: Query) -> Result<Vec<Row>, PortError> {
        self.query_while(query, |_| true).await
    }

    /// The rows that a query asks for, up to the page in which `go_on` says of those read so far that they do.
    pub(crate) async fn query_while(
        &self,
        query: Query,
        mut go_on: impl FnMut(&[Row]) -> bool + Send,
    ) -> Result<Vec<Row>, PortError> {
        let (mut rows, mut from) = (Vec::new(), None);
        loop {
            let left = query.limit.map(|limit| limit.saturating_sub(rows.len()));
            if left == Some(0) {
                return Ok(rows);
            }
            let (page, next) = self.page(&query, from, left).await?;
            for row in page {
                rows.push(if query.projection.is_some() || query.by_index { row } else { row.checked()? });
            }
            if next.is_none() || !go_on(&rows) {
                return Ok(rows);
            }
            from = next;
        }
    }
}
