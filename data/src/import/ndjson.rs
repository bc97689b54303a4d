//! NDJSON: one JSON object per line. Blank lines are skipped.

use super::{ImportError, Place, Pulled, RECORD_BYTES_MAX};

#[derive(Debug)]
pub(super) struct Rows;

impl Rows {
    #[expect(clippy::unused_self, reason = "the sources share one shape")]
    pub(super) fn pull(
        &mut self,
        input: &[u8],
        finished: bool,
        place: &mut Place,
    ) -> Result<(usize, Pulled), ImportError> {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            let (line, row) = (place.line, place.row());
            let end = rest.iter().position(|byte| *byte == b'\n');
            if end.unwrap_or(rest.len()) > RECORD_BYTES_MAX {
                return Err(ImportError::RecordTooLong { line, row });
            }
            let (text, len) = match end {
                Some(end) => (&rest[..end], end + 1),
                None if finished && !rest.is_empty() => (rest, rest.len()),
                None => return Ok((used, Pulled::Nothing)),
            };
            used += len;
            place.line += u64::from(end.is_some());
            if text.trim_ascii().is_empty() {
                continue;
            }
            if core::str::from_utf8(text).is_err() {
                return Err(ImportError::NotUtf8 { line });
            }
            let value = crate::json::parse(text).map_err(|source| ImportError::Json { line, row, source })?;
            if value.as_map().is_none() {
                return Err(ImportError::NotObject { line, row });
            }
            return Ok((used, Pulled::Record(value, line)));
        }
    }
}
