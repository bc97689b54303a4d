//! The canonical binary encoding: fixed field order, minimal varints, no trailing bytes.
//!
//! One value has one encoding, so bytes can be hashed and signed as received. [`Reader`] borrows its input, never
//! allocates, and checks every length against the rest before using it (`spec/wire.md`, section 2).

use bytes::{BufMut, BytesMut};

/// Reason why bytes are not a canonical encoding. Always the sender's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The input ended inside a field.
    #[error("the message ends inside a field")]
    Truncated,
    /// Bytes were left after the last field.
    #[error("bytes follow the last field")]
    Trailing,
    /// A varint had a longer encoding than needed, or overflowed.
    #[error("a number is not minimally encoded")]
    NotMinimal,
    /// A length, count or tag is outside the range of the format.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// A text field is not UTF-8.
    #[error("a text is not UTF-8")]
    NotUtf8,
}

/// Reads canonical fields from a slice.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Returns the number of bytes left.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Returns whether no bytes are left.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// Takes all bytes left.
    pub fn take_rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// Takes a fixed-size array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// Takes one byte.
    pub fn u8(&mut self) -> Result<u8, CodecError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Takes an unsigned LEB128 number of at most ten bytes, minimally encoded.
    pub fn varint(&mut self) -> Result<u64, CodecError> {
        let mut value = 0u64;
        for shift in (0..).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift > 63 || (shift == 63 && bits > 1) || (byte == 0 && shift > 0) {
                return Err(CodecError::NotMinimal);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Ok(value)
    }

    /// Takes a varint that may not exceed `max`; `what` names it in the error.
    pub fn varint_max(&mut self, max: u64, what: &'static str) -> Result<u64, CodecError> {
        let value = self.varint()?;
        if value > max { Err(CodecError::OutOfRange(what)) } else { Ok(value) }
    }

    /// Takes a count or length of at most `max`.
    pub fn count(&mut self, max: usize, what: &'static str) -> Result<usize, CodecError> {
        usize::try_from(self.varint_max(max as u64, what)?).map_err(|_| CodecError::OutOfRange(what))
    }

    /// Takes a length of at most `max` and that many bytes.
    pub fn bytes(&mut self, max: usize, what: &'static str) -> Result<&'a [u8], CodecError> {
        let len = self.count(max, what)?;
        self.take(len)
    }

    /// Takes a length-prefixed UTF-8 text of at most `max` bytes.
    pub fn text(&mut self, max: usize, what: &'static str) -> Result<&'a str, CodecError> {
        core::str::from_utf8(self.bytes(max, what)?).map_err(|_| CodecError::NotUtf8)
    }

    /// Ends the reading. Fails if bytes are left.
    pub const fn finish(self) -> Result<(), CodecError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CodecError::Trailing) }
    }
}

/// Writes canonical fields to the end of a buffer.
pub trait Write {
    /// Appends bytes as they are.
    fn raw(&mut self, bytes: &[u8]);

    /// Appends one byte.
    fn byte(&mut self, byte: u8) {
        self.raw(&[byte]);
    }

    /// Appends a minimal unsigned LEB128 number.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    /// Appends a length and the bytes.
    fn prefixed(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.raw(bytes);
    }
}

impl Write for Vec<u8> {
    fn raw(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Write for BytesMut {
    fn raw(&mut self, bytes: &[u8]) {
        self.put_slice(bytes);
    }
}

impl Write for blake3::Hasher {
    fn raw(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

/// Returns the number of bytes that [`Write::varint`] takes for `value`.
pub const fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_round_trip_in_the_promised_length(value: u64, shift in 0u32..64) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            bytes.varint(value);
            prop_assert_eq!(bytes.len(), varint_len(value));
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint(), Ok(value));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn what_reads_as_a_varint_is_its_only_encoding(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.varint() {
                let mut again = Vec::new();
                again.varint(value);
                prop_assert_eq!(&bytes[..bytes.len() - reader.remaining()], &again[..]);
            }
        }
    }

    #[test]
    fn overlong_and_overflowing_numbers_are_refused() {
        assert_eq!(Reader::new(&[0x80, 0]).varint(), Err(CodecError::NotMinimal));
        assert_eq!(Reader::new(&[0xff; 11]).varint(), Err(CodecError::NotMinimal));
        assert_eq!(Reader::new(&[0x80]).varint(), Err(CodecError::Truncated));
        assert_eq!(Reader::new(&[5]).bytes(9, "x"), Err(CodecError::Truncated));
        assert_eq!(Reader::new(&[5]).bytes(4, "x"), Err(CodecError::OutOfRange("x")));
    }
}
