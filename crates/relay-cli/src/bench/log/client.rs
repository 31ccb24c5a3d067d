//! Calls of a topic's log on one connection that stays open: what is measured is the broker.

use crate::load::api::Api;
use crate::load::connection::{ANSWERS_WITHIN, Connection, authority};
use anyhow::{Context, bail};
use serde::Deserialize;
use tokio::time::timeout;

/// A client of one topic.
pub(super) struct TopicClient {
    connection: Connection,
    base: String,
    head: String,
    topic: String,
}

/// An event as it was pulled, as far as it is looked at.
#[derive(Debug, Deserialize)]
pub(super) struct PulledEvent {
    pub id: String,
    pub sequence: String,
    #[serde(rename = "replayid")]
    pub replay_id: String,
    #[serde(rename = "partitionkey")]
    pub partition_key: Option<String>,
}

/// A part of the log.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PulledPage {
    pub items: Vec<PulledEvent>,
    pub next_cursor: String,
}

impl TopicClient {
    pub(super) async fn open(api: &Api, topic: &str) -> anyhow::Result<TopicClient> {
        let head = format!("host: {}\r\nauthorization: Bearer {}\r\n", authority(api.url()), api.key());
        let base = api.url().path().trim_end_matches('/').to_owned();
        Ok(TopicClient { connection: Connection::open(api.url()).await?, base, head, topic: topic.to_owned() })
    }

    /// Publishes a batch.
    pub(super) async fn publish(&mut self, batch: &str) -> anyhow::Result<()> {
        let request = format!(
            "POST {}/v1/topics/{}/events HTTP/1.1\r\n{}content-type: application/cloudevents-batch+json\r\n\
             content-length: {}\r\n\r\n{batch}",
            self.base,
            self.topic,
            self.head,
            batch.len()
        );
        self.exchange(request.as_bytes(), 202).await.map(drop)
    }

    /// What follows a place in the log.
    pub(super) async fn pull(&mut self, after: &str, query: &str) -> anyhow::Result<PulledPage> {
        let body = self.get(&format!("/v1/topics/{}/events?after={after}{query}", self.topic)).await?;
        serde_json::from_slice(body).context("the broker answered no part of a log")
    }

    /// One event.
    pub(super) async fn event(&mut self, replay_id: &str) -> anyhow::Result<PulledEvent> {
        let body = self.get(&format!("/v1/topics/{}/events/{replay_id}", self.topic)).await?;
        serde_json::from_slice(body).context("the broker answered no event")
    }

    /// How many parts of segments the broker has read; none if it does not tell.
    pub(super) async fn segment_reads(&mut self) -> Option<u64> {
        let text = self.get("/metrics").await.ok()?;
        let name = relay_core::metrics::SEGMENT_READS;
        std::str::from_utf8(text).ok()?.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    async fn get(&mut self, path: &str) -> anyhow::Result<&[u8]> {
        let request = format!("GET {}{path} HTTP/1.1\r\n{}\r\n", self.base, self.head);
        self.exchange(request.as_bytes(), 200).await
    }

    async fn exchange(&mut self, request: &[u8], expected: u16) -> anyhow::Result<&[u8]> {
        let answer =
            timeout(ANSWERS_WITHIN, self.connection.exchange(request)).await.context("no answer in time")??;
        if answer.status != expected {
            bail!("the broker answered {}: {}", answer.status, String::from_utf8_lossy(answer.body).trim_end());
        }
        Ok(answer.body)
    }
}
