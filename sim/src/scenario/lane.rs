//! Lanes: the environments in which a scenario runs, and what each of them cannot play.
//!
//! A lane refuses a scenario with such a part, at its line, and never drops the part silently.

use super::problem::Problem;
use super::{Fault, Scenario, ScenarioError, When, Workload};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Environment in which a scenario runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    /// The core in virtual time, in one thread.
    Core,
    /// The shipped program: a process for each peer, and a proxy on each link.
    Process,
}

impl Lane {
    /// Every lane, the most deterministic first.
    pub const ALL: [Self; 2] = [Self::Core, Self::Process];

    pub(super) fn only_core() -> Vec<Self> {
        vec![Self::Core]
    }

    /// Returns the reason why the lane cannot play a fault; `None` if it can.
    pub const fn refusal(self, fault: &Fault) -> Option<&'static str> {
        match self {
            Self::Core => None,
            Self::Process => refusal_of_processes(fault),
        }
    }
}

/// Returns the reason why processes on one machine cannot have a fault.
const fn refusal_of_processes(fault: &Fault) -> Option<&'static str> {
    match fault {
        Fault::Resume { .. } => Some("a process cannot be copied with its memory"),
        Fault::SlowDisk { .. } => Some("all processes share the machine's disk"),
        Fault::FailDisk { full: false, .. } => Some("a disk can only be full here: write `full = true`"),
        Fault::FailDisk { full: true, nth, .. } if *nth != 1 => Some("commits of a process cannot be counted"),
        Fault::Clock { .. } => Some("all processes share the machine's wall clock"),
        Fault::FailDisk { .. }
        | Fault::Partition { .. }
        | Fault::OneWay { .. }
        | Fault::Stall { .. }
        | Fault::Reset { .. }
        | Fault::Flap { .. }
        | Fault::HangUp { .. }
        | Fault::Dial { .. }
        | Fault::Refuse { .. }
        | Fault::Unanswered { .. }
        | Fault::Slow { .. }
        | Fault::Split { .. }
        | Fault::Gather { .. }
        | Fault::Tamper { .. }
        | Fault::Crash { .. }
        | Fault::Stop { .. }
        | Fault::Backup { .. }
        | Fault::Restore { .. }
        | Fault::Wipe { .. }
        | Fault::Clone { .. }
        | Fault::Start { .. }
        | Fault::Pause { .. }
        | Fault::Bodies { .. }
        | Fault::Hold { .. } => None,
    }
}

impl Scenario {
    /// Checks that the scenario allows a lane, and that the lane can play all of it.
    ///
    /// # Errors
    /// Fails with each part that the lane cannot play.
    pub fn check_lane(&self, lane: Lane) -> Result<(), ScenarioError> {
        if !self.head.lanes.contains(&lane) {
            let lanes: Vec<String> = self.head.lanes.iter().map(ToString::to_string).collect();
            let message = format!(
                "this scenario does not run in the lane {lane}, but in {}; if it should, add \"{lane}\" to `lanes`",
                lanes.join(", ")
            );
            return Err(self.problem("lanes", message).into());
        }
        let refuse = |path: &str, why: &str| self.problem(path, format!("the lane {lane} cannot play this: {why}"));
        let mut problems: Vec<Problem> = Vec::new();
        for placed in &self.faults {
            problems.extend(lane.refusal(&placed.what).map(|why| refuse(&placed.path, why)));
        }
        if lane == Lane::Process {
            problems.extend(self.beyond_processes().into_iter().map(|(path, why)| refuse(&path, why)));
        }
        ScenarioError::check(problems)
    }

    /// Returns the places of everything but faults that real processes cannot play, with the reasons.
    fn beyond_processes(&self) -> Vec<(String, &'static str)> {
        let mut found = Vec::new();
        let mut note = |wrong: bool, path: String, why: &'static str| found.extend(wrong.then_some((path, why)));
        note(self.head.core != super::CoreSettings::default(), "core".to_owned(), "the program's own settings hold");
        let partitions = self.head.topology.partitions;
        note(partitions > 0, "topology.partitions".to_owned(), "its documents lie in `main`");
        for placed in &self.workloads {
            let inside = matches!(placed.what, Workload::Database { .. });
            note(inside, placed.path.clone(), "its comparisons are inside the process");
        }
        for placed in &self.faults {
            let at = matches!(placed.when, When::At(_));
            note(!at, placed.path.clone(), "events inside a process are not seen: write `at`");
        }
        for placed in &self.peers {
            let peer = &placed.what;
            let version = peer.minors.is_some() || peer.feature.is_some();
            note(version, placed.path.clone(), "a program has one version: run it with `--other`");
            note(peer.skew.ms != 0, placed.path.clone(), "all processes share the machine's wall clock");
            note(peer.commit.us != 0, placed.path.clone(), "all processes share the machine's disk");
        }
        found
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Core => "core",
            Self::Process => "process",
        })
    }
}

/// Error for a lane that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no lane `{0}`; there are core, process")]
pub struct UnknownLane(String);

impl FromStr for Lane {
    type Err = UnknownLane;

    fn from_str(name: &str) -> Result<Self, UnknownLane> {
        let found = Self::ALL.into_iter().find(|lane| lane.to_string() == name);
        found.ok_or_else(|| UnknownLane(name.to_owned()))
    }
}
