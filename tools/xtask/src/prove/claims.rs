//! The table of claims (`tools/claims.toml`): the project's claims, and the limit that each figure must keep.

use crate::{Failure, glob};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Comparison of a value with its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Comparison {
    /// At most the limit.
    #[serde(rename = "<=")]
    AtMost,
    /// At least the limit.
    #[serde(rename = ">=")]
    AtLeast,
    /// Exactly the limit.
    #[serde(rename = "==")]
    Exactly,
    /// No limit: the figure is printed, and any finite value holds.
    #[serde(rename = "printed")]
    Printed,
}

/// One row: a figure that the proof must give.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claim {
    /// The claim, which is also the name of the proof that measures its figures.
    pub(crate) id: String,
    /// The measured workload. `*` stands for any text, such as the name of the caller's file.
    pub(crate) workload: String,
    /// The unit of value and limit.
    pub(crate) unit: String,
    pub(crate) comparison: Comparison,
    /// The limit; absent only for a figure that is just printed.
    pub(crate) limit: Option<f64>,
    /// The issue whose words the row copies.
    pub(crate) issue: u32,
    /// True if the row is about the project's own sample, so that it is not required for the caller's files.
    #[serde(default)]
    pub(crate) sample: bool,
}

impl Claim {
    /// Returns whether a value keeps the limit.
    pub(crate) fn holds(&self, value: f64) -> bool {
        match (self.comparison, self.limit) {
            (Comparison::AtMost, Some(limit)) => value <= limit,
            (Comparison::AtLeast, Some(limit)) => value >= limit,
            (Comparison::Exactly, Some(limit)) => value == limit,
            (Comparison::Printed, _) => value.is_finite(),
            (Comparison::AtMost | Comparison::AtLeast | Comparison::Exactly, None) => false,
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.comparison {
            Comparison::AtMost => "<=",
            Comparison::AtLeast => ">=",
            Comparison::Exactly => "==",
            Comparison::Printed => "printed",
        };
        match self.limit {
            Some(limit) => write!(f, "{sign} {limit}"),
            None => f.write_str(sign),
        }
    }
}

/// All claims, in the order of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claims {
    #[serde(rename = "claim")]
    pub(crate) rows: Vec<Claim>,
}

impl Claims {
    /// Parses the table and checks the comparison of every row.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let claims: Self = toml::from_str(text)?;
        for (at, claim) in claims.rows.iter().enumerate() {
            let name = format!("claims.toml: {} \"{}\"", claim.id, claim.workload);
            if claim.limit.is_none() != (claim.comparison == Comparison::Printed) {
                return Err(format!("{name}: a limit is needed, except where the figure is only printed").into());
            }
            let same = |other: &Claim| other.id == claim.id && other.workload == claim.workload;
            if claims.rows[..at].iter().any(same) {
                return Err(format!("{name} stands there twice").into());
            }
        }
        Ok(claims)
    }

    /// Returns the row of a figure: the one with exactly its workload, else one whose pattern matches.
    pub(crate) fn row(&self, id: &str, workload: &str) -> Option<usize> {
        let exact = self.rows.iter().position(|row| row.id == id && row.workload == workload);
        exact.or_else(|| self.rows.iter().position(|row| row.id == id && glob::matches(&row.workload, "*", workload)))
    }

    /// Returns the names of the claims in the order of the file, each once.
    pub(crate) fn ids(&self) -> Vec<&str> {
        let mut ids = Vec::new();
        for row in &self.rows {
            if !ids.contains(&row.id.as_str()) {
                ids.push(row.id.as_str());
            }
        }
        ids
    }
}
