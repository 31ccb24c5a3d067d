//! What may go wrong, and how often.

/// How often things go wrong, each in so many of 10,000 cases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hazards {
    /// A task is killed at a port call, before or after the call's effect.
    pub crash: u32,
    /// A task is stalled at a port call for longer than a visibility or a lease lasts, and then goes on.
    pub stall: u32,
    /// A call fails without an effect.
    pub failure: u32,
    /// A call has its effect and its answer is lost.
    pub lost_answer: u32,
    /// A call is throttled, without an effect.
    pub throttled: u32,
    /// An entry of a batch call fails (with or without an effect).
    pub entry_failure: u32,
    /// A call takes some milliseconds.
    pub latency: u32,
    /// A call takes some seconds.
    pub slow_call: u32,
    /// A wake-up is lost.
    pub lost_wake_up: u32,
    /// A wake-up is received twice.
    pub repeated_wake_up: u32,
    /// A wake-up is received before its time.
    pub early_wake_up: u32,
    /// An entry of the index of due lanes is missing.
    pub stale_index: u32,
    /// A receipt that has expired is honoured, while nobody has received the message again.
    pub late_receipt: u32,
    /// A receive brings less than it could.
    pub short_receive: u32,
    /// A request goes on although its sender gave it up.
    pub unstoppable_request: u32,
    /// A backlog is read item by item, with others at work in between.
    pub torn_read: u32,
    /// The clock goes on although somebody could act.
    pub hurry: u32,
}

impl Hazards {
    /// Nothing goes wrong. Others still come in between, and calls take time.
    pub fn none() -> Hazards {
        Hazards { latency: 2_000, ..Hazards::default() }
    }
}
