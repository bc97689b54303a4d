//! The parser of an import: bytes become batches of rows, on a thread of its own.

use super::numbers::{Hint, convert};
use crate::driver::stopping;
use crate::node::files::{CHECKPOINT_BYTES_MAX, Stage, Stand};
use crate::service::{ErrorCode, Input, ServiceError};
use cosmicsync_data::database::request::{Row, RowPlace};
use cosmicsync_data::import::{Checkpoint, Envelope, ImportError, Reader, Record};
use cosmicsync_data::json;
use cosmicsync_protocol::crdt::Value;
use tokio::sync::mpsc;

/// Largest number of rows in a batch.
const BATCH_ROWS: usize = 1_000;
/// Size of the file part in a batch, in bytes, unless one row is longer.
const BATCH_BYTES: u64 = 256 * 1024;
/// Approximate size of a row in the store: a constant in bytes, and a factor for the row's own bytes.
const ROW_COST: (u64, u64) = (1_152, 4);
/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 255;
/// Number of characters of a wrong cell that a message shows.
const CELL_CHARS_SHOWN: usize = 40;

/// Rows that become durable together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) rows: Vec<Row>,
    pub(super) checkpoint: Vec<u8>,
    /// Offset of the batch's end in the file.
    pub(super) offset: u64,
    /// Approximate size of the batch in the store, in bytes.
    pub(super) cost: u64,
}

/// Size limits of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchLimits {
    rows: usize,
    bytes: u64,
}

impl BatchLimits {
    /// Returns the limits for a store with `room` bytes left, so that a batch exceeds the store's limit only a little.
    pub(super) fn within(room: u64) -> Self {
        let part = room / 16;
        let rows = usize::try_from(part / ROW_COST.0).unwrap_or(BATCH_ROWS);
        Self { rows: rows.clamp(1, BATCH_ROWS), bytes: (part / ROW_COST.1).min(BATCH_BYTES) }
    }
}

/// The properties of the whole file, known at its end.
#[derive(Debug)]
pub(super) struct Learned {
    pub(super) columns: Vec<String>,
    pub(super) envelope: Option<Envelope>,
    pub(super) bytes: u64,
    /// The checkpoint for the end of the import; empty if too long to store.
    pub(super) ended: Vec<u8>,
    /// Columns of texts that hold nothing but numbers.
    pub(super) numbers: Vec<String>,
    /// True if the import had ended before, so that nothing was done.
    pub(super) nothing_new: bool,
}

/// The file: the bytes read for detecting its format, then the rest.
#[derive(Debug)]
pub(super) struct Source {
    /// The bytes read so far.
    pub(super) first: Vec<u8>,
    /// True if these are the whole file.
    pub(super) whole: bool,
    pub(super) input: Input,
}

impl Source {
    fn next(&mut self) -> Result<Option<Vec<u8>>, ServiceError> {
        if !self.first.is_empty() {
            return Ok(Some(core::mem::take(&mut self.first)));
        }
        if self.whole { Ok(None) } else { self.input.next_blocking() }
    }
}

/// Running hash of the file, which can be taken at any offset.
#[derive(Debug, Default)]
struct Hashed {
    hasher: blake3::Hasher,
    at: u64,
    /// Bytes that were read but not hashed yet.
    ahead: Vec<u8>,
}

impl Hashed {
    fn read(&mut self, bytes: &[u8]) {
        self.ahead.extend_from_slice(bytes);
    }

    /// Returns the hash of the bytes before an offset.
    fn up_to(&mut self, offset: u64) -> [u8; 32] {
        let count = usize::try_from(offset.saturating_sub(self.at)).unwrap_or(usize::MAX).min(self.ahead.len());
        self.hasher.update(&self.ahead[..count]);
        self.ahead.drain(..count);
        self.at += count as u64;
        self.hasher.finalize().into()
    }
}

/// Options of the parser.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) id_column: Option<String>,
    /// Columns that become numbers; none if the file is no table.
    pub(super) numbers: Option<Vec<String>>,
    pub(super) options: [u8; 32],
    pub(super) limits: BatchLimits,
}

/// Reasons to stop reading a file; they differ in the next step.
#[derive(Debug)]
pub(super) enum Failed {
    /// The file must be corrected.
    File(ServiceError),
    /// The file is not the one whose rows are partly stored.
    Changed(String),
    /// Any other error.
    Other(ServiceError),
}

/// Reads a file to its end; some of its rows may be stored already.
pub(super) struct Parser<'a> {
    reader: Reader,
    hashed: Hashed,
    plan: Plan,
    batches: &'a mpsc::Sender<Batch>,
    rows: Vec<Row>,
    hint: Hint,
    /// True once the columns of numbers were found in the file.
    checked: bool,
    /// Offset at which the batch begins.
    batch_start: u64,
    /// Number of bytes read.
    total: u64,
}

impl<'a> Parser<'a> {
    pub(super) fn new(reader: Reader, plan: Plan, batches: &'a mpsc::Sender<Batch>) -> Self {
        let batch_start = reader.checkpoint().offset;
        let (hashed, hint) = (Hashed::default(), Hint::default());
        Self { reader, hashed, plan, batches, rows: Vec::new(), hint, checked: false, batch_start, total: 0 }
    }

    /// Reads the file from its beginning; the part whose rows are stored is only compared.
    pub(super) fn run(mut self, source: &mut Source, stand: Option<&Stand>) -> Result<Learned, Failed> {
        let offset = stand.map_or(0, |stand| stand.checkpoint.offset);
        let ended = matches!(stand, Some(Stand { stage: Stage::Ended(_), .. }));
        let mut checked = stand.is_none_or(|stand| stand.stage != Stage::Rows);
        while let Some(chunk) = source.next().map_err(Failed::Other)? {
            self.hashed.read(&chunk);
            let known = usize::try_from(offset.saturating_sub(self.total)).unwrap_or(usize::MAX).min(chunk.len());
            self.total += chunk.len() as u64;
            if let Some(stand) = stand {
                // The hash is computed as the file is read, so that the stored part is not kept in memory.
                self.hashed.up_to(self.total.min(stand.hashed()));
            }
            if let Some(stand) = stand.filter(|_| !checked && self.total >= offset) {
                checked = true;
                self.compare(stand)?;
            }
            if known < chunk.len() && !ended {
                self.reader.feed(&chunk[known..]);
                self.take_records(stand)?;
            }
        }
        if let Some(stand) = stand
            && (!checked || self.total < offset || stand.stage != Stage::Rows)
        {
            self.compare(stand)?;
        }
        self.reader.finish();
        if !ended {
            self.take_records(stand)?;
        }
        let stage = Stage::Whole(self.total);
        if !self.rows.is_empty() {
            self.send(stage).map_err(Failed::Other)?;
        }
        let last = self.stand(Stage::Ended(self.total)).encode();
        Ok(Learned {
            columns: self.reader.columns().to_vec(),
            envelope: self.reader.envelope(),
            bytes: self.total,
            ended: if last.len() > CHECKPOINT_BYTES_MAX { Vec::new() } else { last },
            numbers: self.hint.columns(self.plan.id_column.as_deref()),
            nothing_new: ended,
        })
    }

    /// Compares the bytes read with the file whose rows are stored.
    fn compare(&mut self, stand: &Stand) -> Result<(), Failed> {
        let hashed = stand.hashed();
        let rows = stand.checkpoint.rows;
        if self.total < hashed {
            return Err(Failed::Changed(format!(
                "has {} bytes, but {hashed} were read of it before, of which {rows} rows are stored",
                self.total
            )));
        }
        if stand.stage != Stage::Rows && self.total > hashed {
            return Err(Failed::Changed(format!("has grown since all of its {rows} rows were stored")));
        }
        if self.hashed.up_to(hashed) != stand.hash {
            return Err(Failed::Changed(format!(
                "has changed within its first {hashed} bytes, of which {rows} rows are stored"
            )));
        }
        Ok(())
    }

    fn take_records(&mut self, stand: Option<&Stand>) -> Result<(), Failed> {
        loop {
            let Checkpoint { offset, rows, line, .. } = *self.reader.checkpoint();
            let record = match self.reader.next_record() {
                Ok(Some(record)) => record,
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.send_up_to(offset, rows, line).map_err(Failed::Other)?;
                    return Err(import_error(&error));
                }
            };
            if let Some(Stand { stage: Stage::Whole(_) | Stage::Ended(_), checkpoint, .. }) = stand {
                return Err(Failed::Changed(format!("has more rows than the {} that are stored", checkpoint.rows)));
            }
            let after = record.offset_after;
            let row = row(record, self.plan.id_column.as_deref(), self.reader.columns());
            let row = match row.and_then(|row| self.counted(row)) {
                Ok(row) => row,
                Err(error) => {
                    self.send_up_to(offset, rows, line).map_err(Failed::Other)?;
                    return Err(error);
                }
            };
            self.rows.push(row);
            let full = self.rows.len() >= self.plan.limits.rows || after - self.batch_start >= self.plan.limits.bytes;
            // A record that ends only at the end of the file may continue in a longer file.
            if full && after < self.total {
                self.send(Stage::Rows).map_err(Failed::Other)?;
            }
        }
    }

    /// Converts the cells of a table that are to be numbers.
    fn counted(&mut self, row: Row) -> Result<Row, Failed> {
        let Some(columns) = &self.plan.numbers else { return Ok(row) };
        let known = self.reader.columns();
        let unknown = columns.iter().find(|column| !self.checked && !known.contains(column));
        if let Some(column) = unknown {
            let message =
                format!("there is no column '{column}'; there are {}", shown(&known.iter().collect::<Vec<_>>()));
            let next = "the same with --number and one of them";
            return Err(Failed::Other(ServiceError::new(ErrorCode::Usage, message).next(next)));
        }
        self.checked = true;
        let Row { key, value, at } = row;
        let value = convert(value, columns).map_err(|(column, cell)| {
            let shown: String = cell.chars().take(CELL_CHARS_SHOWN).collect();
            let message =
                format!("line {} (row {}): '{shown}' in the column '{column}' is not a number", at.line, at.row);
            Failed::File(ServiceError::new(ErrorCode::Usage, message))
        })?;
        self.hint.see(&value);
        Ok(Row { key, value, at })
    }

    /// Sends the rows before a refused one.
    fn send_up_to(&mut self, offset: u64, rows: u64, line: u64) -> Result<(), ServiceError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let checkpoint = Checkpoint { offset, rows, line, ..self.reader.checkpoint().clone() };
        let stand = self.stand_at(checkpoint, Stage::Rows);
        self.send_with(&stand)
    }

    fn stand(&mut self, stage: Stage) -> Stand {
        let checkpoint = self.reader.checkpoint().clone();
        self.stand_at(checkpoint, stage)
    }

    fn stand_at(&mut self, checkpoint: Checkpoint, stage: Stage) -> Stand {
        let hashed = if stage == Stage::Rows { checkpoint.offset } else { self.total };
        let hash = self.hashed.up_to(hashed);
        Stand { checkpoint, options: self.plan.options, stage, hash }
    }

    /// Sends the rows up to the reader's checkpoint.
    fn send(&mut self, stage: Stage) -> Result<(), ServiceError> {
        let stand = self.stand(stage);
        self.send_with(&stand)
    }

    fn send_with(&mut self, stand: &Stand) -> Result<(), ServiceError> {
        let offset = stand.checkpoint.offset;
        let cost = self.rows.len() as u64 * ROW_COST.0 + (offset - self.batch_start) * ROW_COST.1;
        let mut checkpoint = stand.encode();
        if checkpoint.len() > CHECKPOINT_BYTES_MAX {
            checkpoint.clear();
        }
        let batch = Batch { rows: core::mem::take(&mut self.rows), checkpoint, offset, cost };
        self.batch_start = offset;
        self.batches.blocking_send(batch).map_err(|_| stopping())
    }
}

/// Returns a hash of an import's options, so that it is not resumed with others.
pub(super) fn options_of(import: &crate::service::Import) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("cosmicsync import options 1");
    let mut add = |text: Option<&str>| {
        hasher.update(&text.map_or(0, |text| text.len() as u64 + 1).to_be_bytes());
        hasher.update(text.unwrap_or_default().as_bytes());
    };
    add(import.id_column.as_deref());
    add(import.rows.as_deref());
    import.text.iter().for_each(|path| add(Some(path)));
    if !import.numbers.is_empty() {
        // A path is never none, so columns of numbers are not taken for paths of texts.
        add(None);
        import.numbers.iter().for_each(|column| add(Some(column)));
    }
    hasher.finalize().into()
}

fn import_error(error: &ImportError) -> Failed {
    let said = ServiceError::new(ErrorCode::Usage, error.to_string());
    match error {
        ImportError::NoRows | ImportError::NoRowsAt { .. } => {
            Failed::Other(said.next("the same with --rows PATH, the names that lead to the rows"))
        }
        _ => Failed::File(said),
    }
}

/// Converts a record to a row with the requested key. The columns are those of the file, or of the row if there is no
/// header.
fn row(record: Record, id_column: Option<&str>, columns: &[String]) -> Result<Row, Failed> {
    let at = RowPlace { line: record.line, row: record.row };
    let Some(column) = id_column else { return Ok(Row { key: None, value: record.value, at }) };
    let place = format!("line {} (row {})", at.line, at.row);
    let usage = |message: String| ServiceError::new(ErrorCode::Usage, message);
    match key(&record.value, column) {
        Some(key) if key.len() > KEY_BYTES_MAX => {
            let message = format!("{place}: the key '{column}' has {} bytes; it may have {KEY_BYTES_MAX}", key.len());
            Err(Failed::File(usage(message)))
        }
        Some(key) if key.contains('\0') => {
            Err(Failed::File(usage(format!("{place}: the key '{column}' must not contain a NUL character"))))
        }
        Some(key) => Ok(Row { key: Some(key), value: record.value, at }),
        None => Err(Failed::Other(no_key(&place, column, &record.value, columns))),
    }
}

/// Returns the names of columns for a message.
fn shown(known: &[&String]) -> String {
    const SHOWN: usize = 20;
    let names = known.iter().take(SHOWN).map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    if known.len() > SHOWN { format!("{names} and {} more", known.len() - SHOWN) } else { names }
}

/// Returns the error for a missing column, or for a value that cannot be a key.
fn no_key(place: &str, column: &str, value: &Value, columns: &[String]) -> ServiceError {
    let (message, next) = if found(value, column).is_some() {
        let message = format!(
            "{place}: '{column}' is neither a whole number nor a text of one character or more, so it cannot be a key"
        );
        (message, "correct the row, choose another column, or leave --id-column out: keys are made up then".to_owned())
    } else {
        let members = if let Value::Map(members) = value { members.keys().collect() } else { Vec::new() };
        // The columns of a table are the members of every row, in order.
        let known: Vec<&String> = if members.len() == columns.len() { columns.iter().collect() } else { members };
        (
            format!("{place}: there is no '{column}'; there are {}", shown(&known)),
            "the same with --id-column and one of them, or without it: keys are made up then".to_owned(),
        )
    };
    ServiceError::new(ErrorCode::Usage, message).next(next)
}

/// Returns the value of a column or of a dotted path.
fn found<'v>(value: &'v Value, column: &str) -> Option<&'v Value> {
    value.entry(column).or_else(|| column.split('.').try_fold(value, Value::entry))
}

/// Returns the value of a column or of a dotted path, as a key.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Import;

    #[test]
    fn imports_with_other_options_are_other_imports() {
        let named = vec!["a".to_owned()];
        let imports = [
            Import::default(),
            Import { text: named.clone(), ..Import::default() },
            Import { numbers: named.clone(), ..Import::default() },
            Import { text: named.clone(), numbers: named.clone(), ..Import::default() },
            Import { id_column: Some("a".to_owned()), ..Import::default() },
            Import { rows: Some("a".to_owned()), ..Import::default() },
        ];
        let hashes: std::collections::BTreeSet<_> = imports.iter().map(options_of).collect();
        assert_eq!(hashes.len(), imports.len());
    }
}
