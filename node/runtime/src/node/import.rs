//! Importing files: a thread reads and parses, batches become durable a few at a time.

use super::Node;
use super::docs::partition;
use super::files::{CHECKPOINT_BYTES_MAX, decode, encode, format_of};
use super::handle::unexpected;
use crate::service::{ErrorCode, Import, Imported, Item, Progress, Reply, ServiceError, quoted};
use cosmicsync_data::collection::CollectionMeta;
use cosmicsync_data::database::request::{Answer, ImportId, Request, Row};
use cosmicsync_data::import::{Checkpoint, Format, ImportError, Reader, Record};
use cosmicsync_data::json;
use cosmicsync_protocol::document::{TextPaths, Value};
use cosmicsync_protocol::shelf::Erasable;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};

/// Rows of a batch, at most.
const BATCH_ROWS: usize = 1_000;
/// Bytes of the file that a batch covers, unless one row is longer.
const BATCH_BYTES: u64 = 256 * 1024;
/// Batches that are written at a time: they share the store's syncs.
const BATCHES_UNDER_WAY: usize = 4;
/// What a row takes in the store beside its bytes, roughly, and how many times those.
const ROW_COST: (u64, u64) = (512, 4);
/// Batches that are parsed ahead.
const BATCHES_AHEAD: usize = 2;
/// How much of the file is read at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// Rows that become durable together.
#[derive(Debug)]
struct Batch {
    rows: Vec<Row>,
    checkpoint: Vec<u8>,
    /// Where it ends in the file.
    offset: u64,
    /// Bytes of the store that it takes, roughly.
    cost: u64,
}

/// How large a batch becomes.
#[derive(Debug, Clone, Copy)]
struct BatchLimits {
    rows: usize,
    bytes: u64,
}

impl BatchLimits {
    /// The batches with which a store is filled to its limit without going far beyond.
    fn within(room: u64) -> Self {
        let part = room / 16;
        let rows = usize::try_from(part / ROW_COST.0).unwrap_or(BATCH_ROWS);
        Self { rows: rows.clamp(1, BATCH_ROWS), bytes: (part / ROW_COST.1).min(BATCH_BYTES) }
    }
}

/// A batch that is being written.
#[derive(Debug)]
struct UnderWay {
    answer: oneshot::Receiver<Result<Answer, ServiceError>>,
    offset: u64,
    cost: u64,
}

/// Writes the batches of one import.
struct Writer<'a> {
    node: &'a Node,
    import: ImportId,
    /// Size of the file.
    total: u64,
    under_way: VecDeque<UnderWay>,
    /// Rows of the file that are durable.
    stored: u64,
    items: &'a mpsc::Sender<Item>,
}

/// What the file as a whole taught.
#[derive(Debug)]
struct Learned {
    columns: Vec<String>,
    envelope: Option<cosmicsync_data::import::Envelope>,
    bytes: u64,
}

impl Node {
    pub(super) async fn import(&self, import: Import, items: &mpsc::Sender<Item>) -> Result<Reply, ServiceError> {
        self.check_room()?;
        let begun = Instant::now();
        let (file, total, format) = open(&import)?;
        let texts: TextPaths = import.text.iter().collect();
        let mut meta = CollectionMeta {
            format: Some(format),
            text_paths: texts,
            id_column: import.id_column.clone(),
            erasable: if import.erasable_together { Erasable::Together } else { Erasable::Alone },
            ..CollectionMeta::new(&import.collection)
        };
        let handle = self.handle()?;
        let (space, source, described) = (import.space.clone(), source(&import), meta.clone());
        let resume = import.resume;
        let opened = handle.ask(move |core| {
            let partition = partition(core, &space)?;
            Ok(Request::ImportOpen { partition, source, meta: described, resume })
        });
        let given = format!("{}{}", again(&import), if resume { " --resume" } else { "" });
        let opened = opened.await.map_err(|error| self.cut_off(error, None, &given))?;
        let Answer::ImportOpened { import: number, checkpoint, rows } = opened else { return Err(unexpected()) };
        let from = checkpoint.filter(|bytes| !bytes.is_empty()).and_then(|bytes| decode(&bytes).ok());
        let skipped = if from.is_some() { rows } else { 0 };
        let reader = match from {
            Some(checkpoint) => Reader::resume(checkpoint),
            None => Reader::new(format, import.rows.as_deref()),
        };
        let id_column = import.id_column.clone();
        let resume = format!("{} --resume", again(&import));
        let mended = format!("correct {}, then: {resume}", quoted(&import.path));
        let (sender, mut batches) = mpsc::channel(BATCHES_AHEAD);
        let limits = BatchLimits::within(self.room());
        let parser: JoinHandle<Result<Learned, ServiceError>> = spawn_blocking(move || {
            parse(file, reader, id_column.as_deref(), limits, &sender)
                .map_err(|error| if error.next.is_none() { error.next(mended) } else { error })
        });
        let mut writer =
            Writer { node: self, import: number, total, under_way: VecDeque::new(), stored: skipped, items };
        let written = writer.write(&mut batches).await;
        let documents = written.map_err(|error| self.cut_off(error, Some(writer.stored), &resume))?;
        // A stop of the runtime cancels the thread.
        let learned = parser.await.map_err(|_| crate::driver::stopping())??;
        (meta.columns, meta.envelope) = (learned.columns, learned.envelope);
        let closed = handle.ask(move |_| Ok(Request::ImportClose { import: number, meta })).await;
        closed.map_err(|error| self.cut_off(error, Some(writer.stored), &resume))?;
        let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let collection = import.collection;
        Ok(Reply::Imported(Imported { collection, documents, skipped, bytes: learned.bytes, elapsed_ms }))
    }

    /// Says how far an import came that the store could not take, if it began, and how it goes on.
    fn cut_off(&self, error: ServiceError, stored: Option<u64>, again: &str) -> ServiceError {
        if error.code != ErrorCode::StoreFull {
            return error;
        }
        let stored = stored.map_or_else(String::new, |rows| format!(". {rows} rows of the file are stored"));
        let message = format!("{}{stored}", error.message);
        let next = if self.room() == 0 { self.raise(again) } else { format!("free some space, then: {again}") };
        ServiceError::new(error.code, message).next(next)
    }
}

impl Writer<'_> {
    /// Writes batches in order, a few at a time. Returns how many documents that were.
    async fn write(&mut self, batches: &mut mpsc::Receiver<Batch>) -> Result<u64, ServiceError> {
        let mut documents = 0;
        loop {
            let next = if self.under_way.len() < BATCHES_UNDER_WAY { batches.recv().await } else { None };
            let Some(Batch { rows, checkpoint, offset, cost }) = next else {
                if self.finish_oldest().await? { continue } else { return Ok(documents) }
            };
            // What is under way is not in the file yet: near the limit it is waited for.
            while self.under_way.iter().map(|batch| batch.cost).sum::<u64>() >= self.node.room()
                && self.finish_oldest().await?
            {}
            self.node.check_room()?;
            documents += rows.len() as u64;
            let request = Request::ImportRows { import: self.import, rows, checkpoint };
            let answer = self.node.handle()?.start(request).await?;
            self.under_way.push_back(UnderWay { answer, offset, cost });
        }
    }

    /// Waits until the batch that was begun first is durable. False if there is none.
    async fn finish_oldest(&mut self) -> Result<bool, ServiceError> {
        let Some(UnderWay { answer, offset, .. }) = self.under_way.pop_front() else { return Ok(false) };
        match answer.await.map_err(|_| crate::driver::stopping())?? {
            Answer::Failed(error) => Err(super::blame::request_error(&error)),
            Answer::Imported { rows } => {
                self.stored = self.stored.max(rows);
                let note = format!("{} documents", self.stored);
                let progress = Progress { done: offset, total: Some(self.total), unit: "bytes".to_owned(), note };
                // A slow reader of progress does not slow the import down.
                drop(self.items.try_send(Item::Progress(progress)));
                Ok(true)
            }
            _ => Err(unexpected()),
        }
    }
}

/// Reads the file to its end. Runs on a thread of its own.
fn parse(
    mut file: File,
    mut reader: Reader,
    id_column: Option<&str>,
    limits: BatchLimits,
    batches: &mpsc::Sender<Batch>,
) -> Result<Learned, ServiceError> {
    let failed = |error: &io::Error| ServiceError::io("cannot read the file", error);
    let mut offset = reader.checkpoint().offset;
    file.seek(SeekFrom::Start(offset)).map_err(|error| failed(&error))?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut rows = Vec::new();
    let mut batch_start = offset;
    let mut ended = false;
    while !ended {
        let count = file.read(&mut chunk).map_err(|error| failed(&error))?;
        offset += count as u64;
        ended = count == 0;
        if ended {
            reader.finish();
        } else {
            reader.feed(&chunk[..count]);
        }
        while let Some(record) = next_record(&mut reader)? {
            let after = record.offset_after;
            rows.push(row(record, id_column).map_err(|error| no_key(error, reader.columns()))?);
            if rows.len() >= limits.rows || after - batch_start >= limits.bytes {
                if !send(batches, &mut rows, after - batch_start, reader.checkpoint()) {
                    return Err(crate::driver::stopping());
                }
                batch_start = after;
            }
        }
    }
    if !rows.is_empty() && !send(batches, &mut rows, offset - batch_start, reader.checkpoint()) {
        return Err(crate::driver::stopping());
    }
    Ok(Learned { columns: reader.columns().to_vec(), envelope: reader.envelope(), bytes: offset })
}

fn next_record(reader: &mut Reader) -> Result<Option<Record>, ServiceError> {
    reader.next_record().map_err(|error: ImportError| ServiceError::new(ErrorCode::Usage, error.to_string()))
}

/// Hands over a batch that covers so many bytes of the file; false when nobody takes it any more.
fn send(batches: &mpsc::Sender<Batch>, rows: &mut Vec<Row>, covered: u64, checkpoint: &Checkpoint) -> bool {
    let cost = rows.len() as u64 * ROW_COST.0 + covered * ROW_COST.1;
    let mut bytes = encode(checkpoint);
    if bytes.len() > CHECKPOINT_BYTES_MAX {
        bytes.clear();
    }
    let batch = Batch { rows: core::mem::take(rows), checkpoint: bytes, offset: checkpoint.offset, cost };
    batches.blocking_send(batch).is_ok()
}

/// A row that has no key where one was asked for.
struct NoKey {
    column: String,
    record: Record,
}

fn row(record: Record, id_column: Option<&str>) -> Result<Row, NoKey> {
    let Some(column) = id_column else { return Ok(Row { key: None, value: record.value }) };
    match key(&record.value, column) {
        Some(key) => Ok(Row { key: Some(key), value: record.value }),
        None => Err(NoKey { column: column.to_owned(), record }),
    }
}

/// Says whether there is no such column, or nothing in it that can be a key. The columns are those of the file, or of
/// the row if it has no header.
fn no_key(error: NoKey, columns: &[String]) -> ServiceError {
    const SHOWN: usize = 20;
    let NoKey { column, record } = error;
    let (message, next) = if found(&record.value, &column).is_some() {
        let message = format!(
            "row {}: '{column}' is neither a whole number nor a text of one character or more, so it is no key",
            record.row
        );
        (message, "correct the row, choose another column, or leave --id-column out: keys are made up then".to_owned())
    } else {
        let members = if let Value::Map(members) = &record.value { members.keys().collect() } else { Vec::new() };
        let known: Vec<&String> = if columns.is_empty() { members } else { columns.iter().collect() };
        let shown = known.iter().take(SHOWN).map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let more = if known.len() > SHOWN { format!(" and {} more", known.len() - SHOWN) } else { String::new() };
        (
            format!("row {}: there is no '{column}'; there are {shown}{more}", record.row),
            "the same with --id-column and one of them, or without it: keys are made up then".to_owned(),
        )
    };
    ServiceError::new(ErrorCode::Usage, message).next(next)
}

/// The value of a column, or of a dotted path.
fn found<'v>(value: &'v Value, column: &str) -> Option<&'v Value> {
    value.entry(column).or_else(|| column.split('.').try_fold(value, Value::entry))
}

/// The value of a column, or of a dotted path, as a key.
fn key(value: &Value, column: &str) -> Option<String> {
    match found(value, column)? {
        Value::Text(text) if !text.is_empty() => Some(text.clone()),
        number @ Value::Int(_) => Some(json::to_string(number)),
        Value::Null
        | Value::Bool(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::List(_)
        | Value::Map(_) => None,
    }
}

/// Opens the file; returns its size and its format, as asked for or as it looks.
fn open(import: &Import) -> Result<(File, u64, Format), ServiceError> {
    let failed = |error: &io::Error| ServiceError::io(format!("cannot read {}", import.path), error);
    let mut file = File::open(&import.path).map_err(|error| failed(&error))?;
    let total = file.metadata().map_err(|error| failed(&error))?.len();
    if let Some(format) = import.format {
        return Ok((file, total, format_of(format)));
    }
    let mut first = Vec::new();
    io::Read::by_ref(&mut file).take(8 * 1024).read_to_end(&mut first).map_err(|error| failed(&error))?;
    let name = Path::new(&import.path).file_name().unwrap_or_default().to_string_lossy();
    let format = Format::detect(&name, &first).ok_or_else(|| {
        ServiceError::new(ErrorCode::Usage, "neither the name nor the contents of the file tell its format")
            .next(format!("{} --format csv", again(import)))
    })?;
    Ok((file, total, format))
}

/// The command that was given, as far as it says what is imported.
fn again(import: &Import) -> String {
    let mut command = format!("cosmicsync import {} --collection {}", quoted(&import.path), quoted(&import.collection));
    for (flag, value) in [("--space", &import.space), ("--id-column", &import.id_column), ("--rows", &import.rows)] {
        if let Some(value) = value {
            command = format!("{command} {flag} {}", quoted(value));
        }
    }
    if import.erasable_together {
        command.push_str(" --erasable-together");
    }
    import.text.iter().fold(command, |command, path| format!("{command} --text {}", quoted(path)))
}

/// Names an import, so that an interrupted one is found again: the file and where it goes.
fn source(import: &Import) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("cosmicsync import source 1");
    for text in [&import.path, &import.collection] {
        hasher.update(&(text.len() as u64).to_be_bytes()).update(text.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
