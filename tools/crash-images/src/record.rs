//! Records a run in a child process, by a library preloaded into it.

use crate::workload::{self, Mark};
use cosmicsync_node::store::{DATA_FILE, LmdbStore};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const SHIM: &str = include_str!("shim.c");

/// A disk fault of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    None,
    /// The sync with this number fails.
    Sync(u64),
    /// The synchronous write with this number, which makes a commit visible, fails.
    Root(u64),
    /// The disk is full after this many bytes.
    Space(u64),
}

/// One step of a run, in order.
#[derive(Debug)]
pub(crate) enum Event {
    Write { offset: usize, bytes: Vec<u8> },
    SyncWrite { offset: usize, bytes: Vec<u8> },
    SyncWriteDone,
    Sync,
    Truncate { len: usize },
    Mark(Mark),
}

/// A run: the initial file, the steps, and the final directory.
pub(crate) struct Recording {
    pub(crate) base: Vec<u8>,
    pub(crate) events: Vec<Event>,
    pub(crate) dir: PathBuf,
}

/// Compiles the library into `dir`.
pub(crate) fn build_shim(dir: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let (source, library) = (dir.join("shim.c"), dir.join("shim.so"));
    fs::write(&source, SHIM)?;
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).arg("-ldl");
    if !cc.status()?.success() {
        return Err("the recording library did not compile: install a C compiler as `cc`".into());
    }
    Ok(library)
}

/// Records a run of this program's own workload in a new directory under `home`.
pub(crate) fn record(
    home: &Path,
    shim: &Path,
    (seed, commits): (u64, u64),
    fault: Fault,
) -> Result<Recording, Box<dyn Error>> {
    let run = tempfile::Builder::new().prefix("run").tempdir_in(home)?.keep();
    let (dir, log, marks) = (run.join("store"), run.join("log"), run.join("marks"));
    drop(LmdbStore::open(&dir, &workload::KEY, workload::options(), |_| {})?);
    let base = fs::read(dir.join(DATA_FILE))?;
    let mut child = Command::new(std::env::current_exe()?);
    child.env("LD_PRELOAD", shim).env("CRASH_LOG", &log);
    match fault {
        Fault::None => &mut child,
        Fault::Sync(nth) => child.env("CRASH_SYNC_FAIL", nth.to_string()),
        Fault::Root(nth) => child.env("CRASH_META_FAIL", nth.to_string()),
        Fault::Space(bytes) => child.env("CRASH_SPACE", bytes.to_string()),
    };
    child.args(["--seed", &seed.to_string(), "--commits", &commits.to_string(), "workload"]).arg(&dir).arg(&marks);
    if !child.status()?.success() {
        return Err("the recorded run failed".into());
    }
    Ok(Recording { base, events: parse(&fs::read(&log)?)?, dir })
}

fn parse(mut log: &[u8]) -> Result<Vec<Event>, Box<dyn Error>> {
    let mut events = Vec::new();
    while let Some((head, rest)) = log.split_first_chunk::<17>() {
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| head[at + byte]));
        let (offset, len) = (usize::try_from(number(1))?, usize::try_from(number(9))?);
        let (bytes, rest) = rest.split_at_checked(len).ok_or("the log ends inside a record")?;
        log = rest;
        events.push(match head[0] {
            1 => Event::Write { offset, bytes: bytes.to_vec() },
            2 => Event::SyncWrite { offset, bytes: bytes.to_vec() },
            3 => Event::SyncWriteDone,
            4 => Event::Sync,
            5 => Event::Truncate { len: offset },
            6 => {
                let marks = bytes.chunks(Mark::BYTES).map(|mark| Mark::decode(mark).map(Event::Mark));
                events.extend(marks.collect::<Option<Vec<_>>>().ok_or("a mark is not one")?);
                continue;
            }
            kind => return Err(format!("the store did what the model does not know: record {kind}").into()),
        });
    }
    if log.is_empty() { Ok(events) } else { Err("the log ends inside a record".into()) }
}
