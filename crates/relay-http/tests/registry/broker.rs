//! A broker over the simulated ports, and what is asked of it.

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use relay_core::attempt::Attempter;
use relay_core::dispatch::Dispatcher;
use relay_core::drain::Drainer;
use relay_core::manage;
use relay_core::names::SubscriptionId;
use relay_core::ports::{EventQueue, Ports, WakeUps};
use relay_core::replay;
use relay_core::resume;
use relay_core::time::Time;
use relay_http::{AdminKey, AppState, Background, Job, Options, router};
use relay_sim::{ManualClock, Simulated};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower::ServiceExt;

pub(crate) const ADMIN: &str = "test-admin-key-0123456789";
pub(crate) const HOOK: &str = "https://hooks.example/orders";

/// Keeps jobs until the test runs them.
#[derive(Default)]
pub(crate) struct Jobs(pub(crate) Mutex<Vec<Job>>);

impl Background for Jobs {
    fn start(&self, job: Job) {
        self.0.lock().unwrap().push(job);
    }
}

pub(crate) struct Broker {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) world: Simulated,
    pub(crate) ports: Ports,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) routes: Router,
    dispatcher: Dispatcher,
    drainer: Drainer,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

pub(crate) type Headers<'a> = &'a [(&'a str, &'a str)];

impl Broker {
    pub(crate) async fn new() -> Broker {
        Broker::over(|ports| ports).await
    }

    /// A broker over the simulated ports as `change` makes them.
    pub(crate) async fn over(change: impl FnOnce(Ports) -> Ports) -> Broker {
        let clock = Arc::new(ManualClock::new(Time(1_795_000_000_000)));
        let world = Simulated::calm(clock.clone());
        let ports = change(world.ports());
        manage::ensure_system_topic(&ports).await.unwrap();
        let jobs = Arc::new(Jobs::default());
        let policy = |url: &str| match url.strip_prefix("https://") {
            Some(rest) if !rest.starts_with("10.") => Ok(()),
            _ => Err(format!("webhooks may not live at {url}")),
        };
        let mut options = Options::new(Arc::new(policy), jobs.clone());
        options.admin_key = Some(AdminKey::new(ADMIN).unwrap());
        let attempter = Attempter::new(ports.clone());
        Broker {
            clock,
            jobs,
            routes: router(AppState::new(ports.clone(), options)),
            dispatcher: Dispatcher::new(ports.clone(), attempter.clone()),
            drainer: Drainer::new(ports.clone(), attempter),
            world,
            ports,
        }
    }

    /// With the topic `orders`.
    pub(crate) async fn with_orders() -> Broker {
        let broker = Broker::new().await;
        assert_eq!(broker.put("/v1/topics/orders", json!({})).await.status, 201);
        broker
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.routes.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Sends a request as somebody.
    pub(crate) async fn ask(&self, key: &str, method: &str, path: &str, headers: Headers<'_>, body: Body) -> Answer {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body).unwrap()).await
    }

    /// Sends a JSON document as the operator.
    pub(crate) async fn say(&self, method: &str, path: &str, headers: Headers<'_>, document: Value) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.ask(ADMIN, method, path, &headers, Body::from(document.to_string())).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(ADMIN, "GET", path, &[], Body::empty()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask(ADMIN, "DELETE", path, &[], Body::empty()).await
    }

    pub(crate) async fn put(&self, path: &str, document: Value) -> Answer {
        self.say("PUT", path, &[], document).await
    }

    pub(crate) async fn post(&self, path: &str, document: Value) -> Answer {
        self.say("POST", path, &[], document).await
    }

    pub(crate) async fn patch(&self, path: &str, document: Value) -> Answer {
        self.say("PATCH", path, &[], document).await
    }

    /// A key with these grants.
    pub(crate) async fn key(&self, grants: &[(&str, &str)]) -> String {
        let grants: Vec<_> =
            grants.iter().map(|(action, topics)| json!({ "action": action, "topics": topics })).collect();
        let answer = self.post("/v1/keys", json!({ "name": "test", "grants": grants })).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.text("key")
    }

    /// The path of a new subscription to `orders`, with these fields in addition.
    pub(crate) async fn subscribe(&self, fields: Value) -> String {
        let mut document = json!({ "topic": "orders", "endpoint": { "url": HOOK } });
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = self.post("/v1/subscriptions", document).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        format!("/v1/subscriptions/{}", answer.text("id"))
    }

    /// Publishes an event, and answers its sequence.
    pub(crate) async fn publish(&self, id: &str, key: Option<&str>) -> String {
        let headers: Vec<_> = key.map(|key| ("partitionkey", key)).into_iter().collect();
        let document = json!({ "specversion": "1.0", "id": id, "source": "/s", "type": "t", "data": { "n": id } });
        let headers = [&[("content-type", "application/cloudevents+json")], &headers[..]].concat();
        let body = Body::from(document.to_string());
        let answer = self.ask(ADMIN, "POST", "/v1/topics/orders/events", &headers, body).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        answer.body["events"][0]["sequence"].as_str().unwrap().to_owned()
    }

    /// Runs dispatch, jobs and drain until nothing is left to do at this time.
    pub(crate) async fn work(&self) {
        let mut later = Vec::new();
        loop {
            let messages = EventQueue::receive(&self.world, 10).await.unwrap();
            let wake_ups = WakeUps::receive(&self.world, 10).await.unwrap();
            let jobs: Vec<_> = self.jobs.0.lock().unwrap().drain(..).collect();
            if messages.is_empty() && wake_ups.is_empty() && jobs.is_empty() {
                self.jobs.0.lock().unwrap().append(&mut later);
                return;
            }
            if !messages.is_empty() {
                self.dispatcher.handle(messages).await;
            }
            for job in jobs {
                match job {
                    Job::Resume(id) => resume::run(&self.ports, &id).await.unwrap(),
                    Job::Replay(id) => {
                        let stored = self.ports.registry.subscription(&id).await.unwrap().unwrap();
                        let now = self.ports.clock.now();
                        // What waits, waits by a clock that only the test moves.
                        if stored.rewind.as_ref().is_some_and(|rewind| now < rewind.loads_at) {
                            replay::run(&self.ports, &id, Some(now)).await.unwrap();
                            later.push(Job::Replay(id));
                        } else {
                            replay::run(&self.ports, &id, None).await.unwrap();
                        }
                    }
                    Job::Remove(id) => resume::remove(&self.ports, &id).await.unwrap(),
                }
            }
            for wake_up in wake_ups {
                self.drainer.handle(wake_up).await.unwrap();
            }
        }
    }

    pub(crate) fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// The `webhook-id`s of what the webhook has accepted, without the hash of the source.
    pub(crate) fn delivered(&self) -> Vec<String> {
        self.world.endpoints().with_received(|received| {
            let accepted = received.iter().filter(|received| received.accepted);
            let id = |id: &str| id.split('-').next().unwrap_or_default().to_owned();
            accepted.filter_map(|received| received.header("webhook-id").map(id)).collect()
        })
    }
}

/// The id at the end of a subscription's path.
pub(crate) fn id_of(path: &str) -> SubscriptionId {
    SubscriptionId::new(path.rsplit('/').next().unwrap()).unwrap()
}

impl Answer {
    /// A member of the answer that is a text.
    pub(crate) fn text(&self, member: &str) -> String {
        self.body[member].as_str().unwrap_or_else(|| panic!("no {member} in {}", self.body)).to_owned()
    }

    pub(crate) fn items(&self) -> &Vec<Value> {
        self.body["items"].as_array().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that this is a problem document, and tells status and kind.
    pub(crate) fn problem(&self) -> (u16, &str) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{} {}", self.status, self.body);
        assert_eq!(self.body["status"], self.status, "{}", self.body);
        for member in ["title", "detail", "instance"] {
            assert!(self.body[member].is_string(), "{member} in {}", self.body);
        }
        let kind = self.body["type"].as_str().unwrap().strip_prefix("/problems/").unwrap();
        (self.status, kind)
    }

    /// The pointers of its faults, sorted.
    pub(crate) fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().unwrap_or_else(|| panic!("no errors in {}", self.body));
        let mut pointers: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        pointers.sort_unstable();
        pointers
    }
}
