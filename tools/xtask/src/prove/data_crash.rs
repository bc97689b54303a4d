//! `data-crash`: after every kill, the indexes match the documents and return every acknowledged write.
//!
//! Several connections and an import write to one node, while an index is rebuilt now and then, until the node is
//! killed. After each start, the acknowledged writes of the life before are queried through each index. Now and then
//! every index is compared with all documents.

use super::client::{CallError, Client};
use super::node::{ANY_PORT, Node, number, start_owner};
use super::{Report, Setting};
use crate::Failure;
use crate::random::Random;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const KILLS: u64 = 200;
/// Number of kills between comparisons of every index with all documents.
const CHECKED_EVERY: u64 = 10;
const WRITERS: u64 = 3;
/// Number of rows of an import.
const IMPORTED: u64 = 300;
/// Least time before a kill, and largest random addition to it, in milliseconds.
const LIFE_MS: (u64, u64) = (60, 700);
const COLLECTION: &str = "burst";
/// The indexes and their fields. The tags are a list.
const INDEXES: [(&str, &[&str]); 3] =
    [("by_value", &["value"]), ("by_writer", &["writer", "value"]), ("by_tag", &["tags", "value"])];
/// Distance between the first values of two lives.
const LIFE: u64 = 1_000_000;
/// Longest time for an index to be ready after a start.
const READY: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);

/// Acknowledged writes: the value of each document by its key.
type Acked = BTreeMap<String, u64>;

/// Proves the claim.
pub(super) fn prove(setting: &Setting, report: &mut Report<'_>) -> Result<(), Failure> {
    let home = tempfile::tempdir()?;
    let mut node = start_owner(&setting.binary, home.path())?;
    for (name, fields) in INDEXES {
        node.ask("index_create", json!({ "collection": COLLECTION, "index": name, "fields": fields }))?;
    }
    let mut tally = Tally::default();
    let mut random = Random(0x1dec5);
    for life in 0..KILLS {
        let workers = Workers::start(&node, life)?;
        thread::sleep(Duration::from_millis(LIFE_MS.0 + random.below(LIFE_MS.1)));
        let listing = listed(&mut node);
        let device = node.kill();
        tally.while_built += u64::from(listing.is_ok_and(|states| states.iter().any(|state| state == "building")));
        let acked = workers.finish()?;
        node = device.start(ANY_PORT)?;
        tally.slowest = tally.slowest.max(node.ready);
        let started = Instant::now();
        ready(&mut node)?;
        tally.slowest_ready = tally.slowest_ready.max(started.elapsed());
        tally.lost += lost(&mut node, &acked, life * LIFE, (life + 1) * LIFE)?;
        tally.acked.extend(acked);
        tally.kills += 1;
        if life % CHECKED_EVERY == CHECKED_EVERY - 1 {
            tally.check(&mut node)?;
            let Tally { kills, while_built, lost, missing, extra, .. } = &tally;
            let acked = tally.acked.len();
            eprintln!(
                "  {kills} kills, {while_built} while an index was built; {acked} documents acknowledged, {lost} lost; \
                 rows missing {missing}, extra {extra}"
            );
        }
    }
    tally.lost += lost(&mut node, &tally.acked, 0, u64::MAX >> 12)?;
    tally.report(report);
    Ok(())
}

fn of(index: &str) -> Value {
    json!({ "collection": COLLECTION, "index": index })
}

/// Returns the states of all indexes.
fn listed(node: &mut Node) -> Result<Vec<String>, Failure> {
    let indexes = node.ask("index_list", json!({ "collection": COLLECTION }))?;
    let states = indexes.as_array().into_iter().flatten().filter_map(|index| index.get("state")?.as_str());
    Ok(states.map(str::to_owned).collect())
}

/// Waits until all indexes are ready.
fn ready(node: &mut Node) -> Result<(), Failure> {
    let until = Instant::now() + READY;
    loop {
        let states = listed(node)?;
        if states.len() != INDEXES.len() {
            return Err(format!("{} of {} indexes are there", states.len(), INDEXES.len()).into());
        }
        if states.iter().all(|state| state == "ready") {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(node.device.failure("the indexes are not built"));
        }
        thread::sleep(LOOK);
    }
}

/// Counts acknowledged writes in a range of values that an index does not return. A document may hold a later value
/// than the acknowledged one, because a write may be durable although its answer was never sent.
fn lost(node: &mut Node, acked: &Acked, from: u64, to: u64) -> Result<u64, Failure> {
    let tags: Vec<u64> = (0..WRITERS + 1).collect();
    let range = json!({ "$gte": from, "$lt": to });
    let mut lost = 0;
    for (name, selector) in [
        ("by_value", json!({ "value": range })),
        ("by_writer", json!({ "writer": { "$in": tags }, "value": range })),
        ("by_tag", json!({ "tags": { "$in": tags }, "value": range })),
    ] {
        let mut found = Acked::new();
        let query = json!({ "collection": COLLECTION, "selector": selector, "use_index": name });
        node.ask_items("query", query, &mut |item| {
            let document = item.get("document");
            let key = document.and_then(|document| document.get("key")?.as_str().map(str::to_owned));
            let value = document.and_then(|document| document.pointer("/value/value")?.as_u64());
            found.extend(key.zip(value));
        })?;
        let is_lost = |(key, value): &(&String, &u64)| found.get(*key).is_none_or(|found| found < value);
        for (key, value) in acked.iter().filter(is_lost) {
            eprintln!("  {name} brings {:?} of {key}, of which {value} was acknowledged", found.get(key));
            lost += 1;
        }
    }
    Ok(lost)
}

/// The threads that write to a node until it is killed.
struct Workers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Acked>>,
}

impl Workers {
    fn start(node: &Node, life: u64) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for writer in 0..WRITERS {
            let (client, stop) = (node.client()?, Arc::clone(&stop));
            threads.push(thread::spawn(move || write(client, &stop, writer, life)));
        }
        let client = node.client()?;
        threads.push(match life % 4 {
            1 => thread::spawn(move || build(client, "by_tag")),
            3 => thread::spawn(move || build(client, "by_writer")),
            _ => thread::spawn(move || import(client, life)),
        });
        Ok(Self { stop, threads })
    }

    /// Waits for the end of all threads, which the end of their node causes; returns the acknowledged writes.
    fn finish(self) -> Result<Acked, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Acked::new();
        for thread in self.threads {
            all.extend(thread.join().map_err(|_| "a writer panicked")?);
        }
        Ok(all)
    }
}

fn call(client: &mut Client, name: &str, arguments: Value) -> Result<Value, CallError> {
    client.call(name, arguments, &mut |_| ())
}

fn document(writer: u64, value: u64) -> Value {
    json!({ "value": value, "writer": writer, "tags": [writer, format!("t{}", value % 7)], "fill": "x".repeat(100) })
}

/// Writes new documents, and one document repeatedly whose place in the indexes moves.
fn write(mut client: Client, stop: &AtomicBool, writer: u64, life: u64) -> Acked {
    let mut acked = Acked::new();
    for at in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = if at % 2 == 0 { format!("{writer}-{life}-{at}") } else { format!("{writer}-same") };
        let value = life * LIFE + at;
        let put = json!({ "collection": COLLECTION, "key": key, "value": document(writer, value) });
        if call(&mut client, "doc_put", put).is_err() {
            break;
        }
        acked.insert(key, value);
    }
    acked
}

/// Imports rows, which are acknowledged together.
fn import(mut client: Client, life: u64) -> Acked {
    let of_row = |at: u64| (format!("i-{life}-{at}"), life * LIFE + LIFE / 2 + at);
    let rows: Vec<(String, u64)> = (0..IMPORTED).map(of_row).collect();
    let mut file = String::new();
    for (key, value) in &rows {
        let mut row = document(WRITERS, *value);
        row["id"] = json!(key);
        file.push_str(&format!("{row}\n"));
    }
    let import = json!({ "collection": COLLECTION, "path": format!("/{life}.ndjson"), "id_column": "id" });
    match client.call_with("import", import, file.as_bytes()) {
        Ok(_) => rows.into_iter().collect(),
        Err(_) => Acked::new(),
    }
}

/// Rebuilds an index repeatedly.
fn build(mut client: Client, index: &str) -> Acked {
    while call(&mut client, "index_rebuild", of(index)).is_ok() {}
    Acked::new()
}

/// Counts of the runs.
#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    while_built: u64,
    checks: u64,
    rows: u64,
    missing: u64,
    extra: u64,
    lost: u64,
    acked: Acked,
    slowest: Duration,
    slowest_ready: Duration,
}

impl Tally {
    /// Compares every index with all documents.
    fn check(&mut self, node: &mut Node) -> Result<(), Failure> {
        for (name, _) in INDEXES {
            let found = node.ask("index_check", of(name))?;
            self.checks += 1;
            self.rows += number(&found, "rows")?;
            self.missing += number(&found, "missing")?;
            self.extra += number(&found, "extra")?;
        }
        Ok(())
    }

    fn report(&self, report: &mut Report<'_>) {
        let workload = |what: &str| format!("SIGKILL at a random moment, indexes written and built: {what}");
        report.figure(&workload("kills"), self.kills as f64, self.kills);
        report.figure(&workload("kills while an index was built"), self.while_built as f64, self.kills);
        report.figure(&workload("rows missing"), self.missing as f64, self.rows);
        report.figure(&workload("rows too many"), self.extra as f64, self.rows);
        report.figure(
            &workload("acknowledged writes an index does not bring"),
            self.lost as f64,
            self.acked.len() as u64,
        );
        let (start, ready) = (self.slowest, self.slowest_ready);
        eprintln!(
            "  {} checks; slowest start {start:.0?}, slowest until all indexes are ready {ready:.0?}",
            self.checks
        );
    }
}
