//! The calls of the HTTP API that a run needs beside publishing.

use super::connection::{ANSWERS_WITHIN, Connection, authority};
use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use tokio::time::timeout;
use url::Url;

/// A client of a broker's API.
#[derive(Clone, Debug)]
pub struct Api {
    url: Url,
    key: String,
}

/// A subscription as it was made.
#[derive(Clone, Debug)]
pub struct Subscribed {
    /// Its id.
    pub id: String,
    /// The secret that its deliveries are signed with.
    pub secret: String,
}

impl Api {
    /// A client that uses this key.
    #[must_use]
    pub fn new(url: Url, key: String) -> Api {
        Api { url, key }
    }

    /// The broker.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// If the broker does not answer as it should.
    pub async fn create_topic(&self, topic: &str) -> anyhow::Result<()> {
        self.call("PUT", &format!("/v1/topics/{topic}"), Some(&json!({}))).await.map(drop)
    }

    /// Deletes a topic with all that hangs on it.
    ///
    /// # Errors
    /// If the broker does not answer as it should.
    pub async fn delete_topic(&self, topic: &str) -> anyhow::Result<()> {
        self.call("DELETE", &format!("/v1/topics/{topic}?force=true"), None).await.map(drop)
    }

    /// Makes a subscription.
    ///
    /// # Errors
    /// If the broker does not answer as it should.
    pub async fn subscribe(&self, subscription: &Value) -> anyhow::Result<Subscribed> {
        let made = self.call("POST", "/v1/subscriptions", Some(subscription)).await?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let id =
            text(&made["id"]).ok_or_else(|| anyhow!("the broker answered a subscription without an id: {made}"))?;
        Ok(Subscribed { id, secret: text(&made["secrets"][0]["secret"]).unwrap_or_default() })
    }

    /// A subscription as it is now.
    ///
    /// # Errors
    /// If the broker does not answer as it should.
    pub async fn subscription(&self, id: &str) -> anyhow::Result<Value> {
        self.call("GET", &format!("/v1/subscriptions/{id}"), None).await
    }

    /// Lets a subscription go on.
    ///
    /// # Errors
    /// If the broker does not answer as it should.
    pub async fn resume(&self, id: &str) -> anyhow::Result<()> {
        self.call("POST", &format!("/v1/subscriptions/{id}/resume"), Some(&json!({}))).await.map(drop)
    }

    /// How many events wait in a subscription's held lanes.
    ///
    /// # Errors
    /// If the broker does not answer as it should.
    pub async fn held_events(&self, id: &str) -> anyhow::Result<u64> {
        let mut held = 0;
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/subscriptions/{id}/lanes?state=held&limit=1000{cursor}");
            let page = self.call("GET", &path, None).await?;
            let lanes = page["items"].as_array().ok_or_else(|| anyhow!("the broker listed no lanes: {page}"))?;
            held += lanes.iter().filter_map(|lane| lane["depth"].as_u64()).sum::<u64>();
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(held),
            }
        }
    }

    /// One call. What it answers with a status from 200 on and below 300.
    ///
    /// # Errors
    /// If there is no answer, or one of another status.
    pub async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let exchange = self.exchange(method, path, body);
        let (status, text) = timeout(ANSWERS_WITHIN, exchange)
            .await
            .map_err(|_| anyhow!("no answer within {} s", ANSWERS_WITHIN.as_secs()))
            .and_then(|answer| answer.context("no answer"))
            .with_context(|| format!("{method} {path} at {}", self.url))?;
        if !(200..300).contains(&status) {
            bail!("{method} {path} at {} was answered with {status}: {}", self.url, text.trim_end());
        }
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    async fn exchange(&self, method: &str, path: &str, body: Option<&Value>) -> std::io::Result<(u16, String)> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {base}{path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}",
            base = self.url.path().trim_end_matches('/'),
            host = authority(&self.url),
            key = self.key,
            length = body.len(),
        );
        let mut connection = Connection::open(&self.url).await?;
        let answer = connection.exchange(request.as_bytes()).await?;
        Ok((answer.status, String::from_utf8_lossy(answer.body).into_owned()))
    }
}
