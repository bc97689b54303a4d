//! The sealed stream: length-prefixed Noise messages in both directions.
//!
//! Each message follows its length as a big-endian u16. Both directions are rekeyed by count, so both ends change
//! keys at the same message without a signal. Any message that does not open ends the stream for good: a sealed
//! stream has no harmless errors (`spec/handshake.md`, section 5).

use core::fmt;
use snow::TransportState;

/// Length of the longest plaintext of one message, in bytes.
pub const PLAINTEXT_BYTES_MAX: usize = MESSAGE_BYTES_MAX - TAG_BYTES;
/// Number of messages after which a direction gets a new key.
pub const REKEY_MESSAGES: u64 = 65_536;
/// Number of messages in a direction after which the link needs a new handshake.
pub const HANDSHAKE_MESSAGES: u64 = 1 << 32;
/// Most received bytes that wait for [`Transport::poll_message`].
pub const BUFFER_BYTES_MAX: usize = 1 << 20;

const LENGTH_BYTES: usize = 2;
const TAG_BYTES: usize = 16;
const MESSAGE_BYTES_MAX: usize = 65_535;

/// Reason why a sealed stream ended, or did not take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Fault of the peer, or of somebody on the way: a message does not open.
    #[error("a message on the link does not verify")]
    Refused,
    /// Fault of the peer: a message shorter than its tag.
    #[error("a message on the link is shorter than its tag")]
    TooShort,
    /// Fault of the caller: more than [`PLAINTEXT_BYTES_MAX`] in one message.
    #[error("a message of {0} bytes is too long to seal")]
    TooLong(usize),
    /// Fault of the caller: more than [`BUFFER_BYTES_MAX`] received and not taken.
    #[error("more bytes were received than the buffer holds")]
    Overflow,
    /// An earlier error ended the stream.
    #[error("the link has failed already")]
    Failed,
}

/// Seals and opens the messages of a link.
pub struct Transport {
    noise: TransportState,
    inbox: Vec<u8>,
    /// Start of the next message in `inbox`.
    start: usize,
    sent: u64,
    received: u64,
    rekey_messages: u64,
    failed: bool,
}

impl Transport {
    pub(super) const fn new(noise: TransportState) -> Self {
        Self { noise, inbox: Vec::new(), start: 0, sent: 0, received: 0, rekey_messages: REKEY_MESSAGES, failed: false }
    }

    /// Rekeys after a number of messages other than [`REKEY_MESSAGES`]. Both ends must agree: for tests and
    /// simulations.
    #[must_use]
    pub const fn with_rekey_messages(mut self, messages: u64) -> Self {
        self.rekey_messages = messages;
        self
    }

    /// Appends one sealed message, with its length, to `out`.
    ///
    /// # Errors
    /// Fails if the plaintext is too long or the stream has failed.
    pub fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), TransportError> {
        if self.failed {
            return Err(TransportError::Failed);
        }
        if plaintext.len() > PLAINTEXT_BYTES_MAX {
            return Err(TransportError::TooLong(plaintext.len()));
        }
        let start = out.len();
        let length = plaintext.len() + TAG_BYTES;
        out.reserve(LENGTH_BYTES + length);
        out.extend_from_slice(&(length as u16).to_be_bytes());
        out.resize(start + LENGTH_BYTES + length, 0);
        if self.noise.write_message(plaintext, &mut out[start + LENGTH_BYTES..]).is_err() {
            out.truncate(start);
            return Err(self.fail(TransportError::Failed));
        }
        self.sent += 1;
        if reached!(Rekey, self.sent.is_multiple_of(self.rekey_messages)) {
            self.noise.rekey_outgoing();
        }
        Ok(())
    }

    /// Takes bytes of the peer, cut anywhere. Call [`Self::poll_message`] until it returns `None` before more are
    /// read.
    ///
    /// # Errors
    /// Fails if the stream has failed, or if the caller did not take earlier messages; the latter changes nothing.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        if self.failed {
            return Err(TransportError::Failed);
        }
        if self.inbox.len() - self.start + bytes.len() > BUFFER_BYTES_MAX {
            return Err(TransportError::Overflow);
        }
        self.inbox.drain(..self.start);
        self.start = 0;
        self.inbox.extend_from_slice(bytes);
        Ok(())
    }

    /// Opens the next message, if it has come whole.
    ///
    /// # Errors
    /// Fails if the message does not open: the stream has failed and the link must be closed.
    pub fn poll_message(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        if self.failed {
            return Err(TransportError::Failed);
        }
        let Some((length, rest)) = self.inbox[self.start..].split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes(*length));
        if length < TAG_BYTES {
            return Err(self.fail(TransportError::TooShort));
        }
        let Some(message) = rest.get(..length) else { return Ok(None) };
        let mut plaintext = vec![0; length - TAG_BYTES];
        if self.noise.read_message(message, &mut plaintext).is_err() {
            return Err(self.fail(TransportError::Refused));
        }
        self.start += LENGTH_BYTES + length;
        self.received += 1;
        if self.received.is_multiple_of(self.rekey_messages) {
            self.noise.rekey_incoming();
        }
        Ok(Some(plaintext))
    }

    fn fail(&mut self, error: TransportError) -> TransportError {
        self.failed = true;
        self.inbox = Vec::new();
        self.start = 0;
        error
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("sent", &self.sent).field("received", &self.received).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
