//! Readers of record files: CSV, NDJSON, JSON and XML, streaming and resumable.
//!
//! The caller feeds chunks of any size and takes records until none is left, then feeds again. Memory is bounded: one
//! chunk, one record of at most [`RECORD_BYTES_MAX`], and for JSON and XML the text around the rows. After any record,
//! the reader's [`Checkpoint`] allows another process to resume. Nothing here opens a file.
//!
//! Every error names a line or row and a remedy. Specified in `spec/documents.md`, section 8.

mod csv;
mod detect;
mod json;
mod ndjson;
pub(crate) mod xml;

use crate::json::JsonError;
use cosmicsync_protocol::crdt::Value;

pub use detect::Detected;
pub use json::Envelope;

/// Longest record, in bytes as in the file.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// Largest size of a JSON file's text before the rows, and also of the text after them, in bytes.
pub const ENVELOPE_BYTES_MAX: usize = 1 << 20;

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Cells separated by commas (RFC 4180) or another character, with a header row.
    Csv,
    /// One JSON object per line.
    Ndjson,
    /// An array of objects, or an object with a member that is such an array.
    Json,
    /// Elements side by side in another element.
    Xml,
}

impl Format {
    /// Returns the name, in its usual spelling.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Json => "json",
            Self::Xml => "xml",
        }
    }

    /// Returns the format with this name or file extension.
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

/// A format, and the separator of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The format.
    pub format: Format,
    /// CSV: the separator between cells. A comma in other formats, which ignore it.
    pub delimiter: u8,
}

impl Kind {
    /// Tab-separated values.
    pub const TSV: Self = Self { format: Format::Csv, delimiter: b'\t' };

    /// Returns a format, with a comma between cells.
    pub const fn of(format: Format) -> Self {
        Self { format, delimiter: b',' }
    }

    /// Returns whether a character can separate cells: it is one byte and has no other meaning in a table.
    pub const fn separates(character: char) -> bool {
        character.is_ascii() && !matches!(character, '"' | '\r' | '\n' | '\0')
    }
}

/// One record of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The record's value: always a map.
    pub value: Value,
    /// Offset of the next record in the file, in bytes.
    pub offset_after: u64,
    /// The record's number; the first is 1.
    pub row: u64,
    /// The line on which the record starts; the first is 1.
    pub line: u64,
}

/// Position of a reader after a record, with everything needed to resume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The file's format.
    pub kind: Kind,
    /// Offset from which to feed the file, in bytes.
    pub offset: u64,
    /// Number of records read.
    pub rows: u64,
    /// Line of the offset; the first is 1.
    pub line: u64,
    /// CSV: the header; empty until it was read. XML: the names of elements, in order.
    pub header: Vec<String>,
    /// JSON: the text before the rows, up to its last `[`; empty until the rows were found. XML: the text before the
    /// first row.
    pub head: String,
    /// JSON: the member with the rows, requested or found. XML: the path of the rows' elements.
    pub rows_member: Option<String>,
}

/// Errors of reading a file.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The text is not UTF-8.
    #[error("line {line}: the text is not UTF-8; convert the file to UTF-8 and import it again")]
    NotUtf8 {
        /// The line.
        line: u64,
    },
    /// There is no header row.
    #[error("the file has no header row; put the column names on the first line")]
    NoHeader,
    /// A column has no name.
    #[error("line 1: column {column} has no name; name it, or delete the column")]
    EmptyColumnName {
        /// The column's number; the first is 1.
        column: usize,
    },
    /// Two columns have the same name.
    #[error("line 1: columns {first} and {second} have the same name; rename one")]
    DuplicateColumnName {
        /// Number of the first column.
        first: usize,
        /// Number of the second column.
        second: usize,
    },
    /// A row has more or fewer cells than the header.
    #[error("line {line} (row {row}): {found} cells where the header has {expected}; is a comma or a quote missing?")]
    Ragged {
        /// The line on which the row starts.
        line: u64,
        /// The row's number.
        row: u64,
        /// Number of cells in the row.
        found: usize,
        /// Number of cells in the header.
        expected: usize,
    },
    /// A quoted cell runs to the end of the file.
    #[error("line {line} (row {row}): a quote is never closed; close it, or double it to mean the character")]
    UnclosedQuote {
        /// The line on which the row starts.
        line: u64,
        /// The row's number.
        row: u64,
    },
    /// Text follows the quote that closes a cell.
    #[error(
        "line {line} (row {row}): text follows the quote that closes a cell; double the quotes that are part of the text"
    )]
    TextAfterQuote {
        /// The line on which the row starts.
        line: u64,
        /// The row's number.
        row: u64,
    },
    /// A record is longer than [`RECORD_BYTES_MAX`].
    #[error("line {line} (row {row}): the record is longer than {RECORD_BYTES_MAX} bytes; split it")]
    RecordTooLong {
        /// The line on which the row starts.
        line: u64,
        /// The row's number.
        row: u64,
    },
    /// A record is not valid JSON.
    #[error("line {line} (row {row}): {source}")]
    Json {
        /// The line on which the row starts.
        line: u64,
        /// The row's number.
        row: u64,
        /// The error.
        source: JsonError,
    },
    /// A record is not an object.
    #[error("line {line} (row {row}): not an object; every record must be one")]
    NotObject {
        /// The line.
        line: u64,
        /// The row's number.
        row: u64,
    },
    /// Something other than a comma or the end is between two records.
    #[error("line {line} (after row {rows}): expected a comma and an object, or the end of the array")]
    Separator {
        /// The line.
        line: u64,
        /// Number of rows before it.
        rows: u64,
    },
    /// The JSON file has no rows.
    #[error("no array of objects was found; name the member that holds the rows, or use NDJSON for single objects")]
    NoRows,
    /// The named member has no rows.
    #[error("no array of objects was found at '{member}'; write the names of the members that lead to it, with dots")]
    NoRowsAt {
        /// The named member.
        member: String,
    },
    /// The text around the rows is too long.
    #[error(
        "line {line}: more than {ENVELOPE_BYTES_MAX} bytes stand outside the rows; name the member that holds them"
    )]
    EnvelopeTooLong {
        /// The line.
        line: u64,
    },
    /// The file ends inside a row.
    #[error("the file ends inside row {row}; is it complete?")]
    Truncated {
        /// The row's number.
        row: u64,
    },
    /// The XML is not well-formed, or something has no place in a record.
    #[error("line {line}: {what}")]
    Xml {
        /// The line.
        line: u64,
        /// The error and its remedy.
        what: String,
    },
    /// The text around the rows is not valid JSON.
    #[error("the text around the rows is not valid JSON: {0}")]
    Envelope(JsonError),
}

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Reads the records of one file.
#[derive(Debug)]
pub struct Reader {
    source: Source,
    buffer: Vec<u8>,
    /// Number of bytes of the buffer that were read.
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

/// Position of a reader in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    offset: u64,
    rows: u64,
    line: u64,
}

impl Place {
    /// Returns the number of the row being read.
    const fn row(&self) -> u64 {
        self.rows + 1
    }
}

/// Result of reading input.
enum Pulled {
    /// No record: more input is needed, or the file has ended.
    Nothing,
    /// A record, and the line on which it starts.
    Record(Value, u64),
}

impl Reader {
    /// Returns a reader at the beginning of a file.
    ///
    /// In JSON, `rows_member` is the dotted path of the member with the rows; without it, the first member that is an
    /// array of objects holds the rows. In XML, it is the path of the rows' elements; without it, the first element
    /// inside the outermost one that has child elements is a row, and so are its siblings.
    pub fn new(format: Format, rows_member: Option<&str>) -> Self {
        Self::of(Kind::of(format), rows_member)
    }

    /// Returns a reader at the beginning of a file, for a table with another separator. See [`Reader::new`].
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

    /// Returns a reader that resumes at a checkpoint. The caller feeds the file from [`Checkpoint::offset`] on.
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

    /// Takes the next bytes of the file. The caller should take all records before the next call, because unread bytes
    /// stay in memory.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Declares the end of the file.
    pub const fn finish(&mut self) {
        self.finished = true;
    }

    /// Returns the next record; `None` if more bytes are needed. After [`Reader::finish`], `None` means that the whole
    /// file was read and is valid. After an error the reader is unusable: correct the file and resume.
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

    /// Returns the position after the last record taken.
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Returns the names of CSV columns in order, empty before the first record, or of XML elements in order.
    pub fn columns(&self) -> &[String] {
        match &self.source {
            Source::Csv(rows) => rows.header(),
            Source::Xml(rows) => rows.names(),
            Source::Ndjson(_) | Source::Json(_) => &[],
        }
    }

    /// JSON and XML: returns the text around the rows; `None` before the end of the file, and for a bare array.
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
                // Names are only appended.
                checkpoint.header.extend_from_slice(&rows.names()[checkpoint.header.len()..]);
            }
            Source::Csv(_) | Source::Ndjson(_) | Source::Json(_) => {}
        }
    }

    /// Skips a byte order mark. Returns false if more bytes are needed to decide.
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
