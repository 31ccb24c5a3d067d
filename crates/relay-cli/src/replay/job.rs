//! A replay as the broker tells of it, and what is sent to begin one.

use crate::client::{CallFault, Client, Target};
use http::Method;
use relay_core::names::PartitionKey;
use relay_core::time::Time;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What to deliver again.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub from: String,
    pub to: Option<String>,
    pub partition_key: Option<PartitionKey>,
    pub rate_limit: Option<u32>,
}

impl Wanted {
    /// As the route takes it.
    pub fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("from".to_owned(), place(&self.from));
        let to = self.to.as_deref().map(place);
        let key = self.partition_key.as_ref().map(|key| key.as_str().into());
        let rate = self.rate_limit.map(Value::from);
        let given = [("to", to), ("partitionKey", key), ("rateLimit", rate)];
        body.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Value::Object(body)
    }
}

/// A place in a log, as users write it.
fn place(text: &str) -> Value {
    match text {
        "latest" | "earliest" => text.into(),
        _ if Time::parse(text).is_some() => json!({ "time": text }),
        _ => json!({ "replayId": text }),
    }
}

/// A replay.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Job {
    pub id: String,
    pub state: String,
    #[serde(default)]
    pub scanned: u64,
    #[serde(default)]
    pub matched: u64,
    #[serde(default)]
    pub enqueued: u64,
    #[serde(default)]
    pub delivered: u64,
    /// All that the broker says of it, in its words.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Job {
    /// True while the broker works on it.
    pub fn runs(&self) -> bool {
        // A state that a later version adds is none of its ends.
        !["done", "cancelled", "failed"].contains(&self.state.as_str())
    }

    /// How much of what was loaded is still to be delivered; none of that of a replay that failed is waited for.
    pub fn undelivered(&self) -> u64 {
        if self.state == "failed" { 0 } else { self.enqueued.saturating_sub(self.delivered) }
    }

    /// Why it ended as it did, if the broker says so.
    pub fn reason(&self) -> Option<&str> {
        self.rest.get("reason")?.as_str()
    }

    /// On one line, for scripts.
    pub fn line(&self) -> String {
        let mut line = json!({
            "id": self.id, "state": self.state, "scanned": self.scanned, "matched": self.matched,
            "enqueued": self.enqueued, "delivered": self.delivered,
        });
        for (name, value) in &self.rest {
            line[name] = value.clone();
        }
        line.to_string()
    }
}

/// The replays of a subscription.
pub(super) struct Replays {
    pub client: Client,
    pub subscription: String,
}

impl Replays {
    pub async fn begin(&self, wanted: &Wanted) -> Result<Job, CallFault> {
        self.client.json(Method::POST, &self.all(), Some(&wanted.body())).await
    }

    pub async fn read(&self, job: &str) -> Result<Job, CallFault> {
        self.client.json(Method::GET, &self.one(job), None).await
    }

    pub async fn cancel(&self, job: &str) -> Result<(), CallFault> {
        self.client.call(Method::DELETE, &self.one(job), None).await.map(drop)
    }

    fn all(&self) -> Target {
        Target::path(&["v1", "subscriptions", &self.subscription, "replays"])
    }

    fn one(&self, job: &str) -> Target {
        Target::path(&["v1", "subscriptions", &self.subscription, "replays", job])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_from_another_by_how_it_is_written() {
        for (text, sent) in [
            ("earliest", json!("earliest")),
            ("latest", json!("latest")),
            ("2026-11-20T21:00:00Z", json!({ "time": "2026-11-20T21:00:00Z" })),
            ("AQAB_x", json!({ "replayId": "AQAB_x" })),
        ] {
            assert_eq!(place(text), sent);
        }
    }

    #[test]
    fn only_what_was_given_is_sent() {
        let wanted = Wanted { from: "earliest".into(), to: None, partition_key: None, rate_limit: None };
        assert_eq!(wanted.body(), json!({ "from": "earliest" }));
        let key = PartitionKey::new("k").unwrap();
        let wanted = Wanted { to: Some("latest".into()), partition_key: Some(key), rate_limit: Some(50), ..wanted };
        let sent = json!({ "from": "earliest", "to": "latest", "partitionKey": "k", "rateLimit": 50 });
        assert_eq!(wanted.body(), sent);
    }

    #[test]
    fn a_state_of_a_later_version_is_no_end() {
        let job: Job = serde_json::from_value(json!({ "id": "rep_1", "state": "waiting", "more": 1 })).unwrap();
        assert!(job.runs());
        let line: Value = serde_json::from_str(&job.line()).unwrap();
        assert_eq!((&line["more"], &line["scanned"]), (&json!(1), &json!(0)));
    }
}
