//! An event as it is answered, and what this side has to know of it.

use crate::client::CallFault;
use relay_core::replay_id::ReplayId;
use relay_core::time::Time;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// An event: the very JSON that the broker sent.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Event(Box<RawValue>);

impl Event {
    /// On one line: data keeps its publisher's line breaks, which in JSON stand only where a blank may stand as well.
    pub fn line(&self) -> Cow<'_, str> {
        let text = self.0.get();
        if text.contains(['\n', '\r']) { Cow::Owned(text.replace(['\n', '\r'], " ")) } else { Cow::Borrowed(text) }
    }

    /// When it was logged.
    ///
    /// # Errors
    /// If its replay id is none that this version reads.
    pub fn logged_at(&self) -> Result<Time, CallFault> {
        #[derive(Deserialize)]
        struct Named {
            replayid: String,
        }
        let id = serde_json::from_str(self.0.get()).ok().and_then(|named: Named| named.replayid.parse().ok());
        id.map(|id: ReplayId| id.at).ok_or_else(|| {
            CallFault::Strange("an event's replay id cannot be read; a later `relay` may read it".to_owned())
        })
    }
}

#[cfg(test)]
impl Event {
    /// An event that was logged then.
    pub fn example(id: &str, at: Time) -> Event {
        use relay_core::pack::LaneKey;
        use relay_core::sequence::PackSequence;
        let sequence = PackSequence { era: 1, number: 1 }.event(0);
        let replayid = ReplayId::accepted(&LaneKey::Unordered(0), at, sequence).to_string();
        let text = serde_json::json!({ "id": id, "replayid": replayid }).to_string();
        Event(RawValue::from_string(text).unwrap())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_its_publisher_wrote() {
        let event: Event = serde_json::from_str("{\"id\":\"1\",\"data\":{\r\n  \"text\": \"a\\nb\"\n}}").unwrap();
        let line = event.line();
        assert_eq!(line, "{\"id\":\"1\",\"data\":{    \"text\": \"a\\nb\" }}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["data"]["text"], "a\nb");
    }

    #[test]
    fn an_event_tells_when_it_was_logged() {
        assert_eq!(Event::example("1", Time(7)).logged_at().unwrap(), Time(7));
        let strange: Event = serde_json::from_str(r#"{"replayid":"later"}"#).unwrap();
        assert!(strange.logged_at().is_err());
    }
}
