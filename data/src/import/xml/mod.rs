//! XML files: rows are elements side by side in another element (`spec/documents.md`, section 8).
//!
//! A small splitter follows tags just enough to find the beginning and the end of each row. Each row is then parsed
//! alone, and the text around the rows is checked at the end. Thus only one row and the text around the rows are in
//! memory.

mod value;

use super::{Checkpoint, ENVELOPE_BYTES_MAX, Envelope, ImportError, Place, Pulled, RECORD_BYTES_MAX};
use cosmicsync_protocol::crdt::DEPTH_MAX;

use value::Names;
pub(crate) use value::{COMMENT, CONTENT, INSTRUCTION, TEXT, is_character};

#[derive(Debug)]
pub(super) struct Rows {
    phase: Phase,
    /// Requested names of the elements on the way to a row; the outermost may be left out.
    asked: Option<Vec<String>>,
    /// Names of all elements on the way to a row, including the row's; known after the first row.
    path: Option<Vec<String>>,
    /// The open elements around the rows.
    open: Vec<String>,
    head: String,
    /// The text outside of rows since the last row.
    around: Vec<u8>,
    tail: String,
    row: Vec<u8>,
    /// Line on which the row starts.
    row_line: u64,
    /// Number of open elements in the row.
    depth: usize,
    markup: Markup,
    /// True if the outermost element has ended.
    ended: bool,
    /// An element or text after a row that is not a row itself, with its line.
    foreign: Option<(String, u64)>,
    names: Names,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Before the first row.
    Head,
    /// In a row.
    Row,
    /// After a row.
    Behind,
}

/// The markup being read: a tag, a comment, or anything else that begins with `<`.
#[derive(Debug, Default)]
struct Markup {
    /// The bytes from the `<` on; empty in text.
    bytes: Vec<u8>,
    /// The open quote in it.
    quote: Option<u8>,
    /// Number of open brackets in a document type.
    brackets: usize,
    line: u64,
}

/// Kind of a complete piece of markup.
enum Piece {
    Open {
        name: String,
        closed: bool,
    },
    Close,
    /// A comment, a processing instruction, a declaration or a document type.
    Aside,
    /// Characters of a CDATA section.
    Text,
}

impl Markup {
    /// Takes a byte; returns true if the markup is complete.
    fn see(&mut self, byte: u8) -> bool {
        self.bytes.push(byte);
        let bytes = self.bytes.as_slice();
        if bytes.starts_with(b"<!--") {
            return bytes.len() >= 7 && bytes.ends_with(b"-->");
        }
        if bytes.starts_with(b"<![CDATA[") {
            return bytes.ends_with(b"]]>");
        }
        if bytes.starts_with(b"<?") {
            return bytes.len() > 3 && bytes.ends_with(b"?>");
        }
        match (self.quote, byte) {
            (Some(quote), byte) if quote == byte => self.quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => self.quote = Some(byte),
            (None, b'[') => self.brackets += 1,
            (None, b']') => self.brackets = self.brackets.saturating_sub(1),
            (None, b'>') => return self.brackets == 0 || !bytes.starts_with(b"<!"),
            (None, _) => {}
        }
        false
    }

    /// Takes the complete markup out, and returns its kind.
    fn take(&mut self) -> Result<(Piece, Vec<u8>), ImportError> {
        let bytes = core::mem::take(self).bytes;
        let line = self.line;
        let piece = match &bytes[..] {
            [b'<', b'!', b'[', ..] => Piece::Text,
            [b'<', b'!' | b'?', ..] => Piece::Aside,
            [b'<', b'/', ..] => Piece::Close,
            tag => {
                let inner = &tag[1..tag.len() - 1];
                let end = inner.iter().position(|byte| byte.is_ascii_whitespace() || *byte == b'/');
                let name = core::str::from_utf8(&inner[..end.unwrap_or(inner.len())]);
                let name = name.map_err(|_| ImportError::NotUtf8 { line })?;
                if !is_name(name) {
                    let what = format!("'<{name}' begins no element; write &lt; for the character");
                    return Err(ImportError::Xml { line, what });
                }
                Piece::Open { name: name.to_owned(), closed: inner.ends_with(b"/") }
            }
        };
        Ok((piece, bytes))
    }
}

impl Rows {
    /// Starts a file, or resumes after a row if the checkpoint is one.
    pub(super) fn new(checkpoint: &Checkpoint) -> Self {
        let split = |path: &String| {
            let separator = if path.contains('/') { '/' } else { '.' };
            path.split(separator).filter(|step| !step.is_empty()).map(str::to_owned).collect()
        };
        let mut rows = Self {
            phase: Phase::Head,
            asked: checkpoint.rows_member.as_ref().map(split),
            path: None,
            open: Vec::new(),
            head: String::new(),
            around: Vec::new(),
            tail: String::new(),
            row: Vec::new(),
            row_line: 1,
            depth: 0,
            markup: Markup::default(),
            ended: false,
            foreign: None,
            names: Names::new(checkpoint.header.clone()),
        };
        if checkpoint.rows > 0 {
            rows.go_on(&checkpoint.head);
        }
        rows
    }

    /// Reads the text before the rows again, which is known to hold no row.
    fn go_on(&mut self, head: &str) {
        let asked = self.asked.replace(vec![String::new()]);
        for byte in head.bytes() {
            // This text was read before without an error.
            drop(self.see(byte, 1));
        }
        self.around.clear();
        (self.head, self.path, self.asked) = (head.to_owned(), asked.clone(), asked);
        self.phase = Phase::Behind;
    }

    pub(super) fn head(&self) -> &str {
        &self.head
    }

    pub(super) fn names(&self) -> &[String] {
        self.names.all()
    }

    /// Returns the path of the rows, with slashes, because names may hold dots.
    pub(super) fn path(&self) -> Option<String> {
        self.path.as_ref().map(|path| path.join("/"))
    }

    pub(super) fn envelope(&self) -> Option<Envelope> {
        let rows_member = self.path().filter(|_| !self.tail.is_empty())?;
        Some(Envelope { head: self.head.clone(), tail: self.tail.clone(), rows_member })
    }

    pub(super) fn pull(
        &mut self,
        input: &[u8],
        finished: bool,
        place: &mut Place,
    ) -> Result<(usize, Pulled), ImportError> {
        for (at, &byte) in input.iter().enumerate() {
            let row_done = self.see(byte, place.line)?;
            place.line += u64::from(byte == b'\n');
            if row_done {
                let value = value::parse(&self.row, (self.row_line, place.row()), &mut self.names)?;
                return Ok((at + 1, Pulled::Record(value, self.row_line)));
            }
            if self.phase == Phase::Row && self.row.len() + self.markup.bytes.len() > RECORD_BYTES_MAX {
                return Err(ImportError::RecordTooLong { line: self.row_line, row: place.row() });
            }
            if self.phase != Phase::Row && self.around.len() + self.markup.bytes.len() > ENVELOPE_BYTES_MAX {
                return Err(ImportError::EnvelopeTooLong { line: place.line });
            }
        }
        if finished {
            self.end(place)?;
        }
        Ok((input.len(), Pulled::Nothing))
    }

    /// Takes one byte. Returns true if it ends a row.
    fn see(&mut self, byte: u8, line: u64) -> Result<bool, ImportError> {
        if self.markup.bytes.is_empty() && byte != b'<' {
            if !byte.is_ascii_whitespace() && self.phase != Phase::Row {
                self.text_outside(line)?;
            }
            self.keep(&[byte]);
            return Ok(false);
        }
        if self.markup.bytes.is_empty() {
            self.markup.line = line;
        }
        if !self.markup.see(byte) {
            return Ok(false);
        }
        let line = self.markup.line;
        let (piece, bytes) = self.markup.take()?;
        if self.phase == Phase::Row {
            self.row.extend_from_slice(&bytes);
            match piece {
                Piece::Open { closed, .. } => self.depth += usize::from(!closed),
                Piece::Close => self.depth = self.depth.saturating_sub(1),
                Piece::Aside | Piece::Text => {}
            }
            if self.depth > DEPTH_MAX {
                return Err(too_deep(line));
            }
            return Ok(self.depth == 0 && self.row_ended());
        }
        match piece {
            Piece::Open { name, closed } => return self.open(name, closed, &bytes, line),
            Piece::Close => {
                if self.open.pop().is_none() {
                    return Err(ImportError::Xml { line, what: "an element ends that never began".to_owned() });
                }
                self.ended = self.open.is_empty();
            }
            Piece::Text => self.text_outside(line)?,
            Piece::Aside => check_declaration(&bytes, line)?,
        }
        self.keep(&bytes);
        Ok(false)
    }

    /// Handles the start of an element outside of rows: it is a row, or surrounds the rows.
    fn open(&mut self, name: String, closed: bool, bytes: &[u8], line: u64) -> Result<bool, ImportError> {
        if self.ended {
            return Err(ImportError::Xml { line, what: format!("<{name}> stands behind the outermost element") });
        }
        self.open.push(name);
        if self.is_row() {
            self.start_row(bytes, line)?;
            self.depth = usize::from(!closed);
            return Ok(closed && self.row_ended());
        }
        let name = if closed { self.open.pop() } else { self.open.last().cloned() }.unwrap_or_default();
        if self.asked.is_none() && self.path.is_some() {
            let what = format!(
                "<{name}> stands beside <{}>: name the elements that are records with --rows, as in --rows {name}",
                self.path.iter().flatten().next_back().map_or("", String::as_str)
            );
            return Err(ImportError::Xml { line, what });
        }
        if self.phase == Phase::Behind && self.foreign.is_none() {
            self.foreign = Some((format!("<{name}>"), line));
        }
        self.ended = closed && self.open.is_empty();
        if self.open.len() > DEPTH_MAX {
            return Err(too_deep(line));
        }
        self.keep(bytes);
        Ok(false)
    }

    /// Returns whether the element that just began is a row.
    fn is_row(&self) -> bool {
        match (&self.path, &self.asked) {
            (Some(path), _) => *path == self.open,
            (None, Some(asked)) => self.open == *asked || (self.open.len() > 1 && self.open[1..] == asked[..]),
            (None, None) => self.open.len() == 2,
        }
    }

    fn start_row(&mut self, bytes: &[u8], line: u64) -> Result<(), ImportError> {
        if let Some((what, line)) = &self.foreign {
            let what = format!("{what} stands between two records; records have to stand together in one element");
            return Err(ImportError::Xml { line: *line, what });
        }
        if self.path.is_none() {
            let head = String::from_utf8(core::mem::take(&mut self.around));
            self.head = head.map_err(|_| ImportError::NotUtf8 { line: 1 })?;
            self.path = Some(self.open.clone());
        }
        self.around.clear();
        self.row.clear();
        self.row.extend_from_slice(bytes);
        (self.phase, self.row_line) = (Phase::Row, line);
        Ok(())
    }

    fn row_ended(&mut self) -> bool {
        self.open.pop();
        self.phase = Phase::Behind;
        self.ended = self.open.is_empty();
        true
    }

    /// Checks text outside of rows: it may be in other elements around the rows, but not between rows.
    fn text_outside(&mut self, line: u64) -> Result<(), ImportError> {
        if self.open.is_empty() {
            // A byte order mark was skipped earlier.
            return Err(ImportError::Xml { line, what: "text stands outside the outermost element".to_owned() });
        }
        let beside_rows = self.path.as_ref().is_some_and(|path| path[..path.len() - 1] == self.open[..]);
        if self.phase == Phase::Behind && beside_rows && self.foreign.is_none() {
            self.foreign = Some(("text".to_owned(), line));
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.phase == Phase::Row { &mut self.row } else { &mut self.around }.extend_from_slice(bytes);
    }

    /// Handles the end of the file: the file and the text around the rows must be complete.
    fn end(&mut self, place: &Place) -> Result<(), ImportError> {
        let line = place.line;
        if self.phase == Phase::Row {
            return Err(ImportError::Truncated { row: place.row() });
        }
        if !self.ended || !self.markup.bytes.is_empty() {
            let what = match self.open.last() {
                Some(name) => format!("the file ends inside <{name}>; is it complete?"),
                None => "the file holds no element; is it complete?".to_owned(),
            };
            return Err(ImportError::Xml { line, what });
        }
        let around = core::mem::take(&mut self.around);
        let around = String::from_utf8(around).map_err(|_| ImportError::NotUtf8 { line })?;
        if !around.is_empty() {
            value::check(&format!("{}{around}", self.head), line)?;
            self.tail = around;
        }
        match &self.asked {
            Some(asked) if self.path.is_none() => Err(ImportError::NoRowsAt { member: asked.join("/") }),
            _ => Ok(()),
        }
    }
}

fn too_deep(line: u64) -> ImportError {
    ImportError::Xml { line, what: format!("elements nest deeper than {DEPTH_MAX} levels; flatten them") }
}

/// Refuses a declaration of another encoding than UTF-8.
fn check_declaration(bytes: &[u8], line: u64) -> Result<(), ImportError> {
    let text = core::str::from_utf8(bytes).map_err(|_| ImportError::NotUtf8 { line })?;
    let Some(declared) = text.strip_prefix("<?xml").and_then(|rest| rest.split_once("encoding")) else { return Ok(()) };
    let name = declared.1.trim_start_matches(|c: char| c.is_whitespace() || c == '=').trim_start_matches(['"', '\'']);
    let name = name.split(['"', '\'']).next().unwrap_or_default().to_ascii_lowercase();
    if matches!(name.as_str(), "utf-8" | "utf8" | "us-ascii") { Ok(()) } else { Err(ImportError::NotUtf8 { line }) }
}

/// Returns whether a text is a valid name of an element or attribute.
pub(crate) fn is_name(name: &str) -> bool {
    let starts = |c: char| c.is_alphabetic() || matches!(c, '_' | ':');
    let goes_on = |c: char| starts(c) || c.is_numeric() || matches!(c, '-' | '.' | '\u{b7}' | '\u{300}'..='\u{36f}');
    let mut chars = name.chars();
    chars.next().is_some_and(starts) && chars.all(goes_on)
}

#[cfg(test)]
mod tests;
