//! Reading files of records: CSV, NDJSON, JSON and XML, streaming and resumable.
//!
//! A caller feeds chunks of any size and takes records until there are no more, then feeds again. Memory stays bounded:
//! one chunk, one record of at most [`RECORD_BYTES_MAX`], and for JSON and XML what surrounds the rows. After any record the
//! reader's [`Checkpoint`] says how to go on from there in another process.
//!
//! Every error names a line or row and what to do (`spec/documents.md`, section 8).

mod csv;
mod detect;
mod json;
mod ndjson;
pub(crate) mod xml;

use crate::json::JsonError;
use cosmicsync_protocol::crdt::Value;

pub use detect::Detected;
pub use json::Envelope;

/// The longest record, in bytes as it stands in the file.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// The most bytes of a JSON file before its rows, and the most after them.
pub const ENVELOPE_BYTES_MAX: usize = 1 << 20;

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Cells separated by commas (RFC 4180) or another character, with a header row.
    Csv,
    /// One JSON object a line.
    Ndjson,
    /// An array of objects, or an object with one member that is such an array.
    Json,
    /// Elements that stand together in another element.
    Xml,
}

impl Format {
    /// The name, as people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Json => "json",
            Self::Xml => "xml",
        }
    }

    /// The format of that name, or of files with that ending.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "csv" | "tsv" | "tab" => Some(Self::Csv),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "json" | "geojson" => Some(Self::Json),
            "xml" => Some(Self::Xml),
            _ => None,
        }
    }
}

/// A format, and of tables what separates their cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The format.
    pub format: Format,
    /// CSV: what separates the cells. A comma in other formats, where it means nothing.
    pub delimiter: u8,
}

impl Kind {
    /// Tab-separated values.
    pub const TSV: Self = Self { format: Format::Csv, delimiter: b'\t' };

    /// A format, with a comma between the cells.
    pub const fn of(format: Format) -> Self {
        Self { format, delimiter: b',' }
    }

    /// Returns whether a character can separate cells: one byte, and none that has another meaning in a table.
    pub const fn separates(character: char) -> bool {
        character.is_ascii() && !matches!(character, '"' | '\r' | '\n' | '\0')
    }
}

/// One record of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The record: always a map.
    pub value: Value,
    /// Where the next record's bytes start, from the file's first byte.
    pub offset_after: u64,
    /// Its number; the first is 1.
    pub row: u64,
    /// On which line it starts; the first is 1.
    pub line: u64,
}

/// Where a reader stands after a record: all that another needs to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The file's format.
    pub kind: Kind,
    /// Feed the file from this byte on.
    pub offset: u64,
    /// How many records were read.
    pub rows: u64,
    /// On which line the offset lies; the first is 1.
    pub line: u64,
    /// CSV: the header, empty while it was not read. XML: the names of elements in their order.
    pub header: Vec<String>,
    /// JSON: the text before the rows and in it the last `[`, empty while they were not found. XML: the text before the
    /// first row.
    pub head: String,
    /// JSON: the member that holds the rows, as asked for or found. XML: the path of the rows' elements.
    pub rows_member: Option<String>,
}

/// Why a file can't be read on.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Not UTF-8.
    #[error("line {line}: the text is not UTF-8; convert the file to UTF-8 and import it again")]
    NotUtf8 {
        /// The line.
        line: u64,
    },
    /// No header row.
    #[error("the file has no header row; put the column names on the first line")]
    NoHeader,
    /// A column without a name.
    #[error("line 1: column {column} has no name; name it, or delete the column")]
    EmptyColumnName {
        /// Its number; the first is 1.
        column: usize,
    },
    /// Two columns of one name.
    #[error("line 1: columns {first} and {second} have the same name; rename one")]
    DuplicateColumnName {
        /// Number of the one.
        first: usize,
        /// Number of the other.
        second: usize,
    },
    /// A row of the wrong width.
    #[error("line {line} (row {row}): {found} cells where the header has {expected}; is a comma or a quote missing?")]
    Ragged {
        /// The line where the row starts.
        line: u64,
        /// Its number.
        row: u64,
        /// How many cells it has.
        found: usize,
        /// How many the header has.
        expected: usize,
    },
    /// A quoted cell that runs to the end of the file.
    #[error("line {line} (row {row}): a quote is never closed; close it, or double it to mean the character")]
    UnclosedQuote {
        /// The line where the row starts.
        line: u64,
        /// Its number.
        row: u64,
    },
    /// Text behind the quote that closes a cell.
    #[error(
        "line {line} (row {row}): text follows the quote that closes a cell; double the quotes that are part of the text"
    )]
    TextAfterQuote {
        /// The line where the row starts.
        line: u64,
        /// Its number.
        row: u64,
    },
    /// A record above the limit.
    #[error("line {line} (row {row}): the record is longer than {RECORD_BYTES_MAX} bytes; split it")]
    RecordTooLong {
        /// The line where the row starts.
        line: u64,
        /// Its number.
        row: u64,
    },
    /// A record that is not valid JSON.
    #[error("line {line} (row {row}): {source}")]
    Json {
        /// The line where the row starts.
        line: u64,
        /// Its number.
        row: u64,
        /// What is wrong with it.
        source: JsonError,
    },
    /// A record that is no object.
    #[error("line {line} (row {row}): not an object; every record must be one")]
    NotObject {
        /// The line.
        line: u64,
        /// The row's number.
        row: u64,
    },
    /// Something else than a comma or the end between two records.
    #[error("line {line} (after row {rows}): expected a comma and an object, or the end of the array")]
    Separator {
        /// The line.
        line: u64,
        /// How many rows came before.
        rows: u64,
    },
    /// A JSON file without rows.
    #[error("no array of objects was found; name the member that holds the rows, or use NDJSON for single objects")]
    NoRows,
    /// A JSON file without rows where they were said to be.
    #[error("no array of objects was found at '{member}'; write the names of the members that lead to it, with dots")]
    NoRowsAt {
        /// Where they were said to be.
        member: String,
    },
    /// Too much around the rows.
    #[error(
        "line {line}: more than {ENVELOPE_BYTES_MAX} bytes stand outside the rows; name the member that holds them"
    )]
    EnvelopeTooLong {
        /// The line.
        line: u64,
    },
    /// The file ends inside.
    #[error("the file ends inside row {row}; is it complete?")]
    Truncated {
        /// The row's number.
        row: u64,
    },
    /// Something that XML does not allow, or that has no place in a record.
    #[error("line {line}: {what}")]
    Xml {
        /// The line.
        line: u64,
        /// What is wrong, and what to do.
        what: String,
    },
    /// What surrounds the rows is not valid JSON.
    #[error("the text around the rows is not valid JSON: {0}")]
    Envelope(JsonError),
}

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Reads the records of one file.
#[derive(Debug)]
pub struct Reader {
    source: Source,
    buffer: Vec<u8>,
    /// How much of the buffer was read.
    read: usize,
    finished: bool,
    place: Place,
    checkpoint: Checkpoint,
}

#[derive(Debug)]
enum Source {
    Csv(Box<csv::Rows>),
    Ndjson(ndjson::Rows),
    Json(Box<json::Rows>),
    Xml(Box<xml::Rows>),
}

/// Where in the file a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    offset: u64,
    rows: u64,
    line: u64,
}

impl Place {
    /// Number of the row being read.
    const fn row(&self) -> u64 {
        self.rows + 1
    }
}

/// What a source did with its input.
enum Pulled {
    /// Nothing: it needs more input, or there is no more record.
    Nothing,
    /// A record, and the line where it starts.
    Record(Value, u64),
}

impl Reader {
    /// Starts at the beginning of a file. `rows_member` is the dotted path of the member of a JSON object that holds the
    /// rows; without it the first member that is an array of objects does. In XML it is the path of the rows' elements;
    /// without it the first element within the outermost that holds others is a row, and so are those beside it.
    pub fn new(format: Format, rows_member: Option<&str>) -> Self {
        Self::of(Kind::of(format), rows_member)
    }

    /// As [`Reader::new`], of a table with another character between its cells.
    pub fn of(kind: Kind, rows_member: Option<&str>) -> Self {
        Self::resume(Checkpoint {
            kind,
            offset: 0,
            rows: 0,
            line: 1,
            header: Vec::new(),
            head: String::new(),
            rows_member: rows_member.map(str::to_owned),
        })
    }

    /// Goes on from a checkpoint. The caller feeds the file from [`Checkpoint::offset`] on.
    pub fn resume(checkpoint: Checkpoint) -> Self {
        let source = match checkpoint.kind.format {
            Format::Csv => {
                let header = checkpoint.header.clone();
                Source::Csv(Box::new(csv::Rows::new(header, checkpoint.line, checkpoint.kind.delimiter)))
            }
            Format::Xml => Source::Xml(Box::new(xml::Rows::new(&checkpoint))),
            Format::Ndjson => Source::Ndjson(ndjson::Rows),
            Format::Json => {
                let rows = json::Rows::new(checkpoint.rows_member.clone(), &checkpoint.head, checkpoint.rows);
                Source::Json(Box::new(rows))
            }
        };
        let place = Place { offset: checkpoint.offset, rows: checkpoint.rows, line: checkpoint.line };
        Self { source, buffer: Vec::new(), read: 0, finished: false, place, checkpoint }
    }

    /// Takes the next bytes of the file. Take all records before feeding again: what is fed is kept until read.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Says that the file has ended.
    pub const fn finish(&mut self) {
        self.finished = true;
    }

    /// Takes the next record. `None` until more is fed; after [`Reader::finish`], `None` means that the file was read
    /// to its end and is valid. After an error the reader is of no more use: correct the file and resume.
    pub fn next_record(&mut self) -> Result<Option<Record>, ImportError> {
        if self.place.offset == 0 && !self.skip_bom()? {
            return Ok(None);
        }
        let input = &self.buffer[self.read..];
        let mut place = self.place;
        let (used, pulled) = match &mut self.source {
            Source::Csv(rows) => rows.pull(input, self.finished, &mut place)?,
            Source::Ndjson(rows) => rows.pull(input, self.finished, &mut place)?,
            Source::Json(rows) => rows.pull(input, self.finished, &mut place)?,
            Source::Xml(rows) => rows.pull(input, self.finished, &mut place)?,
        };
        self.read += used;
        place.offset += used as u64;
        self.place = place;
        let Pulled::Record(value, line) = pulled else { return Ok(None) };
        self.place.rows += 1;
        self.note_checkpoint();
        Ok(Some(Record { value, offset_after: self.place.offset, row: self.place.rows, line }))
    }

    /// Where to go on after the last record taken.
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// CSV: the column names in order. Empty before the first record. XML: the names of the elements in their order.
    pub fn columns(&self) -> &[String] {
        match &self.source {
            Source::Csv(rows) => rows.header(),
            Source::Xml(rows) => rows.names(),
            Source::Ndjson(_) | Source::Json(_) => &[],
        }
    }

    /// JSON and XML: what surrounds the rows. `None` before the end of the file and for a bare array.
    pub fn envelope(&self) -> Option<Envelope> {
        match &self.source {
            Source::Json(rows) => rows.envelope(),
            Source::Xml(rows) => rows.envelope(),
            Source::Csv(_) | Source::Ndjson(_) => None,
        }
    }

    fn note_checkpoint(&mut self) {
        let checkpoint = &mut self.checkpoint;
        (checkpoint.offset, checkpoint.rows, checkpoint.line) = (self.place.offset, self.place.rows, self.place.line);
        match &self.source {
            Source::Csv(rows) if checkpoint.header.is_empty() => checkpoint.header = rows.header().to_vec(),
            Source::Json(rows) if checkpoint.head.is_empty() => {
                checkpoint.head = rows.head().to_owned();
                checkpoint.rows_member = rows.member().map(str::to_owned);
            }
            Source::Xml(rows) => {
                if checkpoint.head.is_empty() {
                    rows.head().clone_into(&mut checkpoint.head);
                    checkpoint.rows_member = rows.path();
                }
                // Names are only ever added.
                checkpoint.header.extend_from_slice(&rows.names()[checkpoint.header.len()..]);
            }
            Source::Csv(_) | Source::Ndjson(_) | Source::Json(_) => {}
        }
    }

    /// Returns false while too little was fed to tell.
    fn skip_bom(&mut self) -> Result<bool, ImportError> {
        let start = &self.buffer[self.read..];
        if start.len() < BOM.len() && !self.finished {
            return Ok(false);
        }
        if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
            return Err(ImportError::NotUtf8 { line: 1 });
        }
        if start.starts_with(BOM) {
            self.read += BOM.len();
            self.place.offset += BOM.len() as u64;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
