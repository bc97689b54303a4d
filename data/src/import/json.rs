//! JSON files: an array of objects, or an object with a member that is such an array.
//!
//! A small splitter follows strings and nesting just enough to find the beginning and the end of each row. Each row is
//! then parsed alone, and the text around the rows is parsed at the end. Thus only one row and the text around the rows
//! are in memory, and the whole file is still checked to be valid JSON.

use super::{ENVELOPE_BYTES_MAX, ImportError, Place, Pulled, RECORD_BYTES_MAX};
use cosmicsync_protocol::crdt::Value;

/// The text around the rows: head, rows and tail together are the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The text up to and including the `[` before the rows.
    pub head: String,
    /// The text from the `]` after the rows to the end.
    pub tail: String,
    /// JSON: the dotted path of the member with the rows. XML: the path of the rows' elements.
    pub rows_member: String,
}

#[derive(Debug)]
pub(super) struct Rows {
    phase: Phase,
    /// The requested member; once the rows are found, the member that holds them.
    member: Option<String>,
    head: String,
    /// Bytes of the head or tail so far; they may end inside a character.
    around: Vec<u8>,
    tail: String,
    row: Vec<u8>,
    /// Line on which the row starts.
    row_line: u64,
    nesting: Nesting,
    /// The open containers of the head.
    outline: Outline,
    is_object: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Before the first bracket.
    Start,
    /// In the outer object, before the rows.
    Head,
    /// After the `[` of a member that may hold the rows.
    Candidate,
    /// After the `[` of the rows.
    First,
    /// In a row.
    Row,
    /// After a row.
    AfterRow,
    /// After a comma.
    AfterComma,
    /// After the `]` of the rows.
    Tail,
}

#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Nesting {
    fn see(&mut self, byte: u8) {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

/// The open containers at a place of the head, with their keys.
#[derive(Debug, Default)]
struct Outline {
    open: Vec<Level>,
    strings: Nesting,
    /// The string being read, with its quotes, if it is a key.
    key: Vec<u8>,
}

/// One open object or array.
#[derive(Debug)]
struct Level {
    is_object: bool,
    /// The last key.
    key: Option<String>,
    /// True if the next string is a key.
    key_next: bool,
}

impl Outline {
    fn depth(&self) -> usize {
        self.open.len()
    }

    const fn in_string(&self) -> bool {
        self.strings.in_string
    }

    /// Returns the keys on the way here, joined by dots; `None` inside an array, which paths do not enter.
    fn path(&self) -> Option<String> {
        let keys: Option<Vec<&str>> = self.open.iter().map(|level| level.key.as_deref()).collect();
        keys.map(|keys| keys.join("."))
    }

    fn see(&mut self, byte: u8) {
        let was_string = self.strings.in_string;
        self.strings.see(byte);
        let is_key = self.open.last().is_some_and(|level| level.key_next);
        if was_string || self.strings.in_string {
            if is_key {
                self.key.push(byte);
            }
            if was_string && !self.strings.in_string && is_key {
                let key = serde_json::from_slice(&core::mem::take(&mut self.key)).ok();
                if let Some(level) = self.open.last_mut() {
                    (level.key, level.key_next) = (key, false);
                }
            }
            return;
        }
        match (byte, self.open.last_mut()) {
            (b'{', _) => self.open.push(Level { is_object: true, key: None, key_next: true }),
            (b'[', _) => self.open.push(Level { is_object: false, key: None, key_next: false }),
            (b'}' | b']', _) => drop(self.open.pop()),
            (b',', Some(level)) if level.is_object => level.key_next = true,
            _ => {}
        }
    }
}

impl Rows {
    /// Starts a file, or resumes after row `rows` if `head` is not empty.
    pub(super) fn new(member: Option<String>, head: &str, rows: u64) -> Self {
        let phase = match (head.is_empty(), rows) {
            (true, _) => Phase::Start,
            (false, 0) => Phase::First,
            (false, _) => Phase::AfterRow,
        };
        Self {
            phase,
            member,
            head: head.to_owned(),
            around: Vec::new(),
            tail: String::new(),
            row: Vec::new(),
            row_line: 1,
            nesting: Nesting::default(),
            outline: Outline::default(),
            is_object: head.trim_start().starts_with('{'),
        }
    }

    pub(super) fn head(&self) -> &str {
        &self.head
    }

    pub(super) fn member(&self) -> Option<&str> {
        self.member.as_deref()
    }

    pub(super) fn envelope(&self) -> Option<Envelope> {
        let rows_member = self.member.clone().filter(|_| self.is_object && !self.tail.is_empty())?;
        Some(Envelope { head: self.head.clone(), tail: self.tail.clone(), rows_member })
    }

    pub(super) fn pull(
        &mut self,
        input: &[u8],
        finished: bool,
        place: &mut Place,
    ) -> Result<(usize, Pulled), ImportError> {
        for (at, &byte) in input.iter().enumerate() {
            let row_done = self.see(byte, place)?;
            place.line += u64::from(byte == b'\n');
            if row_done {
                return Ok((at + 1, Pulled::Record(self.parse_row(place.row())?, self.row_line)));
            }
        }
        if finished {
            self.end(place)?;
        }
        Ok((input.len(), Pulled::Nothing))
    }

    /// Takes one byte. Returns true if it ends a row.
    fn see(&mut self, byte: u8, place: &Place) -> Result<bool, ImportError> {
        let line = place.line;
        match self.phase {
            Phase::Row => {
                self.nesting.see(byte);
                self.row.push(byte);
                if self.row.len() > RECORD_BYTES_MAX {
                    return Err(ImportError::RecordTooLong { line: self.row_line, row: place.row() });
                }
                if self.nesting.depth == 0 {
                    self.phase = Phase::AfterRow;
                    return Ok(true);
                }
            }
            Phase::Start | Phase::Head | Phase::Candidate => {
                if self.in_head(byte, place)? {
                    return Ok(false);
                }
                self.around.push(byte);
                if self.around.len() > ENVELOPE_BYTES_MAX {
                    return Err(ImportError::EnvelopeTooLong { line });
                }
            }
            Phase::Tail => {
                self.around.push(byte);
                if self.around.len() > ENVELOPE_BYTES_MAX {
                    return Err(ImportError::EnvelopeTooLong { line });
                }
            }
            Phase::First | Phase::AfterRow | Phase::AfterComma => self.between(byte, place)?,
        }
        Ok(false)
    }

    /// Takes a byte between rows: white space, a comma, the beginning of a row, or the end of the rows.
    fn between(&mut self, byte: u8, place: &Place) -> Result<(), ImportError> {
        let (line, row) = (place.line, place.row());
        match (byte, self.phase) {
            (b' ' | b'\t' | b'\r' | b'\n', _) => {}
            (b'{', Phase::First | Phase::AfterComma) => self.start_row(line),
            (b',', Phase::AfterRow) => self.phase = Phase::AfterComma,
            (b']', Phase::First | Phase::AfterRow) => {
                self.phase = Phase::Tail;
                self.around.push(b']');
            }
            (_, Phase::First) => return Err(ImportError::NotObject { line, row }),
            (b']' | b',', Phase::AfterComma) => return Err(ImportError::Separator { line, rows: place.rows }),
            (_, Phase::AfterComma) => return Err(ImportError::NotObject { line, row }),
            _ => return Err(ImportError::Separator { line, rows: place.rows }),
        }
        Ok(())
    }

    fn start_row(&mut self, line: u64) {
        self.phase = Phase::Row;
        self.nesting = Nesting { depth: 1, in_string: false, escaped: false };
        self.row.clear();
        self.row.push(b'{');
        self.row_line = line;
    }

    /// Takes a byte before the rows. Returns true if the byte began a row or ended the rows.
    fn in_head(&mut self, byte: u8, place: &Place) -> Result<bool, ImportError> {
        let white = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        match self.phase {
            Phase::Start if white => {}
            Phase::Start if byte == b'[' && self.member.is_none() => {
                self.around.push(byte);
                self.close_head()?;
                self.phase = Phase::First;
                return Ok(true);
            }
            Phase::Start if byte == b'{' => {
                self.is_object = true;
                self.outline.see(byte);
                self.phase = Phase::Head;
            }
            Phase::Start => return Err(self.no_rows()),
            Phase::Candidate if white => {}
            Phase::Candidate => {
                let path = self.outline.path();
                let rows = match &self.member {
                    Some(member) => path.as_ref() == Some(member),
                    None => byte == b'{' && self.outline.depth() == 1 && path.is_some(),
                };
                if rows {
                    self.member = path;
                    self.close_head()?;
                    self.phase = Phase::First;
                    self.between(byte, place)?;
                    return Ok(true);
                }
                self.outline.see(b'[');
                self.phase = Phase::Head;
                return self.in_head(byte, place);
            }
            Phase::Head | Phase::First | Phase::Row | Phase::AfterRow | Phase::AfterComma | Phase::Tail => {
                if byte == b'[' && !self.outline.in_string() {
                    self.phase = Phase::Candidate;
                    return Ok(false);
                }
                self.outline.see(byte);
                if self.outline.depth() == 0 {
                    return Err(self.no_rows());
                }
            }
        }
        Ok(false)
    }

    fn no_rows(&self) -> ImportError {
        match &self.member {
            Some(member) => ImportError::NoRowsAt { member: member.clone() },
            None => ImportError::NoRows,
        }
    }

    fn close_head(&mut self) -> Result<(), ImportError> {
        let head = String::from_utf8(core::mem::take(&mut self.around));
        self.head = head.map_err(|_| ImportError::NotUtf8 { line: 1 })?;
        Ok(())
    }

    fn parse_row(&self, row: u64) -> Result<Value, ImportError> {
        let line = self.row_line;
        if core::str::from_utf8(&self.row).is_err() {
            return Err(ImportError::NotUtf8 { line });
        }
        crate::json::parse(&self.row).map_err(|source| ImportError::Json { line, row, source })
    }

    /// Handles the end of the file: the file and the text around the rows must be complete.
    fn end(&mut self, place: &Place) -> Result<(), ImportError> {
        match self.phase {
            Phase::Tail if self.tail.is_empty() => {
                let tail = String::from_utf8(core::mem::take(&mut self.around));
                self.tail = tail.map_err(|_| ImportError::NotUtf8 { line: place.line })?;
                let around = [self.head.as_str(), self.tail.as_str()].concat();
                crate::json::parse(around.as_bytes()).map_err(ImportError::Envelope)?;
                Ok(())
            }
            Phase::Tail => Ok(()),
            Phase::Start => Err(self.no_rows()),
            Phase::Head | Phase::Candidate | Phase::First | Phase::Row | Phase::AfterRow | Phase::AfterComma => {
                Err(ImportError::Truncated { row: place.row() })
            }
        }
    }
}
