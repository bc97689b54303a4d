//! Writers of record files: CSV, NDJSON, JSON and XML, one record at a time.
//!
//! A [`Writer`] appends to a buffer that the caller empties. An export of imported records has the same rows, the same
//! columns in the same order, and the same text around the rows. Nothing here opens a file. Specified in
//! `spec/documents.md`, section 8.

mod xml;

use crate::collection::CollectionMeta;
use crate::import::{Envelope, Format};
use cosmicsync_protocol::crdt::Value;
use csv_core::WriteResult;
use std::collections::BTreeMap;

/// Errors of writing a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// CSV: a field has no column.
    #[error("row {row}: the field {field:?} has no column; add it with the columns, or export as ndjson")]
    NoColumn {
        /// Number of the row; the first is 1.
        row: u64,
        /// Name of the field.
        field: String,
    },
    /// The record is not a map.
    #[error("row {row}: a record must be an object")]
    NotObject {
        /// Number of the row.
        row: u64,
    },
    /// XML: a name is not a valid element or attribute name, or a value has no place there.
    #[error("row {row}: the member {field:?} can be no element or attribute; rename it, or export as ndjson")]
    NoElement {
        /// Number of the row.
        row: u64,
        /// Name of the member.
        field: String,
    },
    /// XML: a list is an item of a list.
    #[error("row {row}: the member {field:?} holds a list in a list, which XML has no form for; export as ndjson")]
    ListInList {
        /// Number of the row.
        row: u64,
        /// Name of the member.
        field: String,
    },
    /// XML: a text has a character that XML does not allow.
    #[error("row {row}: the member {field:?} holds a control character, which XML can't hold; export as ndjson")]
    NoCharacter {
        /// Number of the row.
        row: u64,
        /// Name of the member.
        field: String,
    },
    /// CSV: there are no columns.
    #[error("there are no columns to write")]
    NoColumns,
}

/// Adds columns for a record's fields that have none yet, in the order of their names.
///
/// A CSV export passes all records to this function first, because the header comes before the rows.
pub fn add_columns(columns: &mut Vec<String>, record: &Value) {
    for field in record.as_map().into_iter().flat_map(|entries| entries.keys()) {
        if !columns.contains(field) {
            columns.push(field.clone());
        }
    }
}

/// Writes the records of one file.
#[derive(Debug)]
pub struct Writer {
    format: Format,
    columns: Vec<String>,
    envelope: Option<Envelope>,
    rows: u64,
    started: bool,
    csv: csv_core::Writer,
    /// XML: the position of each member among the others.
    places: BTreeMap<String, usize>,
}

impl Writer {
    /// Returns a writer with the columns and the envelope of a collection.
    pub fn new(format: Format, meta: &CollectionMeta) -> Self {
        // An envelope of the other format is not used.
        let of_xml = |envelope: &&Envelope| envelope.head.trim_start().starts_with('<');
        let envelope = meta.envelope.as_ref().filter(|envelope| of_xml(envelope) == (format == Format::Xml));
        Self {
            format,
            columns: meta.columns.clone(),
            envelope: envelope.cloned(),
            rows: 0,
            started: false,
            csv: csv_core::WriterBuilder::new().delimiter(meta.delimiter).build(),
            places: meta.columns.iter().cloned().zip(0..).collect(),
        }
    }

    /// Continues a file that already holds `rows` records.
    #[must_use]
    pub const fn resume(mut self, rows: u64) -> Self {
        self.rows = rows;
        self.started = rows > 0;
        self
    }

    /// Appends one record. On an error, nothing of the record is appended; before the first record, the text before the
    /// rows may be.
    pub fn write_record(&mut self, record: &Value, out: &mut Vec<u8>) -> Result<(), ExportError> {
        let row = self.rows + 1;
        let Value::Map(entries) = record else { return Err(ExportError::NotObject { row }) };
        if self.format == Format::Csv {
            if self.columns.is_empty() {
                return Err(ExportError::NoColumns);
            }
            if let Some(field) = entries.keys().find(|field| !self.columns.contains(field)) {
                return Err(ExportError::NoColumn { row, field: field.clone() });
            }
        }
        self.start(out);
        match self.format {
            Format::Csv => {
                let columns = core::mem::take(&mut self.columns);
                self.csv_row(columns.iter().map(|column| cell(entries.get(column))), out);
                self.columns = columns;
            }
            Format::Ndjson => {
                crate::json::write(record, out);
                out.push(b'\n');
            }
            Format::Json => {
                if self.rows > 0 {
                    out.extend_from_slice(b",\n");
                }
                crate::json::write(record, out);
            }
            Format::Xml => {
                let mut text = String::new();
                if self.rows > 0 {
                    text.push('\n');
                }
                let member = self.envelope.as_ref().map(|envelope| envelope.rows_member.as_str());
                let name = member.and_then(|path| path.rsplit('/').next()).unwrap_or(xml::ROW);
                xml::Element { places: &self.places, row }.write(name, record, &mut text)?;
                out.extend_from_slice(text.as_bytes());
            }
        }
        self.rows = row;
        Ok(())
    }

    /// Appends the text after the last record.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.start(out);
        let tail = match self.format {
            Format::Json => "\n]\n",
            Format::Xml => xml::TAIL,
            Format::Csv | Format::Ndjson => return,
        };
        let tail = self.envelope.as_ref().map_or(tail, |envelope| envelope.tail.as_str());
        out.extend_from_slice(tail.as_bytes());
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if core::mem::replace(&mut self.started, true) {
            return;
        }
        match self.format {
            Format::Csv if !self.columns.is_empty() => {
                let columns = core::mem::take(&mut self.columns);
                self.csv_row(columns.iter().map(|column| Cell::Borrowed(column)), out);
                self.columns = columns;
            }
            Format::Json | Format::Xml => {
                let head = if self.format == Format::Json { "[\n" } else { xml::HEAD };
                let head = self.envelope.as_ref().map_or(head, |envelope| envelope.head.as_str());
                out.extend_from_slice(head.as_bytes());
            }
            Format::Csv | Format::Ndjson => {}
        }
    }

    fn csv_row<'a>(&mut self, cells: impl Iterator<Item = Cell<'a>>, out: &mut Vec<u8>) {
        for (column, cell) in cells.enumerate() {
            if column > 0 {
                grow(out, |room| {
                    let (result, written) = self.csv.delimiter(room);
                    (result, 0, written)
                });
            }
            let mut rest = cell.as_bytes();
            // After a call without enough room, the next call continues where it stopped.
            grow(out, |room| {
                let (result, read, written) = self.csv.field(rest, room);
                rest = &rest[read..];
                (result, read, written)
            });
        }
        grow(out, |room| {
            let (result, written) = self.csv.terminator(room);
            (result, 0, written)
        });
    }
}

type Cell<'a> = std::borrow::Cow<'a, str>;

/// Returns the text of a cell: texts unchanged, nothing for null and missing fields, lists and maps as JSON.
fn cell(value: Option<&Value>) -> Cell<'_> {
    match value {
        None | Some(Value::Null) => Cell::Borrowed(""),
        Some(Value::Text(text)) => Cell::Borrowed(text),
        Some(other) => Cell::Owned(crate::json::to_string(other)),
    }
}

/// Repeats a step of the CSV writer until it needs no more room.
fn grow(out: &mut Vec<u8>, mut step: impl FnMut(&mut [u8]) -> (WriteResult, usize, usize)) {
    loop {
        let len = out.len();
        out.resize(len + 256, 0);
        let (result, _, written) = step(&mut out[len..]);
        out.truncate(len + written);
        if matches!(result, WriteResult::InputEmpty) {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
