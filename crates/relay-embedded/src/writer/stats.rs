//! What the writer did, for those who measure.

use std::time::Duration;

/// What the writer has done since the store was opened.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CommitStats {
    /// Transactions that were committed.
    pub commits: u64,
    /// Pieces of work that somebody waited for.
    pub urgent: u64,
    /// Packs that were accepted.
    pub packs: u64,
    /// Time spent writing, before the commits.
    pub writing: Duration,
    /// Time spent in commits: writing the log ahead, and its fsync.
    pub committing: Duration,
    /// The longest commit.
    pub longest_commit: Duration,
    /// Transactions that failed.
    pub failures: u64,
    /// Checkpoints that the writer had to finish itself, and the time that took.
    pub checkpoints: (u64, Duration),
}

impl CommitStats {
    pub(super) fn add(&mut self, writing: Duration, committing: Duration, urgent: u64, packs: u64, committed: bool) {
        self.commits += u64::from(committed);
        self.failures += u64::from(!committed);
        self.urgent += urgent;
        self.packs += packs;
        self.writing += writing;
        self.committing += committing;
        self.longest_commit = self.longest_commit.max(committing);
    }
}
