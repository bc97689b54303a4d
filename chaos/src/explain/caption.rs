//! Captions: a failure in plain English, with the rule, the bound, the last fault, and what each peer lacked.

use std::collections::BTreeSet;

use cosmicsync_sim::report::Bound;
use cosmicsync_sim::{OracleId, Plan, Report};
use serde::Serialize;

use super::story;
use crate::report::time;

/// The caption of a diagram.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Caption {
    /// The run and its result.
    pub(crate) result: String,
    /// The rule that was violated.
    pub(crate) rule: Option<String>,
    /// The text of the violation.
    pub(crate) seen: Option<String>,
    /// The bound on agreement, and the moment it is measured from.
    pub(crate) bound: Option<String>,
    /// The fault that ended last.
    pub(crate) last_fault: Option<String>,
    /// State that each peer lacked at the end of the bound.
    pub(crate) lacked: Vec<String>,
    /// Explanations of words in the other parts.
    pub(crate) words: Vec<String>,
}

impl Caption {
    pub(crate) fn of(plan: &Plan, seed: u64, report: &Report) -> Self {
        let name = &plan.name;
        let violation = report.violations.first();
        let result = match violation {
            Some(violation) => {
                let on = violation.peer.map(|peer| format!(" on {}", plan.peer_name(peer))).unwrap_or_default();
                format!("{name}, seed {seed}: {} is violated{on} at {}.", violation.oracle, time(violation.at_us))
            }
            None => {
                let agreed =
                    report.stats.converged_us.map(|us| format!("; all agreed {} after faults ended", time(us)));
                format!("{name}, seed {seed}: every rule held{}.", agreed.unwrap_or_default())
            }
        };
        let is_bound = report.violations.iter().any(|violation| violation.text.starts_with("no convergence"));
        let ended = violation.is_none() || is_bound;
        Self {
            result,
            rule: violation.map(|violation| format!("Rule {}: {}.", violation.oracle, demands(violation.oracle))),
            seen: violation.map(|violation| format!("Seen: {}.", violation.text)),
            bound: report.stats.bound.filter(|_| ended).map(|bound| bound_line(&bound, report)),
            last_fault: Some(last_fault(plan, report)),
            lacked: report.unmet.iter().map(|unmet| unmet.text.clone()).collect(),
            words: words(plan, report),
        }
    }

    /// Returns all lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.result.clone()];
        lines.extend([&self.rule, &self.seen].into_iter().flatten().cloned());
        lines.extend(self.details());
        lines
    }

    /// Returns the lines below the violation.
    pub(crate) fn details(&self) -> Vec<String> {
        let mut lines: Vec<String> = [&self.bound, &self.last_fault].into_iter().flatten().cloned().collect();
        if !self.lacked.is_empty() {
            lines.push(format!("Lacking when the bound was over: {}.", self.lacked.join("; ")));
        }
        lines.extend(self.words.iter().cloned());
        lines
    }
}

/// Returns the demand of an oracle, with a reference.
pub(crate) fn demands(oracle: OracleId) -> String {
    let place = if oracle == OracleId::App { "" } else { " (spec/invariants.md)" };
    format!("{}{place}", oracle.demands())
}

/// Returns the bound, its parts, and the moment it is measured from.
pub(crate) fn bound_line(bound: &Bound, report: &Report) -> String {
    let mut parts = vec![format!("{} allowed by the plan (converge_within)", time(bound.converge_us))];
    let more = [
        (bound.round_trips_us, "for round trips (round_trips)"),
        (bound.carrying_us, "to carry all entries"),
        (bound.reconnect_us, "to make links again"),
    ];
    parts.extend(more.iter().filter(|(us, _)| *us > 0).map(|(us, what)| format!("{} {what}", time(*us))));
    let since = story::since(bound);
    let taken = match report.stats.converged_us {
        Some(taken_us) if !bound.again => format!("Bound: they took {} of {}", time(taken_us), time(bound.total_us())),
        _ => format!("Bound: they did not agree within {}", time(bound.total_us())),
    };
    format!("{taken}, measured from {}, when {since}: {}.", time(bound.from_us), parts.join(" + "))
}

/// Returns the fault that ended last before the first violation.
fn last_fault(plan: &Plan, report: &Report) -> String {
    let end_us = report.violations.first().map_or(u64::MAX, |violation| violation.at_us);
    let faults = story::faults(plan, report);
    let last = faults.iter().filter(|fault| fault.from_us <= end_us).max_by_key(|fault| fault.until_us);
    let Some(fault) = last else { return "Last fault: none took effect.".to_owned() };
    let text = &fault.text;
    let from = time(fault.from_us);
    if fault.until_us > end_us {
        format!("Last fault, still going on: {text}, since {from}.")
    } else if fault.is_open {
        format!("Last fault to end: {text}, from {from} until faults ended at {}.", time(fault.until_us))
    } else if fault.until_us == fault.from_us {
        format!("Last fault: {text}, at {from}.")
    } else {
        format!("Last fault to end: {text}, from {from} to {}.", time(fault.until_us))
    }
}

/// Returns explanations of the words that the violation uses.
fn words(plan: &Plan, report: &Report) -> Vec<String> {
    let texts = || {
        let seen = report.violations.first().map(|violation| violation.text.as_str());
        seen.into_iter().chain(report.unmet.iter().map(|unmet| unmet.text.as_str()))
    };
    let mut words = Vec::new();
    if texts().any(|text| text.contains("settled")) {
        words.push(
            "A link is settled when both ends have sent, received and acknowledged all that they know of their spaces."
                .to_owned(),
        );
    }
    if texts().any(|text| text.contains("the other end is gone")) {
        words.push(format!(
            "A process that ends without closing its connections leaves them half open. The peer at the other end sends \
             without an answer until it notices the silence (quiet links are probed every {}).",
            time(plan.core.keep_alive_us)
        ));
    }
    if texts().any(|text| text.contains("another root")) {
        words.push("A root is a hash over all that a peer holds: equal roots, equal entries.".to_owned());
    }
    if texts().any(|text| text.contains("entries of a log")) {
        words.push(
            "A log is what one device wrote: an entry is held when its bytes are stored, read when it is applied."
                .to_owned(),
        );
    }
    if texts().any(|text| text.contains("replica that came late")) {
        words.push(
            "The replica that came late is the oracle's own: at the end it starts from what the named peer's store held \
             when the run began, and learns the rest from two other peers' stores."
                .to_owned(),
        );
    }
    if texts().any(|text| text.contains("version")) {
        words.push("A version says of each author up to where its edits are in a document.".to_owned());
    }
    words.extend(tokens(plan, report));
    words
}

/// Returns the actions behind the tokens and edits of a violation: numbers of these contain the id of the action.
fn tokens(plan: &Plan, report: &Report) -> Vec<String> {
    let text = report.violations.first().map_or("", |violation| violation.text.as_str());
    let words: Vec<&str> = text.split(|letter: char| !letter.is_alphanumeric()).collect();
    let named = words.windows(2).filter(|pair| matches!(pair.first(), Some(&("token" | "edit" | "without"))));
    let numbers: BTreeSet<u64> = named.filter_map(|pair| pair.get(1)?.parse().ok()).collect();
    let told = numbers.into_iter().filter_map(|number| {
        let id = u32::try_from(number >> 20).ok()?;
        let action = plan.actions.iter().find(|action| action.id == id)?;
        let at = report.acted.iter().find(|acted| acted.action == id);
        let at = at.map(|acted| format!(" at {}", time(acted.at_us))).unwrap_or_default();
        Some(format!("Token {number} is what action {id} wrote: {}{at}.", action.act.tell(plan)))
    });
    told.collect()
}
