//! `diff`: compares two runs: results, plans, and for equal plans the first record that differs, with its causes.
//!
//! Records are keyed by peer and by their number on that peer, not by time: a slower run is the same up to the
//! point where a different event happens. The first difference is the earliest one without a different cause.

use std::collections::{BTreeMap, BTreeSet};

use cosmicsync_sim::plan::{Action, When};
use cosmicsync_sim::report::Record;
use cosmicsync_sim::{Plan, Report};
use serde::Serialize;

use crate::bundle::Loaded;
use crate::error::Failure;
use crate::{Stdout, Verdict, pool, report};

/// Most causes that are shown.
const CHAIN_MAX: usize = 12;
/// Number of actions of each group that are printed.
const TOLD_MAX: usize = 8;
/// Number of events and marks that are printed.
const MARKS_MAX: usize = 12;

type Trace = BTreeMap<(usize, u64), Record>;

/// The point at which two traces part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Parting {
    /// The peer.
    peer: usize,
    /// The number of the record on that peer.
    index: u64,
    /// The record in the first trace.
    a: Option<Record>,
    /// The record in the second trace.
    b: Option<Record>,
    /// Causes of the record, equal in both traces, the latest first.
    chain: Vec<Record>,
}

/// Compares two runs, running their plans again.
pub(crate) fn run(a: &Loaded, b: &Loaded, output: &mut Stdout) -> Result<Verdict, Failure> {
    let (one, other) = (Side::of(a)?, Side::of(b)?);
    let plans = Plans::of(a.input.plan(), b.input.plan());
    let Some(parting) = parting(&one.trace, &other.trace) else {
        output.object(&serde_json::json!({ "same": true, "records": one.trace.len() }))?;
        output.line(&format!("the same run: {} records", one.trace.len()))?;
        return Ok(Verdict::Held);
    };
    output.object(&serde_json::json!({
        "same": false, "parting": parting, "plans": plans,
        "outcome": { "a": one.outcome(), "b": other.outcome() }, "marks": marks(&one.report, &other.report),
    }))?;
    output.line(&format!("A  {}\nB  {}", a.name(), b.name()))?;
    print_outcomes(&one.report, &other.report, output)?;
    print_plans(&plans, a, b, output)?;
    // If plans differ, so does one of the first records, which explains nothing.
    if plans.same {
        print_divergence(&parting, a, b, output)?;
    }
    Ok(Verdict::Red)
}

/// One of the two runs.
struct Side {
    report: Report,
    trace: Trace,
}

impl Side {
    fn of(loaded: &Loaded) -> Result<Self, Failure> {
        let mut report = pool::execute(loaded.input.plan(), true, false)?;
        let found = report.trace.take().unwrap_or_default();
        // The trace in a bundle may come from another build.
        let records = loaded.input.bundle().and_then(|bundle| bundle.trace.clone()).unwrap_or(found);
        let trace = records.into_iter().map(|record| ((record.peer, record.index), record)).collect();
        Ok(Self { report, trace })
    }

    fn outcome(&self) -> serde_json::Value {
        let Report { trace_hash, violations, stats, .. } = &self.report;
        serde_json::json!({
            "held": self.report.is_ok(), "violation": violations.first(), "trace_hash": trace_hash, "stats": stats,
        })
    }
}

/// The difference of two plans. Actions are identified by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Plans {
    same: bool,
    /// The settings that differ.
    settings: Vec<&'static str>,
    in_both: Vec<u32>,
    only_a: Vec<u32>,
    only_b: Vec<u32>,
    /// In both, with another time or kind.
    changed: Vec<u32>,
}

impl Plans {
    fn of(a: &Plan, b: &Plan) -> Self {
        let by_id = |plan: &Plan| plan.actions.iter().map(|action| (action.id, action.clone())).collect();
        let (one, other): (BTreeMap<u32, Action>, BTreeMap<u32, Action>) = (by_id(a), by_id(b));
        let only = |of: &BTreeMap<u32, Action>, not: &BTreeMap<u32, Action>| {
            of.keys().filter(|id| !not.contains_key(*id)).copied().collect::<Vec<u32>>()
        };
        let shared = one.iter().filter_map(|(id, action)| Some((*id, action == other.get(id)?)));
        let (in_both, changed): (Vec<_>, Vec<_>) = shared.partition(|(_, same)| *same);
        let ids = |pairs: Vec<(u32, bool)>| pairs.into_iter().map(|(id, _)| id).collect();
        let settings = [
            ("seed", a.seed != b.seed),
            ("peers", a.peers != b.peers),
            ("links", a.links != b.links),
            ("bounds", a.bounds != b.bounds),
            ("core", a.core != b.core || a.partitions != b.partitions),
        ];
        Self {
            same: a == b,
            settings: settings.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect(),
            in_both: ids(in_both),
            only_a: only(&one, &other),
            only_b: only(&other, &one),
            changed: ids(changed),
        }
    }
}

/// Prints the difference of two plans.
fn print_plans(plans: &Plans, a: &Loaded, b: &Loaded, output: &mut Stdout) -> Result<(), Failure> {
    if plans.same {
        output.line("the plans are the same")?;
        return Ok(());
    }
    if !plans.settings.is_empty() {
        output.line(&format!("the plans differ in: {}", plans.settings.join(", ")))?;
    }
    let told = |plan: &Plan, ids: &[u32], output: &mut Stdout| -> Result<(), Failure> {
        for id in ids.iter().take(TOLD_MAX) {
            let Some(action) = plan.actions.iter().find(|action| action.id == *id) else { continue };
            output.line(&format!("    {}  {}", when(&action.when), action.act.tell(plan)))?;
        }
        if ids.len() > TOLD_MAX {
            output.line(&format!("    and {} more", ids.len() - TOLD_MAX))?;
        }
        Ok(())
    };
    let (one, other) = (a.input.plan(), b.input.plan());
    for (ids, plan, what) in [
        (&plans.in_both, other, "in both"),
        (&plans.changed, other, "in both, but at another time or in another way; as B has them"),
        (&plans.only_a, one, "only in A"),
        (&plans.only_b, other, "only in B"),
    ] {
        if !ids.is_empty() {
            output.line(&format!("actions and faults {what}: {}", ids.len()))?;
            told(plan, ids, output)?;
        }
    }
    Ok(())
}

fn when(when: &When) -> String {
    match when {
        When::AtUs(at_us) => format!("at {}", report::time(*at_us)),
        When::After(after) => format!("after {} on peer {}", after.event, after.peer),
        When::Event(nth) => format!("at event {nth}"),
    }
}

/// Prints two results side by side.
fn print_outcomes(a: &Report, b: &Report, output: &mut Stdout) -> Result<(), Failure> {
    let (one, other) = (report::row("A", a), report::row("B", b));
    let mut rows: Vec<[String; 3]> =
        report::COLUMNS.iter().zip(one).zip(other).map(|((name, a), b)| [name.to_lowercase(), a, b]).collect();
    if let Some(first) = rows.first_mut() {
        *first = ["".to_owned(), "A".to_owned(), "B".to_owned()];
    }
    rows.extend(marks(a, b).into_iter().take(MARKS_MAX).map(|(mark, a, b)| [mark, a.to_string(), b.to_string()]));
    output.table(["", "", ""], &rows)?;
    Ok(())
}

/// Returns the events and marks that only one run met, then those that one met at least twice as often.
fn marks(a: &Report, b: &Report) -> Vec<(String, u64, u64)> {
    let (one, other) = (&a.stats.marks, &b.stats.marks);
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let count = |marks: &BTreeMap<String, u64>, name: &String| marks.get(name).copied().unwrap_or(0);
    let pairs = names.into_iter().map(|name| (name.clone(), count(one, name), count(other, name)));
    let mut marks: Vec<_> = pairs.filter(|(_, a, b)| (*a).max(*b) >= 2 * (*a).min(*b)).collect();
    marks.sort_by_key(|(name, a, b)| (*a.min(b) > 0, name.clone()));
    marks
}

fn print_divergence(parting: &Parting, a: &Loaded, b: &Loaded, output: &mut Stdout) -> Result<(), Failure> {
    let Parting { peer, index, .. } = parting;
    output.line(&format!("the runs part at record {index} of peer {peer}"))?;
    let plan = a.input.plan();
    let shown = |record: &Option<Record>| {
        record.as_ref().map_or_else(|| "nothing more".to_owned(), |record| report::record_line(plan, record))
    };
    output.line(&format!("  {}\n    {}", a.name(), shown(&parting.a)))?;
    output.line(&format!("  {}\n    {}", b.name(), shown(&parting.b)))?;
    output.line("what led there, the latest first, is the same in both:")?;
    for record in &parting.chain {
        output.line(&format!("    {}", report::record_line(plan, record)))?;
    }
    Ok(())
}

/// Returns the earliest difference without a different cause: of the first ones on each peer, the earliest in time.
fn parting(a: &Trace, b: &Trace) -> Option<Parting> {
    let mut first: BTreeMap<usize, u64> = BTreeMap::new();
    for key in a.keys().chain(b.keys()) {
        let same = match (a.get(key), b.get(key)) {
            (Some(a), Some(b)) => (&a.kind, a.hash, a.cause) == (&b.kind, b.hash, b.cause),
            _ => false,
        };
        if !same {
            let index = first.entry(key.0).or_insert(key.1);
            *index = (*index).min(key.1);
        }
    }
    let at_us = |key: &(usize, u64)| [a, b].iter().filter_map(|trace| trace.get(key)).map(|record| record.at_us).min();
    let (peer, index) = first.into_iter().min_by_key(|key| (at_us(key), *key))?;
    let key = (peer, index);
    Some(Parting { peer, index, a: a.get(&key).cloned(), b: b.get(&key).cloned(), chain: chain(a, b, key) })
}

/// Returns the causes of a record: the record of another peer that caused it, or else the one before it on its own
/// peer.
fn chain(a: &Trace, b: &Trace, key: (usize, u64)) -> Vec<Record> {
    let before = |(peer, index): (usize, u64)| Some((peer, index.checked_sub(1)?));
    let mut chain = Vec::new();
    let mut next = match (a.get(&key), b.get(&key)) {
        (Some(a), Some(b)) if a.cause != b.cause => before(key),
        (a, b) => a.or(b).and_then(|record| record.cause).or_else(|| before(key)),
    };
    while let Some(record) = next.and_then(|key| a.get(&key)).filter(|_| chain.len() < CHAIN_MAX) {
        chain.push(record.clone());
        next = record.cause.or_else(|| before((record.peer, record.index)));
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at_us: u64, peer: usize, index: u64, kind: &str, cause: Option<(usize, u64)>) -> Record {
        let (link, connection, bytes, note) = (None, None, None, String::new());
        Record { at_us, peer, index, cause, kind: kind.to_owned(), hash: 0, link, connection, bytes, note }
    }

    fn trace(records: &[Record]) -> Trace {
        records.iter().map(|record| ((record.peer, record.index), record.clone())).collect()
    }

    #[test]
    fn equal_runs_have_no_parting_even_if_one_is_slower() {
        let a = trace(&[record(1, 0, 0, "peer.started", None), record(5, 1, 0, "bytes.received", Some((0, 0)))]);
        let b = trace(&[record(1, 0, 0, "peer.started", None), record(9, 1, 0, "bytes.received", Some((0, 0)))]);
        assert_eq!(parting(&a, &b), None);
    }

    #[test]
    fn the_first_difference_comes_with_what_led_there() {
        let start = [record(1, 0, 0, "peer.started", None), record(2, 0, 1, "bytes.sent", None)];
        let with = |kind: &str| {
            let mut all = start.to_vec();
            all.push(record(5, 1, 0, kind, Some((0, 1))));
            all.push(record(8, 0, 2, kind, Some((1, 0))));
            trace(&all)
        };
        let parting = parting(&with("bytes.received"), &with("link.lost")).unwrap();
        assert_eq!((parting.peer, parting.index), (1, 0));
        let kinds: Vec<_> = parting.chain.iter().map(|record| record.kind.as_str()).collect();
        assert_eq!(kinds, ["bytes.sent", "peer.started"]);
    }

    #[test]
    fn a_run_that_ends_early_parts_where_it_ends() {
        let a = trace(&[record(1, 0, 0, "peer.started", None)]);
        let b = trace(&[record(1, 0, 0, "peer.started", None), record(2, 0, 1, "bytes.sent", None)]);
        let parting = parting(&a, &b).unwrap();
        assert_eq!((parting.a, parting.b.map(|record| record.index)), (None, Some(1)));
        assert_eq!(parting.chain.len(), 1);
    }
}
