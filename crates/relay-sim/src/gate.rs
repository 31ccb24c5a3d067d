//! What every port call goes through.

use crate::schedule::{Hazards, Scheduler};
use relay_core::ports::PortError;
use std::fmt::Debug;

/// Lets calls through: at once and unharmed, or when and how the scheduler says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Option<Scheduler>);

impl Gate {
    pub fn scheduled(scheduler: Scheduler) -> Gate {
        Gate(Some(scheduler))
    }

    pub fn scheduler(&self) -> Option<&Scheduler> {
        self.0.as_ref()
    }

    /// A call with one effect, which may fail before it, or after it.
    pub async fn call<T: Debug + Send>(
        &self,
        name: &str,
        subject: &(dyn Debug + Sync),
        effect: impl FnOnce() -> Result<T, PortError> + Send,
    ) -> Result<T, PortError> {
        let Some(scheduler) = &self.0 else { return effect() };
        scheduler.point().await;
        if let Some(fault) = refusal(scheduler) {
            scheduler.note(|| format!("{name} {subject:?} ✗ {fault}, no effect"));
            return Err(fault);
        }
        let answer = effect();
        scheduler.note(|| format!("{name} {subject:?} → {answer:?}"));
        scheduler.point().await;
        if scheduler.strikes(|hazards| hazards.lost_answer) {
            scheduler.note(|| format!("{name} ✗ answer lost"));
            return Err(PortError::Unavailable("the answer was lost".to_owned()));
        }
        answer
    }

    /// A batch call, whose entries fail one by one.
    pub async fn each<E: Sync, T: Debug + Send>(
        &self,
        name: &str,
        entries: &[E],
        mut effect: impl FnMut(&E) -> Result<T, PortError> + Send,
    ) -> Vec<Result<T, PortError>> {
        let Some(scheduler) = &self.0 else { return entries.iter().map(effect).collect() };
        scheduler.point().await;
        if let Some(fault) = refusal(scheduler) {
            scheduler.note(|| format!("{name} ✗ {fault}, no effect"));
            return entries.iter().map(|_| Err(fault.clone())).collect();
        }
        let mut answers = Vec::new();
        for entry in entries {
            let fails = scheduler.strikes(|hazards| hazards.entry_failure);
            let lost = fails && scheduler.strikes(|_| 5_000);
            let fault = || Err(PortError::Unavailable("the entry failed".to_owned()));
            answers.push(match (fails, lost) {
                (true, false) => fault(),
                (true, true) => effect(entry).and_then(|_| fault()),
                (false, _) => effect(entry),
            });
        }
        scheduler.note(|| format!("{name} → {answers:?}"));
        scheduler.point().await;
        if scheduler.strikes(|hazards| hazards.lost_answer) {
            scheduler.note(|| format!("{name} ✗ answer lost"));
            return entries.iter().map(|_| Err(PortError::Unavailable("the answer was lost".to_owned()))).collect();
        }
        answers
    }

    /// True if a hazard strikes; never without a scheduler.
    pub fn strikes(&self, hazard: impl FnOnce(&Hazards) -> u32) -> bool {
        self.0.as_ref().is_some_and(|scheduler| scheduler.strikes(hazard))
    }

    /// Waits to be picked.
    pub async fn point(&self) {
        if let Some(scheduler) = &self.0 {
            scheduler.point().await;
        }
    }
}

fn refusal(scheduler: &Scheduler) -> Option<PortError> {
    if scheduler.strikes(|hazards| hazards.failure) {
        let full = scheduler.strikes(|_| 1_000);
        return Some(if full { PortError::Full } else { PortError::Unavailable("no connection".to_owned()) });
    }
    scheduler.strikes(|hazards| hazards.throttled).then_some(PortError::Throttled)
}
