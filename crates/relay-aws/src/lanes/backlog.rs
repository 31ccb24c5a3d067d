//! Backlog items: rows of a partition for each lane, sorted by sequence. Those with a time of their own (of unordered
//! lanes) have a pointer in a second partition, sorted by that time, written and deleted in the same transactions: a
//! drain that finds nothing due releases the lane, so this must not be read from an index that may be behind.

use super::stored::{Stored, is_put, item_row, object_key, pointer, pointer_key};
use crate::objects::Objects;
use crate::packs;
use crate::payloads::renewal;
use crate::table::attributes::{Row, number};
use crate::table::{Condition, Key, Query, Table, Transacted, Transaction, Written};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use relay_core::lane::table::{Progress, PutRule};
use relay_core::lane::{BacklogItem, PutId};
use relay_core::limits::BACKLOG_READ_BYTES;
use relay_core::pack::LaneId;
use relay_core::ports::{HeadFailure, PortError};
use relay_core::sequence::Sequence;
use relay_core::time::Time;

/// Attempts at what others keep changing.
const TURNS: usize = 16;
/// Objects read at the same time.
const AT_ONCE: usize = 8;
/// Rows removed by one call.
const REMOVE: usize = 500;

/// One lane's backlog.
pub(super) struct Backlog<'a> {
    pub(super) table: &'a Table,
    pub(super) objects: &'a Objects,
    pub(super) lane: LaneId,
}

pub(super) fn partition(lane: &LaneId) -> String {
    format!("BACKLOG#{lane}")
}

fn due_partition(lane: &LaneId) -> String {
    format!("BACKLOGDUE#{lane}")
}

impl Backlog<'_> {
    fn key(&self, sequence: Sequence) -> Key {
        Key::new(partition(&self.lane), sequence.to_string())
    }

    /// Puts an item by a rule.
    pub(super) async fn put(&self, item: &BacklogItem, rule: PutRule) -> Result<(), PortError> {
        for _ in 0..TURNS {
            let Some(stands) = self.put_new(item, rule).await? else { return Ok(()) };
            let Some(next) = rule.begins_at(Some(Stored::of(&stands)?.next), item.next) else { return Ok(()) };
            if self.replace(&stands, &BacklogItem { next, ..item.clone() }).await? {
                return Ok(());
            }
        }
        Err(PortError::Throttled)
    }

    /// Puts an item on condition that there is none, or one that begins later, unless that is to stay by the rule; else
    /// answers the other put that stands.
    async fn put_new(&self, item: &BacklogItem, rule: PutRule) -> Result<Option<Row>, PortError> {
        let row = self.row(item).await?;
        let (stored, mine) = match item.due_at {
            None => self.put_plain(row.clone(), item, rule).await?,
            Some(at) => self.put_due(&row, item, at, rule).await?,
        };
        if mine {
            packs::discard(self.objects, stored.as_ref()).await;
            return Ok(None);
        }
        // If it is this very put, whose answer was lost, its object is in use.
        let other = stored.filter(|stored| !is_put(stored, item.put_id));
        if other.is_some() {
            packs::discard(self.objects, Some(&row)).await;
        }
        Ok(other)
    }

    /// The row of an item, whose pack is stored with it.
    async fn row(&self, item: &BacklogItem) -> Result<Row, PortError> {
        let object = object_key(&self.lane, item.key, item.put_id);
        let row = renewal::listed(item_row(&self.key(item.key), item), &item.pack);
        packs::store(self.objects, row, &item.pack, &object).await
    }

    /// Puts an item in the place of a row, if that is as it was; true if it is there.
    async fn replace(&self, stands: &Row, item: &BacklogItem) -> Result<bool, PortError> {
        let (row, stored, key) = (self.row(item).await?, Stored::of(stands)?, self.key(item.key));
        let same = match stored.due_at {
            Some(at) => Condition::new("putId = :p AND nextIndex = :i AND dueAt = :d").value(":d", number(at.0)),
            None => Condition::new("putId = :p AND nextIndex = :i AND attribute_not_exists(dueAt)"),
        };
        let same = same.value(":p", number(stored.put_id.0)).value(":i", number(stored.next));
        let mut transaction = Transaction::default().put_if(row.clone(), same);
        let partition = due_partition(&self.lane);
        if let Some(before) = stored.due_at.filter(|before| Some(*before) != item.due_at) {
            transaction = transaction.delete(&pointer_key(&partition, before, item.key));
        }
        if let Some(at) = item.due_at {
            transaction = transaction.put(pointer(&partition, at, item.key));
        }
        let is_done = self.table.transact(transaction).await? == Transacted::Done
            || self.table.get(&key).await?.is_some_and(|now| is_put(&now, item.put_id));
        packs::discard(self.objects, Some(if is_done { stands } else { &row })).await;
        Ok(is_done)
    }

    /// The row that was replaced and true, or the row that stands and false.
    async fn put_plain(&self, row: Row, item: &BacklogItem, rule: PutRule) -> Result<(Option<Row>, bool), PortError> {
        let condition = match rule {
            PutRule::Join => Condition::new("attribute_not_exists(pk)"),
            PutRule::Append | PutRule::Rewind => {
                Condition::new("attribute_not_exists(pk) OR nextIndex > :n").value(":n", number(item.next))
            }
        };
        match self.table.put_if(row, condition).await? {
            Written::Yes(before) => Ok((before, true)),
            Written::Refused(stands) => Ok((stands, false)),
        }
    }

    async fn put_due(
        &self,
        row: &Row,
        item: &BacklogItem,
        at: Time,
        rule: PutRule,
    ) -> Result<(Option<Row>, bool), PortError> {
        let place = pointer(&due_partition(&self.lane), at, item.key);
        for _ in 0..TURNS {
            let absent = Condition::new("attribute_not_exists(pk)");
            let transaction = Transaction::default().put_if(row.clone(), absent).put(place.clone());
            if self.table.transact(transaction).await? == Transacted::Done {
                return Ok((None, true));
            }
            let Some(stands) = self.table.get(&self.key(item.key)).await? else { continue };
            let stored = Stored::of(&stands)?;
            if stored.next <= item.next || rule == PutRule::Join {
                return Ok((Some(stands), false));
            }
            let same = Condition::new("putId = :p").value(":p", number(stored.put_id.0));
            let mut transaction = Transaction::default().put_if(row.clone(), same).put(place.clone());
            if let Some(due_at) = stored.due_at.filter(|due_at| *due_at != at) {
                transaction = transaction.delete(&pointer_key(&due_partition(&self.lane), due_at, item.key));
            }
            if self.table.transact(transaction).await? == Transacted::Done {
                return Ok((Some(stands), true));
            }
        }
        Err(PortError::Throttled)
    }

    /// Writes the progress of a delivery, if it is still that put.
    pub(super) async fn progress(&self, progress: &Progress<Sequence, PutId>) -> Result<(), PortError> {
        let key = self.key(progress.key);
        let put = number(progress.put_id.0);
        if let Some(next) = progress.next {
            let condition = Condition::new("putId = :p").value(":p", put);
            let condition = condition.value(":n", number(next)).value(":z", number(0));
            let update = "SET nextIndex = :n, headAttempts = :z REMOVE failedAt";
            return self.table.update_if(&key, update, condition).await.map(drop);
        }
        let plain = Condition::new("putId = :p AND attribute_not_exists(dueAt)").value(":p", put.clone());
        let mut found = match self.table.delete_if(&key, plain).await? {
            Written::Yes(before) => {
                packs::discard(self.objects, before.as_ref()).await;
                return Ok(());
            }
            Written::Refused(found) => found,
        };
        for _ in 0..TURNS {
            let Some(row) = found.filter(|row| is_put(row, progress.put_id)) else { return Ok(()) };
            // Its time is known now, and with it its pointer.
            if let Some(at) = Stored::of(&row)?.due_at {
                let same = Condition::new("putId = :p AND dueAt = :d").value(":p", put.clone());
                let transaction = Transaction::default()
                    .delete_if(&key, same.value(":d", number(at.0)))
                    .delete(&pointer_key(&due_partition(&self.lane), at, progress.key));
                if self.table.transact(transaction).await? == Transacted::Done {
                    packs::discard(self.objects, Some(&row)).await;
                    return Ok(());
                }
            }
            found = self.table.get(&key).await?;
        }
        Err(PortError::Throttled)
    }

    /// Writes what a failed attempt leaves, if it is still that put.
    pub(super) async fn fail(&self, failure: &HeadFailure) -> Result<(), PortError> {
        let key = self.key(failure.key);
        let values = |condition: Condition| {
            condition
                .value(":p", number(failure.put_id.0))
                .value(":a", number(failure.attempts))
                .value(":f", number(failure.first_failed_at.0))
        };
        let Some(at) = failure.due_at else {
            let update = "SET headAttempts = :a, failedAt = :f";
            return self.table.update_if(&key, update, values(Condition::new("putId = :p"))).await.map(drop);
        };
        for _ in 0..TURNS {
            let found = self.table.get(&key).await?.filter(|row| is_put(row, failure.put_id));
            let Some(row) = found else { return Ok(()) };
            let before = Stored::of(&row)?.due_at;
            let condition = match before {
                Some(before) => Condition::new("putId = :p AND dueAt = :o").value(":o", number(before.0)),
                None => Condition::new("putId = :p AND attribute_not_exists(dueAt)"),
            };
            let update = "SET headAttempts = :a, failedAt = :f, dueAt = :d";
            let partition = due_partition(&self.lane);
            let mut transaction = Transaction::default()
                .update_if(&key, update, values(condition).value(":d", number(at.0)))
                .put(pointer(&partition, at, failure.key));
            if let Some(before) = before.filter(|before| *before != at) {
                transaction = transaction.delete(&pointer_key(&partition, before, failure.key));
            }
            if self.table.transact(transaction).await? == Transacted::Done {
                return Ok(());
            }
        }
        Err(PortError::Throttled)
    }

    /// Loads the packs of rows, in order; none if a row is no longer what it was.
    async fn load(&self, rows: Vec<Row>) -> Result<Option<Vec<BacklogItem>>, PortError> {
        let loaded = stream::iter(rows).map(|row| async move {
            match packs::load(self.objects, &row).await {
                Ok(pack) => Stored::of(&row)?.with_pack(pack).map(Some),
                // Its object goes after the row: the row was replaced or deleted since it was read.
                Err(PortError::NotFound) => {
                    let now = self.table.get(&row.key()?).await?;
                    let same = now.is_some_and(|now| packs::object_of(&now) == packs::object_of(&row));
                    let lost = || PortError::Corrupt(format!("the object of {:?} is gone", row.key()));
                    if same { Err(lost()) } else { Ok(None) }
                }
                Err(error) => Err(error),
            }
        });
        let items: Vec<Option<BacklogItem>> = loaded.buffered(AT_ONCE).try_collect().await?;
        Ok(items.into_iter().collect())
    }

    /// The first items, about [`BACKLOG_READ_BYTES`] of them and at least one.
    pub(super) async fn first(&self, limit: usize) -> Result<Vec<BacklogItem>, PortError> {
        for _ in 0..TURNS {
            let enough = |rows: &[Row]| rows.iter().map(packs::bytes_of).sum::<usize>() < BACKLOG_READ_BYTES;
            let mut rows = self.table.query_while(Query::of(partition(&self.lane)).limit(limit), enough).await?;
            rows.truncate(within(rows.iter()));
            if let Some(items) = self.load(rows).await? {
                return Ok(items);
            }
        }
        Err(PortError::Throttled)
    }

    /// Key, put id and next index of the first item.
    pub(super) async fn head(&self) -> Result<Option<(Sequence, PutId, u16)>, PortError> {
        let query = Query::of(partition(&self.lane)).limit(1);
        let row = self.table.query(query).await?.pop();
        row.map(|row| Stored::of(&row).map(|stored| (stored.key, stored.put_id, stored.next))).transpose()
    }

    /// One item.
    pub(super) async fn one(&self, sequence: Sequence) -> Result<Option<BacklogItem>, PortError> {
        for _ in 0..TURNS {
            let Some(row) = self.table.get(&self.key(sequence)).await? else { return Ok(None) };
            if let Some(mut items) = self.load(vec![row]).await? {
                return Ok(items.pop());
            }
        }
        Err(PortError::Throttled)
    }

    /// The items that are due, and when the next one after those is.
    pub(super) async fn due(&self, now: Time, limit: usize) -> Result<(Vec<BacklogItem>, Option<Time>), PortError> {
        for _ in 0..TURNS {
            let query = Query::of(due_partition(&self.lane)).limit(limit.saturating_add(1));
            let pointers = self.table.query(query).await?;
            let places: Vec<(Time, Sequence)> = pointers.iter().map(place_of).collect::<Result<_, _>>()?;
            let due = places.iter().take_while(|(at, _)| *at <= now).take(limit).count();
            let keys: Vec<Key> = places[..due].iter().map(|(_, sequence)| self.key(*sequence)).collect();
            let mut rows = self.table.batch_get(&keys, None).await?;
            let found: Vec<Option<Row>> = keys.iter().map(|key| rows.remove(key)).collect();
            if due > 0 && found.iter().all(Option::is_none) {
                // All were dealt with since the pointers were read.
                continue;
            }
            let enough = within(found.iter().flatten());
            let (mut taken, mut through) = (Vec::new(), 0);
            for row in found {
                if taken.len() == enough {
                    break;
                }
                taken.extend(row);
                through += 1;
            }
            let next = places.get(through).map(|(at, _)| *at);
            if let Some(items) = self.load(taken).await? {
                return Ok((items, next));
            }
        }
        Err(PortError::Throttled)
    }

    /// The item that is due first.
    pub(super) async fn first_due(&self) -> Result<Option<BacklogItem>, PortError> {
        Ok(self.due(Time(u64::MAX >> 1), 1).await?.0.pop())
    }

    /// Number of undelivered events.
    pub(super) async fn depth(&self) -> Result<u64, PortError> {
        let rows = self.table.query(Query::of(partition(&self.lane)).only("nextIndex, endIndex")).await?;
        let depth = |row: &Row| {
            let (next, end): (u64, u64) = (row.number("nextIndex")?, row.number("endIndex")?);
            Ok(end.saturating_sub(next))
        };
        rows.iter().map(depth).sum()
    }

    /// Removes some items; true if those were all.
    pub(super) async fn remove(&self) -> Result<bool, PortError> {
        let query = Query::of(partition(&self.lane)).only("pk, sk, dueAt, packObject").limit(REMOVE);
        let rows = self.table.query(query).await?;
        let mut keys = Vec::with_capacity(rows.len());
        for row in &rows {
            packs::discard(self.objects, Some(row)).await;
            let key = row.key()?;
            if let (Some(at), Ok(sequence)) = (row.find_number("dueAt"), key.sk.parse()) {
                keys.push(pointer_key(&due_partition(&self.lane), Time(at), sequence));
            }
            keys.push(key);
        }
        self.table.batch_delete(&keys).await?;
        Ok(rows.len() < REMOVE)
    }
}

fn place_of(pointer: &Row) -> Result<(Time, Sequence), PortError> {
    let corrupt = || PortError::Corrupt("a pointer to a backlog item cannot be read".to_owned());
    let (at, sequence) = pointer.text("sk")?.split_once('#').ok_or_else(corrupt)?;
    Ok((Time(at.parse().map_err(|_| corrupt())?), sequence.parse().map_err(|_| corrupt())?))
}

/// How many of the first rows hold about [`BACKLOG_READ_BYTES`]: at least one.
fn within<'a>(rows: impl Iterator<Item = &'a Row>) -> usize {
    let mut bytes = 0;
    rows.take_while(|row| {
        let is_room = bytes < BACKLOG_READ_BYTES;
        bytes += packs::bytes_of(row);
        is_room
    })
    .count()
}
