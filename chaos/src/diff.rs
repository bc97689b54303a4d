//! `diff`: finds the point at which two runs part, and its causes.
//!
//! Records are keyed by peer and by their number on that peer, not by time: a slower run is the same up to the
//! point where a different event happens. The first difference is the earliest one without a different cause.

use std::collections::BTreeMap;
use std::path::Path;

use cosmicsync_sim::report::Record;
use serde::Serialize;

use crate::bundle::Input;
use crate::error::Failure;
use crate::{Stdout, Verdict, pool, report};

/// Most causes that are shown.
const CHAIN_MAX: usize = 12;

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

/// Compares two bundles, running their plans again if a trace is missing.
pub(crate) fn run(a: &Path, b: &Path, output: &mut Stdout) -> Result<Verdict, Failure> {
    let (a_trace, b_trace) = (trace(a)?, trace(b)?);
    let Some(parting) = parting(&a_trace, &b_trace) else {
        output.object(&serde_json::json!({ "same": true, "records": a_trace.len() }))?;
        output.line(&format!("the same run: {} records", a_trace.len()))?;
        return Ok(Verdict::Held);
    };
    output.object(&serde_json::json!({ "same": false, "parting": parting }))?;
    let Parting { peer, index, .. } = parting;
    output.line(&format!("the runs part at record {index} of peer {peer}"))?;
    let shown =
        |record: &Option<Record>| record.as_ref().map_or_else(|| "nothing more".to_owned(), report::record_line);
    output.line(&format!("  {}\n    {}", a.display(), shown(&parting.a)))?;
    output.line(&format!("  {}\n    {}", b.display(), shown(&parting.b)))?;
    output.line("what led there, the latest first, is the same in both:")?;
    for record in &parting.chain {
        output.line(&format!("    {}", report::record_line(record)))?;
    }
    Ok(Verdict::Red)
}

fn trace(path: &Path) -> Result<Trace, Failure> {
    let input = Input::read(path)?;
    let kept = input.bundle().and_then(|bundle| bundle.trace.clone());
    let records = match kept {
        Some(records) => records,
        None => pool::execute(input.plan(), true, false)?.trace.unwrap_or_default(),
    };
    Ok(records.into_iter().map(|record| ((record.peer, record.index), record)).collect())
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
        Record { at_us, peer, index, cause, kind: kind.to_owned(), hash: 0 }
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
