//! Limits, each with where it comes from.

use std::time::Duration;

/// Longest name of a topic, in bytes (HTTP contract).
pub const MAX_NAME_BYTES: usize = 128;
/// Longest partition key, in Unicode characters (HTTP contract).
pub const MAX_PARTITION_KEY_CHARS: usize = 256;
/// Largest request body: what API Gateway and Lambda carry once a body is base64-encoded.
pub const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;
/// Default of a topic's `maxEventBytes`.
pub const DEFAULT_MAX_EVENT_BYTES: u32 = 1024 * 1024;
/// Most events in one publish request (HTTP contract).
pub const MAX_EVENTS_PER_REQUEST: usize = 1_000;
/// Most events in one pack: keeps three digits for the index in a sequence.
pub const MAX_EVENTS_PER_PACK: usize = 500;
/// Largest pack in bytes, as clients sent its events: five of them still fit one SQS message batch of 1 MiB.
pub const MAX_PACK_BYTES: usize = 192 * 1024;
/// Longest `id` of an event, in bytes: percent-encoded it still fits the headers of a request to a webhook.
pub const MAX_ID_BYTES: usize = 1_024;
/// Longest attribute of an event, in bytes: the longest single header that common servers read.
pub const MAX_ATTRIBUTE_BYTES: usize = 8 * 1024;
/// All attributes of an event together, in bytes: in binary mode a webhook gets them as headers.
pub const MAX_ATTRIBUTES_BYTES: usize = 16 * 1024;
/// Most extension attributes of an event: common servers read 100 headers.
pub const MAX_EXTENSIONS: usize = 64;
/// Longest name of an extension attribute (CloudEvents recommends 20 at most).
pub const MAX_EXTENSION_NAME_BYTES: usize = 64;
/// Deepest nesting of JSON that is accepted; `serde_json` has the same bound for what it builds trees of.
pub const MAX_JSON_DEPTH: usize = 128;
/// Number of groups that events without a partition key are spread over.
pub const UNORDERED_GROUPS: u16 = 256;

/// Bytes of packs that one reading of a backlog brings into memory, roughly.
pub const BACKLOG_READ_BYTES: usize = 256 * 1024;

/// How long the same publish is recognised as a repeat: SQS FIFO's deduplication interval.
pub const DEDUPLICATION_WINDOW: Duration = Duration::from_secs(300);
/// How long a received message stays hidden: longer than a dispatch may take.
pub const VISIBILITY: Duration = Duration::from_secs(90);
/// How long a lane's lease lasts.
pub const LEASE: Duration = Duration::from_secs(60);
/// No live request starts later than this after the state that it relies on was read.
pub const DISPATCH_DEADLINE: Duration = Duration::from_secs(2);
/// What was read of a subscription is at most this old when an attempt begins.
pub const STATUS_AGE: Duration = Duration::from_secs(2);
/// How long one subscriber may keep the others of a message waiting.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// What is left of it for those that others wait for, however long the queue is.
pub const LEAST_PATIENCE: Duration = Duration::from_millis(50);
/// How long a detached request is still waited for.
pub const DETACHED_WAIT: Duration = Duration::from_secs(2);
/// How long a subscription counts as slow after it let others wait, unless quick answers show the contrary before.
pub const SLOW_FOR: Duration = Duration::from_secs(60);
/// A message received more often than this may be crashing the process: its lanes are held without an attempt.
pub const MAX_RECEIVES: u32 = 5;
/// Longest delay of a wake-up: SQS's longest `DelaySeconds`.
pub const MAX_WAKE_UP_DELAY: Duration = Duration::from_secs(900);
/// How far clocks of different machines are taken to be apart, where something waits for another one's time.
pub const CLOCK_ERROR: Duration = Duration::from_secs(1);
/// A subscription that is not active for so long skips what is published, unless who runs the broker says otherwise.
pub const SKIP_AFTER: Duration = Duration::from_secs(180);
/// How much longer than its topic's retention a payload outside of packs is kept: events are held and replayed meanwhile.
pub const PAYLOADS_OUTLIVE: Duration = Duration::from_secs(30 * 86_400);
/// How long the record of a replay is kept.
pub const REPLAYS_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// How long attempts are kept.
pub const ATTEMPTS_KEPT: Duration = Duration::from_secs(7 * 86_400);
/// How long a repeated `Idempotency-Key` is recognised.
pub const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(86_400);
/// How long a deleted topic's name stays reserved.
pub const NAME_RESERVED_FOR: Duration = Duration::from_secs(900);
/// How long a deleted subscription is remembered.
pub const TOMBSTONE_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// An endpoint that has only failed for so long is disabled.
pub const DISABLE_AFTER: Duration = Duration::from_secs(5 * 86_400);
