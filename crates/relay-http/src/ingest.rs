//! Publishing: `POST /v1/topics/{topic}/events`.

use crate::auth::Caller;
use crate::body;
use crate::path::Segments;
use crate::problem::{Fault, FaultKind, Problem, ProblemKind};
use crate::query::Query;
use crate::state::AppState;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use relay_core::event::fault as event;
use relay_core::grants::Action;
use relay_core::ingest::{self, EventResult, IngestFault, NotSent, PublishRequest, Published};
use relay_core::names::{PartitionKey, TopicName};
use relay_core::ports::PortError;
use relay_core::replay_id::ReplayId;
use relay_core::sequence::Sequence;
use relay_core::topic::Topic;
use serde::{Serialize, Serializer};
use std::sync::Arc;
use std::time::Duration;

/// How long a publisher should wait before it repeats what the queue did not take.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The routes that take events.
pub(crate) fn routes() -> Router<AppState> {
    Router::new().route("/v1/topics/{topic}/events", post(publish))
}

async fn publish(
    State(state): State<AppState>,
    caller: Caller,
    segments: Segments,
    query: Query,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body = body::read(&state, &parts.headers, body).await?;
    query.finish()?;
    let name = segments.topic()?;
    caller.require(Action::Publish, &name)?;
    let topic = topic(&state, &name).await?;
    as_it_is(&parts.headers)?;
    let headers: Vec<_> = parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let request = PublishRequest { headers: &headers, body, publisher: &caller.0.name };
    let published = ingest::publish(state.ports(), &topic, request).await.map_err(refused)?;
    match published.failure() {
        None => answer(&published),
        Some(failure) => Err(incomplete(failure, &published)),
    }
}

/// The topic to publish to; the broker's own are not for others.
async fn topic(state: &AppState, name: &TopicName) -> Result<Arc<Topic>, Problem> {
    if name.is_reserved() {
        return Err(Problem::new(ProblemKind::ReservedName, "only the broker publishes to topics named `relay.…`"));
    }
    let topic = state.ports().registry.topic(name).await?.filter(|topic| topic.deleted_at.is_none());
    topic.ok_or_else(|| Problem::new(ProblemKind::TopicNotFound, format!("there is no topic {name}")))
}

/// A compressed body would be taken for something else than it is.
fn as_it_is(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(CONTENT_ENCODING) {
        Some(coding) if !coding.as_bytes().eq_ignore_ascii_case(b"identity") => Err(Problem::new(
            ProblemKind::UnsupportedMediaType,
            "bodies are read as they are, without Content-Encoding",
        )),
        _ => Ok(()),
    }
}

fn answer(published: &Published) -> Result<Response, Problem> {
    let body = serde_json::to_vec(&Answer { events: Results(published) }).map_err(unwritable)?;
    let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok((StatusCode::ACCEPTED, [json], body).into_response())
}

fn unwritable(error: serde_json::Error) -> Problem {
    tracing::error!(%error, "an answer cannot be written");
    Problem::new(ProblemKind::Internal, "the events were accepted, but the answer cannot be written")
}

/// Some events are not in the queue. The publisher is told of each, and may repeat the request, or all its failed
/// events in order.
fn incomplete(failure: &NotSent, published: &Published) -> Problem {
    let failed = published.results().filter(|result| result.outcome.is_err()).count();
    let detail = format!(
        "{failed} of {} events were not accepted; publish them again, or repeat the request",
        published.results().len()
    );
    let kind = match failure {
        NotSent::Port(PortError::Full) => ProblemKind::StorageFull,
        NotSent::Port(_) | NotSent::Predecessor => ProblemKind::Unavailable,
    };
    tracing::error!(%failure, failed, "events were not accepted");
    match serde_json::value::to_raw_value(&Results(published)) {
        Ok(events) => Problem::new(kind, detail).retry_after(RETRY_AFTER).with_events(events),
        Err(error) => unwritable(error),
    }
}

/// Nothing was accepted.
fn refused(fault: IngestFault) -> Problem {
    let detail = fault.to_string();
    let problem = |kind| Problem::new(kind, detail.clone());
    match fault {
        IngestFault::UnsupportedMediaType(given) => {
            let given = given.map_or_else(|| "no content-type".to_owned(), |given| format!("{given:?}"));
            let detail = format!(
                "{given}: events come as application/cloudevents+json, application/cloudevents-batch+json, \
                 application/json, or in any type with ce-* headers"
            );
            Problem::new(ProblemKind::UnsupportedMediaType, detail)
        }
        IngestFault::Invalid(faults) => invalid(faults),
        IngestFault::RequestTooLarge => problem(ProblemKind::RequestTooLarge),
        IngestFault::TooManyEvents => problem(ProblemKind::TooManyEvents),
        IngestFault::EventTooLarge { index, .. } => {
            let pointer = index.map(|index| format!("/{index}")).unwrap_or_default();
            let fault = Fault { pointer, detail: detail.clone(), kind: FaultKind::Invalid };
            problem(ProblemKind::EventTooLarge).with_faults(vec![fault])
        }
        IngestFault::Port(PortError::Throttled) => {
            Problem::new(ProblemKind::Unavailable, "the store has too much to do").retry_after(RETRY_AFTER)
        }
        IngestFault::Port(error) => error.into(),
    }
}

fn invalid(faults: Vec<event::EventFault>) -> Problem {
    let kind = match faults.iter().map(|fault| fault.kind).max() {
        Some(event::FaultKind::Nesting) => ProblemKind::NestingTooDeep,
        Some(event::FaultKind::Grammar) => ProblemKind::MalformedJson,
        Some(event::FaultKind::Header) => ProblemKind::InvalidHeader,
        Some(event::FaultKind::Event) | None => ProblemKind::InvalidEvent,
    };
    let detail = match faults.as_slice() {
        [one] if one.pointer.is_empty() => one.detail.to_string(),
        [one] => format!("{}: {}", one.pointer, one.detail),
        several => format!("{} faults; see `errors`", several.len()),
    };
    let wire = |fault: event::EventFault| Fault {
        pointer: fault.pointer,
        detail: fault.detail.into_owned(),
        kind: FaultKind::Invalid,
    };
    Problem::new(kind, detail).with_faults(faults.into_iter().map(wire).collect())
}

#[derive(Serialize)]
struct Answer<'a> {
    events: Results<'a>,
}

/// What became of each event, in the order of the request.
struct Results<'a>(&'a Published);

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.results().map(EventAnswer::from))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventAnswer<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<Sequence>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    replay_id: Option<ReplayId>,
    partition_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

impl<'a> From<EventResult<'a>> for EventAnswer<'a> {
    fn from(result: EventResult<'a>) -> Self {
        let accepted = result.outcome.ok();
        let error = result.outcome.err().map(|failure| match failure {
            NotSent::Port(PortError::Full) => "there is no room left to store anything",
            NotSent::Port(_) => "the queue did not take it",
            NotSent::Predecessor => "an earlier event of the same partition key was not accepted",
        });
        EventAnswer {
            id: result.id,
            sequence: accepted.map(|accepted| accepted.sequence),
            replay_id: accepted.and_then(|accepted| accepted.replay_id),
            partition_key: result.partition_key.map(PartitionKey::as_str),
            error,
        }
    }
}

fn as_text<S: Serializer>(id: &Option<ReplayId>, serializer: S) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => serializer.collect_str(id),
        None => serializer.serialize_none(),
    }
}
