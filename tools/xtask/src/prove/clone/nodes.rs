//! The same with real nodes: one whose whole directory was copied, and one whose store was replaced by an older state.
//! Each runs beside its copy.

use super::super::node::{ANY_PORT, Device, Node, SYNC_MS, start_joined, text};
use super::super::{Report, Setting};
use crate::Failure;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The file of a data directory that holds the store (`docs/cli.md`).
const STORE: &str = "data.mdb";
/// Lines of a node's log about a fork.
const FORKED: [&str; 2] = ["a log ended: another process writes it too", "a log has several branches"];
/// The document that all sides write to.
const SHARED: &str = "notes/shared";

/// The texts that the sides write apart, and the texts that they write while all three run.
const WORDS: [&str; 5] = ["<start>", "<left>", "<right>", "<left again>", "<right again>"];

pub(super) fn prove(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    for (what, put_back) in [("real nodes, copied", false), ("real nodes, restored", true)] {
        let home = tempfile::tempdir()?;
        let (ends, named) = play(&setting.binary, home.path(), put_back)?;
        let count = |wrong: fn(usize) -> bool| {
            let times = |word: &str, end: &End| end.shared.matches(word).count();
            WORDS.iter().filter(|word| ends.iter().any(|end| wrong(times(word, end)))).count() as f64
        };
        let (words, replicas) = (WORDS.len() as u64, ends.len() as u64);
        report.figure(&format!("{what}: words lost"), count(|times| times == 0), words);
        report.figure(&format!("{what}: words repeated"), count(|times| times > 1), words);
        let other = |end: &&End| end.digest != ends[0].digest || !end.has_both;
        let differing = ends.iter().filter(other).count() as f64;
        report.figure(&format!("{what}: differences between replicas"), differing, replicas);
        let forks = ends.iter().map(|end| end.forks).sum::<usize>();
        report.figure(&format!("{what}: logs forked"), forks as f64, replicas);
        report.figure(&format!("{what}: running twice and not named by doctor"), f64::from(u8::from(!named)), 1);
    }
    Ok(())
}

/// The final state of a node.
struct End {
    shared: String,
    digest: Value,
    /// True if the documents of both sides are there.
    has_both: bool,
    /// Number of reports about a log that another process writes too, or that has several branches.
    forks: usize,
}

/// Plays one case. Two devices share a space; one of them continues twice: as it was, and in a copy of its directory.
/// Both write apart; then both run at once beside the other device, and write again. With `put_back`, the remaining one
/// has not seen the copy's writes, although both began from the same entry. Returns the final state of the three, and
/// whether the other device's `doctor` names the device that runs twice.
fn play(program: &Path, home: &Path, put_back: bool) -> Result<(Vec<End>, bool), Failure> {
    let mut nodes = start_joined(program, home, 2)?;
    let (mut b, mut a) = (nodes.remove(1), nodes.remove(0));
    write(&mut a, SHARED, "<start>")?;
    b.ask("peer_add", json!({ "address": a.listen }))?;
    agree(&mut [&mut b, &mut a])?;
    let (b, a) = (b.stop()?, a.stop()?);
    let before = fs::read(a.dir.join(STORE))?;
    let copy = if put_back {
        let a = wrote(&a, "left")?;
        let copy = copy(&a, home)?;
        // The store is replaced in place, so neither the directory nor the key file shows that it is an older state.
        fs::write(a.dir.join(STORE), &before)?;
        wrote(&a, "right")?;
        copy
    } else {
        let copy = copy(&a, home)?;
        wrote(&a, "left")?;
        wrote(&copy, "right")?
    };
    let (mut b, mut a, mut copy) = (b.start(ANY_PORT)?, a.start(ANY_PORT)?, copy.start(ANY_PORT)?);
    for twin in [&mut a, &mut copy] {
        twin.ask("peer_add", json!({ "address": b.listen }))?;
    }
    agree(&mut [&mut b, &mut a, &mut copy])?;
    append(&mut a, "<left again>")?;
    append(&mut copy, "<right again>")?;
    agree(&mut [&mut b, &mut a, &mut copy])?;
    let named = is_named(&mut b, &mut a, &mut copy)?;
    agree(&mut [&mut b, &mut a, &mut copy])?;
    Ok((vec![end(&mut a)?, end(&mut copy)?, end(&mut b)?], named))
}

/// Returns whether a node's `doctor` eventually names the device that runs twice, while both of its processes write.
fn is_named(node: &mut Node, left: &mut Node, right: &mut Node) -> Result<bool, Failure> {
    let until = Instant::now() + Duration::from_secs(30);
    for round in 0.. {
        let found = node.ask("doctor", json!({}))?;
        let mut subjects = found.as_array().into_iter().flatten().filter_map(|finding| finding.get("subject"));
        if subjects.any(|subject| subject == "copies") {
            return Ok(true);
        }
        if Instant::now() > until {
            break;
        }
        for twin in [&mut *left, &mut *right] {
            write(twin, "notes/signs", &format!("of life {round}"))?;
        }
        thread::sleep(Duration::from_millis(200));
    }
    Ok(false)
}

/// Starts a node, writes a text to the shared document and to one of its own, and stops the node.
fn wrote(device: &Device, word: &str) -> Result<Device, Failure> {
    let mut node = device.start(ANY_PORT)?;
    append(&mut node, &format!("<{word}>"))?;
    write(&mut node, &format!("notes/{word}"), word)?;
    node.stop()
}

fn append(node: &mut Node, word: &str) -> Result<(), Failure> {
    let so_far = shared(node)?;
    write(node, SHARED, &format!("{so_far}{word}"))
}

fn write(node: &mut Node, doc: &str, body: &str) -> Result<(), Failure> {
    let (collection, key) = doc.split_once('/').ok_or("a document has a collection")?;
    let put = json!({ "collection": collection, "key": key, "value": { "body": body }, "text": ["body"] });
    node.ask("doc_put", put)?;
    Ok(())
}

fn shared(node: &mut Node) -> Result<String, Failure> {
    let document = node.ask("doc_get", json!({ "doc": SHARED }))?;
    text(document.get("value").ok_or("the document has no value")?, "body")
}

fn end(node: &mut Node) -> Result<End, Failure> {
    let mut own = ["left", "right"].iter().map(|word| node.ask("doc_get", json!({ "doc": format!("notes/{word}") })));
    let has_both = own.all(|found| found.is_ok());
    let log = fs::read_to_string(&node.device.log)?;
    let forks = log.lines().filter(|line| FORKED.iter().any(|told| line.contains(told))).count();
    Ok(End { shared: shared(node)?, digest: node.digest()?, has_both, forks })
}

/// Copies a data directory.
fn copy(device: &Device, home: &Path) -> Result<Device, Failure> {
    let mut copied = device.clone();
    (copied.dir, copied.log) = (home.join("copy"), home.join("copy.log"));
    fs::create_dir(&copied.dir)?;
    fs::set_permissions(&copied.dir, fs::metadata(&device.dir)?.permissions())?;
    for file in fs::read_dir(&device.dir)? {
        let file = file?;
        if file.file_type()?.is_file() {
            fs::copy(file.path(), copied.dir.join(file.file_name()))?;
        }
    }
    Ok(copied)
}

/// Waits until all nodes show the same for a while.
fn agree(nodes: &mut [&mut Node]) -> Result<(), Failure> {
    let until = Instant::now() + Duration::from_millis(SYNC_MS / 5);
    let mut same = 0;
    while same < 10 {
        let mut shown = Vec::new();
        for node in nodes.iter_mut() {
            shown.push((node.digest()?, node.figure("/spaces/0/documents")?));
        }
        same = if shown.iter().all(|one| *one == shown[0]) { same + 1 } else { 0 };
        if Instant::now() > until {
            return Err(nodes[0].device.failure("the nodes do not agree"));
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
