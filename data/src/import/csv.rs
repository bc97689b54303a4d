//! CSV: cells separated by commas or another character, with a header row. Every cell is a string, so leading zeros are
//! kept.

use super::{ImportError, Place, Pulled, RECORD_BYTES_MAX};
use cosmicsync_protocol::crdt::Value;
use csv_core::ReadRecordResult;

/// Largest number of columns in a file.
const COLUMNS_MAX: usize = 16_384;

pub(super) struct Rows {
    parser: csv_core::Reader,
    header: Vec<String>,
    /// The bytes of the record's cells, without separators.
    cells: Vec<u8>,
    cells_len: usize,
    /// The end of each cell in `cells`.
    ends: Vec<usize>,
    ends_len: usize,
    /// Line on which the record starts.
    line: u64,
    /// Length of the record so far, in bytes.
    bytes: usize,
    delimiter: u8,
    quoting: Quoting,
    /// True if text follows the quote that closed a cell.
    text_after_quote: bool,
}

/// The reader's state within a cell. The parser has this state too, but does not expose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quoting {
    /// At the beginning of a cell.
    Start,
    /// In a cell without quotes.
    Plain,
    /// Between quotes.
    Quoted,
    /// After a quote that closes the cell or is the first of a doubled pair.
    Closing,
}

impl core::fmt::Debug for Rows {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Rows").field("header", &self.header).field("line", &self.line).finish_non_exhaustive()
    }
}

impl Rows {
    pub(super) fn new(header: Vec<String>, line: u64, delimiter: u8) -> Self {
        let mut parser = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        parser.set_line(line);
        Self {
            parser,
            header,
            cells: vec![0; 4096],
            cells_len: 0,
            ends: vec![0; 64],
            ends_len: 0,
            line,
            bytes: 0,
            delimiter,
            quoting: Quoting::Start,
            text_after_quote: false,
        }
    }

    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    pub(super) fn pull(
        &mut self,
        input: &[u8],
        finished: bool,
        place: &mut Place,
    ) -> Result<(usize, Pulled), ImportError> {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            if rest.is_empty() && !finished {
                return Ok((used, Pulled::Nothing));
            }
            if self.bytes == 0 {
                // Line breaks before a record belong to no record.
                let breaks = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                self.line += rest[..breaks].iter().filter(|byte| **byte == b'\n').count() as u64;
                if breaks > 0 {
                    self.parser.set_line(self.line);
                    used += breaks;
                    continue;
                }
            }
            let (result, read, cells, ends) =
                self.parser.read_record(rest, &mut self.cells[self.cells_len..], &mut self.ends[self.ends_len..]);
            used += read;
            self.bytes += read;
            rest[..read].iter().for_each(|byte| self.follow_quotes(*byte));
            self.cells_len += cells;
            self.ends_len += ends;
            let (line, row) = (self.line, place.row());
            match result {
                _ if self.bytes > RECORD_BYTES_MAX && self.quoting == Quoting::Quoted => {
                    return Err(ImportError::UnclosedQuote { line, row });
                }
                _ if self.bytes > RECORD_BYTES_MAX => return Err(ImportError::RecordTooLong { line, row }),
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.cells.resize(self.cells.len() * 2, 0),
                ReadRecordResult::OutputEndsFull if self.ends.len() > COLUMNS_MAX => {
                    return Err(ImportError::RecordTooLong { line, row });
                }
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::End => return Ok((used, self.end()?)),
                ReadRecordResult::Record => {
                    let value = self.record(row)?;
                    self.start_over();
                    place.line = self.line;
                    if let Some(value) = value {
                        return Ok((used, Pulled::Record(value, line)));
                    }
                }
            }
        }
    }

    fn end(&self) -> Result<Pulled, ImportError> {
        if self.header.is_empty() { Err(ImportError::NoHeader) } else { Ok(Pulled::Nothing) }
    }

    fn start_over(&mut self) {
        self.line = self.parser.line();
        (self.cells_len, self.ends_len, self.bytes) = (0, 0, 0);
        self.quoting = Quoting::Start;
    }

    fn follow_quotes(&mut self, byte: u8) {
        self.quoting = match (self.quoting, byte) {
            (Quoting::Quoted, b'"') => Quoting::Closing,
            (Quoting::Quoted, _) | (Quoting::Start | Quoting::Closing, b'"') => Quoting::Quoted,
            (_, b'\r' | b'\n') => Quoting::Start,
            (_, byte) if byte == self.delimiter => Quoting::Start,
            (Quoting::Closing, _) => {
                self.text_after_quote = true;
                Quoting::Plain
            }
            (Quoting::Start | Quoting::Plain, _) => Quoting::Plain,
        };
    }

    /// Returns the value of the record just read; the first record becomes the header instead.
    fn record(&mut self, row: u64) -> Result<Option<Value>, ImportError> {
        let line = self.line;
        let text = core::str::from_utf8(&self.cells[..self.cells_len]).map_err(|_| ImportError::NotUtf8 { line })?;
        if self.quoting == Quoting::Quoted {
            return Err(ImportError::UnclosedQuote { line, row });
        }
        if self.text_after_quote {
            return Err(ImportError::TextAfterQuote { line, row });
        }
        let ends = &self.ends[..self.ends_len];
        let mut cells = Vec::with_capacity(ends.len());
        let mut start = 0;
        for end in ends {
            cells.push(text.get(start..*end).ok_or(ImportError::NotUtf8 { line })?);
            start = *end;
        }
        if self.header.is_empty() {
            check_header(&cells)?;
            self.header = cells.into_iter().map(str::to_owned).collect();
            return Ok(None);
        }
        let (found, expected) = (cells.len(), self.header.len());
        if found != expected {
            return Err(ImportError::Ragged { line, row, found, expected });
        }
        Ok(Some(self.header.iter().map(String::as_str).zip(cells).collect()))
    }
}

fn check_header(cells: &[&str]) -> Result<(), ImportError> {
    let mut seen = std::collections::BTreeMap::new();
    for (column, name) in (1..).zip(cells) {
        if name.is_empty() {
            return Err(ImportError::EmptyColumnName { column });
        }
        if let Some(first) = seen.insert(name, column) {
            return Err(ImportError::DuplicateColumnName { first, second: column });
        }
    }
    Ok(())
}
