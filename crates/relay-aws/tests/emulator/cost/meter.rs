//! What calls cost: requests as each service bills them.

use crate::wire::Call;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Bytes that SQS bills as one request (<https://aws.amazon.com/sqs/pricing/>).
const SQS_CHUNK: usize = 64 * 1024;
/// Bytes of an item that one write unit writes, and one read unit reads strongly consistently
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html>).
const WRITE_UNIT: usize = 1024;
const READ_UNIT: usize = 4096;

/// What was used of AWS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Events that it was used for.
    pub events: u64,
    /// Calls by operation.
    pub calls: BTreeMap<String, u64>,
    /// Requests as SQS bills them, of FIFO queues.
    pub fifo_requests: u64,
    /// Requests as SQS bills them, of standard queues.
    pub standard_requests: u64,
    /// DynamoDB's write request units.
    pub write_units: u64,
    /// DynamoDB's read request units, of which an eventually consistent read takes half.
    pub read_units: f64,
    /// S3's requests of the dearer class: PUT, LIST.
    pub puts: u64,
    /// S3's requests of the cheaper class: GET.
    pub gets: u64,
    /// Bytes of request bodies.
    pub sent: u64,
    /// Bytes of answer bodies.
    pub received: u64,
}

impl Usage {
    /// The usage that calls come to.
    pub fn of(calls: &[Call], events: u64) -> Usage {
        let mut usage = Usage { events, ..Usage::default() };
        for call in calls {
            usage.add(call);
        }
        usage
    }

    /// Number of all calls.
    pub fn requests(&self) -> u64 {
        self.calls.values().sum()
    }

    /// Number of calls of an operation.
    pub fn count(&self, operation: &str) -> u64 {
        self.calls.get(operation).copied().unwrap_or(0)
    }

    fn add(&mut self, call: &Call) {
        *self.calls.entry(call.operation.clone()).or_default() += 1;
        self.sent += call.sent;
        self.received += call.received;
        match call.operation.split_once('.') {
            Some(("SQS", name)) => {
                let chunks = sqs_bytes(name, call).div_ceil(SQS_CHUNK).max(1) as u64;
                let is_fifo = call.request["QueueUrl"].as_str().is_some_and(|url| url.ends_with(".fifo"));
                *(if is_fifo { &mut self.fifo_requests } else { &mut self.standard_requests }) += chunks;
            }
            Some(("DynamoDB", name)) => self.add_units(name, call),
            Some((_, "GetObject")) => self.gets += 1,
            // Deleting is free (https://aws.amazon.com/s3/pricing/).
            Some((_, "DeleteObject")) => {}
            _ => self.puts += 1,
        }
    }

    fn add_units(&mut self, name: &str, call: &Call) {
        let (request, answer) = (&call.request, &call.answer);
        match name {
            "GetItem" => self.read_units += read_units(size(&answer["Item"])) * consistency(request),
            "Query" => {
                let bytes = array(&answer["Items"]).iter().map(size).sum();
                self.read_units += read_units(bytes) * consistency(request);
            }
            "BatchGetItem" => {
                for (table, asked) in object(&request["RequestItems"]) {
                    let found = array(&answer["Responses"][table]);
                    let absent = array(&asked["Keys"]).len().saturating_sub(found.len());
                    let units: f64 = found.iter().map(|item| read_units(size(item))).sum();
                    self.read_units += (units + absent as f64) * consistency(asked);
                }
            }
            // The larger of the item before and after counts.
            "PutItem" => {
                let (after, before) = (&request["Item"], &answer["Attributes"]);
                self.write_units += write_units(size(after).max(size(before)));
                if answer["__type"].is_null() {
                    self.write_units += index_units(before, after);
                }
            }
            "UpdateItem" | "DeleteItem" => {
                self.write_units += write_units(size(&answer["Attributes"]).max(size(&answer["Item"])));
                if name == "DeleteItem" {
                    self.write_units += index_units(&answer["Attributes"], &Value::Null);
                }
            }
            "TransactWriteItems" => {
                for step in array(&request["TransactItems"]) {
                    // What is updated or deleted in a transaction is small here: a head, a lane item, a marker.
                    self.write_units += 2 * write_units(size(&step["Put"]["Item"]));
                    let is_indexed = |key: &Value| {
                        key["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with("LANE#") || pk.starts_with("HELD#"))
                    };
                    let deletes = u64::from(is_indexed(&step["Delete"]["Key"]));
                    self.write_units += deletes + index_units(&Value::Null, &step["Put"]["Item"]);
                }
            }
            "BatchWriteItem" => {
                let tables = object(&request["RequestItems"]);
                self.write_units += tables.map(|(_, writes)| array(writes).len() as u64).sum::<u64>();
            }
            _ => {}
        }
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn sqs_bytes(name: &str, call: &Call) -> usize {
    let of = |messages: &Value, member: &str| -> usize {
        array(messages).iter().filter_map(|message| message[member].as_str()).map(str::len).sum()
    };
    match name {
        "SendMessageBatch" => of(&call.request["Entries"], "MessageBody"),
        "ReceiveMessage" => of(&call.answer["Messages"], "Body"),
        _ => 0,
    }
}

fn write_units(bytes: usize) -> u64 {
    bytes.div_ceil(WRITE_UNIT).max(1) as u64
}

fn read_units(bytes: usize) -> f64 {
    bytes.div_ceil(READ_UNIT).max(1) as f64
}

fn consistency(request: &Value) -> f64 {
    if request["ConsistentRead"] == Value::Bool(true) { 1.0 } else { 0.5 }
}

/// Writes of the index of keys: an entry that is new, gone, or (as its key moved) both.
fn index_units(before: &Value, after: &Value) -> u64 {
    let entry = |item: &Value| item["gpk"]["S"].as_str().map(|gpk| (gpk.to_owned(), item["gsk"]["S"].to_string()));
    match (entry(before), entry(after)) {
        (Some(before), Some(after)) if before == after => 0,
        (Some(_), Some(_)) => 2,
        (None, None) => 0,
        _ => 1,
    }
}

/// Bytes of an item: names and values
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>).
fn size(item: &Value) -> usize {
    let value = |value: &Value| -> usize {
        object(value)
            .map(|(kind, value)| match (kind.as_str(), value.as_str()) {
                ("S", Some(text)) => text.len(),
                ("N", Some(digits)) => digits.len().div_ceil(2) + 1,
                ("B", Some(base64)) => base64.len() / 4 * 3,
                _ => 1,
            })
            .sum()
    };
    object(item).map(|(name, attribute)| name.len() + value(attribute)).sum()
}
