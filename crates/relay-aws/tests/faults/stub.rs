//! A service that answers what a test says, at the SDK's HTTP layer.

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use relay_aws::{Clients, Options, Resources, open};
use relay_core::ports::webhook::{WebhookClient, WebhookError, WebhookRequest, WebhookResponse};
use relay_core::ports::{Clock, Ids, Ports};
use relay_core::time::Time;
use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a call is answered.
pub enum Answer {
    /// 200 and this.
    Ok(Value),
    /// A fault: status, code, message.
    Fault(u16, &'static str, &'static str),
    /// 400 and this.
    Refused(Value),
    /// The answer never comes.
    TimedOut,
}

type Service = dyn FnMut(&str, &Value) -> Answer + Send;

/// Answers calls by a test's function of (operation, request) and notes them.
#[derive(Clone)]
pub struct Stub {
    service: Arc<Mutex<Box<Service>>>,
    calls: Arc<Mutex<Vec<(String, Value)>>>,
}

impl std::fmt::Debug for Stub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stub")
    }
}

impl Stub {
    pub fn new(service: impl FnMut(&str, &Value) -> Answer + Send + 'static) -> Stub {
        Stub { service: Arc::new(Mutex::new(Box::new(service))), calls: Arc::default() }
    }

    /// Names of the calls so far.
    pub fn names(&self) -> Vec<String> {
        self.calls.lock().unwrap().iter().map(|(name, _)| name.clone()).collect()
    }

    /// Requests of the calls of that name.
    pub fn requests(&self, name: &str) -> Vec<Value> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(called, _)| called == name).map(|(_, request)| request.clone()).collect()
    }

    fn answer(&self, request: &HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let target = request.headers().get("x-amz-target").unwrap_or("S3.Call");
        let name = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body = request.body().bytes().unwrap_or_default();
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        self.calls.lock().unwrap().push((name.clone(), body.clone()));
        let (status, text) = match (self.service.lock().unwrap())(&name, &body) {
            Answer::Ok(value) => (200, value.to_string()),
            // S3 says it in XML.
            Answer::Fault(status, code, message) if name == "Call" => {
                (status, format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"))
            }
            Answer::Fault(status, code, message) => {
                (status, serde_json::json!({ "__type": code, "message": message }).to_string())
            }
            Answer::Refused(value) => (400, value.to_string()),
            Answer::TimedOut => return Err(ConnectorError::timeout("the answer never came".into())),
        };
        Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(text)))
    }

    /// Ports over this service. With `attempts` of the SDK to each call.
    pub fn ports(&self, attempts: u32) -> Ports {
        let connector = SharedHttpConnector::new(self.clone());
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("id", "key", None, None, "test")))
            .endpoint_url("http://service.invalid")
            .retry_config(
                RetryConfig::standard().with_max_attempts(attempts).with_initial_backoff(Duration::from_millis(1)),
            )
            .sleep_impl(aws_smithy_async_sleep())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        let resources = Resources {
            events_queue: "http://service.invalid/1/events.fifo".to_owned(),
            wake_ups_queue: "http://service.invalid/1/wake-ups".to_owned(),
            table: "table".to_owned(),
            bucket: "bucket".to_owned(),
        };
        let options = Options { receive_wait: Duration::ZERO, ..Options::new(resources) };
        open(&Clients::new(&config), &options, Arc::new(Still), Arc::new(Still), Arc::new(Still))
    }
}

fn aws_smithy_async_sleep() -> aws_sdk_sqs::config::SharedAsyncSleep {
    #[derive(Debug)]
    struct NoSleep;
    impl aws_sdk_sqs::config::AsyncSleep for NoSleep {
        fn sleep(&self, span: Duration) -> aws_sdk_sqs::config::Sleep {
            // Backoffs are a few milliseconds in these tests; what is longer is a bound that is not reached.
            aws_sdk_sqs::config::Sleep::new(async move {
                if span > Duration::from_secs(1) {
                    std::future::pending().await
                }
            })
        }
    }
    aws_sdk_sqs::config::SharedAsyncSleep::new(NoSleep)
}

impl HttpConnector for Stub {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(self.answer(&request))
    }
}

/// A clock that stands still and waits for nothing; numbers that rise.
struct Still;

#[async_trait]
impl Clock for Still {
    fn now(&self) -> Time {
        Time(1_795_000_000_000)
    }
    async fn sleep(&self, _: Duration) {}
}

impl Ids for Still {
    fn random(&self) -> u64 {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        COUNT.fetch_add(1 << 40, Ordering::Relaxed)
    }
    fn secret_bytes(&self, _: &mut [u8]) {}
    fn unique(&self) -> String {
        self.random().to_string()
    }
}

#[async_trait]
impl WebhookClient for Still {
    async fn post(&self, _: WebhookRequest) -> Result<WebhookResponse, WebhookError> {
        Err(WebhookError::Connect)
    }
}
