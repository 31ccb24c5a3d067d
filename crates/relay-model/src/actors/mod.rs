//! Who does something: shells around the product's machines, jobs, and what just happens.

pub(crate) mod dispatch;
pub(crate) mod drain;
pub(crate) mod environment;
pub(crate) mod hold;
pub(crate) mod jobs;
pub(crate) mod receive;
pub(crate) mod redrive;
pub(crate) mod rewind;
pub(crate) mod skip;
pub(crate) mod turn;
