//! Sending a sample event to a webhook, outside of any lane.

use super::Refused;
use crate::attempt;
use crate::delivery::{EventRef, Outgoing};
use crate::event::{Event, EventData};
use crate::names::PartitionKey;
use crate::pack::{LaneKey, Pack};
use crate::ports::{Attempt, PortError, Ports};
use crate::replay_id::LogPosition;
use crate::sequence::PackSequence;
use crate::subscription::Subscription;
use bytes::Bytes;
use std::sync::Arc;

/// The partition key of sample events.
const KEY: &str = "relay-test";

/// Sends one sample event to the subscription's webhook now, whatever its status, and answers how that went. It is in
/// no log and no lane, moves no circuit, and is not tried again.
///
/// # Errors
/// If the subscription has no webhook, or the request cannot be made.
pub async fn send_sample(ports: &Ports, subscription: Arc<Subscription>) -> Result<Attempt, Refused> {
    if subscription.is_pulled() {
        return Err(Refused::Pulled);
    }
    let now = ports.clock.now();
    let data = serde_json::json!({ "message": "A sample event, to try this webhook", "subscription": subscription.id });
    let event = Event {
        id: ports.ids.unique(),
        source: format!("/subscriptions/{}", subscription.id),
        kind: "relay.test".to_owned(),
        subject: None,
        time: Some(now.to_string()),
        content_type: Some("application/json".to_owned()),
        data_schema: None,
        extensions: Vec::new(),
        data: EventData::Json(Bytes::from(data.to_string())),
        made: true,
    };
    let key = PartitionKey::new(KEY).map_err(|fault| PortError::Invalid(fault.to_string()))?;
    let pack = Pack {
        topic: subscription.topic.clone(),
        topic_id: subscription.topic_id.clone(),
        key: LaneKey::Ordered(key),
        accepted_at: now,
        events: vec![event],
    };
    // It was never queued: its sequence lies before that of every event that was.
    let (sequence, position) = (PackSequence { era: 0, number: 0 }, LogPosition { at: now, unique: 0 });
    let event = EventRef::new(Arc::new(Outgoing::new(Arc::new(pack), sequence, position)), 0);
    let attempt = attempt::test(ports, subscription, event).await;
    attempt.ok_or_else(|| PortError::Invalid("the sample event cannot be sent".to_owned()).into())
}
