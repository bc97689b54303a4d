//! The same with real nodes: one whose directory was copied, and one whose store was put back under it, so that both
//! believe to be the only one.

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
/// The document that all sides write into.
const SHARED: &str = "notes/shared";

pub(super) fn prove(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    for (what, put_back) in [("real nodes, restored", false), ("real nodes, copied", true)] {
        let home = tempfile::tempdir()?;
        let ends = play(&setting.binary, home.path(), put_back)?;
        let words = ["<start>", "<left>", "<right>"];
        let count = |found: fn(usize) -> bool| {
            let wrong = |word: &&str| ends.iter().any(|end| found(end.shared.matches(**word).count()));
            words.iter().filter(wrong).count() as f64
        };
        report.figure(&format!("{what}: words lost"), count(|times| times == 0), 3);
        report.figure(&format!("{what}: words repeated"), count(|times| times > 1), 3);
        let other = |end: &&End| end.digest != ends[0].digest || !end.has_both;
        report.figure(&format!("{what}: differences between replicas"), ends.iter().filter(other).count() as f64, 3);
    }
    Ok(())
}

/// What a node shows in the end.
struct End {
    shared: String,
    digest: Value,
    /// Whether the documents that each side made are there.
    has_both: bool,
}

/// Two devices share a space; one of them goes on twice, apart: as it was, and in a copy of its directory. With
/// `put_back` the one that stays has not seen what the copy wrote, though its log goes on from the same entry.
fn play(program: &Path, home: &Path, put_back: bool) -> Result<Vec<End>, Failure> {
    let mut nodes = start_joined(program, home, 2)?;
    let (mut b, mut a) = (nodes.remove(1), nodes.remove(0));
    write(&mut a, SHARED, "<start>")?;
    meet(&mut b, &mut a)?;
    let b = b.stop()?;
    let a = a.stop()?;
    let before = fs::read(a.dir.join(STORE))?;
    let copy = if put_back {
        let a = wrote(&a, "left")?;
        let copy = copy(&a, home)?;
        // In place: neither the directory nor the key file shows that this is an older state of the store.
        fs::write(a.dir.join(STORE), &before)?;
        wrote(&a, "right")?;
        copy
    } else {
        let copy = copy(&a, home)?;
        wrote(&a, "left")?;
        wrote(&copy, "right")?
    };
    let mut ends = Vec::new();
    // Both are one device to the other, which therefore meets them in turn.
    for last in [false, false, true] {
        for device in [&a, &copy] {
            let (mut b, mut node) = (b.start(ANY_PORT)?, device.start(ANY_PORT)?);
            meet(&mut node, &mut b)?;
            if last {
                ends.push(end(&mut node)?);
            }
            node.stop()?;
            b.stop()?;
        }
    }
    let mut b = b.start(ANY_PORT)?;
    ends.push(end(&mut b)?);
    Ok(ends)
}

/// Starts a node, has it write a word into the shared document and into one of its own, and stops it.
fn wrote(device: &Device, word: &str) -> Result<Device, Failure> {
    let mut node = device.start(ANY_PORT)?;
    let so_far = shared(&mut node)?;
    write(&mut node, SHARED, &format!("{so_far}<{word}>"))?;
    write(&mut node, &format!("notes/{word}"), word)?;
    node.stop()
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
    Ok(End { shared: shared(node)?, digest: node.digest()?, has_both })
}

/// Copies a data directory.
fn copy(device: &Device, home: &Path) -> Result<Device, Failure> {
    let copied = Device { dir: home.join("copy"), log: home.join("copy.log"), ..device.clone() };
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

/// Connects a node to another and waits until both show the same for a while.
fn meet(from: &mut Node, to: &mut Node) -> Result<(), Failure> {
    from.ask("peer_add", json!({ "address": to.listen }))?;
    let until = Instant::now() + Duration::from_millis(SYNC_MS / 5);
    let mut same = 0;
    while same < 10 {
        let (here, there) = (from.digest()?, to.digest()?);
        let roots = [from.figure("/spaces/0/documents")?, to.figure("/spaces/0/documents")?];
        same = if here == there && roots[0] == roots[1] { same + 1 } else { 0 };
        if Instant::now() > until {
            return Err(from.device.failure("the nodes do not agree"));
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
