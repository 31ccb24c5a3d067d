//! One call after another, over HTTP/1.1 connections that are kept.

use super::{CallFault, Refusal, Target};
use anyhow::Context;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::error::Error;
use std::time::Duration;
use tokio::time::timeout;
use url::Url;

const CONNECTS_WITHIN: Duration = Duration::from_secs(10);
/// Longer than the longest poll.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// A page of events is some 3 MiB, and one event's data in base64 and attributes more.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// A client of one broker, with one key.
#[derive(Clone, Debug)]
pub struct Client {
    url: String,
    authorization: HeaderValue,
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Client {
    /// A client that sends this `Authorization`.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(url: &Url, authorization: HeaderValue) -> anyhow::Result<Client> {
        let tls = relay_webhook::client_tls(true, &[]).context("no certificate authorities")?;
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECTS_WITHIN));
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Ok(Client { url: url.as_str().trim_end_matches('/').to_owned(), authorization, http })
    }

    /// The broker.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// One call. The body of an answer with a status from 200 on and below 300.
    ///
    /// # Errors
    /// If nobody answers, or with another status.
    pub async fn call(&self, method: Method, target: &Target, body: Option<&Value>) -> Result<Bytes, CallFault> {
        let away = |why: String| CallFault::Away { url: self.url.clone(), why };
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{target}", self.url))
            .header(AUTHORIZATION, self.authorization.clone())
            .header(USER_AGENT, concat!("relay/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body.map(Value::to_string).unwrap_or_default()))
            .map_err(|error| CallFault::Strange(error.to_string()))?;
        let exchange = async {
            let answer = self.http.request(request).await.map_err(|error| away(reason(&error)))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER).collect().await.map_err(|error| away(reason(&*error)))?;
            Ok((head.status, retry_after(&head.headers), body.to_bytes()))
        };
        let late = |_| away(format!("none within {} s", ANSWERS_WITHIN.as_secs()));
        let (status, retry_after, body) = timeout(ANSWERS_WITHIN, exchange).await.map_err(late)??;
        if status.is_success() {
            return Ok(body);
        }
        Err(CallFault::Refused(Box::new(Refusal::new(status, retry_after, &body))))
    }

    /// One call, whose answer is JSON of this form.
    ///
    /// # Errors
    /// If nobody answers, or with another status, or something else.
    pub async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &Target,
        body: Option<&Value>,
    ) -> Result<T, CallFault> {
        let answer = self.call(method, target, body).await?;
        serde_json::from_slice(&answer)
            .map_err(|error| CallFault::Strange(format!("{error}; is {} the URL of an Event Relay broker?", self.url)))
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// The innermost cause: those around it say only that a request failed.
fn reason(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
