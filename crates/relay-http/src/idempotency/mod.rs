//! `Idempotency-Key`: a repeated request gets the first answer again.
//!
//! An answer may hold a secret that is shown once, so it is stored sealed: the seal's key is made of the caller's
//! credentials and the idempotency key, neither of which the store has. Whoever reads the store learns nothing.

mod pending;
mod seal;

pub(crate) use pending::Pending;

use crate::answer::Answer;
use crate::auth;
use crate::problem::{Problem, ProblemKind};
use crate::state::AppState;
use axum::extract::FromRequestParts;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, StatusCode};
use relay_core::digest::{hexadecimal, sha256, sha256_of_list};
use relay_core::limits::IDEMPOTENCY_KEPT;
use relay_core::ports::{IdempotentAnswer, PortError};
use seal::Seal;
use std::future::Future;
use std::time::Duration;

/// The request header.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header of an answer that was given before.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What makes a request the same as an earlier one: who sends it, its key, and what it says.
#[derive(Debug)]
pub(crate) struct Repeatable(Option<Identity>);

#[derive(Debug)]
struct Identity {
    /// Names the record.
    record: String,
    /// Method and path, and a line's end.
    request: String,
    seal: Seal,
}

impl FromRequestParts<AppState> for Repeatable {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        let Some(key) = key(&parts.headers)? else { return Ok(Repeatable(None)) };
        let token = auth::token(&parts.headers).unwrap_or_default();
        let request = format!("{} {}\n", parts.method, parts.uri.path());
        let record = hexadecimal(&sha256_of_list([&b"record"[..], token.as_bytes(), key.as_bytes()]));
        Ok(Repeatable(Some(Identity { record, request, seal: Seal::new(token, key) })))
    }
}

fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| (1..=255).contains(&text.len()) && values.next().is_none());
    let bad = || Problem::new(ProblemKind::InvalidHeader, "`Idempotency-Key` is 1 to 255 visible ASCII characters");
    text.map(Some).ok_or_else(bad)
}

impl Repeatable {
    /// Does the work, unless it was done before: then the first answer is given again. Only successes are remembered.
    pub(crate) async fn once<F>(
        self,
        state: &AppState,
        body: &Bytes,
        work: impl FnOnce() -> F,
    ) -> Result<Answer, Problem>
    where
        F: Future<Output = Result<Answer, Problem>>,
    {
        let Some(Identity { record, request, seal }) = self.0 else { return work().await };
        let request_hash = hexadecimal(&sha256([request.as_bytes(), body]));
        let Some(_claim) = state.pending_answers().claim(&record) else {
            let detail = "a request with this key is being worked on";
            return Err(Problem::new(ProblemKind::IdempotencyKeyInUse, detail).retry_after(Duration::from_secs(1)));
        };
        let (registry, now) = (&state.ports().registry, state.ports().clock.now());
        let recorded = registry.idempotent_answer(&record).await?;
        if let Some(first) = recorded.filter(|first| now.since(first.at) < IDEMPOTENCY_KEPT) {
            return replay(&first, &request_hash, &seal);
        }
        let answer = work().await?;
        let sealed = seal.close(state.ports().ids.as_ref(), answer.body())?;
        let first = IdempotentAnswer {
            request_hash: request_hash.clone(),
            status: answer.status().as_u16(),
            body: sealed,
            at: now,
        };
        match registry.put_idempotent_answer(&record, first).await {
            Ok(()) => Ok(answer),
            // Another process was faster with the same request: both were carried out, and both are answered.
            Err(PortError::Conflict) => Ok(answer),
            Err(error) => {
                tracing::warn!(%error, "an answer is not recorded: a repeated request would be carried out again");
                Ok(answer)
            }
        }
    }
}

fn replay(first: &IdempotentAnswer, request_hash: &str, seal: &Seal) -> Result<Answer, Problem> {
    if first.request_hash != request_hash {
        let detail = "the key was used for a request with another path or body";
        return Err(Problem::new(ProblemKind::IdempotencyKeyReused, detail));
    }
    let status = StatusCode::from_u16(first.status).unwrap_or(StatusCode::OK);
    Ok(Answer::raw(status, seal.open(&first.body)?).with(REPLAYED, "true"))
}
