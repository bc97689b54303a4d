//! Multiplexing: messages of six classes share one encrypted stream, so that an urgent one need not wait.
//!
//! The plaintext of a transport message is a sequence of frames; each carries a chunk of one message on the channel
//! of its class. This module writes and reads frames. It never looks into messages and never decides their order.
//! `spec/wire.md`, section 3.

use crate::codec::{CodecError, Reader, Write, varint_len};
use bytes::Bytes;

/// Number of channels: one for each class.
pub const CHANNELS: usize = 6;

/// The largest plaintext of one Noise transport message: 65,535 bytes less the tag.
pub const PLAINTEXT_MAX: usize = 65_519;
/// Least room in which a frame is begun, in bytes.
pub const FRAME_BYTES_MIN: usize = 64;

const FIRST: u8 = 0x08;
const LAST: u8 = 0x10;

/// Reason why frames were refused. Always the sender's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A header is cut, not canonical, or has unknown bits.
    #[error("a frame is not well-formed: {0}")]
    Malformed(#[from] CodecError),
    /// A message began inside another one of its channel, or continued without having begun.
    #[error("a frame does not continue its channel")]
    Sequence,
    /// A message grew beyond the limit.
    #[error("a message is longer than allowed")]
    TooLong,
}

/// An outgoing message: its rest goes into the next frames.
#[derive(Debug)]
pub struct Outgoing {
    bytes: Bytes,
    written: usize,
}

impl Outgoing {
    /// Takes an encoded message, which must not be empty.
    pub fn new(bytes: Bytes) -> Self {
        assert!(!bytes.is_empty(), "a message has at least its type");
        Self { bytes, written: 0 }
    }

    /// Returns the number of bytes left to write.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Returns whether the message is written whole.
    pub fn is_done(&self) -> bool {
        self.remaining() == 0
    }

    /// Appends one frame of at most `space` bytes with a chunk of at most `chunk_max`. Returns whether one fitted.
    pub fn write(&mut self, channel: u8, out: &mut Vec<u8>, space: usize, chunk_max: usize) -> bool {
        let whole = self.remaining().min(chunk_max);
        let room = space.saturating_sub(1);
        let mut len = whole.min(room);
        while len > 0 && varint_len(len as u64) + len > room {
            len -= 1;
        }
        if len == 0 {
            return false;
        }
        let first = if self.written == 0 { FIRST } else { 0 };
        let last = if len == self.remaining() { LAST } else { 0 };
        out.byte(channel | first | last);
        out.prefixed(&self.bytes[self.written..self.written + len]);
        self.written += len;
        true
    }
}

/// Puts the chunks of each channel together again.
#[derive(Debug)]
pub struct Reassembler {
    channels: [Option<Vec<u8>>; CHANNELS],
    message_bytes_max: usize,
}

impl Reassembler {
    /// Starts with all channels empty. Each holds at most `message_bytes_max` bytes.
    pub fn new(message_bytes_max: usize) -> Self {
        Self { channels: Default::default(), message_bytes_max }
    }

    /// Takes the next frame from `reader`. Returns the channel and the message if the frame completed one.
    pub fn read(&mut self, reader: &mut Reader<'_>) -> Result<Option<(u8, Bytes)>, FrameError> {
        let header = reader.u8()?;
        let channel = header & 0x07;
        if header & !(0x07 | FIRST | LAST) != 0 || usize::from(channel) >= CHANNELS {
            return Err(CodecError::OutOfRange("a frame header").into());
        }
        let chunk = reader.bytes(PLAINTEXT_MAX, "a frame length")?;
        if chunk.is_empty() {
            return Err(CodecError::OutOfRange("a frame length").into());
        }
        let pending = &mut self.channels[usize::from(channel)];
        let is_first = header & FIRST != 0;
        if is_first != pending.is_none() {
            return Err(FrameError::Sequence);
        }
        if pending.as_ref().map_or(0, Vec::len) + chunk.len() > self.message_bytes_max {
            return Err(FrameError::TooLong);
        }
        let is_last = header & LAST != 0;
        if is_first && is_last {
            return Ok(Some((channel, Bytes::copy_from_slice(chunk))));
        }
        pending.get_or_insert_default().extend_from_slice(chunk);
        if is_last { Ok(pending.take().map(|message| (channel, message.into()))) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(plaintext: &[u8], reassembler: &mut Reassembler) -> Result<Vec<(u8, Bytes)>, FrameError> {
        let mut reader = Reader::new(plaintext);
        let mut messages = Vec::new();
        while !reader.is_empty() {
            messages.extend(reassembler.read(&mut reader)?);
        }
        Ok(messages)
    }

    proptest! {
        #[test]
        fn messages_survive_any_interleaving(
            lens in prop::collection::vec(1usize..5_000, 1..CHANNELS),
            picks in prop::collection::vec((0usize..CHANNELS, 2usize..700), 0..200),
        ) {
            let mut outgoing: Vec<Outgoing> =
                lens.iter().enumerate().map(|(at, len)| Outgoing::new(vec![at as u8; *len].into())).collect();
            let mut bytes = Vec::new();
            let drain = (0..lens.len()).map(|at| (at, PLAINTEXT_MAX));
            for (at, space) in picks.into_iter().chain(drain) {
                if let Some(message) = outgoing.get_mut(at).filter(|message| !message.is_done()) {
                    let before = bytes.len();
                    prop_assert!(message.write(at as u8, &mut bytes, space, 4_096).then_some(()).is_some() || space < 3);
                    prop_assert!(bytes.len() - before <= space);
                }
                while outgoing.get(at).is_some_and(|message| space == PLAINTEXT_MAX && !message.is_done()) {
                    outgoing[at].write(at as u8, &mut bytes, space, 4_096);
                }
            }
            let mut got = read_all(&bytes, &mut Reassembler::new(1 << 20)).unwrap();
            got.sort_by_key(|(channel, _)| *channel);
            let want: Vec<_> =
                lens.iter().enumerate().map(|(at, len)| (at as u8, Bytes::from(vec![at as u8; *len]))).collect();
            prop_assert_eq!(got, want);
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_stay_bounded(bytes: Vec<u8>) {
            let mut reassembler = Reassembler::new(64);
            let _ = read_all(&bytes, &mut reassembler);
            prop_assert!(reassembler.channels.iter().flatten().all(|pending| pending.len() <= 64));
        }
    }

    #[test]
    fn frames_out_of_sequence_empty_or_too_long_are_refused() {
        let fresh = || Reassembler::new(4);
        assert_eq!(read_all(&[LAST, 1, 7], &mut fresh()), Err(FrameError::Sequence));
        assert_eq!(read_all(&[FIRST, 1, 7, FIRST, 1, 7], &mut fresh()), Err(FrameError::Sequence));
        assert_eq!(read_all(&[FIRST, 3, 1, 2, 3, 0, 2, 4, 5], &mut fresh()), Err(FrameError::TooLong));
        assert!(matches!(read_all(&[FIRST | LAST, 0], &mut fresh()), Err(FrameError::Malformed(_))));
        assert!(matches!(read_all(&[FIRST | LAST | 6, 1, 0], &mut fresh()), Err(FrameError::Malformed(_))));
        assert!(matches!(read_all(&[0x80 | FIRST | LAST, 1, 0], &mut fresh()), Err(FrameError::Malformed(_))));
    }
}
