//! Runs plans.

use crate::plan::{Plan, PlanError};
use crate::report::Report;
use crate::world::World;

/// Runs a plan to its end.
///
/// # Errors
/// Fails if the plan refers to something that does not exist. A run itself never fails: its report contains the
/// violations.
pub fn run(plan: &Plan) -> Result<Report, PlanError> {
    plan.check()?;
    plan.check_own()?;
    Ok(World::new(plan, false).run())
}

/// Runs a plan to its end and keeps the trace.
///
/// # Errors
/// As [`run`].
pub fn run_traced(plan: &Plan) -> Result<Report, PlanError> {
    plan.check()?;
    plan.check_own()?;
    Ok(World::new(plan, true).run())
}
