//! Reading a topic's log: pull, and one event by its replay id.

use crate::answer::Answer;
use crate::auth::Caller;
use crate::path::Segments;
use crate::problem::{Problem, ProblemKind};
use crate::query::{Query, invalid};
use crate::state::AppState;
use crate::wire::start_from;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::{StatusCode, header};
use relay_core::delivery::EventRef;
use relay_core::event::write::EVENT_TYPE;
use relay_core::grants::Action;
use relay_core::log::{self, Cursor, ReadRefused, Start, Wanted};
use relay_core::manage;
use relay_core::names::PartitionKey;
use relay_core::ports::Ports;
use relay_core::replay_id::ReplayId;
use std::time::Duration;

/// The longest that an answer waits for something to say.
const MAX_WAIT: u64 = 20;

pub(super) fn routes() -> Router<AppState> {
    // Publishing has the first path, too.
    Router::new().route("/v1/topics/{topic}/events", get(pull)).route("/v1/topics/{topic}/events/{replay}", get(read))
}

/// Where a reader wants to begin.
#[derive(Debug, PartialEq)]
enum After {
    Cursor(Box<Cursor>),
    Start(Start),
}

impl After {
    fn parse(text: &str) -> Result<After, Problem> {
        if text.is_empty() {
            return Err(invalid("`after` is empty".to_owned()));
        }
        if let Some(start) = start_from::parse(text) {
            return Ok(After::Start(start));
        }
        let fault = |_| invalid("`after` is `earliest`, `latest`, a time, a replay id or a `nextCursor`".to_owned());
        text.parse().map(|cursor| After::Cursor(Box::new(cursor))).map_err(fault)
    }
}

async fn pull(
    State(state): State<AppState>,
    caller: Caller,
    segments: Segments,
    mut query: Query,
) -> Result<Answer, Problem> {
    let after = After::parse(query.take("after").as_deref().unwrap_or("earliest"))?;
    let key = query.take("partitionKey").map(PartitionKey::new).transpose();
    let key = key.map_err(|fault| invalid(format!("`partitionKey`: {fault}")))?;
    let wanted = Wanted { key, limit: query.page()?.limit };
    let wait = wait(query.take("wait").as_deref())?;
    if query.take("filter").is_some() {
        return Err(Problem::new(ProblemKind::NotSupported, "this version does not filter yet"));
    }
    query.finish()?;
    let name = segments.topic()?;
    caller.require(Action::Subscribe, &name)?;
    let (ports, topic) = (state.ports(), manage::topic(state.ports(), &name).await?);
    let cursor = match after {
        After::Cursor(cursor) => *cursor,
        After::Start(start) => log::begin(ports, &topic, start).await?,
    };
    let pulled = log::pull(ports, &topic, cursor, &wanted, wait).await?;
    let items = written(ports, &pulled.events).await?;
    Ok(Answer::raw(
        StatusCode::OK,
        [items.as_slice(), b",\"nextCursor\":\"", pulled.next.to_string().as_bytes(), b"\"}"].concat(),
    ))
}

/// `{"items":[…]`, as the events are delivered.
pub(super) async fn written(ports: &Ports, events: &[EventRef]) -> Result<Vec<u8>, Problem> {
    let mut out = b"{\"items\":[".to_vec();
    for (index, event) in events.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&event.structured(ports).await?);
    }
    out.push(b']');
    Ok(out)
}

/// A `wait`: none is none.
pub(super) fn wait(text: Option<&str>) -> Result<Duration, Problem> {
    let Some(text) = text else { return Ok(Duration::ZERO) };
    let seconds =
        text.parse().ok().filter(|seconds| *seconds <= MAX_WAIT && text.bytes().all(|byte| byte.is_ascii_digit()));
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| invalid(format!("`wait` is a whole number of seconds up to {MAX_WAIT}")))
}

async fn read(
    State(state): State<AppState>,
    caller: Caller,
    segments: Segments,
    query: Query,
) -> Result<Answer, Problem> {
    query.finish()?;
    let name = segments.topic()?;
    caller.require(Action::Subscribe, &name)?;
    let topic = manage::topic(state.ports(), &name).await?;
    let id: ReplayId = segments.text(1).parse().map_err(|_| ReadRefused::NotFound)?;
    let event = log::event(state.ports(), &topic, id).await?;
    let body = event.structured(state.ports()).await?;
    Ok(Answer::raw(StatusCode::OK, body).with(header::CONTENT_TYPE, EVENT_TYPE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_core::time::Time;

    #[test]
    fn a_reader_begins_where_it_says() {
        assert_eq!(After::parse("earliest").unwrap(), After::Start(Start::Earliest));
        let time = Time::parse("2026-11-20T21:22:23.456Z").unwrap();
        assert_eq!(After::parse("2026-11-20T21:22:23.456Z").unwrap(), After::Start(Start::Time(time)));
        let cursor = Cursor::default();
        assert_eq!(After::parse(&cursor.to_string()).unwrap(), After::Cursor(Box::new(cursor)));
        for bad in ["", "first", "AAAA", "2026-13-40"] {
            assert!(After::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wait_is_bounded() {
        assert_eq!(wait(None).unwrap(), Duration::ZERO);
        assert_eq!(wait(Some("20")).unwrap(), Duration::from_secs(20));
        for bad in ["", "21", "-1", "+5", "1.5", "x"] {
            assert!(wait(Some(bad)).is_err(), "{bad}");
        }
    }
}
