//! Publish requests, made once and then only filled in.

use super::marker::{Marker, write_hex};
use std::fmt::Write as _;
use url::Url;

/// What is the same for all publish requests of a run.
#[derive(Clone, Debug)]
pub struct RequestShape {
    /// The broker.
    pub url: Url,
    /// The API key.
    pub key: String,
    /// The topic.
    pub topic: String,
    /// Events in one request.
    pub batch: usize,
    /// Bytes of an event's data.
    pub size: usize,
    /// Names the run.
    pub run: u64,
}

/// One publish request as bytes, with the places that differ from event to event.
#[derive(Clone, Debug)]
pub struct PublishRequest {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    id: usize,
    partition_key: usize,
    marker: usize,
}

/// `<run>-<key>-<number>`: unique within the source, and the same whenever the same event is sent.
const ID_LENGTH: usize = 16 + 1 + 8 + 1 + 8;
/// `key-<key>`.
const PARTITION_KEY_LENGTH: usize = 4 + 8;

/// The partition key of a key.
#[must_use]
pub fn partition_key(key: u32) -> String {
    format!("key-{key:08x}")
}

impl PublishRequest {
    /// One event in binary mode, more as a batch: the two forms with the least around them.
    #[must_use]
    pub fn new(shape: &RequestShape) -> PublishRequest {
        if shape.batch == 1 { Self::single(shape) } else { Self::batch(shape) }
    }

    /// Fills in the event at an index of the request.
    pub fn fill(&mut self, index: usize, marker: &Marker) {
        let slot = self.slots[index];
        let id = &mut self.bytes[slot.id..slot.id + ID_LENGTH];
        write_hex(&mut id[..16], marker.run);
        write_hex(&mut id[17..25], marker.key.into());
        write_hex(&mut id[26..], marker.number.into());
        write_hex(
            &mut self.bytes[slot.partition_key + 4..slot.partition_key + PARTITION_KEY_LENGTH],
            marker.key.into(),
        );
        marker.write(&mut self.bytes[slot.marker..slot.marker + Marker::LENGTH]);
    }

    /// The request as it is sent.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn single(shape: &RequestShape) -> PublishRequest {
        let mut head = Head::new(shape, "application/json", shape.size.max(Piece::data(0).text.len()));
        head.line("ce-specversion", "1.0");
        head.line("ce-type", EVENT_TYPE);
        head.line("ce-source", &source(shape.run));
        let id = head.line("ce-id", &"-".repeat(ID_LENGTH));
        let partition_key = head.line("partitionkey", &partition_key(0));
        let mut bytes = head.end();
        let data = Piece::data(shape.size);
        let slots = vec![Slot { id, partition_key, marker: bytes.len() + data.marker }];
        bytes.extend(data.text);
        PublishRequest { bytes, slots }
    }

    fn batch(shape: &RequestShape) -> PublishRequest {
        let event = Piece::event(shape);
        // Brackets, and a comma after each but the last.
        let length = shape.batch * (event.text.len() + 1) + 1;
        let mut bytes = Head::new(shape, "application/cloudevents-batch+json", length).end();
        let mut slots = Vec::with_capacity(shape.batch);
        for index in 0..shape.batch {
            bytes.push(if index == 0 { b'[' } else { b',' });
            let start = bytes.len();
            slots.push(Slot {
                id: start + event.id,
                partition_key: start + event.partition_key,
                marker: start + event.marker,
            });
            bytes.extend(&event.text);
        }
        bytes.push(b']');
        PublishRequest { bytes, slots }
    }
}

const EVENT_TYPE: &str = "relay.load.event";

fn source(run: u64) -> String {
    format!("/relay/load/{run:016x}")
}

/// Some JSON, and where in it the places to fill in are.
struct Piece {
    text: Vec<u8>,
    id: usize,
    partition_key: usize,
    marker: usize,
}

impl Piece {
    /// An event's data: a marker, and as much padding as makes it `size` bytes long.
    fn data(size: usize) -> Piece {
        let (member, start) = Marker::member();
        let mut text = b"{".to_vec();
        let marker = text.len() + start;
        text.extend(member);
        let (before, after) = (b",\"padding\":\"".as_slice(), b"\"}".as_slice());
        match size.checked_sub(text.len() + before.len() + after.len()) {
            Some(padding) => {
                text.extend(before);
                text.resize(text.len() + padding, b'x');
                text.extend(after);
            }
            None => text.push(b'}'),
        }
        Piece { text, id: 0, partition_key: 0, marker }
    }

    fn event(shape: &RequestShape) -> Piece {
        let mut text = format!(
            r#"{{"specversion":"1.0","type":"{EVENT_TYPE}","source":"{}","datacontenttype":"application/json","id":""#,
            source(shape.run)
        )
        .into_bytes();
        let id = text.len();
        text.resize(id + ID_LENGTH, b'-');
        text.extend(br#"","partitionkey":""#);
        let partition_key_at = text.len();
        text.extend(partition_key(0).as_bytes());
        text.extend(br#"","data":"#);
        let data = Piece::data(shape.size);
        let marker = text.len() + data.marker;
        text.extend(data.text);
        text.push(b'}');
        Piece { text, id, partition_key: partition_key_at, marker }
    }
}

/// The head of a request.
struct Head(String);

impl Head {
    fn new(shape: &RequestShape, content_type: &str, length: usize) -> Head {
        let base = shape.url.path().trim_end_matches('/');
        let mut head = Head(format!("POST {base}/v1/topics/{}/events HTTP/1.1\r\n", shape.topic));
        head.line("host", super::connection::authority(&shape.url).as_str());
        head.line("authorization", &format!("Bearer {}", shape.key));
        head.line("content-type", content_type);
        head.line("content-length", &length.to_string());
        head
    }

    /// Adds a header, and tells where its value begins.
    fn line(&mut self, name: &str, value: &str) -> usize {
        let start = self.0.len() + name.len() + 2;
        // Writing to a text cannot fail.
        let _ = write!(self.0, "{name}: {value}\r\n");
        start
    }

    fn end(mut self) -> Vec<u8> {
        self.0.push_str("\r\n");
        self.0.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn shape(batch: usize, size: usize) -> RequestShape {
        let url = Url::parse("http://127.0.0.1:8080/base/").unwrap();
        RequestShape { url, key: "secret".into(), topic: "orders".into(), batch, size, run: 0xabc }
    }

    fn split(request: &PublishRequest) -> (String, Value) {
        let bytes = request.bytes();
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        assert_eq!(length.parse(), Ok(bytes.len() - end));
        (head, serde_json::from_slice(&bytes[end..]).unwrap())
    }

    #[test]
    fn a_single_event_is_sent_in_binary_mode_with_data_of_the_asked_size() {
        let mut request = PublishRequest::new(&shape(1, 1024));
        let marker = Marker { run: 0xabc, key: 0x1f, number: 9, at: 5 };
        request.fill(0, &marker);
        let (head, data) = split(&request);
        assert!(head.starts_with("POST /base/v1/topics/orders/events HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n"), "{head}");
        for line in [
            "authorization: Bearer secret",
            "ce-id: 0000000000000abc-0000001f-00000009",
            "partitionkey: key-0000001f",
            "content-length: 1024",
        ] {
            assert!(head.lines().any(|found| found == line), "{line} in {head}");
        }
        assert!(data["padding"].as_str().unwrap().len() > 900);
        assert_eq!(Marker::find_all(request.bytes()).collect::<Vec<_>>(), [marker]);
    }

    #[test]
    fn a_batch_carries_each_event_with_its_own_id_and_key() {
        let mut request = PublishRequest::new(&shape(3, 10));
        for index in 0..3 {
            let number = u32::try_from(index).unwrap();
            request.fill(index, &Marker { run: 0xabc, key: number + 1, number, at: 5 });
        }
        let (head, events) = split(&request);
        assert!(head.contains("content-type: application/cloudevents-batch+json"));
        let ids: Vec<_> =
            events.as_array().unwrap().iter().map(|event| (&event["id"], &event["partitionkey"])).collect();
        assert_eq!(ids.len(), 3);
        assert_eq!(ids[2], (&"0000000000000abc-00000003-00000002".into(), &"key-00000003".into()));
        assert_eq!(Marker::find_all(request.bytes()).map(|marker| marker.key).collect::<Vec<_>>(), [1, 2, 3]);
    }
}
