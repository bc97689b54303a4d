//! Shrinking: from a plan that fails to the smallest plan found that fails in the same way.
//!
//! Faults are removed first, then work, peers and links; then times and values are rounded. Randomness is keyed, so
//! removing one action leaves the others unchanged. A candidate is accepted only if the same oracle is violated
//! first, with the same text apart from numbers: a plan that fails in another way shows another bug. Bounds are
//! never tightened, since a run with too little time fails for that reason alone. The caller checks that the result
//! fails in a fresh process (`scenarios/README.md`).

mod ddmin;
mod peers;
mod values;

use crate::plan::{Action, Core, Plan, PlanError, When};
use crate::report::{OracleId, Report, Violation};
use ddmin::ddmin;

/// Identity of a failure: the oracle, and its text without numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The oracle that was violated first.
    pub oracle: OracleId,
    /// Text of the violation, with `#` for every number and hash.
    pub text: String,
}

impl Signature {
    /// Returns the signature of a run, if it failed.
    pub fn of(report: &Report) -> Option<Self> {
        report.violations.first().map(Self::of_violation)
    }

    fn of_violation(violation: &Violation) -> Self {
        let numeral = |word: &&str| word.chars().any(|c| c.is_ascii_digit());
        let parts = violation.text.split_inclusive(|c: char| !c.is_alphanumeric());
        let mut text = String::new();
        for part in parts {
            let word = part.trim_end_matches(|c: char| !c.is_alphanumeric());
            text.push_str(if numeral(&word) { "#" } else { word });
            text.push_str(&part[word.len()..]);
        }
        Self { oracle: violation.oracle, text }
    }
}

/// Progress of shrinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Number of runs made.
    pub runs: u64,
    /// Number of actions left.
    pub actions: usize,
    /// Number of faults among the actions.
    pub faults: usize,
    /// Number of peers left.
    pub peers: usize,
}

/// Result of shrinking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrunk {
    /// The small plan.
    pub plan: Plan,
    /// Report of the small plan's run.
    pub report: Report,
    /// Number of runs that shrinking took.
    pub runs: u64,
    /// True if shrinking ended before the limit on runs.
    pub finished: bool,
}

/// Reason why nothing was shrunk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShrinkError {
    /// The plan cannot be run.
    #[error("the plan cannot be run: {0}")]
    Plan(#[from] PlanError),
    /// The plan does not fail.
    #[error("the plan does not fail")]
    Holds,
}

/// Shrinks a plan that fails, in at most about `runs_max` runs, and reports its progress from time to time.
///
/// # Errors
/// Fails if the plan cannot be run, or does not fail.
pub fn shrink(plan: &Plan, runs_max: u64, progress: impl FnMut(Progress)) -> Result<Shrunk, ShrinkError> {
    shrink_with(plan, runs_max, progress, crate::run)
}

pub(crate) fn shrink_with(
    plan: &Plan,
    runs_max: u64,
    mut progress: impl FnMut(Progress),
    mut run: impl FnMut(&Plan) -> Result<Report, PlanError>,
) -> Result<Shrunk, ShrinkError> {
    let report = run(plan)?;
    let signature = Signature::of(&report).ok_or(ShrinkError::Holds)?;
    let best = Shrunk { plan: plan.clone(), report, runs: 1, finished: true };
    let mut search = Search { best, signature, runs_max, run: &mut run, progress: &mut progress };
    // A smaller plan may allow more removals: it is tried again until nothing changes, which is soon.
    for _ in 0..4 {
        let before = search.best.plan.clone();
        search.actions(|action| action.act.is_fault());
        search.actions(|action| !action.act.is_fault());
        search.peers_and_links();
        search.settings();
        search.values();
        if search.best.plan == before {
            break;
        }
    }
    search.best.finished = search.best.runs < runs_max;
    Ok(search.best)
}

struct Search<'a> {
    best: Shrunk,
    signature: Signature,
    runs_max: u64,
    run: &'a mut dyn FnMut(&Plan) -> Result<Report, PlanError>,
    progress: &'a mut dyn FnMut(Progress),
}

impl Search<'_> {
    /// Accepts a candidate if it fails in the same way.
    fn try_plan(&mut self, plan: Plan) -> bool {
        // Peers without a connection cannot agree, and that would look like the failure.
        let can_agree = peers::are_connected(&plan) || !peers::are_connected(&self.best.plan);
        if self.best.runs >= self.runs_max || plan == self.best.plan || !can_agree || plan.check().is_err() {
            return false;
        }
        self.best.runs += 1;
        let Ok(report) = (self.run)(&plan) else { return false };
        let same = Signature::of(&report).as_ref() == Some(&self.signature);
        if same {
            self.best.plan = plan;
            self.best.report = report;
        }
        let plan = &self.best.plan;
        (self.progress)(Progress {
            runs: self.best.runs,
            actions: plan.actions.len(),
            faults: plan.actions.iter().filter(|action| action.act.is_fault()).count(),
            peers: plan.peers.len(),
        });
        same
    }

    /// Removes those of the chosen actions that are not needed.
    fn actions(&mut self, chosen: impl Fn(&Action) -> bool) {
        let ids: Vec<u32> = self.best.plan.actions.iter().filter(|action| chosen(action)).map(|it| it.id).collect();
        ddmin(&ids, |kept| {
            let mut plan = self.best.plan.clone();
            plan.actions.retain(|action| !ids.contains(&action.id) || kept.contains(&action.id));
            plan == self.best.plan || self.try_plan(plan)
        });
    }

    /// Tries a change of the best plan.
    fn change(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        let mut plan = self.best.plan.clone();
        change(&mut plan);
        self.try_plan(plan)
    }

    /// Tries the defaults, and an earlier end of faults.
    fn settings(&mut self) {
        self.change(|plan| plan.core = Core::default());
        self.change(|plan| plan.partitions = 0);
        self.change(|plan| plan.sometimes.clear());
        let time = |action: &Action| if let When::AtUs(at_us) = action.when { at_us } else { 0 };
        let end_us = self.best.plan.actions.iter().map(time).max().unwrap_or(0) + 1_000_000;
        self.change(|plan| plan.bounds.phase_one_us = plan.bounds.phase_one_us.min(end_us));
    }
}

#[cfg(test)]
mod tests;
