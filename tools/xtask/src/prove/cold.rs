//! The cold sync of `cost`: bytes per document, their purpose, and the time.
//!
//! There are two kinds of documents. Each is synced once so that every document can be erased alone, and once in a
//! collection that is declared erasable together.

use super::cost::{agree, settled};
use super::node::{Node, number, start_joined};
use super::records::{records, small_documents};
use super::{Report, Setting, built};
use crate::{Failure, repo};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const DOCUMENTS: u64 = 10_000;
/// Number of syncs per figure.
const RUNS: usize = 3;
/// Purposes of the bytes of entries: the name in `status`, and a plainer name.
const PARTS: [(&str, &str); 9] = [
    ("bodies", "bodies, compressed"),
    ("tags", "tags of seals"),
    ("lengths", "lengths of sections"),
    ("records", "dictionaries"),
    ("headers", "item table"),
    ("ids", "ids"),
    ("key_boxes", "key boxes"),
    ("fields", "fields of entries"),
    ("open", "open sections"),
];

/// Proves the part.
pub(super) fn prove(setting: &Setting, home: &Path, report: &mut Report<'_>) -> Result<(), Failure> {
    let kinds: [(&str, Generate); 2] = [("small documents", small_documents), ("records of seven fields", records)];
    for (kind, generate) in kinds {
        let file = home.join(format!("{kind}.ndjson"));
        generate(&file, DOCUMENTS)?;
        let floor = floor(&file)?;
        for together in [false, true] {
            let name = format!("{DOCUMENTS} {kind}{}", if together { ", erasable together" } else { "" });
            let mut runs = Vec::with_capacity(RUNS);
            for run in 0..RUNS {
                let home = home.join(format!("{name} {run}"));
                std::fs::create_dir(&home)?;
                runs.push(sync(setting, &home, &file, together)?);
            }
            tell(&name, &runs, floor, report);
        }
    }
    Ok(())
}

type Generate = fn(&Path, u64) -> Result<(), Failure>;

/// One cold sync.
struct Run {
    ms: f64,
    /// Bytes sent over the link.
    bytes: u64,
    written: Written,
}

fn sync(setting: &Setting, home: &Path, file: &Path, together: bool) -> Result<Run, Failure> {
    let mut nodes = start_joined(&setting.binary, home, 2)?;
    let [a, b] = nodes.as_mut_slice() else { return Err("two nodes were to start".into()) };
    b.ask("peer_pause", json!({}))?;
    let before = Written::of(a)?;
    let arguments = json!({ "collection": "small", "path": file, "erasable_together": together });
    let imported = a.ask_with("import", arguments, &std::fs::read(file)?)?;
    let written = Written::of(a)?.since(&before);
    let before = settled(b)?;
    let began = Instant::now();
    b.ask("peer_resume", json!({}))?;
    b.wait_sync()?;
    let ms = began.elapsed().as_secs_f64() * 1_000.0;
    let (theirs, here) = (a.figure("/store/entries")?, b.figure("/store/entries")?);
    if here < theirs || b.figure("/spaces/0/documents")? != DOCUMENTS {
        return Err(format!("the sync counts as done with {here} of {theirs} entries").into());
    }
    let traffic = settled(b)?.since(before);
    let elapsed = number(&imported, "elapsed_ms")?;
    eprintln!("  imported in {elapsed} ms, synced in {ms:.0} ms, {} round trips", traffic.round_trips);
    agree(&mut nodes)?;
    Ok(Run { ms, bytes: traffic.bytes, written })
}

/// Reports the median time of some syncs, and the most bytes.
fn tell(name: &str, runs: &[Run], floor: f64, report: &mut Report<'_>) {
    let Some(most) = runs.iter().max_by_key(|run| run.bytes) else { return };
    let mut times: Vec<f64> = runs.iter().map(|run| run.ms).collect();
    times.sort_by(f64::total_cmp);
    let ms = times[times.len() / 2];
    let mut figure = |what: &str, value| report.figure(&format!("cold sync, {name}: {what}"), value, DOCUMENTS);
    figure("time", ms.round());
    figure("floor", round(floor));
    figure("time over floor", round(ms / floor));
    figure("bytes a document", round(most.bytes as f64 / DOCUMENTS as f64));
    for (part, bytes) in most.written.parts(most.bytes) {
        figure(&format!("bytes a document, of that {part}"), round(bytes as f64 / DOCUMENTS as f64));
    }
}

/// The bytes that a node wrote since its start, by purpose.
struct Written(BTreeMap<&'static str, u64>);

impl Written {
    fn of(node: &mut Node) -> Result<Self, Failure> {
        let status = node.status()?;
        let written = status.pointer("/store/written").ok_or("status without what was written")?;
        PARTS.iter().map(|(part, _)| Ok((*part, number(written, part)?))).collect::<Result<_, Failure>>().map(Self)
    }

    fn since(&self, before: &Self) -> Self {
        Self(self.0.iter().map(|(part, bytes)| (*part, bytes - before.0[part])).collect())
    }

    /// Returns each part by its plain name, and the rest of the link's bytes.
    fn parts(&self, traffic: u64) -> Vec<(&'static str, u64)> {
        let all: u64 = self.0.values().sum();
        let mut parts: Vec<_> = PARTS.iter().map(|(part, words)| (*words, self.0[part])).collect();
        parts.push(("heads, messages and the link", traffic.saturating_sub(all)));
        parts
    }
}

/// Returns the least time for the same documents, in milliseconds, from `tools/floor`.
fn floor(file: &Path) -> Result<f64, Failure> {
    let mut command = Command::new(built("floor")?);
    command.arg(file);
    let measured: Value = serde_json::from_str(&repo::output(command)?)?;
    measured.get("ms").and_then(Value::as_f64).ok_or_else(|| "the floor has no figure".into())
}

/// Rounds to a tenth.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
