//! Collects a proof's figures, compares each with its row, and detects missing ones.

use super::claims::{Claims, Comparison};
use crate::{Failure, Output};
use serde::Serialize;

/// One measured figure with its limit.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    pub(crate) claim: String,
    pub(crate) workload: String,
    pub(crate) value: serde_json::Value,
    pub(crate) unit: String,
    pub(crate) limit: Option<serde_json::Value>,
    pub(crate) comparison: Option<Comparison>,
    /// Number of cases of the figure.
    pub(crate) n: u64,
    pub(crate) holds: bool,
}

/// The figures so far, and all reasons for the run to fail.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    claims: &'a Claims,
    on_files: bool,
    output: Output,
    id: String,
    figures: Vec<Figure>,
    printed: usize,
    rows_seen: Vec<bool>,
    failures: Vec<String>,
}

impl<'a> Report<'a> {
    /// Returns an empty report. `on_files` is true if the caller gave files instead of the project's samples.
    pub(super) fn new(claims: &'a Claims, on_files: bool, output: Output) -> Self {
        let rows_seen = vec![false; claims.rows.len()];
        let (id, figures, failures) = Default::default();
        Self { claims, on_files, output, id, figures, printed: 0, rows_seen, failures }
    }

    /// Sets the claim of the next figures.
    pub(super) fn start(&mut self, id: &str) {
        id.clone_into(&mut self.id);
    }

    /// Reports a figure from `n` cases, in the unit of its row.
    pub(crate) fn figure(&mut self, workload: &str, value: f64, n: u64) {
        let row = self.claims.row(&self.id, workload);
        let claim = row.map(|at| &self.claims.rows[at]);
        let name = format!("{} \"{workload}\"", self.id);
        if let Some(at) = row {
            self.rows_seen[at] = true;
        } else {
            self.fail(format!("{name}: no row in tools/claims.toml"));
        }
        if n == 0 {
            self.fail(format!("{name}: n = 0, nothing was measured"));
        }
        let holds = n > 0 && claim.is_some_and(|claim| claim.holds(value));
        if let Some(claim) = claim.filter(|claim| !claim.holds(value)) {
            self.fail(format!("{name}: {value} {} is not {claim}", claim.unit));
        }
        self.figures.push(Figure {
            claim: self.id.clone(),
            workload: workload.to_owned(),
            value: number(value),
            unit: claim.map_or_else(String::new, |claim| claim.unit.clone()),
            limit: claim.and_then(|claim| claim.limit).map(number),
            comparison: claim.map(|claim| claim.comparison),
            n,
            holds,
        });
    }

    /// Reports a case that could not run, which fails the run.
    #[cfg_attr(not(test), expect(dead_code, reason = "the first proof calls it"))]
    pub(crate) fn skip(&mut self, workload: &str, reason: &str) {
        let id = self.id.clone();
        self.fail(format!("{id} \"{workload}\": skipped, {reason}"));
    }

    /// Records a reason for the run to fail.
    pub(super) fn fail(&mut self, why: String) {
        self.failures.push(why);
    }

    /// Prints the figures that are not printed yet.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        for figure in &self.figures[self.printed..] {
            match self.output {
                Output::Json => println!("{}", serde_json::to_string(figure)?),
                Output::Text => {
                    let row = self.claims.row(&figure.claim, &figure.workload).map(|at| &self.claims.rows[at]);
                    let limit = row.map_or_else(|| "no row".to_owned(), ToString::to_string);
                    let Figure { claim, workload, value, unit, n, holds, .. } = figure;
                    let holds = if *holds { "holds" } else { "DOES NOT HOLD" };
                    println!("{claim:<8} {workload:<72} {value:>12} {unit:<10} {limit:<12} n={n:<8} {holds}");
                }
            }
        }
        self.printed = self.figures.len();
        Ok(())
    }

    /// Fails if a figure did, if a row of the selected claims has no figure, or if nothing was measured.
    pub(super) fn finish(mut self, selected: &[&str]) -> Result<(), Failure> {
        for (row, seen) in self.claims.rows.iter().zip(&self.rows_seen) {
            let wanted = selected.contains(&row.id.as_str()) && !(self.on_files && row.sample);
            if wanted && !seen {
                self.failures.push(format!("{} \"{}\": no figure", row.id, row.workload));
            }
        }
        if self.figures.is_empty() {
            self.failures.push("nothing was measured".into());
        }
        let held = self.figures.iter().filter(|figure| figure.holds).count();
        if self.output == Output::Text {
            println!("prove: {held} passed, {} failed", self.failures.len());
        }
        if self.failures.is_empty() { Ok(()) } else { Err(self.failures.join("\n  ").into()) }
    }
}

/// Returns a figure as JSON; whole numbers have no fraction.
pub(super) fn number(value: f64) -> serde_json::Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { (value as i64).into() } else { value.into() }
}
