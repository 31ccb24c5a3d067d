//! What happened, for people who look for the cause of a failure.

use std::collections::VecDeque;

const KEPT: usize = 20_000;
const LONGEST: usize = 600;

/// The last lines of what happened; nothing is kept unless it was asked for.
#[derive(Debug, Default)]
pub struct Trace {
    lines: Option<VecDeque<String>>,
}

impl Trace {
    /// Keeps lines from now on.
    pub fn keep(&mut self) {
        self.lines.get_or_insert_default();
    }

    /// True if lines are kept.
    pub fn is_kept(&self) -> bool {
        self.lines.is_some()
    }

    /// Adds a line.
    pub fn add(&mut self, now_ms: u64, task: &str, text: &str) {
        if let Some(lines) = &mut self.lines {
            if lines.len() == KEPT {
                lines.pop_front();
            }
            let mut end = text.len().min(LONGEST);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            let cut = if end < text.len() { "…" } else { "" };
            lines.push_back(format!("{:>9}.{:03} {task:<14} {}{cut}", now_ms / 1000, now_ms % 1000, &text[..end]));
        }
    }

    /// The lines.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().flatten().map(String::as_str)
    }
}
