//! What the demo shows on stderr while it runs: bars on a terminal, lines elsewhere.

use super::story::{Cast, NAMES};
use crate::load::generator::lock;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::time::Duration;

pub(super) struct Board {
    all: MultiProgress,
    accepted: ProgressBar,
    delivered: Vec<ProgressBar>,
}

const EVERY: Duration = Duration::from_millis(100);
/// The broker is asked how its subscriptions are every so many rounds.
const ASK_EVERY: u32 = 5;

impl Board {
    pub fn new(events: u64) -> Board {
        let all = MultiProgress::new();
        let style = ProgressStyle::with_template("  {prefix:<10} {bar:40} {pos:>6} of {len}  {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = |name: &'static str| all.add(ProgressBar::new(events)).with_style(style.clone()).with_prefix(name);
        Board { accepted: bar("accepted"), delivered: NAMES.iter().map(|name| bar(name)).collect(), all }
    }

    /// Says one line.
    pub fn say(&self, line: &str) {
        if self.all.is_hidden() {
            eprintln!("{line}");
        } else {
            // A terminal that went away meanwhile is no fault of the demo.
            let _ = self.all.println(line);
        }
    }

    /// Shows how things are until it is dropped.
    ///
    /// # Errors
    /// If the broker does not answer any more.
    pub async fn follow(&self, cast: &Cast) -> anyhow::Result<()> {
        let mut status = vec![String::from("active"); NAMES.len()];
        for round in 0_u32.. {
            self.accepted.set_position(lock(&cast.published).accepted());
            for (bar, account) in self.delivered.iter().zip(lock(&cast.ledger).accounts()) {
                bar.set_position(account.delivered());
            }
            if round % ASK_EVERY == 0 {
                for (subscriber, known) in status.iter_mut().enumerate() {
                    let now = cast.api.subscription(&cast.subscriptions[subscriber]).await?;
                    let now = now["status"].as_str().unwrap_or_default();
                    if now != known {
                        self.say(&format!("{} is now {now}{}", NAMES[subscriber], meaning(now)));
                        now.clone_into(known);
                    }
                    let held = cast.api.held_events(&cast.subscriptions[subscriber]).await?;
                    let held = if held > 0 { format!(", {held} held") } else { String::new() };
                    self.delivered[subscriber].set_message(format!("{now}{held}"));
                }
            }
            tokio::time::sleep(EVERY).await;
        }
        Ok(())
    }

    /// Takes the bars away.
    pub fn clear(&self) {
        // As above.
        let _ = self.all.clear();
    }
}

fn meaning(status: &str) -> &'static str {
    match status {
        "suspended" => ": it failed so often that only a probe is sent now and then",
        "active" => ": what was held is delivered, then what came meanwhile",
        _ => "",
    }
}
