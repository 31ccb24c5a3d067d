//! Model check of the lane protocol.
//!
//! Searches **every** interleaving of two dispatchers, two drains, jobs and the passing of time, within stated bounds,
//! breadth first, so that a counterexample is a shortest one. What dispatch and drain do next, and what a conditional
//! write does, is decided by the product's own code: [`relay_core::lane::work`], [`relay_core::lane::drain`],
//! [`relay_core::lane::tenure`] and [`relay_core::lane::table`]. The model only plays the world around them: queue,
//! table, webhook, clocks, crashes.
//!
//! See the crate's README for what is modelled, which runs there are, and what they show.

mod actors;
mod bounds;
mod collection;
mod explore;
mod model;
mod normal;
mod planted;
mod properties;
mod runs;
mod state;
mod trace;

pub use explore::{Report, Violation};
pub use properties::Property;
pub use runs::{Run, Size, runs};
