//! Subscriptions. The record lies at `SUB#id` / `SUB`, and a copy under its topic, so that one query reads a topic's
//! list; `SUBS` / id lists all of them, and `UNSETTLED` / id those that sweep looks at. All move in one transaction.

use super::lists;
use crate::cursors;
use crate::table::attributes::{Row, number, text};
use crate::table::{Condition, Key, Query, Table, Transacted, Transaction};
use relay_core::names::{SubscriptionId, TopicId};
use relay_core::ports::{Expect, PortError, TopicSubscriptions};
use relay_core::record;
use relay_core::subscription::Subscription;
use std::sync::Arc;

const ALL: &str = "SUBS";
const UNSETTLED: &str = "UNSETTLED";
/// Prefix of a subscription under its topic; what sorts between it and [`UNDER_END`] are subscriptions.
const UNDER: &str = "SUB#";
const UNDER_END: &str = "SUB$";
/// Attempts at forgetting one that is written meanwhile.
const TURNS: usize = 8;

fn key_of(id: &SubscriptionId) -> Key {
    Key::new(format!("SUB#{id}"), "SUB")
}

fn under_topic(topic: &TopicId, id: &SubscriptionId) -> Key {
    Key::new(lists::partition(topic), format!("{UNDER}{id}"))
}

fn in_all(id: &SubscriptionId) -> Key {
    Key::new(ALL, id.as_str())
}

fn in_unsettled(id: &SubscriptionId) -> Key {
    Key::new(UNSETTLED, id.as_str())
}

/// The row of a subscription at a key.
pub(crate) fn row_at(key: &Key, subscription: &Subscription) -> Result<Row, PortError> {
    let row = Row::of(key).with("rec", text(record::encode(subscription)?));
    Ok(row.with("subVersion", number(subscription.version)))
}

pub(crate) fn subscription_of(row: &Row) -> Result<Subscription, PortError> {
    record::decode(row.text("rec")?)
}

pub(super) async fn get(table: &Table, id: &SubscriptionId) -> Result<Option<Arc<Subscription>>, PortError> {
    table.get(&key_of(id)).await?.map(|row| subscription_of(&row).map(Arc::new)).transpose()
}

/// Those of a list of ids that are there, in that order.
async fn get_all(table: &Table, ids: &[Row]) -> Result<Vec<Arc<Subscription>>, PortError> {
    let keys: Result<Vec<Key>, PortError> =
        ids.iter().map(|row| Ok(Key::new(format!("SUB#{}", row.text("sk")?), "SUB"))).collect();
    let keys = keys?;
    let rows = table.batch_get(&keys, None).await?;
    keys.iter().filter_map(|key| rows.get(key)).map(|row| subscription_of(row).map(Arc::new)).collect()
}

/// Subscriptions by id, of one topic or all, without deleted ones.
pub(super) async fn list(
    table: &Table,
    topic: Option<&TopicId>,
    after: Option<&SubscriptionId>,
    limit: usize,
) -> Result<Vec<Arc<Subscription>>, PortError> {
    let (mut found, mut after) = (Vec::new(), after.cloned());
    while found.len() < limit {
        let wanted = limit - found.len();
        let (read, page) = match topic {
            Some(topic) => {
                // `!` is the first visible character: what sorts after an id and before any longer one.
                let from = after.as_ref().map_or(UNDER.to_owned(), |after| format!("{UNDER}{after}!"));
                let query = Query::of(lists::partition(topic)).between(from, UNDER_END).limit(wanted);
                let rows = table.query(query).await?;
                let page: Result<Vec<_>, _> = rows.iter().map(|row| subscription_of(row).map(Arc::new)).collect();
                (rows.len(), page?)
            }
            None => {
                let query = Query::of(ALL).after(after.as_ref().map(SubscriptionId::as_str)).limit(wanted);
                let rows = table.query(query).await?;
                if let Some(last) = rows.last() {
                    after = SubscriptionId::new(last.text("sk")?).ok();
                }
                (rows.len(), get_all(table, &rows).await?)
            }
        };
        if topic.is_some() {
            after = page.last().map(|last| last.id.clone()).or(after);
        }
        found.extend(page.into_iter().filter(|subscription| subscription.deleted_at.is_none()));
        if read < wanted {
            break;
        }
    }
    Ok(found)
}

pub(super) async fn unsettled(table: &Table) -> Result<Vec<Arc<Subscription>>, PortError> {
    let ids = table.query(Query::of(UNSETTLED)).await?;
    get_all(table, &ids).await
}

pub(super) async fn put(table: &Table, subscription: &Subscription, expect: Expect) -> Result<(), PortError> {
    let id = &subscription.id;
    let condition = match expect {
        Expect::Absent => Condition::new("attribute_not_exists(pk)"),
        Expect::Version(version) => Condition::new("subVersion = :v").value(":v", number(version)),
    };
    let moved = Condition::default().value(":one", number(1)).value(":form", number(1));
    let mut transaction = Transaction::default()
        .put_if(row_at(&key_of(id), subscription)?, condition)
        .put(row_at(&under_topic(&subscription.topic_id, id), subscription)?)
        .put(Row::of(&in_all(id)))
        .update_if(&lists::key_of(&subscription.topic_id), "SET v = :form ADD listVersion :one", moved);
    transaction = if subscription.is_unsettled() {
        transaction.put(Row::of(&in_unsettled(id)))
    } else {
        transaction.delete(&in_unsettled(id))
    };
    match table.transact(transaction).await? {
        Transacted::Done => Ok(()),
        Transacted::Refused => Err(PortError::Conflict),
    }
}

pub(super) async fn forget(table: &Table, id: &SubscriptionId) -> Result<(), PortError> {
    for _ in 0..TURNS {
        let Some(stored) = get(table, id).await? else { return Ok(()) };
        let same = Condition::new("subVersion = :v").value(":v", number(stored.version));
        let transaction = Transaction::default()
            .delete_if(&key_of(id), same)
            .delete(&under_topic(&stored.topic_id, id))
            .delete(&in_all(id))
            .delete(&in_unsettled(id))
            .delete(&cursors::key_of(id));
        if table.transact(transaction).await? == Transacted::Done {
            return Ok(());
        }
    }
    Err(PortError::Throttled)
}

/// A topic's list: its version is read no later than what it counts.
pub(super) async fn of_topic(table: &Table, topic: &TopicId) -> Result<Option<Arc<TopicSubscriptions>>, PortError> {
    let rows = table.query(Query::of(lists::partition(topic))).await?;
    let Some(version) = rows.first().filter(|row| row.find_text("sk") == Some("LIST")).and_then(lists::version_of)
    else {
        return Ok(None);
    };
    let mut subscriptions = Vec::with_capacity(rows.len());
    for row in &rows[1..] {
        let subscription = subscription_of(row)?;
        if subscription.deleted_at.is_none() {
            subscriptions.push(Arc::new(subscription));
        }
    }
    Ok(Some(Arc::new(TopicSubscriptions { version, subscriptions })))
}
