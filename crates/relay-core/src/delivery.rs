//! Requests to webhooks: body, headers, signature, in the subscription's mode.

use crate::attempt::{Job, Prepared};
use crate::digest::{hexadecimal, sha256};
use crate::event::write::{self, Payload, Stamp};
use crate::event::{Event, EventData};
use crate::pack::Pack;
use crate::ports::webhook::{HeaderName, HeaderText, WebhookRequest};
use crate::ports::{PortError, Ports};
use crate::replay_id::{LogPosition, ReplayId};
use crate::sequence::{PackSequence, Sequence};
use crate::subscription::Mode;
use crate::time::Time;
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

/// A pack on its way out. What does not depend on the subscription is made once for all of them.
#[derive(Debug)]
pub struct Outgoing {
    /// The events.
    pub pack: Arc<Pack>,
    /// Their place within their key.
    pub sequence: PackSequence,
    /// Their place in the log.
    pub position: LogPosition,
    made: Vec<OnceLock<Made>>,
}

/// What is made of an event once.
#[derive(Debug)]
struct Made {
    webhook_id: String,
    replay_id: ReplayId,
    structured: OnceLock<Bytes>,
}

impl Outgoing {
    /// A pack that lies at this place of the log.
    pub fn new(pack: Arc<Pack>, sequence: PackSequence, position: LogPosition) -> Outgoing {
        let made = std::iter::repeat_with(OnceLock::new).take(pack.events.len()).collect();
        Outgoing { pack, sequence, position, made }
    }

    /// Number of events.
    pub fn len(&self) -> u16 {
        u16::try_from(self.pack.events.len()).unwrap_or(u16::MAX)
    }

    /// True if there are none, which no accepted pack is.
    pub fn is_empty(&self) -> bool {
        self.pack.events.is_empty()
    }
}

/// One event of a pack on its way out.
#[derive(Clone, Debug)]
pub struct EventRef {
    /// The pack.
    pub outgoing: Arc<Outgoing>,
    /// Index of the event, less than the pack's number of events.
    pub index: u16,
}

impl EventRef {
    /// The event at an index; one beyond the pack's end is its last.
    pub fn new(outgoing: Arc<Outgoing>, index: u16) -> EventRef {
        let index = index.min(outgoing.len().saturating_sub(1));
        EventRef { outgoing, index }
    }

    /// The event.
    pub fn event(&self) -> &Event {
        &self.outgoing.pack.events[usize::from(self.index)]
    }

    /// Its sequence.
    pub fn sequence(&self) -> Sequence {
        self.outgoing.sequence.event(self.index)
    }

    fn made(&self) -> &Made {
        self.outgoing.made[usize::from(self.index)].get_or_init(|| Made {
            webhook_id: write::webhook_id(self.event()),
            replay_id: ReplayId::logged(&self.outgoing.pack.key, self.outgoing.position, self.sequence()),
            structured: OnceLock::new(),
        })
    }

    fn stamp(&self) -> Stamp<'_> {
        let key = self.outgoing.pack.key.partition_key();
        Stamp { sequence: self.sequence(), key, replay_id: self.made().replay_id }
    }

    /// The payload from the payload store, if that is where it is.
    async fn loaded(&self, ports: &Ports) -> Result<Option<Bytes>, PortError> {
        match &self.event().data {
            EventData::Stored(stored) => ports.payloads.get(stored).await.map(Some),
            _ => Ok(None),
        }
    }

    fn payload<'a>(&'a self, loaded: Option<&'a Bytes>) -> Result<Payload<'a>, PortError> {
        self.event().data.payload(loaded).map_err(|fault| PortError::Corrupt(fault.to_string()))
    }

    /// The event as a JSON object, made once.
    ///
    /// # Errors
    /// If its payload is stored apart and cannot be read.
    pub async fn structured(&self, ports: &Ports) -> Result<Bytes, PortError> {
        if let Some(bytes) = self.made().structured.get() {
            return Ok(bytes.clone());
        }
        let loaded = self.loaded(ports).await?;
        let payload = self.payload(loaded.as_ref())?;
        let mut out = Vec::new();
        write::structured(&mut out, self.event(), &self.stamp(), &payload);
        Ok(self.made().structured.get_or_init(|| Bytes::from(out)).clone())
    }
}

type Headers = Vec<(HeaderName, HeaderText)>;

/// Makes the request of an attempt, signed with the secrets that are in force.
///
/// # Errors
/// If a payload cannot be read.
pub async fn request(ports: &Ports, prepared: &Prepared, job: &Job, now: Time) -> Result<WebhookRequest, PortError> {
    let endpoint = &job.subscription.endpoint;
    let (Some(first), Some(last)) = (job.events.first(), job.events.last()) else {
        return Err(PortError::Invalid("an attempt of no event".to_owned()));
    };
    let mut headers: Headers = Vec::with_capacity(24 + prepared.headers.len());
    headers.extend(prepared.headers.iter().cloned());
    let body = match endpoint.mode {
        Mode::Structured => {
            headers.push((Cow::Borrowed("content-type"), Cow::Borrowed("application/cloudevents+json; charset=utf-8")));
            first.structured(ports).await?
        }
        Mode::Batch => {
            headers.push((
                Cow::Borrowed("content-type"),
                Cow::Borrowed("application/cloudevents-batch+json; charset=utf-8"),
            ));
            batch(ports, job).await?
        }
        Mode::Binary => {
            let loaded = first.loaded(ports).await?;
            let payload = first.payload(loaded.as_ref())?;
            write::binary_headers(&mut headers, first.event(), &first.stamp(), &payload);
            payload.body()
        }
        Mode::Raw => {
            let loaded = first.loaded(ports).await?;
            let payload = first.payload(loaded.as_ref())?;
            if let Some(content_type) = payload.content_type(first.event()) {
                headers.push((Cow::Borrowed("content-type"), content_type));
            }
            payload.body()
        }
        Mode::Pull => return Err(PortError::Invalid("an attempt of events that are pulled".to_owned())),
    };
    let id = if endpoint.mode == Mode::Batch { batch_id(job) } else { first.made().webhook_id.clone() };
    let seconds = (now.0 / 1000).to_string();
    let mut signature = String::with_capacity(64);
    for signer in prepared.signers(now) {
        signer.sign_into(&mut signature, &id, &seconds, &body);
    }
    let pack = &first.outgoing.pack;
    headers.push((Cow::Borrowed("webhook-id"), Cow::Owned(id)));
    headers.push((Cow::Borrowed("webhook-timestamp"), Cow::Owned(seconds)));
    headers.push((Cow::Borrowed("webhook-signature"), Cow::Owned(signature)));
    headers.push((Cow::Borrowed("relay-topic"), Cow::Owned(pack.topic.as_str().to_owned())));
    headers.push((Cow::Borrowed("relay-subscription"), Cow::Owned(job.subscription.id.as_str().to_owned())));
    if let Some(key) = pack.key.partition_key() {
        let value = write::header_value(key.as_str()).into_owned();
        headers.push((Cow::Borrowed("relay-partition-key"), Cow::Owned(value)));
    }
    headers.push((Cow::Borrowed("relay-replay-id"), Cow::Owned(last.made().replay_id.to_string())));
    headers.push((Cow::Borrowed("relay-attempt"), Cow::Owned(job.number.to_string())));
    if job.replay {
        headers.push((Cow::Borrowed("relay-replay"), Cow::Borrowed("true")));
    }
    if let Some((_, value)) = first.event().extensions.iter().find(|(name, _)| name == "traceparent")
        && let crate::event::AttributeValue::Text(text) = value
    {
        headers.push((Cow::Borrowed("traceparent"), Cow::Owned(write::header_value(text).into_owned())));
    }
    Ok(WebhookRequest { url: prepared.url.clone(), headers, body, timeout: endpoint.timeout() })
}

async fn batch(ports: &Ports, job: &Job) -> Result<Bytes, PortError> {
    let mut out = Vec::new();
    for (index, event) in job.events.iter().enumerate() {
        out.push(if index == 0 { b'[' } else { b',' });
        out.extend_from_slice(&event.structured(ports).await?);
    }
    out.push(b']');
    Ok(Bytes::from(out))
}

/// `batch-` and 16 hexadecimal digits of the SHA-256 over the events' webhook ids.
fn batch_id(job: &Job) -> String {
    let ids = job.events.iter().map(|event| event.made().webhook_id.as_bytes());
    format!("batch-{}", hexadecimal(&sha256(ids)[..8]))
}
