//! `traces`: recorded typing, replayed by real devices, ends in the same text everywhere.
//!
//! A sequential trace is typed through A and read on B. A concurrent trace is replayed with its concurrency: each
//! author is a separate device, whose view of the document holds exactly the transactions that the author had seen.

mod plan;

use super::input::Input;
use super::node::{Node, join, start_owner, text};
use super::{Report, Setting};
use crate::Failure;
use plan::{Plan, Trace};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Instant;

/// The samples, outside of the repository.
const SAMPLES: [&str; 2] = ["automerge-paper.json.gz", "friendsforever.json.gz"];
/// The edited document.
const DOC: &str = "traces/doc";
/// The path of the text in the document.
const PATH: &str = "text";
/// Number of keystrokes per command of a sequential trace.
const BATCH: usize = 200;

/// A set of positions in logs: the greatest sequence number of each.
type Cut = BTreeMap<String, u64>;

/// Proves the claim.
pub(super) fn prove(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    for path in setting.files_or(&SAMPLES)? {
        let input = Input::read(&path)?;
        let trace = Trace::parse(&input.bytes).map_err(|why| format!("{}: {why}", path.display()))?;
        let kind = if trace.is_concurrent() { "concurrent" } else { "sequential" };
        eprintln!("traces: {}: {kind}, {} transactions", path.display(), trace.txns.len());
        let began = Instant::now();
        if trace.is_concurrent() {
            concurrent(setting, &input, &trace, report)?;
        } else {
            sequential(setting, &input, &trace, report)?;
        }
        eprintln!("traces: {} took {:.1} s", input.name, began.elapsed().as_secs_f64());
    }
    Ok(())
}

fn sequential(setting: &Setting, input: &Input, trace: &Trace, report: &mut Report<'_>) -> Result<(), Failure> {
    let home = tempfile::tempdir()?;
    let mut nodes = start(setting, home.path(), 2, trace)?;
    let [a, b] = nodes.as_mut_slice() else { return Err("two nodes were to start".into()) };
    let mut typed = 0;
    for batch in trace.txns.chunks(BATCH) {
        let patches: Vec<_> = batch.iter().flat_map(|txn| &txn.patches).collect();
        typed += patches.len();
        a.ask("doc_splice", json!({ "doc": DOC, "path": PATH, "patches": patches }))?;
    }
    a.wait_sync()?;
    b.wait_sync()?;
    let texts = [read(a)?, read(b)?];
    let wrong = texts.iter().filter(|text| **text != trace.end_content).count();
    report.figure(&format!("{}: texts that differ from the expected end", input.stem()), wrong as f64, 2);
    if setting.files.is_empty() {
        report.figure(&format!("{}: keystrokes typed through A", input.stem()), typed as f64, typed as u64);
    }
    Ok(())
}

fn concurrent(setting: &Setting, input: &Input, trace: &Trace, report: &mut Report<'_>) -> Result<(), Failure> {
    let plan = Plan::new(trace)?;
    let commands = plan.steps.len();
    eprintln!("traces: {} authors on {} devices, {commands} commands", trace.authors(), plan.devices);
    let home = tempfile::tempdir()?;
    let mut nodes = start(setting, home.path(), plan.devices.max(2), trace)?;
    hold(&mut nodes, true)?;
    // The positions that each device had seen after each of its own transactions.
    let mut cuts: BTreeMap<(usize, usize), Cut> = BTreeMap::new();
    let mut own = vec![Cut::new(); nodes.len()];
    let mut typing = vec![false; nodes.len()];
    for step in &plan.steps {
        let mut seen = own[step.device].clone();
        for receive in &step.receives {
            let cut = cuts.get(receive).ok_or("the plan receives what was not typed")?;
            join_cuts(&mut seen, cut);
        }
        let patches: Vec<_> = step.txns.iter().flat_map(|txn| &trace.txns[*txn].patches).collect();
        let mut splice = json!({ "doc": DOC, "path": PATH, "patches": patches });
        if !step.receives.is_empty() {
            splice["seen"] = seen.iter().map(|(log, seq)| json!({ "log": log, "seq": seq })).collect();
        }
        let written = nodes[step.device].ask("doc_splice", splice)?;
        let cut = parse_cut(&written)?;
        typing[step.device] = true;
        cuts.insert((step.device, step.typed), cut.clone());
        own[step.device] = cut;
    }
    hold(&mut nodes, false)?;
    settle(&mut nodes)?;
    let mut texts = Vec::new();
    for node in &mut nodes {
        texts.push(read(node)?);
    }
    let wrong = texts.iter().filter(|text| **text != texts[0]).count();
    report.figure(
        &format!("{}: texts that differ from the expected end", input.stem()),
        wrong as f64,
        texts.len() as u64,
    );
    let same = if texts[0] == trace.end_content { "is" } else { "is not" };
    eprintln!(
        "traces: {}: the text of {} characters {same} the trace's endContent, which another algorithm merged",
        input.name,
        texts[0].chars().count()
    );
    if setting.files.is_empty() {
        let typed = typing.iter().filter(|typed| **typed).count();
        report.figure(&format!("{}: devices that typed", input.stem()), typed as f64, commands as u64);
    }
    Ok(())
}

/// Starts the devices and gives them the document in its state before the first transaction.
fn start(setting: &Setting, home: &std::path::Path, count: usize, trace: &Trace) -> Result<Vec<Node>, Failure> {
    let mut first = start_owner(&setting.binary, home)?;
    let mut others = Vec::new();
    for at in 1..count {
        others.push(join(&setting.binary, home, &format!("d{at}"), &mut first)?);
    }
    let put = json!({ "collection": "traces", "key": "doc", "value": { PATH: trace.start_content }, "text": [PATH] });
    first.ask("doc_put", put)?;
    others.insert(0, first);
    settle(&mut others)?;
    Ok(others)
}

fn hold(nodes: &mut [Node], hold: bool) -> Result<(), Failure> {
    for node in nodes {
        node.ask("doc_hold", json!({ "doc": DOC, "hold": hold }))?;
    }
    Ok(())
}

/// Waits until all have everything. The first one forwards the others' entries, so it waits twice.
fn settle(nodes: &mut [Node]) -> Result<(), Failure> {
    for _ in 0..2 {
        for node in nodes.iter_mut() {
            node.wait_sync()?;
        }
    }
    Ok(())
}

fn read(node: &mut Node) -> Result<String, Failure> {
    let document = node.ask("doc_get", json!({ "doc": DOC }))?;
    text(document.get("value").ok_or("the document has no value")?, PATH)
}

fn parse_cut(written: &Value) -> Result<Cut, Failure> {
    let positions = written.get("cut").and_then(Value::as_array).ok_or("a write without a cut")?;
    let position = |position: &Value| Ok((text(position, "log")?, super::node::number(position, "seq")?));
    positions.iter().map(position).collect()
}

fn join_cuts(cut: &mut Cut, other: &Cut) {
    for (log, seq) in other {
        let known = cut.entry(log.clone()).or_insert(*seq);
        *known = (*known).max(*seq);
    }
}
