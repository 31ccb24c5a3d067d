//! Where reading or delivery starts, as clients write it: `"earliest"`, `"latest"`, `{"replayId": …}`, `{"time": …}` in a
//! document; in a text, where there are no objects, the replay id or the time itself.

use crate::document::{Faults, Object};
use relay_core::log::Start;
use relay_core::replay_id::ReplayId;
use relay_core::time::Time;
use serde_json::Value;

/// The place that a text names; none if it names none.
pub(crate) fn parse(text: &str) -> Option<Start> {
    let replay = || text.parse::<ReplayId>().ok().map(Start::After);
    word(text).or_else(replay).or_else(|| Time::parse(text).map(Start::Time))
}

fn word(text: &str) -> Option<Start> {
    match text {
        "earliest" => Some(Start::Earliest),
        "latest" => Some(Start::Latest),
        _ => None,
    }
}

/// Reads a member of a document; none if it is absent or at fault.
pub(crate) fn read(document: &mut Object, name: &str, faults: &mut Faults) -> Option<Start> {
    let pointer = document.pointer_to(name);
    let start = match document.take(name)? {
        Value::String(text) => word(&text),
        Value::Object(members) => return of_object(Object::at(pointer, members), faults),
        _ => None,
    };
    if start.is_none() {
        faults.invalid(pointer, "must be \"earliest\", \"latest\", {\"replayId\": …} or {\"time\": …}");
    }
    start
}

fn of_object(mut object: Object, faults: &mut Faults) -> Option<Start> {
    let pointers = (object.pointer_to("replayId"), object.pointer_to("time"));
    let (replay, time) = (object.take("replayId"), object.take("time"));
    let text = |value: &Value| value.as_str().map(str::to_owned).unwrap_or_default();
    let start = match (replay, time) {
        (Some(value), None) => {
            let start = text(&value).parse().ok().map(Start::After);
            start.ok_or((pointers.0, "must be a replay id"))
        }
        (None, Some(value)) => {
            let start = Time::parse(&text(&value)).map(Start::Time);
            start.ok_or((pointers.1, "must be a time in RFC 3339"))
        }
        (Some(_), Some(_)) => Err((pointers.1, "stands instead of `replayId`, not beside it")),
        (None, None) => Err((pointers.0, "is required, or `time`")),
    };
    object.finish(faults);
    start.map_err(|(pointer, detail)| faults.invalid(pointer, detail)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_core::pack::LaneKey;
    use relay_core::sequence::PackSequence;
    use serde_json::json;

    fn replay_id() -> ReplayId {
        ReplayId::accepted(&LaneKey::Unordered(3), Time(7), PackSequence { era: 1, number: 2 }.event(0))
    }

    fn read_one(value: Value) -> Result<Option<Start>, String> {
        let mut faults = Faults::default();
        let mut document = Object::root(json!({ "from": value })).unwrap();
        let start = read(&mut document, "from", &mut faults);
        document.finish(&mut faults);
        faults.none().map(|()| start).map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn every_way_to_name_a_place_is_read() {
        let (id, time) = (replay_id(), Time::parse("2026-11-20T21:22:23.456Z").unwrap());
        for (value, start) in [
            (json!("earliest"), Start::Earliest),
            (json!("latest"), Start::Latest),
            (json!({"replayId": id.to_string()}), Start::After(id)),
            (json!({"time": "2026-11-20T21:22:23.456Z", "replayId": null}), Start::Time(time)),
        ] {
            assert_eq!(read_one(value), Ok(Some(start)));
        }
        assert_eq!(read_one(Value::Null), Ok(None));
        assert_eq!(parse("earliest"), Some(Start::Earliest));
        assert_eq!(parse("latest"), Some(Start::Latest));
        assert_eq!(parse(&id.to_string()), Some(Start::After(id)));
        assert_eq!(parse("2026-11-20T21:22:23.456Z"), Some(Start::Time(time)));
    }

    #[test]
    fn what_names_no_place_is_refused_with_its_pointer() {
        let id = replay_id().to_string();
        for (value, pointer) in [
            (json!("first"), "/from:"),
            (json!(id), "/from:"),
            (json!(7), "/from:"),
            (json!(["latest"]), "/from:"),
            (json!({}), "/from/replayId:"),
            (json!({"replayId": "x"}), "/from/replayId:"),
            (json!({"replayId": 1}), "/from/replayId:"),
            (json!({"time": "yesterday"}), "/from/time:"),
            (json!({"time": "2026-11-20T21:22:23Z", "replayId": id}), "/from/time:"),
            (json!({"replayId": id, "key": "a"}), "/from/key:"),
        ] {
            let refused = read_one(value.clone()).expect_err("it is refused");
            assert!(refused.starts_with(pointer), "{value}: {refused}");
        }
        for bad in ["", "first", "AAAA", "2026-13-40"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
