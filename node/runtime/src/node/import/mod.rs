//! Imports files: a thread parses the caller's bytes, and a few batches at a time become durable.

mod dry;
mod numbers;
mod parse;

use super::Acting;
use super::docs::partition;
use super::files::{Stage, Stand, delimiter, format_of, named};
use super::handle::unexpected;
use crate::service::{ErrorCode, Import, Imported, Input, Item, Progress, Reply, ServiceError, quoted};
use cosmicsync_data::collection::CollectionMeta;
use cosmicsync_data::database::request::{Answer, ImportCounts, ImportId, Request, RequestError};
use cosmicsync_data::import::{Detected, Format, Kind, Reader};
use cosmicsync_protocol::crdt::TextPaths;
use cosmicsync_protocol::documents::Erasable;
use parse::{Batch, BatchLimits, Failed, Learned, Parser, Plan, Source, options_of};
use std::collections::VecDeque;
use std::path::Path;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};

/// First bytes of a file compressed with gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Number of batches that are written concurrently, so that they share the store's syncs.
const BATCHES_UNDER_WAY: usize = 4;
/// Number of batches that are parsed ahead.
const BATCHES_AHEAD: usize = 2;

/// A batch that is being written.
#[derive(Debug)]
struct UnderWay {
    answer: oneshot::Receiver<Result<Answer, ServiceError>>,
    offset: u64,
    cost: u64,
}

/// Writes the batches of one import.
struct Writer<'a> {
    node: &'a Acting<'a>,
    import: ImportId,
    /// Size of the file in bytes, if known.
    total: Option<u64>,
    under_way: VecDeque<UnderWay>,
    /// Number of rows of the file that are durable.
    stored: u64,
    counts: ImportCounts,
    items: &'a mpsc::Sender<Item>,
}

impl Acting<'_> {
    pub(super) async fn import(
        &self,
        import: Import,
        mut input: Input,
        items: &mpsc::Sender<Item>,
    ) -> Result<Reply, ServiceError> {
        if !import.dry_run {
            self.check_room()?;
        }
        let begun = Instant::now();
        let (kind, first, whole) = find_kind(&import, &mut input).await?;
        check_numbers(&import, kind)?;
        let source = Source { first, whole, input };
        if import.dry_run {
            let schema = self.schema_of(import.space.clone(), &import.collection).await?;
            return dry::import(import, schema, kind, source, begun).await;
        }
        let mut meta = CollectionMeta {
            format: Some(kind.format),
            delimiter: kind.delimiter,
            text_paths: import.text.iter().collect::<TextPaths>(),
            id_column: import.id_column.clone(),
            erasable: if import.erasable_together { Erasable::Together } else { Erasable::Alone },
            ..CollectionMeta::new(&import.collection)
        };
        let handle = self.handle()?;
        let (space, source_name, described, resume) =
            (import.space.clone(), source_of(&import), meta.clone(), import.resume);
        let opened = handle.ask(move |core| {
            let partition = partition(core, &space)?;
            Ok(Request::ImportOpen { partition, source: source_name, meta: described, resume })
        });
        let given = format!("{}{}", again(&import), if resume { " --resume" } else { "" });
        let opened = opened.await.map_err(|error| self.cut_off(error, None, &given))?;
        let Answer::ImportOpened { import: number, checkpoint, rows } = opened else { return Err(unexpected()) };
        let stand = checkpoint.map(|bytes| taken_up(&import, kind, &bytes)).transpose()?;
        let skipped = if stand.is_some() { rows } else { 0 };

        let (sender, mut batches) = mpsc::channel(BATCHES_AHEAD);
        let parser = self.parse(&import, kind, source, stand, sender);
        let mut writer = Writer {
            node: self,
            import: number,
            total: import.bytes,
            under_way: VecDeque::new(),
            stored: skipped,
            counts: ImportCounts::default(),
            items,
        };
        let written = writer.write(&mut batches).await;
        drop(batches);
        let resume = format!("{} --resume", again(&import));
        written.map_err(|error| self.cut_off(mended(error, &import, writer.stored), Some(writer.stored), &resume))?;
        // A shutdown of the runtime cancels the thread.
        let learned = parser.await.map_err(|_| crate::driver::stopping())?;
        let learned = learned.map_err(|failed| blamed(failed, &import, Some(writer.stored)))?;
        let (format, delimiter) = named(kind);
        let mut imported = Imported {
            collection: import.collection.clone(),
            format,
            delimiter,
            documents: writer.counts.stored,
            replaced: writer.counts.replaced,
            unchanged: writer.counts.unchanged,
            skipped,
            bytes: learned.bytes,
            elapsed_ms: 0,
            dry_run: false,
            columns: Vec::new(),
            note: None,
        };
        if learned.nothing_new {
            imported.note = Some("nothing to go on with: all rows of this file were stored before".to_owned());
        } else {
            (meta.columns, meta.envelope) = (learned.columns, learned.envelope);
            let close = Request::ImportClose { import: number, checkpoint: learned.ended, meta };
            let closed = handle.ask(move |_| Ok(close)).await;
            closed.map_err(|error| self.cut_off(error, Some(writer.stored), &resume))?;
            imported.note = hint(&learned.numbers, &import, kind);
        }
        imported.elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Reply::Imported(imported))
    }

    /// Starts the thread that parses.
    fn parse(
        &self,
        import: &Import,
        kind: Kind,
        mut source: Source,
        stand: Option<Stand>,
        batches: mpsc::Sender<Batch>,
    ) -> JoinHandle<Result<Learned, Failed>> {
        let reader = match &stand {
            Some(stand) => Reader::resume(stand.checkpoint.clone()),
            None => Reader::of(kind, import.rows.as_deref()),
        };
        let plan = Plan {
            id_column: import.id_column.clone(),
            numbers: numbers_of(import, kind),
            options: options_of(import),
            limits: BatchLimits::within(self.room()),
        };
        spawn_blocking(move || Parser::new(reader, plan, &batches).run(&mut source, stand.as_ref()))
    }

    /// Adds the import's progress and the way to resume it to an error of the store.
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
    /// Writes batches in order, a few at a time.
    async fn write(&mut self, batches: &mut mpsc::Receiver<Batch>) -> Result<(), ServiceError> {
        loop {
            let next = if self.under_way.len() < BATCHES_UNDER_WAY { batches.recv().await } else { None };
            let Some(Batch { rows, checkpoint, offset, cost }) = next else {
                if self.finish_oldest().await? { continue } else { return Ok(()) }
            };
            // Batches in progress are not part of the file size yet, so near the limit they are waited for.
            while self.under_way.iter().map(|batch| batch.cost).sum::<u64>() >= self.node.room()
                && self.finish_oldest().await?
            {}
            self.node.check_room()?;
            let request = Request::ImportRows { import: self.import, rows, checkpoint };
            let answer = self.node.handle()?.start(request).await?;
            self.under_way.push_back(UnderWay { answer, offset, cost });
        }
    }

    /// Waits until the oldest batch is durable; returns false if there is none.
    async fn finish_oldest(&mut self) -> Result<bool, ServiceError> {
        let Some(UnderWay { answer, offset, .. }) = self.under_way.pop_front() else { return Ok(false) };
        match answer.await.map_err(|_| crate::driver::stopping())?? {
            Answer::Failed(error) => {
                let refused = matches!(error, RequestError::Row { .. });
                let mut said = super::blame::request_error(&error);
                if refused {
                    said.message = with_stored(&said.message, Some(self.stored));
                }
                Err(said)
            }
            Answer::Imported { rows, counts } => {
                self.stored = self.stored.max(rows);
                self.counts.stored += counts.stored;
                self.counts.replaced += counts.replaced;
                self.counts.unchanged += counts.unchanged;
                let note = format!("{} rows", self.stored);
                let progress = Progress { done: offset, total: self.total, unit: "bytes".to_owned(), note };
                // A slow reader of progress must not slow the import down.
                drop(self.items.try_send(Item::Progress(progress)));
                Ok(true)
            }
            _ => Err(unexpected()),
        }
    }
}

/// Adds the number of stored rows to the message about a refused row.
fn with_stored(message: &str, stored: Option<u64>) -> String {
    let end = if message.ends_with('?') { "" } else { "." };
    match stored {
        None => message.to_owned(),
        Some(0) => format!("{message}{end} Nothing is stored"),
        Some(1) => format!("{message}{end} 1 row before it is stored"),
        Some(rows) => format!("{message}{end} {rows} rows before it are stored"),
    }
}

/// Returns the next step for a row that must be corrected. `stored` is the number of stored rows, if known.
fn correct(import: &Import, stored: Option<u64>) -> String {
    let what = if import.path == "-" { "the input".to_owned() } else { quoted(&import.path) };
    let resume = if stored == Some(0) { "" } else { " --resume" };
    format!("correct {what}, then: {}{resume}", again(import))
}

/// Adds the next step to the error about a row.
fn mended(error: ServiceError, import: &Import, stored: u64) -> ServiceError {
    let of_row = matches!(error.code, ErrorCode::Usage | ErrorCode::Refused | ErrorCode::Invalid)
        && error.message.starts_with("line ");
    if error.next.is_none() && of_row { error.next(correct(import, Some(stored))) } else { error }
}

fn blamed(failed: Failed, import: &Import, stored: Option<u64>) -> ServiceError {
    match failed {
        Failed::Other(error) => error,
        Failed::File(error) => {
            let message = with_stored(&error.message, stored);
            ServiceError { message, ..error }.next(correct(import, stored))
        }
        Failed::Changed(how) => {
            let what = if import.path == "-" { "the input" } else { import.path.as_str() };
            ServiceError::new(ErrorCode::Conflict, format!("{what} {how}")).next(from_the_start(import))
        }
    }
}

/// Returns the next step for a file that has changed. With keys, each row updates its document; without keys, the
/// stored rows would be stored again.
fn from_the_start(import: &Import) -> String {
    if import.id_column.is_some() {
        return again(import);
    }
    again(&Import { collection: "NEW_COLLECTION".to_owned(), ..import.clone() })
}

/// Detects the file's format, reading as much as needed. Returns the bytes read, and whether they are the whole file.
async fn find_kind(import: &Import, input: &mut Input) -> Result<(Kind, Vec<u8>, bool), ServiceError> {
    let said = (import.format.map(format_of), delimiter(import.format, import.delimiter)?);
    let name = Path::new(&import.path).file_name().unwrap_or_default().to_string_lossy();
    let (mut first, mut whole) = (Vec::new(), false);
    loop {
        if first.starts_with(&GZIP) {
            return Err(compressed(import));
        }
        let detected = Kind::detect(&name, said, &first, whole);
        let message = match detected {
            Detected::Kind(kind) => return Ok((kind, first, whole)),
            Detected::More => match input.next().await? {
                Some(piece) => {
                    first.extend_from_slice(&piece);
                    continue;
                }
                None if whole => "neither the name nor the contents of the file tell its format",
                None => {
                    whole = true;
                    continue;
                }
            },
            Detected::Unknown => "neither the name nor the contents of the file tell its format",
            Detected::JsonOrNdjson => {
                "the file is one object that holds others: with ndjson it is a record, with json it holds the records"
            }
        };
        let format = if detected == Detected::JsonOrNdjson { "json" } else { "csv" };
        let next = format!("{} --format {format}", again(import));
        return Err(ServiceError::new(ErrorCode::Usage, message).next(next));
    }
}

/// Returns the error about a compressed file.
fn compressed(import: &Import) -> ServiceError {
    let error = ServiceError::new(ErrorCode::Usage, "the file is compressed with gzip");
    if import.path == "-" {
        return error.next("decompress it with gunzip before this command");
    }
    error.next(format!(
        "gunzip -c {} | {}",
        quoted(&import.path),
        again(&Import { path: "-".to_owned(), ..import.clone() })
    ))
}

/// Returns the progress of an import to resume, if its options are the same.
fn taken_up(import: &Import, kind: Kind, bytes: &[u8]) -> Result<Stand, ServiceError> {
    let conflict = |why: &str| {
        let message = format!("the import of {} {why}", quoted(&import.path));
        Err(ServiceError::new(ErrorCode::Conflict, message).next(from_the_start(import)))
    };
    let Ok(stand) = Stand::decode(bytes) else {
        return conflict(if bytes.is_empty() {
            "cannot be taken up: its columns, or what stands before its rows, have more than 64 KiB"
        } else {
            "was begun by another version of the program and cannot be taken up"
        });
    };
    let (format, begun) = (named(kind), named(stand.checkpoint.kind));
    if format != begun {
        let delimiter = begun.1.map(|delimiter| format!(" with the delimiter {delimiter:?}")).unwrap_or_default();
        return conflict(&format!("was begun as {}{delimiter} and goes on only so", begun.0.name()));
    }
    if stand.options != options_of(import) {
        return conflict("was begun with other options: --id-column, --rows and --text have to be the same");
    }
    debug_assert!(stand.stage != Stage::Rows || stand.checkpoint.offset > 0, "it stands behind a row");
    Ok(stand)
}

/// Returns the import command, with the options that determine the imported documents.
fn again(import: &Import) -> String {
    let mut command = format!("cosmicsync import {} --collection {}", quoted(&import.path), quoted(&import.collection));
    let format = import.format.map(|format| format.name().to_owned());
    let delimiter =
        import.delimiter.map(|delimiter| if delimiter == '\t' { "tab".to_owned() } else { delimiter.to_string() });
    let options = [
        ("--space", &import.space),
        ("--format", &format),
        ("--delimiter", &delimiter),
        ("--id-column", &import.id_column),
        ("--rows", &import.rows),
    ];
    for (flag, value) in options {
        if let Some(value) = value {
            command = format!("{command} {flag} {}", quoted(value));
        }
    }
    if import.erasable_together {
        command.push_str(" --erasable-together");
    }
    let command = import.text.iter().fold(command, |command, path| format!("{command} --text {}", quoted(path)));
    import.numbers.iter().fold(command, |command, column| format!("{command} --number {}", quoted(column)))
}

/// Refuses columns of numbers for a file that has types of its own.
fn check_numbers(import: &Import, kind: Kind) -> Result<(), ServiceError> {
    if import.numbers.is_empty() || kind.format == Format::Csv {
        return Ok(());
    }
    let message = "only cells of a table can be read as numbers: other formats have their own numbers";
    Err(ServiceError::new(ErrorCode::Usage, message).next(again(&Import { numbers: Vec::new(), ..import.clone() })))
}

/// Returns the columns of a table that become numbers; `None` if the file is no table.
fn numbers_of(import: &Import, kind: Kind) -> Option<Vec<String>> {
    (kind.format == Format::Csv).then(|| import.numbers.clone())
}

/// Returns the note about a table without keys, and about columns of numbers that are kept as texts.
fn hint(columns: &[String], import: &Import, kind: Kind) -> Option<String> {
    let keyless = "the documents have no keys, so a second import stores them again: --id-column NAME gives them keys (over HTTP: id=NAME)";
    let is_keyless = kind.format == Format::Csv && import.id_column.is_none();
    let mut notes: Vec<String> = is_keyless.then(|| keyless.to_owned()).into_iter().collect();
    let flags = columns.iter().map(|column| format!("--number {}", quoted(column))).collect::<Vec<_>>().join(" ");
    if !columns.is_empty() {
        let over_http = columns.join(",");
        notes.push(format!(
            "every cell is kept as a text; to compare and sum numbers, import again with {flags} (over HTTP: numbers={over_http})"
        ));
    }
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// Returns the name of an import, by which it can be resumed: the file and its target.
fn source_of(import: &Import) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("cosmicsync import source 1");
    for text in [&import.path, &import.collection] {
        hasher.update(&(text.len() as u64).to_be_bytes()).update(text.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Returns whether a format has columns, or names in an order.
const fn has_columns(format: Format) -> bool {
    matches!(format, Format::Csv | Format::Xml)
}
