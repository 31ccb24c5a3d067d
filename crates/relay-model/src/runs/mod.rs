//! The runs: bounds, planted fault, and what each is expected to show.

mod delivery;
mod history;
mod status;

use crate::bounds::Bounds;
use crate::explore::{Report, explore};
use crate::model::Model;
use crate::planted::Planted;
use crate::properties::Property;

/// How long a run takes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Size {
    /// At most 150,000 states: seconds, even if not optimised.
    Small,
    /// At most 4 million states: seconds, if optimised.
    Medium,
    /// Minutes, and gigabytes: not for every change.
    Large,
}

/// One search.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it is about.
    pub name: &'static str,
    /// How long it takes.
    pub size: Size,
    /// The promise that a planted fault is expected to break; none if all must hold.
    pub breaks: Option<Property>,
    model: Model,
}

impl Run {
    /// Searches all states within the bounds, or as many as `limit`.
    pub fn search(&self, limit: usize) -> Report {
        explore(&self.model, limit)
    }

    /// The bounds, for people.
    pub fn bounds(&self) -> String {
        format!("{:?}", self.model.bounds)
    }

    /// True if the search has shown what it was expected to show.
    pub fn is_as_expected(&self, report: &Report) -> bool {
        let broken = report.violation.as_ref().map(|violation| violation.property);
        broken == self.breaks && (broken.is_some() || report.complete)
    }

    /// The same, but not for every change.
    fn sized(self, size: Size) -> Run {
        Run { size, ..self }
    }
}

/// All promises hold.
fn holds(name: &'static str, size: Size, bounds: Bounds) -> Run {
    Run { name, size, breaks: None, model: Model { bounds, planted: None } }
}

/// A fault that a property must catch.
fn caught(name: &'static str, planted: Planted, breaks: Property, bounds: Bounds) -> Run {
    Run { name, size: Size::Small, breaks: Some(breaks), model: Model { bounds, planted: Some(planted) } }
}

/// All runs.
pub fn runs() -> Vec<Run> {
    let parts = [
        delivery::live_and_held(),
        delivery::torn_reads(),
        delivery::redrive(),
        status::pause(),
        status::circuit(),
        history::rewind(),
        history::catch_up(),
    ];
    parts.into_iter().flatten().collect()
}
