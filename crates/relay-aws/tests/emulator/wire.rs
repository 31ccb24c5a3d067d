//! What lies between the SDK and the emulator: notes every call, and makes the one fail that a test names.

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
    http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How a call goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The service fails, without effect.
    Fails,
    /// The service says that there are too many calls, without effect.
    Throttles,
    /// The call takes effect, and its answer never comes.
    LosesAnswer,
    /// The process is cut off: neither this call nor any later one takes effect.
    CutOffBefore,
    /// The call takes effect, its answer never comes, and no later call takes effect.
    CutOffAfter,
}

impl Fault {
    pub const ALL: [Fault; 5] =
        [Fault::Fails, Fault::Throttles, Fault::LosesAnswer, Fault::CutOffBefore, Fault::CutOffAfter];
}

/// A call as it went over the wire.
#[derive(Clone, Debug)]
pub struct Call {
    /// `Service.Operation`.
    pub operation: String,
    /// The request, where it is JSON.
    pub request: Value,
    /// The answer, where it is JSON; null if there was none.
    pub answer: Value,
    /// Bytes of the request's body.
    pub sent: u64,
    /// Bytes of the answer's body.
    pub received: u64,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    begun: usize,
    fault: Option<(usize, Fault)>,
    receipts: Vec<(String, String)>,
    /// Calls that are on their way.
    open: usize,
}

/// The wire of one process.
#[derive(Clone, Default)]
pub struct Wire(Arc<Mutex<State>>);

impl Wire {
    /// An HTTP client whose calls go over this wire.
    pub fn client(&self, inner: SharedHttpClient) -> SharedHttpClient {
        let wire = self.clone();
        http_client_fn(move |settings: &HttpConnectorSettings, components| {
            let inner = inner.http_connector(settings, components);
            SharedHttpConnector::new(Tap { inner, wire: wire.clone() })
        })
    }

    /// Forgets what was noted, and makes the call of that place, counted from now, fail.
    pub fn begin(&self, fault: Option<(usize, Fault)>) {
        let mut state = self.0.lock().unwrap();
        state.calls.clear();
        (state.begun, state.fault) = (0, fault);
    }

    /// The calls that were answered since, in the order of their answers.
    pub fn calls(&self) -> Vec<Call> {
        self.0.lock().unwrap().calls.clone()
    }

    /// How many calls were begun since.
    pub fn begun(&self) -> usize {
        self.0.lock().unwrap().begun
    }

    /// Receipts of all messages received, as (queue, receipt), once: also of those whose answer was lost on the way.
    pub fn take_receipts(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.0.lock().unwrap().receipts)
    }

    /// Waits until no call is on its way.
    pub async fn quiet(&self) {
        let is_quiet = async {
            while self.0.lock().unwrap().open > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), is_quiet).await.expect("every call is answered within a minute");
    }

    /// What is to happen to the next call.
    fn next_fault(&self) -> Option<Fault> {
        let mut state = self.0.lock().unwrap();
        let at = state.begun;
        state.begun += 1;
        let (place, fault) = state.fault?;
        match fault {
            Fault::CutOffBefore | Fault::CutOffAfter if at > place => Some(Fault::CutOffBefore),
            fault => (at == place).then_some(fault),
        }
    }

    fn note(&self, call: Call) {
        let mut state = self.0.lock().unwrap();
        if call.operation == "SQS.ReceiveMessage" {
            let queue = call.request["QueueUrl"].as_str().unwrap_or_default();
            for message in call.answer["Messages"].as_array().into_iter().flatten() {
                let receipt = message["ReceiptHandle"].as_str().unwrap_or_default();
                state.receipts.push((queue.to_owned(), receipt.to_owned()));
            }
        }
        state.calls.push(call);
    }
}

#[derive(Clone)]
struct Tap {
    inner: SharedHttpConnector,
    wire: Wire,
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tap")
    }
}

/// A call on its way.
struct Open(Wire);

impl Open {
    fn new(wire: &Wire) -> Open {
        wire.0.lock().unwrap().open += 1;
        Open(wire.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().open -= 1;
    }
}

fn operation_of(request: &HttpRequest) -> String {
    match request.headers().get("x-amz-target").and_then(|target| target.split_once('.')) {
        Some(("AmazonSQS", name)) => format!("SQS.{name}"),
        Some((_, name)) => format!("DynamoDB.{name}"),
        None => match request.method() {
            "PUT" => "S3.PutObject".to_owned(),
            "GET" => "S3.GetObject".to_owned(),
            "DELETE" => "S3.DeleteObject".to_owned(),
            other => format!("S3.{other}"),
        },
    }
}

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or(Value::Null)
}

/// An error as the service says it: SQS and DynamoDB in JSON, S3 in XML.
fn error(operation: &str, fault: Fault) -> HttpResponse {
    let (status, code) = match (operation.split('.').next(), fault) {
        (Some("SQS"), Fault::Throttles) => (400, "RequestThrottled"),
        (Some("DynamoDB"), Fault::Throttles) => (400, "ThrottlingException"),
        (_, Fault::Throttles) => (503, "SlowDown"),
        (Some("DynamoDB"), _) => (500, "InternalServerError"),
        _ => (500, "InternalError"),
    };
    let body = if operation.starts_with("S3") {
        format!("<Error><Code>{code}</Code><Message>a fault of the test</Message></Error>")
    } else {
        json!({ "__type": code, "message": "a fault of the test" }).to_string()
    };
    HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body))
}

impl HttpConnector for Tap {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = operation_of(&request);
        let fault = self.wire.next_fault();
        let lost = || ConnectorError::timeout("the answer never came".into());
        match fault {
            Some(Fault::Fails | Fault::Throttles) => {
                return HttpConnectorFuture::ready(Ok(error(&operation, fault.unwrap())));
            }
            Some(Fault::CutOffBefore) => return HttpConnectorFuture::ready(Err(lost())),
            Some(Fault::LosesAnswer | Fault::CutOffAfter) | None => {}
        }
        let body = request.body().bytes().unwrap_or_default();
        // S3's checksums make a stream of the body.
        let told = request.headers().get("content-length").and_then(|length| length.parse().ok());
        let (json, sent) = (parsed(body), told.unwrap_or(body.len() as u64));
        let (answer, wire) = (self.inner.call(request), self.wire.clone());
        let open = Open::new(&wire);
        // What is on the wire arrives, also if the process that sent it dies meanwhile.
        let arrives = tokio::spawn(async move {
            let _open = open;
            let mut answer = answer.await?;
            let body = ByteStream::new(answer.take_body()).collect().await;
            let body: Bytes = body.map_err(|fault| ConnectorError::io(fault.into()))?.into_bytes();
            wire.note(Call { operation, request: json, answer: parsed(&body), sent, received: body.len() as u64 });
            *answer.body_mut() = SdkBody::from(body);
            if fault.is_some() { Err(lost()) } else { Ok(answer) }
        });
        HttpConnectorFuture::new(async move {
            arrives.await.unwrap_or_else(|fault| Err(ConnectorError::other(fault.into(), None)))
        })
    }
}
