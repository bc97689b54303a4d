//! Steps with a time budget: each prints its name, and the run ends with a table.

use crate::Failure;
use std::process::Command;
use std::time::{Duration, Instant};

/// Result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    OverBudget,
    Failed,
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    took: Duration,
    budget: Duration,
    verdict: Verdict,
}

/// The steps run so far.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    rows: Vec<Row>,
}

impl Steps {
    /// Runs one step and records its duration. Returns whether it passed; exceeding the budget is only a warning.
    pub(crate) fn run(
        &mut self,
        name: &'static str,
        budget_s: u64,
        work: impl FnOnce() -> Result<(), Failure>,
    ) -> bool {
        println!("\n==> {name} (budget {budget_s} s)");
        let start = Instant::now();
        let result = work();
        let (took, budget) = (start.elapsed(), Duration::from_secs(budget_s));
        let verdict = match result {
            Ok(()) if took > budget => Verdict::OverBudget,
            Ok(()) => Verdict::Passed,
            Err(failure) => {
                println!("{name}: {failure}");
                Verdict::Failed
            }
        };
        self.rows.push(Row { name, took, budget, verdict });
        verdict != Verdict::Failed
    }

    /// Prints the table; fails if a step did.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        print!("\n{}", self.table());
        let failed: Vec<_> = self.rows.iter().filter(|row| row.verdict == Verdict::Failed).map(|r| r.name).collect();
        println!("steps: {} passed, {} failed", self.rows.len() - failed.len(), failed.len());
        if self.rows.is_empty() {
            return Err("no step ran".into());
        }
        match failed.as_slice() {
            [] => Ok(()),
            names => Err(format!("failed: {0}; run one alone with `cargo xtask test {0}`", names.join(" ")).into()),
        }
    }

    fn table(&self) -> String {
        let mut table = format!("{:<12} {:>9} {:>8}  result\n", "step", "seconds", "budget");
        for row in &self.rows {
            let verdict = match row.verdict {
                Verdict::Passed => "passed",
                Verdict::OverBudget => "passed, over its budget",
                Verdict::Failed => "FAILED",
            };
            let (took, budget) = (row.took.as_secs_f64(), row.budget.as_secs());
            table += &format!("{:<12} {took:>9.1} {budget:>8}  {verdict}\n", row.name);
        }
        let total: f64 = self.rows.iter().map(|row| row.took.as_secs_f64()).sum();
        let budget: u64 = self.rows.iter().map(|row| row.budget.as_secs()).sum();
        table + &format!("{:<12} {total:>9.1} {budget:>8}\n", "all")
    }
}

/// Runs a command with its output shown; fails if the command does.
pub(crate) fn shown(mut command: Command) -> Result<(), Failure> {
    let line = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|part| part.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ");
    let status = command.status().map_err(|error| format!("cannot start `{line}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` failed ({status})").into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_fails_the_run_and_stands_in_the_table() {
        let mut steps = Steps::default();
        assert!(steps.run("good", 10, || Ok(())));
        assert!(!steps.run("bad", 10, || Err("broken".into())));
        assert!(steps.table().contains("FAILED"));
        let failure = steps.finish().unwrap_err();
        assert!(failure.to_string().contains("bad"), "{failure}");
    }

    #[test]
    fn no_step_is_a_failure() {
        assert!(Steps::default().finish().is_err());
    }
}
