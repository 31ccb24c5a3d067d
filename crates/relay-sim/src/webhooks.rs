//! Endpoints that webhooks live at: healthy, slow, failing, hanging, lying.

use crate::locked;
use crate::random::Random;
use crate::schedule::{Scheduler, TaskKind, reply};
use crate::simulated::Simulated;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{Either, select};
use relay_core::ports::webhook::{WebhookClient, WebhookError, WebhookRequest, WebhookResponse};
use relay_core::time::Time;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

/// What an endpoint does with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reaction {
    /// Answers 200.
    Accept,
    /// Answers this status, accepting nothing unless it is a 2xx.
    Status(u16),
    /// Answers this status with `Retry-After`.
    RetryAfter(u16, Duration),
    /// Accepts, after so long.
    Slow(Duration),
    /// Never answers; accepts all the same if `true`.
    Hang(bool),
    /// Breaks the connection; accepts all the same if `true`.
    Reset(bool),
    /// Cannot be reached.
    Refuse,
}

/// A request that reached an endpoint.
#[derive(Clone, Debug)]
pub struct Received {
    /// When, by an exact clock.
    pub at: Time,
    /// The request.
    pub request: WebhookRequest,
    /// The endpoint has it now.
    pub accepted: bool,
}

impl Received {
    /// A header of the request.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }
}

struct State {
    /// Weighted reactions by URL.
    reactions: BTreeMap<String, Vec<(u32, Reaction)>>,
    /// Reactions by URL to requests whose `webhook-id` or body has a text in it.
    poison: BTreeMap<String, Vec<(String, Reaction)>>,
    received: Vec<Received>,
    random: Random,
}

/// All endpoints, and what they received. One that nothing is known of accepts everything.
pub struct Endpoints(Mutex<State>);

impl Endpoints {
    pub(crate) fn new(random: Random) -> Endpoints {
        let (reactions, poison) = (BTreeMap::new(), BTreeMap::new());
        Endpoints(Mutex::new(State { reactions, poison, received: Vec::new(), random }))
    }

    /// From now on the endpoint reacts in one of these ways, drawn by weight.
    pub fn set(&self, url: &str, reactions: &[(u32, Reaction)]) {
        locked(&self.0).reactions.insert(url.to_owned(), reactions.to_vec());
    }

    /// From now on the endpoint reacts so to requests with one of these texts in their `webhook-id` or body.
    pub fn poison(&self, url: &str, poison: &[(String, Reaction)]) {
        locked(&self.0).poison.insert(url.to_owned(), poison.to_vec());
    }

    /// Looks at everything received so far, oldest first.
    pub fn with_received<T>(&self, look: impl FnOnce(&[Received]) -> T) -> T {
        look(&locked(&self.0).received)
    }

    fn reaction(&self, request: &WebhookRequest) -> Reaction {
        let mut state = locked(&self.0);
        let State { reactions, poison, random, .. } = &mut *state;
        let url = &*request.url;
        let poisoned = poison.get(url).and_then(|poison| poison.iter().find(|(text, _)| has(request, text)));
        if let Some((_, reaction)) = poisoned {
            return *reaction;
        }
        let Some(reactions) = reactions.get(url) else { return Reaction::Accept };
        let mut drawn = random.within(0..reactions.iter().map(|(weight, _)| u64::from(*weight)).sum());
        let hit = reactions.iter().find(|(weight, _)| {
            let here = drawn < u64::from(*weight);
            drawn = drawn.saturating_sub(u64::from(*weight));
            here
        });
        hit.map_or(Reaction::Accept, |(_, reaction)| *reaction)
    }

    fn receive(&self, at: Time, request: &WebhookRequest, accepted: bool) {
        locked(&self.0).received.push(Received { at, request: request.clone(), accepted });
    }
}

impl std::fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Endpoints")
    }
}

impl Reaction {
    fn accepts(self) -> bool {
        match self {
            Reaction::Accept | Reaction::Slow(_) => true,
            Reaction::Status(status) => (200..300).contains(&status),
            Reaction::Hang(accepts) | Reaction::Reset(accepts) => accepts,
            Reaction::RetryAfter(..) | Reaction::Refuse => false,
        }
    }

    /// The answer; none if there never is one.
    fn answer(self) -> Option<Result<WebhookResponse, WebhookError>> {
        let status = |status, retry_after| {
            Some(Ok(WebhookResponse { status, retry_after, body_start: Bytes::from_static(b"simulated") }))
        };
        match self {
            Reaction::Accept | Reaction::Slow(_) => status(200, None),
            Reaction::Status(code) => status(code, None),
            Reaction::RetryAfter(code, span) => status(code, Some(span)),
            Reaction::Hang(_) => None,
            Reaction::Reset(_) => Some(Err(WebhookError::Reset)),
            Reaction::Refuse => Some(Err(WebhookError::Connect)),
        }
    }
}

impl Simulated {
    /// A request on its way, which may arrive although its sender has died or given it up.
    async fn travel(&self, scheduler: &Scheduler, request: WebhookRequest) -> Result<WebhookResponse, WebhookError> {
        let reaction = self.stores.endpoints.reaction(&request);
        let (there, back) = scheduler.draw(|random| (random.within(0..15), random.within(0..15)));
        let unstoppable = scheduler.strikes(|hazards| hazards.unstoppable_request);
        let (replier, answer) = reply();
        let (this, leg, timeout) = (self.clone(), scheduler.clone(), request.timeout);
        let name = format!("to {}", request.url.rsplit('/').next().unwrap_or_default());
        scheduler.spawn(TaskKind { name, group: None, mortal: false }, async move {
            leg.sleep(Duration::from_millis(there)).await;
            if let Reaction::Slow(span) = reaction {
                leg.sleep(span).await;
            }
            if replier.is_abandoned() && !unstoppable {
                return;
            }
            if reaction != Reaction::Refuse {
                this.stores.endpoints.receive(this.clock.now(), &request, reaction.accepts());
                leg.note(|| format!("{reaction:?}: {}", describe(&request)));
            }
            leg.sleep(Duration::from_millis(back)).await;
            match reaction.answer() {
                Some(answer) => replier.send(answer),
                None => leg.sleep(timeout).await,
            }
        });
        let timeout = scheduler.sleep(timeout);
        let answered = match select(answer, timeout).await {
            Either::Left((answered, _)) => answered,
            Either::Right(_) => None,
        };
        answered.unwrap_or(Err(WebhookError::Timeout))
    }

    fn answer_at_once(&self, request: &WebhookRequest) -> Result<WebhookResponse, WebhookError> {
        let reaction = self.stores.endpoints.reaction(request);
        if reaction != Reaction::Refuse {
            self.stores.endpoints.receive(self.clock.now(), request, reaction.accepts());
        }
        reaction.answer().unwrap_or(Err(WebhookError::Timeout))
    }
}

#[async_trait]
impl WebhookClient for Simulated {
    async fn post(&self, request: WebhookRequest) -> Result<WebhookResponse, WebhookError> {
        let Some(scheduler) = self.gate.scheduler() else { return self.answer_at_once(&request) };
        let began = self.clock.now();
        scheduler.point().await;
        let described = describe(&request);
        let Some(timeout) = request.timeout.checked_sub(self.clock.now().since(began)) else {
            scheduler.note(|| format!("not sent in time: {described}"));
            return Err(WebhookError::Timeout);
        };
        let request = WebhookRequest { timeout, ..request };
        scheduler.note(|| format!("POST {described}"));
        let answer = self.travel(scheduler, request).await;
        scheduler.point().await;
        scheduler.note(|| format!("answer of {described} → {answer:?}"));
        answer
    }
}

/// True if the `webhook-id` is the text (whatever follows a `-`), or the body has it as a JSON string.
fn has(request: &WebhookRequest, text: &str) -> bool {
    let id = request.headers.iter().find(|(key, _)| key == "webhook-id").map_or("", |(_, value)| value.as_ref());
    let quoted = format!("\"{text}\"");
    id.split('-').next() == Some(text) || request.body.windows(quoted.len()).any(|part| part == quoted.as_bytes())
}

fn describe(request: &WebhookRequest) -> String {
    let header = |name: &str| {
        let found = request.headers.iter().find(|(key, _)| key == name);
        found.map_or("-", |(_, value)| value.as_ref())
    };
    format!(
        "{} {} key {} attempt {}",
        header("relay-subscription"),
        header("webhook-id"),
        header("relay-partition-key"),
        header("relay-attempt")
    )
}
