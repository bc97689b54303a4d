//! Measures indexes, queries and live queries of a node in this process, as an embedding program sees them.
//!
//! Usage: `query_speed DIR FILE`; DIR must not exist, and FILE is NDJSON with the members `id`, `zip`, `state` and
//! `city`. Then `query_speed DIR open COUNT` measures the memory of COUNT open documents. Prints a line of JSON for
//! each result: its name, its value, and the number of cases.

use cosmicsync_node::service::{
    Backend as _, Command, DocPut, DocRef, Import, IndexName, Input, Item, LiveEvent, Query, Reply, ServiceError,
    request,
};
use cosmicsync_node::{Node, Options, init};
use cosmicsync_protocol::entropy::Entropy;
use serde_json::{Value, json};
use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const COLLECTION: &str = "zips";
/// Number of queries of each kind.
const POINTS: u64 = 5_000;
const PAGES: u64 = 2_000;
/// Number of rows in a page.
const PAGE: usize = 100;
/// Number of changes that a live query reports, and number of documents in its answer.
const CHANGES: u64 = 1_000;
const WINDOW: usize = 50;
/// Duration of the measurement of writers, and their number.
const WRITING: Duration = Duration::from_secs(4);
const WRITERS: u64 = 64;
/// Interval between checks of a build.
const LOOK: Duration = Duration::from_millis(2);

/// The allocator of the `cosmicsync` binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, dir, "open", count] => open_documents(Path::new(dir), count.parse()?).await,
        [_, dir, file] => measure(Path::new(dir), file).await,
        _ => Err("usage: query_speed DIR FILE, or query_speed DIR open COUNT".into()),
    }
}

async fn measure(dir: &Path, file: &str) -> Outcome<()> {
    std::fs::create_dir(dir)?;
    let rows = rows(file)?;
    let count = u64::try_from(rows.len())?;
    let first = new_node(&dir.join("before")).await?;
    index(&first, "by_zip", &["zip"]).await?;
    let began = Instant::now();
    import(&first, file).await?;
    say("imported, an index is there", began.elapsed().as_secs_f64(), count)?;
    until_behind_none(&first).await?;
    say("imported and indexed, an index is there", began.elapsed().as_secs_f64(), count)?;
    request(&first, Command::Shutdown {}).await?;
    drop(first);

    let node = Arc::new(new_node(&dir.join("after")).await?);
    let began = Instant::now();
    import(&node, file).await?;
    say("imported, no index is there", began.elapsed().as_secs_f64(), count)?;
    let began = Instant::now();
    index(&node, "by_zip", &["zip"]).await?;
    say("index made afterwards", began.elapsed().as_secs_f64(), count)?;
    index(&node, "by_city", &["state", "city"]).await?;
    until_behind_none(&node).await?;

    queries(&node, &rows, "quiet").await?;
    let writer = Writer::start(&node, rows.clone());
    queries(&node, &rows, "beside a writer").await?;
    say("commits of the writer meanwhile", writer.stop().await? as f64, POINTS + PAGES)?;
    live(&node).await?;
    writes(&node).await?;
    request(&*node, Command::Shutdown {}).await?;
    Ok(())
}

async fn open_documents(dir: &Path, count: u64) -> Outcome<()> {
    let node = Node::open(&dir.join("after"), Options::default()).await?;
    let query = Query { collection: COLLECTION.to_owned(), limit: Some(count), ..Query::default() };
    let (_, found) = answer(&node, query).await?;
    for document in &found {
        let doc = document.get("key").and_then(Value::as_str).ok_or("a document without a key")?;
        let doc = DocRef::Key { collection: COLLECTION.to_owned(), key: doc.to_owned() };
        request(&node, Command::DocHold { space: None, doc, hold: true }).await?;
    }
    say("memory", memory_mb("VmRSS:")?, found.len() as u64)?;
    say("memory that is no file's", memory_mb("RssAnon:")?, found.len() as u64)?;
    request(&node, Command::Shutdown {}).await?;
    Ok(())
}

fn memory_mb(line: &str) -> Outcome<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let found = status.lines().find_map(|found| found.strip_prefix(line)).ok_or("no memory of the process")?;
    let kilobytes: f64 = found.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024.0 / 1e6)
}

/// Returns the rows of an NDJSON file.
fn rows(file: &str) -> Outcome<Vec<Value>> {
    let lines = BufReader::new(std::fs::File::open(file)?).lines();
    lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}

fn say(name: &str, value: f64, cases: u64) -> Outcome<()> {
    Ok(writeln!(std::io::stdout(), "{}", json!({ "name": name, "value": value, "n": cases }))?)
}

/// Prints the median and the 99th percentile of some times, in milliseconds.
fn say_times(name: &str, mut times: Vec<Duration>) -> Outcome<()> {
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).map_or(0.0, |time| time.as_secs_f64() * 1_000.0);
    say(&format!("{name}, p50"), at(50), times.len() as u64)?;
    say(&format!("{name}, p99"), at(99), times.len() as u64)
}

async fn new_node(dir: &Path) -> Outcome<Node> {
    init(dir, "bench").await?;
    let node = Node::open(dir, Options::default()).await?;
    request(&node, Command::SpaceCreate { name: "home".to_owned() }).await?;
    Ok(node)
}

async fn import(node: &Node, file: &str) -> Outcome<()> {
    let (input, _) = Input::of(std::fs::File::open(file)?)?;
    let import = Import {
        collection: COLLECTION.to_owned(),
        path: file.to_owned(),
        id_column: Some("id".to_owned()),
        ..Import::default()
    };
    let (items, mut told) = mpsc::channel(8);
    let all = async { while told.recv().await.is_some() {} };
    let (reply, ()) = tokio::join!(node.call_reading(Command::Import(import), input, items), all);
    reply?;
    Ok(())
}

/// Creates an index and waits until it is ready.
async fn index(node: &Node, name: &str, fields: &[&str]) -> Outcome<()> {
    let index = IndexName { space: None, collection: COLLECTION.to_owned(), index: name.to_owned() };
    let fields = fields.iter().map(|field| (*field).to_owned()).collect();
    let (items, mut told) = mpsc::channel(8);
    let all = async { while told.recv().await.is_some() {} };
    let (reply, ()) = tokio::join!(node.call(Command::IndexCreate { index, fields }, items), all);
    reply?;
    Ok(())
}

/// Waits until the indexes include every change.
async fn until_behind_none(node: &Node) -> Outcome<()> {
    loop {
        let query =
            Query { selector: Some(json!({ "zip": "" })), collection: COLLECTION.to_owned(), ..Query::default() };
        // The query waits until few are left; the plan reports their number.
        answer(node, query.clone()).await?;
        let plan = request(node, Command::QueryPlan(query)).await?;
        if matches!(plan, Reply::Plan(plan) if plan.behind == 0) {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns the duration of a query and its documents.
async fn answer(node: &Node, query: Query) -> Outcome<(Duration, Vec<Value>)> {
    let (items, mut told) = mpsc::channel(1_024);
    let all = async {
        let mut found = Vec::new();
        while let Some(item) = told.recv().await {
            if let Item::Document(document) = item {
                found.push(document);
            }
        }
        found
    };
    let began = Instant::now();
    let (reply, found) = tokio::join!(node.call(Command::Query(query), items), all);
    let took = began.elapsed();
    reply?;
    Ok((took, found.into_iter().map(|found| json!({ "key": found.key, "value": found.value })).collect()))
}

async fn queries(node: &Node, rows: &[Value], when: &str) -> Outcome<()> {
    let mut random = Entropy::new([1; 32]);
    let mut pick = || rows.get(below(&mut random, rows.len())).cloned().unwrap_or_default();
    let mut times = Vec::new();
    for _ in 0..POINTS {
        let row = pick();
        let selector = Some(json!({ "zip": row["zip"] }));
        let query = Query { collection: COLLECTION.to_owned(), selector, limit: Some(1), ..Query::default() };
        let (took, found) = answer(node, query).await?;
        if found.len() != 1 || found[0]["key"] != row["id"] {
            return Err(format!("{} finds {found:?}", row["zip"]).into());
        }
        times.push(took);
    }
    say_times(&format!("a point, {when}"), times)?;
    let mut times = Vec::new();
    for _ in 0..PAGES {
        let row = pick();
        let selector = Some(json!({ "state": row["state"], "city": { "$gte": row["city"] } }));
        let (sort, limit) = (Some(json!(["state", "city"])), Some(PAGE as u64));
        let query = Query { collection: COLLECTION.to_owned(), selector, sort, limit, ..Query::default() };
        let (took, found) = answer(node, query).await?;
        if !found.is_sorted_by_key(|one| one["value"]["city"].as_str().map(str::to_owned)) || found.is_empty() {
            return Err("a page is not in order".into());
        }
        if found.len() == PAGE {
            times.push(took);
        }
    }
    say_times(&format!("{PAGE} sorted rows, {when}"), times)
}

fn below(random: &mut Entropy, limit: usize) -> usize {
    let number = u64::from_le_bytes(random.bytes());
    usize::try_from(number % (limit as u64).max(1)).unwrap_or_default()
}

fn put(key: String, value: Value) -> Command {
    Command::DocPut(DocPut { space: None, collection: COLLECTION.to_owned(), key: Some(key), value, text: Vec::new() })
}

/// Commits one document after another, without a pause, until it is stopped.
struct Writer {
    over: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Result<u64, ServiceError>>,
}

impl Writer {
    fn start(node: &Arc<Node>, rows: Vec<Value>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (node, ended) = (Arc::clone(node), Arc::clone(&over));
        let task = tokio::spawn(async move {
            let mut random = Entropy::new([2; 32]);
            let mut written = 0;
            while !ended.load(Ordering::Relaxed) {
                let mut row = rows.get(below(&mut random, rows.len())).cloned().unwrap_or_default();
                row["county"] = json!(format!("changed {written}"));
                let key = row["id"].as_str().unwrap_or_default().to_owned();
                request(&*node, put(key, row)).await?;
                written += 1;
            }
            Ok(written)
        });
        Self { over, task }
    }

    async fn stop(self) -> Outcome<u64> {
        self.over.store(true, Ordering::Relaxed);
        Ok(self.task.await??)
    }
}

/// Changes documents in the answer of a live query, and measures when it reports them.
async fn live(node: &Arc<Node>) -> Outcome<()> {
    let query = Query {
        collection: COLLECTION.to_owned(),
        selector: Some(json!({ "state": "NY" })),
        sort: Some(json!(["state", "city"])),
        limit: Some(WINDOW as u64),
        ..Query::default()
    };
    let (items, mut told) = mpsc::channel(64);
    let watching = Arc::clone(node);
    let task = tokio::spawn(async move { watching.call(Command::Live { query, since: None }, items).await });
    let mut shown = Vec::new();
    while let Some(item) = told.recv().await {
        if let Item::Live(batch) = item {
            shown.extend(batch.events.into_iter().filter_map(|event| match event {
                LiveEvent::Added { document, .. } => {
                    Some((document.key.unwrap_or_default(), document.value.unwrap_or_default()))
                }
                LiveEvent::Changed { .. } | LiveEvent::Moved { .. } | LiveEvent::Removed { .. } => None,
            }));
            break;
        }
    }
    if shown.len() != WINDOW {
        return Err(format!("a live query shows {} documents", shown.len()).into());
    }
    let (mut stays, mut leaves, mut from_call) = (Vec::new(), Vec::new(), Vec::new());
    for change in 0..CHANGES {
        let (key, value) = shown.get(usize::try_from(change)? % WINDOW).cloned().unwrap_or_default();
        let mut changed = value.clone();
        changed["county"] = json!(format!("seen {change}"));
        let is_leaving = change % 4 == 3;
        if is_leaving {
            changed["city"] = json!("~");
        }
        let (acknowledged, called) = seen(node, &mut told, put(key.clone(), changed)).await?;
        if is_leaving {
            leaves.push(acknowledged)
        } else {
            stays.push(acknowledged)
        }
        from_call.push(called);
        if is_leaving {
            seen(node, &mut told, put(key, value)).await?;
        }
    }
    drop(told);
    task.await??;
    say_times("a change seen, from its acknowledgement", stays)?;
    say_times("a change that leaves the window seen, from its acknowledgement", leaves)?;
    say_times("a change seen, from its call", from_call)
}

/// Returns the delay of a live query's report: after the acknowledgement of a write, and after its call.
async fn seen(node: &Node, told: &mut mpsc::Receiver<Item>, command: Command) -> Outcome<(Duration, Duration)> {
    let began = Instant::now();
    let written = async { request(node, command).await.map(|_| Instant::now()) };
    let batch = async {
        loop {
            match told.recv().await {
                Some(Item::Live(batch)) if !batch.events.is_empty() => return Some(Instant::now()),
                Some(_) => {}
                None => return None,
            }
        }
    };
    let (written, batch) = tokio::join!(written, batch);
    let batch = batch.ok_or("the live query ended")?;
    Ok((batch.saturating_duration_since(written?), batch - began))
}

/// Measures the new documents per second of one writer, and of many.
async fn writes(node: &Arc<Node>) -> Outcome<()> {
    let mut rates = Vec::new();
    for writers in [1, WRITERS] {
        let (written, began) = (Arc::new(AtomicU64::new(0)), Instant::now());
        let tasks = (0..writers).map(|writer| {
            let (node, written) = (Arc::clone(node), Arc::clone(&written));
            tokio::spawn(async move {
                let mut at = 0;
                while began.elapsed() < WRITING {
                    let key = format!("new-{writers}-{writer}-{at}");
                    let value = json!({ "id": key, "zip": key, "state": "ZZ", "city": "New", "county": "None" });
                    request(&*node, put(key, value)).await?;
                    written.fetch_add(1, Ordering::Relaxed);
                    at += 1;
                }
                Ok::<(), ServiceError>(())
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await??;
        }
        let written = written.load(Ordering::Relaxed);
        let rate = written as f64 / began.elapsed().as_secs_f64();
        say(&format!("writes a second, {writers} at a time"), rate, written)?;
        rates.push(rate);
    }
    let gain = rates.get(1).zip(rates.first()).map_or(0.0, |(many, one)| many / one);
    say("writes a second, 64 at a time over one", gain, WRITERS)
}
