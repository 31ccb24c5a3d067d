use super::*;
use crate::event::fault::EventFault;
use crate::event::write::{Stamp, structured};
use crate::event::{AttributeValue, Event, samples};
use crate::names::PartitionKey;
use crate::pack::LaneKey;
use crate::replay_id::ReplayId;
use crate::sequence::PackSequence;
use crate::time::Time;
use proptest::prelude::*;

fn one(text: &str) -> Result<Incoming, ParseFault> {
    event(&Bytes::copy_from_slice(text.as_bytes()))
}

fn many(text: &str) -> Result<Vec<Incoming>, ParseFault> {
    batch(&Bytes::copy_from_slice(text.as_bytes()))
}

/// A valid event with these members more.
fn with(members: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{members}}}"#)
}

fn faults<T: std::fmt::Debug>(read: Result<T, ParseFault>) -> Vec<(String, String)> {
    match read {
        Err(ParseFault::Invalid(list)) => {
            list.into_iter().map(|EventFault { pointer, detail, .. }| (pointer, detail.into_owned())).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn pointers<T: std::fmt::Debug>(read: Result<T, ParseFault>) -> Vec<String> {
    faults(read).into_iter().map(|(pointer, _)| pointer).collect()
}

#[test]
fn every_attribute_is_read_and_the_data_is_kept_as_written() {
    let text = concat!(
        r#" { "specversion" : "1.0", "id":"A-1","source":"/shop","type":"order.paid","subject":"order/1","#,
        r#""time":"2026-11-18T11:06:40Z","datacontenttype":"application/json","dataschema":"https://example.com/s","#,
        r#""partitionkey":"k","traceparent":"00-x","retry":true,"weight":-5,"data":{ "total": 1.50 }} "#,
    );
    let incoming = one(text).unwrap();
    assert_eq!(incoming.event, samples::full());
    assert_eq!(incoming.partition_key, Some(PartitionKey::new("k").unwrap()));
    assert_eq!(incoming.bytes, text.len());
}

#[test]
fn json_data_is_shared_with_the_body() {
    let body = Bytes::from(with(r#","data":[1, 2]"#));
    let EventData::Json(data) = event(&body).unwrap().event.data else { panic!("not JSON") };
    assert!(body.as_ptr_range().contains(&data.as_ptr()));
}

#[test]
fn the_media_type_decides_what_a_string_is_wherever_it_stands() {
    let data = |members: &str| one(&with(members)).unwrap().event.data;
    let json = |text: &'static str| EventData::Json(Bytes::from_static(text.as_bytes()));
    assert_eq!(data(r#","data":"a\nb""#), json(r#""a\nb""#));
    assert_eq!(data(r#","data":"x","datacontenttype":"application/vnd.x+json""#), json(r#""x""#));
    assert_eq!(data(r#","data":"a\nb","datacontenttype":"text/plain""#), EventData::Text("a\nb".into()));
    assert_eq!(data(r#","datacontenttype":"text/xml","data":"<a/>""#), EventData::Text("<a/>".into()));
    assert_eq!(data(r#","datacontenttype":"text/xml","data":{}"#), json("{}"));
    assert_eq!(data(r#","data":null"#), json("null"));
    assert_eq!(data(r#","data_base64":"AP8=""#), EventData::Binary(Bytes::from_static(&[0, 255])));
    assert_eq!(data(r#","data":1,"data_base64":null"#), json("1"));
    assert_eq!(data(""), EventData::None);
}

#[test]
fn an_attribute_that_is_null_is_absent() {
    let incoming = one(&with(r#","subject":null,"ext":null,"partitionkey":null"#)).unwrap();
    assert_eq!((incoming.event.subject, incoming.event.extensions, incoming.partition_key), (None, vec![], None));
    assert_eq!(pointers(one(r#"{"specversion":"1.0","id":null,"source":"/s","type":"t"}"#)), ["/id"]);
}

#[test]
fn the_broker_s_own_attributes_are_dropped() {
    let incoming = one(&with(r#","sequence":"5","sequencetype":"Integer","replayid":"x","kept":"y""#)).unwrap();
    assert_eq!(incoming.event.extensions, [("kept".to_owned(), AttributeValue::Text("y".into()))]);
}

#[test]
fn each_fault_names_its_member() {
    let cases: [(&str, &[&str]); 24] = [
        ("", &[""]),
        ("[]", &[""]),
        ("5", &[""]),
        ("{}", &["/specversion", "/id", "/source", "/type"]),
        (r#"{"specversion":"0.3","id":"1","source":"/s","type":"t"}"#, &["/specversion"]),
        (&with(r#","id":"2""#), &["/id"]),
        (&with(r#","a":1,"a":1"#), &["/a"]),
        (&with(r#","a":null,"a":1"#), &["/a"]),
        (&with(r#","sequence":null,"sequence":1"#), &["/sequence"]),
        (&with(r#","data":1,"data":2"#), &["/data"]),
        (&with(r#","data":1,"data_base64":"AA==""#), &["/data_base64"]),
        (&with(r#","data_base64":"A""#), &["/data_base64"]),
        (&with(r#","data_base64":5"#), &["/data_base64"]),
        (&with(r#","subject":"","time":"now","dataschema":"/s""#), &["/subject", "/time", "/dataschema"]),
        (&with(r#","datacontenttype":"json""#), &["/datacontenttype"]),
        (&with(r#","UPPER":1"#), &["/UPPER"]),
        (&with(r#","a/b~c":1"#), &["/a~1b~0c"]),
        (&with(r#","a":1.5,"b":2147483648,"c":{},"d":[]"#), &["/a", "/b", "/c", "/d"]),
        (&with(r#","partitionkey":5"#), &["/partitionkey"]),
        (&with(r#","partitionkey":"""#), &["/partitionkey"]),
        (&with(r#","a":"\u0000""#), &["/a"]),
        (&with(r#","a":"\ud800""#), &["/a"]),
        (&with(r#","data":{"x":}"#), &["/data"]),
        (&(with("") + "x"), &[""]),
    ];
    for (text, expected) in cases {
        assert_eq!(pointers(one(text)), expected, "{text}");
    }
    let typed = r#"{"specversion":1.0,"id":5,"source":"","type":true}"#;
    assert_eq!(pointers(one(typed)), ["/specversion", "/id", "/source", "/type"]);
}

#[test]
fn a_fault_in_a_batch_names_the_event() {
    let (good, bad) = (with(""), with(r#","time":"x""#));
    assert_eq!(many(&format!("[{good},{good}]")).unwrap().len(), 2);
    assert_eq!(pointers(many(&format!("[{good},{bad},5,{bad}]"))), ["/1/time", "/2", "/3/time"]);
    assert_eq!(pointers(many(&format!("[{good},{{\"id\":}}]"))), ["/1/id"]);
    assert_eq!(pointers(many(&format!("[{good},"))), [""; 1].map(|_| "/1".to_owned()));
    assert_eq!(faults(many("[]")), [(String::new(), "a batch holds at least one event".to_owned())]);
    assert_eq!(faults(many("{}")), [(String::new(), "a batch is a JSON array of events".to_owned())]);
    assert_eq!(pointers(many(&format!("[{good}] [")))[0], "");
    assert_eq!(pointers(many(&format!("[{}{bad}]", format!("{bad},").repeat(50)))).len(), 20);
}

#[test]
fn a_batch_s_events_are_counted_and_sized_one_by_one() {
    let (short, long) = (with(""), with(r#","data":"0123456789""#));
    let sizes: Vec<_> = many(&format!(" [ {short} , {long} ] ")).unwrap().iter().map(|event| event.bytes).collect();
    assert_eq!(sizes, [short.len(), long.len()]);
    let batch_of = |count: usize| format!("[{}{short}]", format!("{short},").repeat(count - 1));
    assert_eq!(many(&batch_of(1_000)).unwrap().len(), 1_000);
    assert_eq!(many(&batch_of(1_001)).unwrap_err(), ParseFault::TooManyEvents);
}

#[test]
fn nesting_counts_from_the_body_s_root() {
    let nested = |levels: usize| with(&format!(r#","data":{}{}"#, "[".repeat(levels), "]".repeat(levels)));
    assert!(one(&nested(127)).is_ok());
    assert_eq!(faults(one(&nested(128)))[0], ("/data".to_owned(), JsonFault::TooDeep.to_string()));
    assert!(many(&format!("[{}]", nested(126))).is_ok());
    assert_eq!(pointers(many(&format!("[{}]", nested(127)))), ["/0/data"]);
    let deep_attribute = with(&format!(r#","a":{}"#, "[".repeat(100_000)));
    assert_eq!(pointers(one(&deep_attribute)), ["/a"]);
}

#[test]
fn sizes_of_attributes_are_bounded() {
    let text = |bytes: usize| "x".repeat(bytes);
    assert!(one(&with(&format!(r#","a":"{}""#, text(8_192)))).is_ok());
    assert_eq!(pointers(one(&with(&format!(r#","a":"{}""#, text(8_193))))), ["/a"]);
    let two = format!(r#","a":"{}","b":"{}""#, text(8_192), text(8_192));
    assert_eq!(pointers(one(&with(&two))), [""]);
    let extensions: String = (0..65).map(|number| format!(r#","e{number}":1"#)).collect();
    assert_eq!(pointers(one(&with(&extensions))), ["/e64"]);
    assert_eq!(pointers(one(&with("").replace(r#""1""#, &format!("{:?}", text(1_025))))), ["/id"]);
}

#[test]
fn what_is_not_utf_8_is_refused() {
    let broken = Bytes::from_static(b"{\"id\":\"\xff\"}");
    assert_eq!(faults(event(&broken)), [(String::new(), "not UTF-8 after byte 7".to_owned())]);
    assert_eq!(pointers(batch(&broken)), [""]);
}

/// An event that a publisher may send, in the form that a delivery has.
fn sendable() -> impl Strategy<Value = Event> {
    samples::event().prop_filter("kept elsewhere", |event| !matches!(event.data, EventData::Stored(_))).prop_map(
        |mut event| {
            let clean = |text: &str| text.replace(|c: char| !super::super::grammar::is_text(&c.to_string()), "_");
            event.id = clean(&event.id);
            event.kind = clean(&event.kind);
            event.source = event.source.replace('%', "_");
            event.subject = event.subject.as_deref().map(clean);
            for (_, value) in &mut event.extensions {
                if let AttributeValue::Text(text) = value {
                    *text = clean(text);
                }
            }
            // Text is data that its media type says is not JSON.
            event.content_type = matches!(event.data, EventData::Text(_)).then(|| "text/plain".to_owned());
            event.made = false;
            event
        },
    )
}

fn delivered(event: &Event) -> Bytes {
    let key = PartitionKey::new("k").unwrap();
    let sequence = PackSequence { era: 1, number: 2 }.event(3);
    let replay_id = ReplayId::accepted(&LaneKey::Ordered(key.clone()), Time(4), sequence);
    let mut out = Vec::new();
    let stamp = Stamp { sequence, key: Some(&key), replay_id };
    structured(&mut out, event, &stamp, &event.data.payload(None).unwrap());
    Bytes::from(out)
}

proptest! {
    #[test]
    fn a_delivered_event_published_again_is_the_same_event(sent in sendable()) {
        let read = event(&delivered(&sent)).unwrap();
        prop_assert_eq!(read.event, sent);
        prop_assert_eq!(read.partition_key, Some(PartitionKey::new("k").unwrap()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn mutations_of_valid_requests_are_events_or_faults(
        sent in prop::collection::vec(sendable(), 1..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 1..6),
        as_batch: bool,
    ) {
        let mut body: Vec<u8> = if as_batch {
            let events: Vec<_> = sent.iter().map(delivered).collect();
            [b"[".as_slice(), &events.join(&b','), b"]"].concat()
        } else {
            delivered(&sent[0]).to_vec()
        };
        for (at, byte, change) in changes {
            let at = at.index(body.len());
            match change {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                2 => body.insert(at, b"{}[]\",:\\"[usize::from(byte) % 8]),
                _ => { body.remove(at); }
            }
            if body.is_empty() {
                body.push(byte);
            }
        }
        let body = Bytes::from(body);
        if let Err(ParseFault::Invalid(list)) = if as_batch { batch(&body).map(|_| ()) } else { event(&body).map(|_| ()) } {
            prop_assert!(!list.is_empty());
            prop_assert!(list.iter().all(|fault| fault.pointer.is_empty() || fault.pointer.starts_with('/')));
        }
    }
}
