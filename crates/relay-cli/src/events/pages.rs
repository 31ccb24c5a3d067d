//! A topic's log, page by page, also over times when the broker is away.

use super::Source;
use super::event::Event;
use crate::client::{Backoff, CallFault, Client, Target};
use http::Method;
use indicatif::ProgressBar;
use relay_core::log::{Cursor, MAX_EVENTS};
use relay_core::names::{PartitionKey, TopicName};
use serde::Deserialize;
use std::time::{Duration, Instant};

/// A broker that has never answered is not waited for longer: its address may be wrong.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// Reads forward from a place.
pub(super) struct Pages {
    client: Client,
    topic: TopicName,
    key: Option<PartitionKey>,
    after: String,
    /// How long the broker may be away, once it has answered.
    patience: Duration,
    has_answered: bool,
    /// The line that warnings must not tear; a hidden one if there is none.
    line: ProgressBar,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Event>,
    #[serde(rename = "nextCursor")]
    next: String,
}

impl Pages {
    /// The log of a source after a place: `earliest`, `latest`, a time, a replay id or a cursor.
    pub fn new(source: Source, client: Client, after: String, patience: Duration, line: ProgressBar) -> Pages {
        Pages { client, topic: source.topic, key: source.key, after, patience, has_answered: false, line }
    }

    /// The place after all that was read: exact, once something was read.
    pub fn after(&self) -> &str {
        &self.after
    }

    /// What comes next, at most so many events. If there is nothing yet, waits for so long.
    ///
    /// Dropped before its end, it has read nothing.
    ///
    /// # Errors
    /// If the broker refuses, or is away for longer than there is patience.
    pub async fn next(&mut self, limit: usize, wait: Duration) -> Result<Vec<Event>, CallFault> {
        let page = self.page(&self.after, limit, wait).await?;
        (self.after, self.has_answered) = (page.next, true);
        Ok(page.items)
    }

    /// The end of the log as it is now.
    ///
    /// # Errors
    /// As [`Pages::next`].
    pub async fn end(&self) -> Result<String, CallFault> {
        // The events of this very moment are read too, so that it lies after them.
        self.page("latest", MAX_EVENTS, Duration::ZERO).await.map(|page| page.next)
    }

    /// True if all that lies before that end was read.
    pub fn has_reached(&self, end: &str) -> bool {
        let cursor = |text: &str| text.parse::<Cursor>().ok();
        // Cursors of a later version are not read; then only a page without events is the end.
        cursor(&self.after).zip(cursor(end)).is_some_and(|(after, end)| after.covers(&end, self.key.as_ref()))
    }

    async fn page(&self, after: &str, limit: usize, wait: Duration) -> Result<Page, CallFault> {
        let mut target = Target::path(&["v1", "topics", self.topic.as_str(), "events"])
            .with("after", after)
            .with("limit", limit)
            .with("wait", wait.as_secs());
        if let Some(key) = &self.key {
            target = target.with("partitionKey", key);
        }
        let patience = if self.has_answered { self.patience } else { self.patience.min(FIRST_ANSWER) };
        let (mut backoff, mut away_since) = (Backoff::default(), None);
        loop {
            let fault = match self.client.json(Method::GET, &target, None).await {
                Ok(page) => {
                    if away_since.is_some() {
                        self.say(&format!("{} answers again", self.client.url()));
                    }
                    return Ok(page);
                }
                Err(fault) => fault,
            };
            let since = *away_since.get_or_insert_with(|| {
                if fault.is_transient() {
                    self.say(&format!("warning: {fault}; trying again"));
                }
                Instant::now()
            });
            let pause = backoff.next(fault.retry_after());
            if !fault.is_transient() || since.elapsed() + pause > patience {
                return Err(fault);
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn say(&self, text: &str) {
        self.line.suspend(|| anstream::eprintln!("{text}"));
    }
}
