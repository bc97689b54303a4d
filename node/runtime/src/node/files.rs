//! What imports and exports share: formats, and checkpoints as bytes.

use crate::service::Format;
use cosmicsync_data::import::{self, Checkpoint};
use cosmicsync_protocol::wire::codec::{CodecError, Reader, Write as _};

/// The version of an encoded checkpoint.
const VERSION: u8 = 0;
/// The most bytes of a checkpoint; one with more is not kept, and its import can't be taken up.
pub(super) const CHECKPOINT_BYTES_MAX: usize = 64 * 1024;
/// Columns of a table, at most.
const COLUMNS_MAX: usize = 16_384;

pub(super) const fn format_of(format: Format) -> import::Format {
    match format {
        Format::Csv => import::Format::Csv,
        Format::Ndjson => import::Format::Ndjson,
        Format::Json => import::Format::Json,
    }
}

/// Encodes a checkpoint: version, format, offset, rows, line, header, head, member.
pub(super) fn encode(checkpoint: &Checkpoint) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.prefixed(checkpoint.format.name().as_bytes());
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
    out
}

/// Decodes what [`encode`] wrote.
pub(super) fn decode(bytes: &[u8]) -> Result<Checkpoint, CodecError> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != VERSION {
        return Err(CodecError::OutOfRange("version of the checkpoint"));
    }
    let format = import::Format::named(reader.text(16, "format")?).ok_or(CodecError::OutOfRange("format"))?;
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
    reader.finish()?;
    Ok(Checkpoint { format, offset, rows, line, header, head, rows_member })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_survive_being_bytes() {
        let bare = Checkpoint {
            format: import::Format::Ndjson,
            offset: 1 << 40,
            rows: 7,
            line: 8,
            header: Vec::new(),
            head: String::new(),
            rows_member: None,
        };
        let full = Checkpoint {
            format: import::Format::Json,
            header: vec!["a".to_owned(), "é,\n".to_owned()],
            head: "{\"rows\":[".to_owned(),
            rows_member: Some("rows".to_owned()),
            ..bare.clone()
        };
        for checkpoint in [bare, full] {
            let bytes = encode(&checkpoint);
            assert_eq!(decode(&bytes), Ok(checkpoint));
            assert!(decode(&bytes[..bytes.len() - 1]).is_err());
        }
    }
}
