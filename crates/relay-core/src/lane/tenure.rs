//! The part of a lane item that decides who may do what with its lane: version, lease, next attempt.
//!
//! [`super::table`] carries these decisions out on whole lane items; the model check carries out the very same ones on
//! millions of small states.

use super::drain::Outcome;
use super::{LaneItem, Lease, OwnerId};
use crate::time::Time;

/// Version, lease and next attempt of a held lane.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tenure {
    /// Moved by every append and by whatever else a drain must not overlook.
    pub version: u64,
    /// Who delivers it now.
    pub lease: Option<Lease>,
    /// When its head is attempted next.
    pub next_attempt_at: Option<Time>,
}

impl Tenure {
    /// The switch of an append: the version moves if the lane is held, else it is now.
    pub fn switched(existing: Option<Tenure>, lease: Option<Lease>, next_attempt_at: Option<Time>) -> Tenure {
        match existing {
            Some(tenure) => Tenure { version: tenure.version + 1, ..tenure },
            None => Tenure { version: 1, lease, next_attempt_at },
        }
    }

    /// As [`Tenure::switched`], but a held lane that is due later becomes due earlier; a parked one stays parked.
    pub fn switched_sooner(existing: Option<Tenure>, lease: Option<Lease>, next_attempt_at: Option<Time>) -> Tenure {
        let tenure = Tenure::switched(existing, lease, next_attempt_at);
        let sooner = tenure.next_attempt_at.map(|stored| next_attempt_at.map_or(stored, |at| stored.min(at)));
        Tenure { next_attempt_at: sooner, ..tenure }
    }

    /// Takes the lease: if there is none and the lane is due, or the one there is has run out.
    pub fn taken(self, lease: Lease, now: Time, probe: bool) -> Option<Tenure> {
        let free = match self.lease {
            Some(held) => held.until <= now,
            None => probe || self.next_attempt_at.is_some_and(|at| at <= now),
        };
        free.then_some(Tenure { lease: Some(lease), ..self })
    }

    /// The version, as the holder of the lease reads it; none for anybody else. A reader that goes by "the version is
    /// still the same" must be the holder all the while: a new lane item starts at version 1 again.
    pub fn version_for(self, owner: OwnerId) -> Option<u64> {
        self.is_owned_by(owner).then_some(self.version)
    }

    /// True if `owner` holds the lease, run out or not.
    pub fn is_owned_by(self, owner: OwnerId) -> bool {
        self.lease.is_some_and(|lease| lease.owner == owner)
    }

    /// Renews a lease before it ends. One that ran out is never renewed: the holder starts over.
    pub fn renewed(self, lease: Lease, now: Time) -> Option<Tenure> {
        let alive = self.lease.is_some_and(|held| held.owner == lease.owner && now < held.until);
        alive.then_some(Tenure { lease: Some(lease), ..self })
    }

    /// Sets the next attempt and drops the lease, if it is `owner`'s.
    pub fn rescheduled(self, owner: OwnerId, next_attempt_at: Option<Time>) -> Option<Tenure> {
        self.is_owned_by(owner).then_some(Tenure { lease: None, next_attempt_at, ..self })
    }

    /// Parks the lane: never due, no lease. Refused if the version moved: somebody resumed, appended or resolved.
    pub fn parked(self, owner: OwnerId, version: u64) -> Option<Tenure> {
        self.is_at(owner, version).then_some(Tenure { lease: None, next_attempt_at: None, ..self })
    }

    /// True if the lane may be released: nothing was appended since `version` was read, and the lease is still held.
    /// The owner matters as much as the version: a new lane item starts at version 1 again.
    pub fn may_be_released(self, owner: OwnerId, version: u64) -> bool {
        self.is_at(owner, version)
    }

    /// Makes the lane due, whoever holds it, and moves its version so that nobody parks it unawares.
    #[must_use]
    pub fn made_due(self, now: Time) -> Tenure {
        Tenure { version: self.version + 1, next_attempt_at: Some(now), ..self }
    }

    /// How a write of `owner` that was refused has ended, by what the lane is now.
    pub fn refusal(now: Option<Tenure>, owner: OwnerId) -> Outcome {
        match now {
            Some(tenure) if tenure.is_owned_by(owner) => Outcome::Moved(tenure.version),
            _ => Outcome::Lost,
        }
    }

    fn is_at(self, owner: OwnerId, version: u64) -> bool {
        self.is_owned_by(owner) && self.version == version
    }
}

impl LaneItem {
    /// What decides who may do what with the lane.
    pub fn tenure(&self) -> Tenure {
        Tenure { version: self.version, lease: self.lease, next_attempt_at: self.next_attempt_at }
    }

    /// The item with another tenure.
    #[must_use]
    pub fn with_tenure(&self, tenure: Tenure) -> LaneItem {
        let Tenure { version, lease, next_attempt_at } = tenure;
        LaneItem { version, lease, next_attempt_at, ..self.clone() }
    }
}
