//! `doc-fast`: the time until documents that arrived by the thousand are shown, and the delay that this causes
//! elsewhere.

use super::client::Client;
use super::node::{ANY_PORT, Node, number, start_joined};
use super::records::small_documents;
use super::{Report, Setting};
use crate::{Failure, repo};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// The program that measures the least work (`data/examples/values_floor.rs`).
const FLOOR: &str = "values_floor";
/// A small and a large number of documents.
const FEW: u64 = 10_000;
const MANY: u64 = 300_000;
/// Number of documents on a page.
const PAGE: u64 = 20;
/// Pause between two calls of `status`.
const PAUSE: Duration = Duration::from_millis(2);

/// Proves the claim.
pub(super) fn prove(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    let home = tempfile::tempdir()?;
    let few = file(home.path(), FEW)?;
    let many = file(home.path(), MANY)?;
    let floor_ms = floor(&few)?;
    let of_few = shown(setting, &home.path().join("few"), &few, FEW)?;
    let ms = of_few.values.as_secs_f64() * 1_000.0;
    report.figure("10000 documents synced: all values", ms, FEW);
    report.figure("10000 documents synced: all values, floor", floor_ms, FEW);
    report.figure("10000 documents synced: all values, processor time over floor", of_few.cpu_ms / floor_ms, FEW);
    let of_many = shown(setting, &home.path().join("many"), &many, MANY)?;
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    let each = |import: Duration, count: u64| import.as_secs_f64() / count as f64;
    report.figure("300000 rows imported: rows a second", MANY as f64 / of_many.import.as_secs_f64(), MANY);
    let slope = each(of_many.import, MANY) / each(of_few.import, FEW);
    report.figure("300000 rows imported: time a row over that of 10000", slope, MANY);
    report.figure("300000 rows imported: first count", ms(of_many.count_here), 1);
    report.figure("300000 rows imported: first page", ms(of_many.page_here), 1);
    report.figure("300000 documents synced: first count", ms(of_many.count), 1);
    report.figure("300000 documents synced: first page", ms(of_many.page), 1);
    report.figure("300000 documents synced: status while values are made, p99", ms(of_many.status), of_many.calls);
    let slope = of_many.cpu_ms / MANY as f64 / (of_few.cpu_ms / FEW as f64);
    report.figure("300000 documents synced: processor time a value over that of 10000", slope, MANY);
    report.figure("300000 documents: start to first answer", ms(of_many.start), 1);
    Ok(())
}

fn file(home: &Path, count: u64) -> Result<std::path::PathBuf, Failure> {
    let path = home.join(format!("{count}.ndjson"));
    small_documents(&path, count)?;
    Ok(path)
}

/// Returns the least time for the same documents, in milliseconds.
fn floor(file: &Path) -> Result<f64, Failure> {
    repo::output(repo::cargo(&["build", "--release", "--quiet", "--package", "cosmicsync-data", "--example", FLOOR]))?;
    let program = repo::target().join("release/examples").join(FLOOR);
    let mut command = repo::command(program.to_str().ok_or("a target directory that is not UTF-8")?);
    command.arg(file);
    let told: Value = serde_json::from_str(&repo::output(command)?)?;
    told.get("ms").and_then(Value::as_f64).ok_or_else(|| "the floor has no figure".into())
}

/// Measurements of some documents.
struct Shown {
    import: Duration,
    /// Times on the node that imported the documents.
    count_here: Duration,
    page_here: Duration,
    /// Times on the node that received the documents by sync.
    count: Duration,
    page: Duration,
    /// Time until all values are there, and the CPU time of the process for it.
    values: Duration,
    cpu_ms: f64,
    /// The 99th percentile of concurrent calls, and their number.
    status: Duration,
    calls: u64,
    start: Duration,
}

/// Imports a file on A, syncs it to B, and measures both.
fn shown(setting: &Setting, home: &Path, file: &Path, documents: u64) -> Result<Shown, Failure> {
    fs::create_dir(home)?;
    let mut nodes = start_joined(&setting.binary, home, 2)?;
    let mut b = nodes.pop().ok_or("two nodes were to start")?;
    let mut a = nodes.pop().ok_or("two nodes were to start")?;
    b.ask("peer_pause", json!({}))?;
    let import = import(&a, file)?;
    let count_here = count(&mut a, documents)?;
    let page_here = page(&mut a)?;
    b.ask("peer_resume", json!({}))?;
    b.wait_sync()?;
    // From here on the only work left is to show the documents.
    let count_there = count(&mut b, documents)?;
    let page_there = page(&mut b)?;
    let before = cpu_ms(b.pid())?;
    let (values, calls) = while_asked(&mut b, |node| node.digest().map(drop).map_err(Into::into))?;
    let cpu_ms = cpu_ms(b.pid())? - before;
    if a.digest()? != b.digest()? {
        return Err("the nodes differ".into());
    }
    let mut times = calls;
    times.sort();
    let status = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
    let device = b.stop()?;
    let b = device.start(ANY_PORT)?;
    let mut client = b.client()?;
    let began = Instant::now();
    client.call("status", json!({}), &mut |_| ())?;
    let start = b.ready + began.elapsed();
    let (calls, count) = (times.len() as u64, count_there);
    Ok(Shown { import, count_here, page_here, count, page: page_there, values, cpu_ms, status, calls, start })
}

/// Imports like a person does.
fn import(node: &Node, file: &Path) -> Result<Duration, Failure> {
    let mut command = repo::command(node.device.program.to_str().ok_or("a program whose path is not UTF-8")?);
    command.arg("--dir").arg(&node.device.dir).args(["--output", "json", "--quiet"]);
    command.args(["import", "--collection", "small"]).arg(file);
    let told = repo::output(command)?;
    let imported: Value = serde_json::from_str(told.lines().last().unwrap_or_default())?;
    Ok(Duration::from_millis(number(&imported, "elapsed_ms")?))
}

fn count(node: &mut Node, documents: u64) -> Result<Duration, Failure> {
    let began = Instant::now();
    let found = node.figure("/spaces/0/documents")?;
    let took = began.elapsed();
    if found == documents { Ok(took) } else { Err(format!("{found} of {documents} documents are counted").into()) }
}

fn page(node: &mut Node) -> Result<Duration, Failure> {
    let began = Instant::now();
    let list = json!({ "collection": "small", "limit": PAGE, "values": true });
    let listed = node.ask("doc_list", list)?;
    let took = began.elapsed();
    if number(&listed, "count")? == PAGE { Ok(took) } else { Err(format!("a page is {listed}").into()) }
}

/// Runs an action on a node while another connection requests its status repeatedly; returns the times of both.
fn while_asked(
    node: &mut Node,
    work: impl FnOnce(&mut Node) -> Result<(), Failure>,
) -> Result<(Duration, Vec<Duration>), Failure> {
    let mut client: Client = node.client()?;
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut times = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let began = Instant::now();
                if client.call("status", json!({}), &mut |_| ()).is_err() {
                    break;
                }
                times.push(began.elapsed());
                thread::sleep(PAUSE);
            }
            times
        });
        let began = Instant::now();
        let done = work(node);
        let took = began.elapsed();
        ended.store(true, Ordering::Relaxed);
        let times = asking.join().map_err(|_| "the thread that asked is gone")?;
        done.map(|()| (took, times))
    })
}

/// Returns the CPU time of a process, in milliseconds.
fn cpu_ms(pid: u32) -> Result<f64, Failure> {
    const TICK_MS: f64 = 10.0;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).ok_or("no times of a process");
    Ok((ticks(11)? + ticks(12)?) * TICK_MS)
}
