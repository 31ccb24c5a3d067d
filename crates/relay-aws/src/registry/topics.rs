//! Topics: `TOPIC` / name, beside the head of their list.

use super::lists;
use crate::table::attributes::{Row, number, text};
use crate::table::{Condition, Key, Query, Table, Transacted, Transaction};
use aws_sdk_dynamodb::types::AttributeValue;
use relay_core::names::TopicName;
use relay_core::ports::{Expect, PortError};
use relay_core::record;
use relay_core::topic::Topic;
use std::sync::Arc;

const PARTITION: &str = "TOPICS";

fn key_of(name: &TopicName) -> Key {
    Key::new(PARTITION, name.as_str())
}

pub(crate) fn row_of(topic: &Topic) -> Result<Row, PortError> {
    Ok(Row::of(&key_of(&topic.name))
        .with("rec", text(record::encode(topic)?))
        .with("topicId", text(topic.id.as_str()))
        .with("topicVersion", number(topic.version))
        .with("isDeleted", AttributeValue::Bool(topic.deleted_at.is_some())))
}

pub(crate) fn topic_of(row: &Row) -> Result<Topic, PortError> {
    record::decode(row.text("rec")?)
}

pub(super) async fn get(table: &Table, name: &TopicName) -> Result<Option<Arc<Topic>>, PortError> {
    table.get(&key_of(name)).await?.map(|row| topic_of(&row).map(Arc::new)).transpose()
}

pub(super) async fn list(table: &Table, after: Option<&TopicName>, limit: usize) -> Result<Vec<Arc<Topic>>, PortError> {
    let (mut topics, mut after) = (Vec::new(), after.cloned());
    // Deleted ones among them do not count.
    while topics.len() < limit {
        let wanted = limit - topics.len();
        let query = Query::of(PARTITION).after(after.as_ref().map(TopicName::as_str)).limit(wanted);
        let rows = table.query(query).await?;
        for row in &rows {
            let topic = topic_of(row)?;
            after = Some(topic.name.clone());
            if topic.deleted_at.is_none() {
                topics.push(Arc::new(topic));
            }
        }
        if rows.len() < wanted {
            break;
        }
    }
    Ok(topics)
}

/// All topics, deleted ones among them.
pub(crate) async fn all(table: &Table) -> Result<Vec<Arc<Topic>>, PortError> {
    let rows = table.query(Query::of(PARTITION)).await?;
    rows.iter().map(|row| topic_of(row).map(Arc::new)).collect()
}

pub(super) async fn put(table: &Table, topic: &Topic, expect: Expect) -> Result<(), PortError> {
    let condition = match expect {
        // A deleted topic's place is taken by the next one of its name; its own list stays, and stays gone.
        Expect::Absent => Condition::new("attribute_not_exists(pk) OR (isDeleted = :yes AND topicId <> :id)")
            .value(":yes", AttributeValue::Bool(true)),
        Expect::Version(version) => Condition::new("topicVersion = :v AND topicId = :id").value(":v", number(version)),
    };
    let condition = condition.value(":id", text(topic.id.as_str()));
    let head = Condition::default()
        .value(":name", text(topic.name.as_str()))
        .value(":gone", AttributeValue::Bool(topic.deleted_at.is_some()))
        .value(":kept", number(topic.retention.duration().as_secs()))
        .value(":form", number(1))
        .value(":one", number(1));
    let update = "SET topicName = :name, isGone = :gone, retentionSeconds = :kept, v = :form, \
                  listVersion = if_not_exists(listVersion, :one)";
    let transaction =
        Transaction::default().put_if(row_of(topic)?, condition).update_if(&lists::key_of(&topic.id), update, head);
    match table.transact(transaction).await? {
        Transacted::Done => Ok(()),
        Transacted::Refused => Err(PortError::Conflict),
    }
}
