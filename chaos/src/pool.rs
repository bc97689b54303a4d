//! Runs many plans, a few at a time.
//!
//! Workers take the next plan, run it in this process or one of its own, and pass on its report. When time is up
//! they begin no more plans. Results come in the order of finishing.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Instant;

use cosmicsync_sim::{Plan, Report};

use crate::error::{Code, Failure};

/// The hidden command that runs one plan from stdin.
pub(crate) const CHILD: &str = "exec-plan";

/// One plan to run.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// The seed that the plan came from.
    pub(crate) seed: u64,
    /// The event of the run at which the swept action happens, in a sweep.
    pub(crate) event: Option<u64>,
    /// The plan.
    pub(crate) plan: Plan,
}

/// Settings for running plans.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    /// Number of runs at one time.
    pub(crate) jobs: usize,
    /// True to run each plan in a process of its own.
    pub(crate) fresh_process: bool,
    /// Time after which no run begins.
    pub(crate) deadline: Option<Instant>,
}

/// Runs plans and passes each result on, until there are no more plans, the time is up or `done` returns false.
pub(crate) fn run(
    cases: impl Iterator<Item = Case> + Send,
    how: How,
    mut done: impl FnMut(Case, Report) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let stop = AtomicBool::new(false);
    let cases = Mutex::new(cases);
    let (sender, results) = mpsc::sync_channel(how.jobs);
    thread::scope(|scope| {
        for _ in 0..how.jobs {
            let (sender, stop, cases) = (sender.clone(), &stop, &cases);
            scope.spawn(move || {
                let over = || stop.load(Ordering::Relaxed) || how.deadline.is_some_and(|end| Instant::now() >= end);
                let next = || if over() { None } else { cases.lock().unwrap_or_else(PoisonError::into_inner).next() };
                while let Some(case) = next() {
                    let result = execute(&case.plan, false, how.fresh_process);
                    if sender.send((case, result)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut outcome = Ok(());
        for (case, result) in results {
            let more = result.and_then(|report| done(case, report));
            if !matches!(more, Ok(true)) {
                stop.store(true, Ordering::Relaxed);
            }
            outcome = outcome.and(more.map(drop));
        }
        outcome
    })
}

/// Runs one plan.
pub(crate) fn execute(plan: &Plan, traced: bool, fresh_process: bool) -> Result<Report, Failure> {
    if fresh_process {
        return in_a_fresh_process(plan, traced);
    }
    let run = if traced { cosmicsync_sim::run_traced } else { cosmicsync_sim::run };
    run(plan).map_err(|error| Failure::new(Code::Usage, format!("the plan cannot be run: {error}")))
}

/// Runs one plan in a process of its own.
pub(crate) fn in_a_fresh_process(plan: &Plan, traced: bool) -> Result<Report, Failure> {
    let failed = |what: String| Failure::new(Code::Internal, format!("a process of its own: {what}"));
    let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let plan = serde_json::to_vec(plan).map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new(program);
    command.arg(CHILD).args(traced.then_some("--trace")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let stdin = child.stdin.take();
    stdin.map_or(Ok(()), |mut stdin| stdin.write_all(&plan)).map_err(|error| failed(error.to_string()))?;
    let mut text = String::new();
    let stdout = child.stdout.take();
    let read = stdout.map_or(Ok(0), |mut stdout| stdout.read_to_string(&mut text));
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    read.map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        return Err(failed(format!("it ended with {status}")));
    }
    serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
}
