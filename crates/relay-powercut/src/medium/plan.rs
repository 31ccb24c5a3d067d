//! What is to go wrong, and when.

use super::contents::Keep;

/// Where in a sync the power is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// Nothing of it is done yet.
    Before,
    /// The older half of what it covers is durable.
    Half,
    /// All of it is durable, but nobody was told.
    After,
}

/// What the disk does with syncs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Syncs {
    /// What was asked.
    Honoured,
    /// They fail, and nothing becomes durable.
    Failing,
    /// They succeed, and nothing becomes durable.
    Ignored,
}

/// What the disk is about to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// A write, a truncation, the removal of a name.
    Change,
    /// A sync.
    Sync,
}

/// A cut to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cut {
    pub(crate) moment: Moment,
    pub(crate) keep: Keep,
}

/// Counts steps, and says when the cut is due.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    syncs: u64,
    steps: u64,
    at_sync: Option<(u64, Cut)>,
    at_step: Option<(u64, Cut)>,
}

impl Plan {
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn cut_at_sync(&mut self, number: u64, cut: Cut) {
        self.at_sync = Some((self.syncs + number.max(1), cut));
    }

    pub(crate) fn cut_at_step(&mut self, number: u64, keep: Keep) {
        self.at_step = Some((self.steps + number.max(1), Cut { moment: Moment::Before, keep }));
    }

    pub(crate) fn forget(&mut self) {
        self.at_sync = None;
        self.at_step = None;
    }

    /// Counts a step; the cut, if this is the one to make it at.
    pub(crate) fn count(&mut self, step: Step) -> Option<Cut> {
        self.steps += 1;
        self.syncs += u64::from(step == Step::Sync);
        let syncs = self.syncs;
        let at_sync = self.at_sync.take_if(|(number, _)| step == Step::Sync && *number == syncs);
        let at_step = self.at_step.take_if(|(number, _)| *number == self.steps);
        at_sync.or(at_step).map(|(_, cut)| cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_due_at_its_sync_or_step_and_only_once() {
        let cut = Cut { moment: Moment::After, keep: Keep::Nothing };
        let mut plan = Plan::default();
        assert_eq!(plan.count(Step::Sync), None);
        plan.cut_at_sync(2, cut);
        let due: Vec<_> =
            [Step::Change, Step::Sync, Step::Change, Step::Sync, Step::Sync].map(|step| plan.count(step)).into();
        assert_eq!(due, [None, None, None, Some(cut), None]);
        assert_eq!((plan.syncs(), plan.steps()), (4, 6));
        plan.cut_at_step(1, Keep::RandomSubset);
        assert_eq!(plan.count(Step::Change).map(|cut| cut.moment), Some(Moment::Before));
        plan.cut_at_step(1, Keep::RandomSubset);
        plan.forget();
        assert_eq!(plan.count(Step::Change), None);
    }
}
