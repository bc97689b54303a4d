//! `cost`: the cost of syncing, in bytes on the wire after the handshake, in time and on disk.
//!
//! Bytes are those of both directions: TCP payload in the nodes' own counters, from `status`.

use super::import::import;
use super::input::Input;
use super::node::{Node, number, start_joined, start_owner};
use super::{Report, Setting, cold};
use crate::Failure;
use serde_json::{Value, json};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The sample, which is outside of the repository.
const SAMPLE: &str = "zipcodes.csv.gz";
/// Time without traffic after which a link is idle.
const QUIET: Duration = Duration::from_millis(600);
/// Longest time for a link to become idle.
const QUIET_MAX: Duration = Duration::from_secs(60);
/// Number of reconnects per figure, which is the worst of them.
const RECONNECTS: u64 = 3;

/// Proves the claim.
pub(super) fn prove(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    let parts: [(&str, Part); 6] = [
        ("100 documents", small),
        ("42,049 documents", large),
        ("5,000 partitions", partitions),
        ("1% of the bodies", partial),
        ("cold sync", cold::prove),
        ("growth on disk", growth),
    ];
    let mut failures = Vec::new();
    for (name, part) in parts {
        let began = Instant::now();
        let home = tempfile::tempdir()?;
        // A failing part must not prevent the next from being measured.
        if let Err(failure) = part(setting, home.path(), report) {
            failures.push(format!("{name}: {failure}"));
        }
        eprintln!("cost: {name} took {:.1} s", began.elapsed().as_secs_f64());
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ").into()) }
}

type Part = fn(&Setting, &Path, &mut Report<'_>) -> Result<(), Failure>;

/// The traffic of all links of a node since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) bytes: u64,
    pub(super) round_trips: u64,
}

impl Traffic {
    fn of(node: &mut Node) -> Result<Self, Failure> {
        let status = node.status()?;
        let traffic = status.get("traffic").ok_or("status without traffic")?;
        let bytes = number(traffic, "bytes_out")? + number(traffic, "bytes_in")?;
        let bytes = bytes - number(traffic, "bytes_handshake")?;
        Ok(Self { bytes, round_trips: number(traffic, "round_trips")? })
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self { bytes: self.bytes - before.bytes, round_trips: self.round_trips - before.round_trips }
    }
}

/// Waits until there is no traffic for a while.
pub(super) fn settled(node: &mut Node) -> Result<Traffic, Failure> {
    let until = Instant::now() + QUIET_MAX;
    let mut last = (Traffic::of(node)?, Instant::now());
    while last.1.elapsed() < QUIET {
        thread::sleep(Duration::from_millis(20));
        let now = Traffic::of(node)?;
        if now != last.0 {
            last = (now, Instant::now());
        }
        if Instant::now() > until {
            return Err("the link does not become quiet".into());
        }
    }
    Ok(last.0)
}

/// Cuts B's links, makes changes, links again, and measures on B until the links are idle.
fn reconnect(
    nodes: &mut [Node],
    apart: impl FnOnce(&mut Node) -> Result<(), Failure>,
) -> Result<(Traffic, Duration), Failure> {
    let [a, b] = nodes else { return Err("two nodes were to start".into()) };
    settled(b)?;
    b.ask("peer_pause", json!({}))?;
    apart(a)?;
    let before = settled(b)?;
    let began = Instant::now();
    b.ask("peer_resume", json!({}))?;
    b.wait_sync()?;
    let took = began.elapsed();
    Ok((settled(b)?.since(before), took))
}

/// Reconnects without changes a few times and reports the worst.
pub(super) fn report_idle(nodes: &mut [Node], workload: &str, report: &mut Report<'_>) -> Result<(), Failure> {
    let mut worst = 0;
    for _ in 0..RECONNECTS {
        let (traffic, _) = reconnect(nodes, |_| Ok(()))?;
        if traffic.bytes == 0 {
            return Err("nothing went over the link".into());
        }
        worst = worst.max(traffic.bytes);
    }
    report.figure(&format!("idle reconnect, {workload}"), worst as f64, RECONNECTS);
    Ok(())
}

/// Waits until both agree, and returns the number of documents on the second one.
pub(super) fn agree(nodes: &mut [Node]) -> Result<u64, Failure> {
    for node in nodes.iter_mut() {
        node.wait_sync()?;
    }
    let digests: Vec<_> = nodes.iter_mut().map(Node::digest).collect::<Result<_, _>>()?;
    match digests.iter().find(|digest| **digest != digests[0]) {
        None => number(&digests[0], "documents"),
        Some(_) => Err("the digests differ after the sync".into()),
    }
}

fn small(setting: &Setting, home: &Path, report: &mut Report<'_>) -> Result<(), Failure> {
    let mut nodes = start_joined(&setting.binary, home, 2)?;
    for at in 0..100 {
        nodes[0].ask("doc_put", put(&format!("n{at}"), at))?;
    }
    nodes[1].wait_documents(100)?;
    agree(&mut nodes)?;
    report_idle(&mut nodes, "100 documents", report)
}

fn put(key: &str, value: u64) -> Value {
    json!({ "collection": "notes", "key": key, "value": { "title": format!("note {key}"), "value": value } })
}

/// Imports the sample on A and waits for it on B.
fn start_large(setting: &Setting, home: &Path) -> Result<Vec<Node>, Failure> {
    let samples = Setting { binary: setting.binary.clone(), files: Vec::new() }.files_or(&[SAMPLE])?;
    let input = Input::read(&samples[0])?;
    let file = home.join(&input.name);
    std::fs::write(&file, &input.bytes)?;
    let mut nodes = start_joined(&setting.binary, home, 2)?;
    let documents = import(&mut nodes[0], &file, "zipcodes", None)?;
    nodes[1].wait_documents(documents)?;
    match agree(&mut nodes)? {
        42_049 => Ok(nodes),
        other => Err(format!("{} has {other} records, not 42,049", samples[0].display()).into()),
    }
}

fn large(setting: &Setting, home: &Path, report: &mut Report<'_>) -> Result<(), Failure> {
    let mut nodes = start_large(setting, home)?;
    report_idle(&mut nodes, "42049 documents", report)?;
    // Ten documents spread over the collection.
    let mut ids = Vec::new();
    nodes[0].documents("zipcodes", &mut |document| ids.push(document["doc"].clone()))?;
    let changed: Vec<_> = ids.iter().step_by(ids.len() / 10).take(10).cloned().collect();
    let (mut beyond, mut round_trips) = (0, 0);
    for round in 0..RECONNECTS {
        let mut updates = 0;
        let (traffic, took) = reconnect(&mut nodes, |a| {
            for doc in &changed {
                let patch = json!({ "note": format!("changed in round {round}") });
                // The least size of an update: the change as JSON. Sealing and signing are counted as overhead.
                updates += patch.to_string().len() as u64;
                a.ask("doc_patch", json!({ "doc": doc, "patch": patch }))?;
            }
            Ok(())
        })?;
        agree(&mut nodes)?;
        eprintln!(
            "  catch-up: {} B for updates of {updates} B, {} round trips, {took:.1?}",
            traffic.bytes, traffic.round_trips
        );
        beyond = beyond.max(traffic.bytes.saturating_sub(updates));
        round_trips = round_trips.max(traffic.round_trips);
    }
    let cases = RECONNECTS * changed.len() as u64;
    report.figure("catch-up, 10 changed of 42049: bytes beyond the updates", beyond as f64, cases);
    report.figure("catch-up, 10 changed of 42049: round trips", round_trips as f64, cases);
    Ok(())
}

fn partitions(setting: &Setting, home: &Path, report: &mut Report<'_>) -> Result<(), Failure> {
    const PARTITIONS: u64 = 5_000;
    let mut nodes = start_joined(&setting.binary, home, 2)?;
    for at in 0..PARTITIONS {
        let name = format!("p{at}");
        nodes[0].ask("partition_create", json!({ "name": name }))?;
        let mut put = put(&name, at);
        put["space"] = format!(":{name}").into();
        nodes[0].ask("doc_put", put)?;
    }
    agree(&mut nodes)?;
    let listed = nodes[1].ask("partition_list", json!({}))?;
    let written = |partition: &&Value| number(partition, "entries").is_ok_and(|entries| entries > 0);
    let count = listed.as_array().into_iter().flatten().filter(written).count() as u64;
    if count < PARTITIONS {
        return Err(format!("B holds entries of {count} partitions, not of {PARTITIONS}").into());
    }
    report_idle(&mut nodes, "5000 partitions", report)
}

fn partial(setting: &Setting, home: &Path, report: &mut Report<'_>) -> Result<(), Failure> {
    const WRITES: u64 = 5_000;
    let mut nodes = start_joined(&setting.binary, home, 2)?;
    nodes[1].ask("space_fetch", json!({ "bodies": { "newest": WRITES / 100 } }))?;
    nodes[1].ask("peer_pause", json!({}))?;
    for at in 0..WRITES {
        nodes[0].ask("doc_put", put(&format!("n{at}"), at))?;
    }
    nodes[1].ask("peer_resume", json!({}))?;
    nodes[1].wait_sync()?;
    settled(&mut nodes[1])?;
    let (all, here) = (nodes[0].figure("/store/entries")?, nodes[1].figure("/store/entries")?);
    let share = 100.0 * here as f64 / all as f64;
    eprintln!("  B holds {here} of {all} entries, {share:.2}%");
    if !(0.5..=2.0).contains(&share) {
        return Err(format!("B holds {share:.2}% of the bodies, not about 1%").into());
    }
    report_idle(&mut nodes, "replica with 1% of the bodies", report)
}

fn growth(setting: &Setting, home: &Path, report: &mut Report<'_>) -> Result<(), Failure> {
    const EDITS: u64 = 10_000;
    const NOTES: u64 = 100;
    let mut nodes = start_joined(&setting.binary, home, 2)?;
    for note in 0..NOTES {
        nodes[0].ask("doc_put", put(&format!("n{note}"), 0))?;
    }
    agree(&mut nodes)?;
    let before = nodes[1].figure("/store/bytes")?;
    for edit in 0..EDITS {
        let doc = format!("notes/n{}", edit % NOTES);
        nodes[0].ask("doc_patch", json!({ "doc": doc, "patch": { "value": edit } }))?;
    }
    agree(&mut nodes)?;
    let grown = nodes[1].figure("/store/bytes")?.saturating_sub(before);
    report.figure("growth on disk, 10000 live edits", grown as f64, EDITS);
    // The remaining size is that of a store that received only the final state.
    std::fs::create_dir(home.join("end"))?;
    let mut fresh = start_owner(&setting.binary, &home.join("end"))?;
    for note in 0..NOTES {
        fresh.ask("doc_put", put(&format!("n{note}"), 0))?;
    }
    let before = fresh.figure("/store/bytes")?;
    for note in 0..NOTES {
        let last = EDITS - NOTES + note;
        fresh.ask("doc_patch", json!({ "doc": format!("notes/n{note}"), "patch": { "value": last } }))?;
    }
    let needed = fresh.figure("/store/bytes")?.saturating_sub(before);
    let prunable = grown.saturating_sub(needed);
    report.figure("growth on disk, 10000 live edits: could be pruned", prunable as f64, EDITS);
    Ok(())
}
