//! Fills a data folder's log with the corpus, as publishers would: over HTTP, then compacted and verified by the commands
//! that are there for it.

use super::client::TopicClient;
use crate::load::api::Api;
use crate::load::corpus::{Corpus, Order, partition_key};
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::task::JoinSet;

/// Events of a request,
const BATCH: u64 = 200;
/// and requests at once.
const CONNECTIONS: usize = 8;

/// Publishes so many orders, or those of one customer among them. Answers how many a second were accepted.
pub(super) async fn publish(
    api: &Api,
    topic: &str,
    corpus: Corpus,
    events: u64,
    only: Option<u32>,
) -> anyhow::Result<f64> {
    let (began, next) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let style = ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len} events ({per_sec}, {eta} left)")?;
    let line = ProgressBar::new(events).with_style(style);
    let (mut workers, mut published) = (JoinSet::new(), 0);
    for _ in 0..CONNECTIONS {
        let mut client = TopicClient::open(api, topic).await?;
        let (next, line) = (Arc::clone(&next), line.clone());
        workers.spawn(async move {
            let mut published = 0;
            loop {
                let from = next.fetch_add(BATCH, Ordering::Relaxed);
                let count = events.saturating_sub(from).min(BATCH);
                if count == 0 {
                    return anyhow::Ok(published);
                }
                let of = |number: &u64| only.is_none_or(|only| corpus.customer(*number) == only);
                let orders: Vec<Order> = (from..from + count).filter(of).map(|number| corpus.order(number)).collect();
                if !orders.is_empty() {
                    client.publish(&batch(&orders)).await?;
                }
                published += orders.len();
                line.inc(count);
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        published += ended??;
    }
    line.finish_and_clear();
    Ok(published as f64 / began.elapsed().as_secs_f64())
}

fn batch(orders: &[Order]) -> String {
    let mut text = String::from("[");
    for order in orders {
        let comma = if text.len() > 1 { "," } else { "" };
        // Writing to a text cannot fail.
        let _ = write!(
            text,
            r#"{comma}{{"specversion":"1.0","id":"{}","source":"/shop/orders","type":"com.example.order.placed","datacontenttype":"application/json","partitionkey":"{}","data":{}}}"#,
            order.id,
            partition_key(order.customer),
            order.json
        );
    }
    text.push(']');
    text
}

/// Has `relay log` do something with a data folder, such as `compact` or `verify`. Answers how many seconds it took.
pub(super) async fn log_command(verb: &'static str, data: &Path) -> anyhow::Result<f64> {
    let mut command = Command::new(std::env::current_exe().context("the path of this binary is unknown")?);
    command.args(["log", verb, "--data"]).arg(data).stdin(Stdio::null());
    let began = Instant::now();
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        bail!("relay log {verb} ended with {}:\n{said}", output.status);
    }
    Ok(began.elapsed().as_secs_f64())
}

/// A topic's segments: how many files, and their bytes.
pub(super) fn segments(data: &Path, topic: &str) -> std::io::Result<(u64, u64)> {
    fn walk(folder: &Path, below: bool, topic: &str, found: &mut (u64, u64)) -> std::io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                walk(&entry.path(), below || entry.file_name() == topic, topic, found)?;
            } else if below {
                *found = (found.0 + 1, found.1 + entry.metadata()?.len());
            }
        }
        Ok(())
    }
    let mut found = (0, 0);
    walk(&data.join("events"), false, &format!("topic={topic}"), &mut found)?;
    Ok(found)
}
