//! Time, identifiers and randomness of the machine that the broker runs on, and what its processes log: the same
//! wherever the broker keeps its data.

mod clock;
mod ids;
mod log_filter;

pub use clock::SystemClock;
pub use ids::SystemIds;
pub use log_filter::log_filter;
