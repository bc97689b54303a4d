//! Running a plan.

use crate::plan::{Plan, PlanError};
use crate::report::Report;
use crate::world::World;

/// Runs a plan to its end.
///
/// # Errors
/// When the plan refers to what is not there. A run itself never fails: what goes wrong in it is in the report.
pub fn run(plan: &Plan) -> Result<Report, PlanError> {
    plan.check()?;
    Ok(World::new(plan, false).run())
}

/// Runs a plan to its end and keeps the trace.
///
/// # Errors
/// As [`run`].
pub fn run_traced(plan: &Plan) -> Result<Report, PlanError> {
    plan.check()?;
    Ok(World::new(plan, true).run())
}
