//! Time, identifiers and randomness of the machine that the broker runs on: the ports that are the same everywhere.

mod clock;
mod ids;

pub use clock::SystemClock;
pub use ids::SystemIds;
