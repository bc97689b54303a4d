//! What the extension of a header says of an entry that restates others (`spec/exclusion.md`, section 5).

use crate::access::{At, Span};
use crate::ids::LogId;
use crate::log::header::Header;
use crate::wire::codec::{CodecError, Reader, Write};

/// First byte of what a header's extension says of an entry that restates others.
const RESTATES: u8 = 1;
/// Most spans of entries that one entry restates.
pub(crate) const SPANS_MAX: usize = 64;

/// What the extension of a header says of an entry that restates others.
pub(crate) fn encode(spans: &[Span]) -> Vec<u8> {
    let mut out = vec![RESTATES];
    out.varint(spans.len() as u64);
    for span in spans {
        out.raw(span.last.log.as_ref());
        out.varint(span.first);
        out.varint(span.last.seq - span.first);
        out.raw(&span.last.h);
    }
    out
}

/// Whether a header says that its entry restates others.
pub(super) fn is_said_by(header: &Header) -> bool {
    decode(&header.extension).is_ok_and(|spans| !spans.is_empty())
}

pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Span>, CodecError> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != RESTATES {
        return Err(CodecError::OutOfRange("extension"));
    }
    let spans = (0..reader.count(SPANS_MAX, "spans")?).map(|_| {
        let (log, first, more) = (LogId(reader.array()?), reader.varint()?, reader.varint()?);
        let seq = first.checked_add(more).ok_or(CodecError::OutOfRange("span"))?;
        Ok(Span { first, last: At { log, seq, h: reader.array()? } })
    });
    let spans = spans.collect::<Result<_, CodecError>>()?;
    reader.finish().map(|()| spans)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spans() -> impl Strategy<Value = Vec<Span>> {
        let one = (any::<[u8; 32]>(), 0..u64::MAX / 2, 0..u64::MAX / 2, any::<[u8; 8]>());
        let span =
            one.prop_map(|(log, first, more, h)| Span { first, last: At { log: LogId(log), seq: first + more, h } });
        prop::collection::vec(span, 1..SPANS_MAX)
    }

    proptest! {
        #[test]
        fn spans_read_as_they_were_written(spans in spans()) {
            prop_assert_eq!(decode(&encode(&spans)).unwrap(), spans);
        }

        #[test]
        fn anything_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), cut: prop::sample::Index, spans in spans()) {
            let _ = decode(&bytes);
            let whole = encode(&spans);
            prop_assert!(decode(&whole[..cut.index(whole.len())]).is_err());
        }
    }

    #[test]
    fn what_is_too_much_or_nothing_is_refused() {
        let span = Span { first: 3, last: At { log: LogId([1; 32]), seq: 5, h: [2; 8] } };
        assert!(decode(&encode(&vec![span; SPANS_MAX])).is_ok());
        assert!(decode(&encode(&vec![span; SPANS_MAX + 1])).is_err());
        assert!(decode(&[2]).is_err());
        let mut beyond = vec![RESTATES, 1];
        beyond.raw(&[1; 32]);
        beyond.varint(u64::MAX);
        beyond.varint(1);
        beyond.raw(&[2; 8]);
        assert!(decode(&beyond).is_err());
    }
}
