//! Shared code of imports and exports: formats, and the encoding of checkpoints.

use crate::service::{ErrorCode, Format, ServiceError};
use cosmicsync_data::import::{self, Checkpoint, Kind};
use cosmicsync_protocol::codec::{CodecError, Reader, Write as _};

/// Version of an encoded checkpoint.
const VERSION: u8 = 1;
/// Longest checkpoint, in bytes. A longer one is not stored, so its import cannot be resumed.
pub(super) const CHECKPOINT_BYTES_MAX: usize = 64 * 1024;
/// Largest number of columns in a table.
const COLUMNS_MAX: usize = 16_384;

pub(super) const fn format_of(format: Format) -> import::Format {
    match format {
        Format::Csv | Format::Tsv => import::Format::Csv,
        Format::Ndjson => import::Format::Ndjson,
        Format::Json => import::Format::Json,
        Format::Xml => import::Format::Xml,
    }
}

/// Returns the name of a file's format, and its delimiter if the name does not imply it.
pub(super) fn named(kind: Kind) -> (Format, Option<char>) {
    match (kind.format, kind.delimiter) {
        (import::Format::Csv, b',') => (Format::Csv, None),
        (import::Format::Csv, b'\t') => (Format::Tsv, None),
        (import::Format::Csv, other) => (Format::Csv, Some(char::from(other))),
        (import::Format::Ndjson, _) => (Format::Ndjson, None),
        (import::Format::Json, _) => (Format::Json, None),
        (import::Format::Xml, _) => (Format::Xml, None),
    }
}

/// Returns the requested separator between cells.
pub(super) fn delimiter(format: Option<Format>, asked: Option<char>) -> Result<Option<u8>, ServiceError> {
    let usage = |message: String| Err(ServiceError::new(ErrorCode::Usage, message));
    match (format, asked) {
        (Some(format @ (Format::Ndjson | Format::Json | Format::Xml)), Some(_)) => {
            usage(format!("a delimiter separates the cells of tables, and {} has none", format.name()))
        }
        (_, Some(asked)) if !Kind::separates(asked) => usage(format!(
            "{asked:?} cannot separate cells: a delimiter is one ASCII character, no quote and no line break"
        )),
        (Some(Format::Tsv), None) => Ok(Some(b'\t')),
        (_, asked) => Ok(asked.and_then(|asked| u8::try_from(asked).ok())),
    }
}

/// Progress of an import in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// More rows may follow.
    Rows,
    /// All rows are stored; the file has this many bytes.
    Whole(u64),
    /// The import has ended; the file has this many bytes.
    Ended(u64),
}

/// Progress of an import, and the hashes that identify the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) checkpoint: Checkpoint,
    /// Hash of the options that affect documents: key, rows, texts.
    pub(super) options: [u8; 32],
    pub(super) stage: Stage,
    /// Hash of the file up to the checkpoint; from [`Stage::Whole`] on, of the whole file.
    pub(super) hash: [u8; 32],
}

impl Stand {
    /// Returns the number of bytes that the hash covers.
    pub(super) const fn hashed(&self) -> u64 {
        match self.stage {
            Stage::Rows => self.checkpoint.offset,
            Stage::Whole(bytes) | Stage::Ended(bytes) => bytes,
        }
    }

    /// Encodes the progress: version, format, delimiter, offset, rows, line, header, head, member, options, stage,
    /// size, hash.
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { checkpoint, options, stage, hash } = self;
        let mut out = vec![VERSION];
        out.prefixed(checkpoint.kind.format.name().as_bytes());
        out.push(checkpoint.kind.delimiter);
        for number in [checkpoint.offset, checkpoint.rows, checkpoint.line] {
            out.varint(number);
        }
        out.varint(checkpoint.header.len() as u64);
        for column in &checkpoint.header {
            out.prefixed(column.as_bytes());
        }
        out.prefixed(checkpoint.head.as_bytes());
        match &checkpoint.rows_member {
            None => out.push(0),
            Some(member) => {
                out.push(1);
                out.prefixed(member.as_bytes());
            }
        }
        out.raw(options);
        let (number, bytes) = match stage {
            Stage::Rows => (0, 0),
            Stage::Whole(bytes) => (1, *bytes),
            Stage::Ended(bytes) => (2, *bytes),
        };
        out.push(number);
        out.varint(bytes);
        out.raw(hash);
        out
    }

    /// Decodes the output of [`Stand::encode`].
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(CodecError::OutOfRange("version of the checkpoint"));
        }
        let format = import::Format::named(reader.text(16, "format")?).ok_or(CodecError::OutOfRange("format"))?;
        let kind = Kind { format, delimiter: reader.u8()? };
        let (offset, rows, line) = (reader.varint()?, reader.varint()?, reader.varint()?);
        let count = reader.count(COLUMNS_MAX, "columns")?;
        let mut header = Vec::new();
        for _ in 0..count {
            header.push(reader.text(CHECKPOINT_BYTES_MAX, "column")?.to_owned());
        }
        let head = reader.text(CHECKPOINT_BYTES_MAX, "head")?.to_owned();
        let rows_member = match reader.u8()? {
            0 => None,
            1 => Some(reader.text(CHECKPOINT_BYTES_MAX, "member")?.to_owned()),
            _ => return Err(CodecError::OutOfRange("member")),
        };
        let options = reader.array()?;
        let stage = match (reader.u8()?, reader.varint()?) {
            (0, _) => Stage::Rows,
            (1, bytes) => Stage::Whole(bytes),
            (2, bytes) => Stage::Ended(bytes),
            _ => return Err(CodecError::OutOfRange("stage")),
        };
        let hash = reader.array()?;
        reader.finish()?;
        Ok(Self {
            checkpoint: Checkpoint { kind, offset, rows, line, header, head, rows_member },
            options,
            stage,
            hash,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_survive_being_bytes() {
        let bare = Checkpoint {
            kind: Kind::of(import::Format::Ndjson),
            offset: 1 << 40,
            rows: 7,
            line: 8,
            header: Vec::new(),
            head: String::new(),
            rows_member: None,
        };
        let full = Checkpoint {
            kind: Kind { format: import::Format::Csv, delimiter: b';' },
            header: vec!["a".to_owned(), "é,\n".to_owned()],
            head: "{\"rows\":[".to_owned(),
            rows_member: Some("rows".to_owned()),
            ..bare.clone()
        };
        for (checkpoint, stage) in [(bare, Stage::Rows), (full.clone(), Stage::Whole(1 << 41)), (full, Stage::Ended(3))]
        {
            let stand = Stand { checkpoint, options: [1; 32], stage, hash: [2; 32] };
            let bytes = stand.encode();
            assert_eq!(Stand::decode(&bytes), Ok(stand));
            assert!(Stand::decode(&bytes[..bytes.len() - 1]).is_err());
        }
    }
}
