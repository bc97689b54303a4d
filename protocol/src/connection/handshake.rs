//! The Noise handshake over a byte stream.
//!
//! Initiator to responder: preamble (8 bytes, clear), message 1. Back: message 2 with the responder's Hello. Again
//! forward: message 3 with the initiator's Hello. Each message follows its length as a big-endian u16. An
//! unfinished handshake buffers at most [`BUFFER_BYTES_MAX`]. After the first error it takes and gives nothing, so
//! a prober without a proof of an invite's secret gets no byte back (`spec/handshake.md`, section 3).

use super::noise;
use super::transport::Transport;
use crate::entropy::Entropy;
use crate::identity::DeviceKeys;
use crate::wire::hello::{HELLO_BYTES_MAX, Pattern, Preamble, PreambleError};
use core::fmt;
use snow::HandshakeState;
use zeroize::Zeroizing;

/// Most bytes of an unfinished handshake that are kept.
pub const BUFFER_BYTES_MAX: usize = 4096;
/// Most invites that one handshake is tried against.
pub const PSKS_MAX: usize = 64;

const LENGTH_BYTES: usize = 2;
const MESSAGE_BYTES_MAX: usize = BUFFER_BYTES_MAX - LENGTH_BYTES - Preamble::LEN;
/// e, and with a psk the tag of an empty payload.
const FIRST_XX: usize = 32;
const FIRST_XX_PSK0: usize = 32 + 16;

/// Reason why a handshake failed. It cannot continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The peer's first bytes were not of this protocol, or of a version that is not known here.
    #[error(transparent)]
    Preamble(#[from] PreambleError),
    /// The peer announced a message longer than any handshake message, or of an impossible length.
    #[error("the peer sent a handshake message of {0} bytes")]
    Length(usize),
    /// A message was changed on the way, or made with other keys.
    #[error("a handshake message does not verify")]
    Refused,
    /// The peer has no invite that is open here.
    #[error("the peer has no invite that is valid here")]
    NoInvite,
    /// The responder is not the device that made the invite.
    #[error("the peer is not the device that made the invite: ask for a new one")]
    WrongPeer,
    /// An earlier error ended this handshake.
    #[error("the handshake has failed already")]
    Failed,
}

/// Result of a finished handshake.
#[derive(Debug)]
pub struct Established {
    /// The sealed stream.
    pub transport: Transport,
    /// The peer's Noise static key, which it has proved to hold.
    pub remote_static: [u8; 32],
    /// The peer's Hello, not yet decoded.
    pub remote_hello: Vec<u8>,
    /// Unique to this handshake and equal at both ends.
    pub handshake_hash: [u8; 32],
    /// Index of the responder's invite that the initiator had; 0 at an initiator that used one.
    pub psk_index: Option<usize>,
    /// Input that belongs to the sealed stream: feed it to the transport first.
    pub leftover: Vec<u8>,
}

/// Opening of an initiator.
#[derive(Debug)]
pub enum Opening {
    /// Without an invite: the Hello carries the peer's identity.
    Xx,
    /// With an invite.
    Invited {
        /// The pre-shared key from the invite.
        psk: Zeroizing<[u8; 32]>,
        /// The inviter's Noise static key, from the invite.
        inviter: [u8; 32],
    },
}

/// One handshake, at either end.
pub struct Handshake {
    state: State,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
}

enum State {
    /// Responder, until message 1.
    Listening(Box<Listening>),
    /// Initiator, until message 2.
    Asked(Box<Asked>),
    /// Responder, until message 3.
    Answered(Box<Answered>),
    Done(Box<Done>),
    Failed,
}

struct Listening {
    secret: Zeroizing<[u8; 32]>,
    psks: Vec<Zeroizing<[u8; 32]>>,
    hello: Vec<u8>,
    entropy: Entropy,
}

struct Asked {
    noise: HandshakeState,
    hello: Vec<u8>,
    expected: Option<[u8; 32]>,
}

struct Answered {
    noise: HandshakeState,
    psk_index: Option<usize>,
}

struct Done {
    noise: HandshakeState,
    remote_static: [u8; 32],
    remote_hello: Vec<u8>,
    psk_index: Option<usize>,
}

impl Handshake {
    /// Starts a handshake and writes its first message. `hello` is the encoded Hello, at most [`HELLO_BYTES_MAX`]
    /// bytes; `entropy` must be a child of its own.
    ///
    /// # Panics
    /// If `hello` is too long.
    pub fn initiator(opening: Opening, keys: &DeviceKeys, hello: Vec<u8>, entropy: Entropy) -> Self {
        assert!(hello.len() <= HELLO_BYTES_MAX, "our own Hello is too long");
        let (pattern, psk, expected) = match opening {
            Opening::Xx => (Pattern::Xx, None, None),
            Opening::Invited { psk, inviter } => (Pattern::XxPsk0, Some(psk), Some(inviter)),
        };
        let preamble = Preamble::new(pattern).encode();
        let mut builder = noise::builder(pattern, entropy)
            .prologue(&preamble)
            .and_then(|builder| builder.local_private_key(keys.noise_secret().as_bytes()));
        if let Some(psk) = &psk {
            builder = builder.and_then(|builder| builder.psk(0, psk));
        }
        let mut noise = builder.and_then(snow::Builder::build_initiator).expect("every prerequisite is given");
        let mut outbox = preamble.to_vec();
        write_message(&mut noise, &[], &mut outbox).expect("the first message needs nothing of the peer");
        Self { state: State::Asked(Box::new(Asked { noise, hello, expected })), inbox: Vec::new(), outbox }
    }

    /// Waits for a handshake. `psks` are those of the open invites; [`Established::psk_index`] names the one that
    /// the peer has. `hello` and `entropy` are as in [`Self::initiator`].
    ///
    /// # Panics
    /// If `hello` is too long or there are more than [`PSKS_MAX`] psks.
    pub fn responder(keys: &DeviceKeys, psks: Vec<Zeroizing<[u8; 32]>>, hello: Vec<u8>, entropy: Entropy) -> Self {
        assert!(hello.len() <= HELLO_BYTES_MAX, "our own Hello is too long");
        assert!(psks.len() <= PSKS_MAX, "too many outstanding invites");
        let secret = Zeroizing::new(*keys.noise_secret().as_bytes());
        let state = State::Listening(Box::new(Listening { secret, psks, hello, entropy }));
        Self { state, inbox: Vec::new(), outbox: Vec::new() }
    }

    /// Takes bytes of the peer, cut anywhere.
    ///
    /// # Errors
    /// Every error is the peer's fault; the handshake has failed and the link must be closed.
    pub fn handle(&mut self, mut bytes: &[u8]) -> Result<(), HandshakeError> {
        while !bytes.is_empty() {
            let missing = match self.missing() {
                Ok(Some(missing)) => missing,
                Ok(None) => {
                    self.inbox.extend_from_slice(bytes);
                    return Ok(());
                }
                Err(error) => return Err(self.fail(error)),
            };
            let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
            self.inbox.extend_from_slice(taken);
            bytes = rest;
            if let Err(error) = self.advance() {
                return Err(self.fail(error));
            }
        }
        Ok(())
    }

    /// Appends bytes to be sent. Returns whether there were any.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(&self.outbox);
        !core::mem::take(&mut self.outbox).is_empty()
    }

    /// Returns whether [`Self::finish`] may be called. An initiator is done before its last message was polled.
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done(_))
    }

    /// Returns the peer's proven static key and its Hello, once done. An initiator judges them before it polls its
    /// last message, which carries its own Hello.
    pub fn remote(&self) -> Option<(&[u8; 32], &[u8])> {
        match &self.state {
            State::Done(done) => Some((&done.remote_static, &done.remote_hello)),
            State::Listening(_) | State::Asked(_) | State::Answered(_) | State::Failed => None,
        }
    }

    /// Returns whether the handshake used an invite, once done.
    pub fn is_invited(&self) -> bool {
        matches!(&self.state, State::Done(done) if done.psk_index.is_some())
    }

    /// Ends the handshake. Bytes that were not polled are lost, so poll first. `None` unless it is done.
    pub fn finish(self) -> Option<Established> {
        let State::Done(done) = self.state else { return None };
        let mut handshake_hash = [0; 32];
        handshake_hash.copy_from_slice(done.noise.get_handshake_hash());
        Some(Established {
            transport: Transport::new(done.noise.into_transport_mode().ok()?),
            remote_static: done.remote_static,
            remote_hello: done.remote_hello,
            handshake_hash,
            psk_index: done.psk_index,
            leftover: self.inbox,
        })
    }

    fn fail(&mut self, error: HandshakeError) -> HandshakeError {
        *self = Self { state: State::Failed, inbox: Vec::new(), outbox: Vec::new() };
        error
    }

    /// Returns the number of bytes to take before the next check; `None` when done.
    fn missing(&self) -> Result<Option<usize>, HandshakeError> {
        let start = match &self.state {
            State::Listening(_) => Preamble::LEN,
            State::Asked(_) | State::Answered(_) => 0,
            State::Done(_) => return Ok(None),
            State::Failed => return Err(HandshakeError::Failed),
        };
        let have = self.inbox.len();
        if have < start {
            return Ok(Some(start - have));
        }
        match self.inbox[start..].first_chunk::<LENGTH_BYTES>() {
            None => Ok(Some(start + LENGTH_BYTES - have)),
            Some(length) => Ok(Some(start + LENGTH_BYTES + usize::from(u16::from_be_bytes(*length)) - have)),
        }
    }

    /// Checks the received bytes as early as possible, and takes the step that they complete.
    fn advance(&mut self) -> Result<(), HandshakeError> {
        match core::mem::replace(&mut self.state, State::Failed) {
            State::Listening(listening) => self.on_first(listening),
            State::Asked(asked) => self.on_second(asked),
            State::Answered(answered) => self.on_third(answered),
            done @ State::Done(_) => {
                self.state = done;
                Ok(())
            }
            State::Failed => Err(HandshakeError::Failed),
        }
    }

    fn on_first(&mut self, listening: Box<Listening>) -> Result<(), HandshakeError> {
        let Some((preamble_bytes, rest)) = self.inbox.split_first_chunk::<{ Preamble::LEN }>() else {
            self.state = State::Listening(listening);
            return Ok(());
        };
        let pattern = Preamble::decode(*preamble_bytes)?.pattern;
        let length = match pattern {
            Pattern::Xx => FIRST_XX,
            Pattern::XxPsk0 => FIRST_XX_PSK0,
        };
        let Some(message) = whole_message(rest, length..=length)? else {
            self.state = State::Listening(listening);
            return Ok(());
        };
        let (mut noise, psk_index) = read_first(&listening, pattern, preamble_bytes, message)?;
        self.inbox.clear();
        write_message(&mut noise, &listening.hello, &mut self.outbox)?;
        self.state = State::Answered(Box::new(Answered { noise, psk_index }));
        Ok(())
    }

    fn on_second(&mut self, mut asked: Box<Asked>) -> Result<(), HandshakeError> {
        let Some(message) = whole_message(&self.inbox, 0..=MESSAGE_BYTES_MAX)? else {
            self.state = State::Asked(asked);
            return Ok(());
        };
        let (remote_hello, remote_static) = read_message(&mut asked.noise, message)?;
        self.inbox.clear();
        let psk_index = asked.expected.map(|_| 0);
        if asked.expected.is_some_and(|expected| expected != remote_static) {
            return Err(HandshakeError::WrongPeer);
        }
        write_message(&mut asked.noise, &asked.hello, &mut self.outbox)?;
        self.state = State::Done(Box::new(Done { noise: asked.noise, remote_static, remote_hello, psk_index }));
        Ok(())
    }

    fn on_third(&mut self, mut answered: Box<Answered>) -> Result<(), HandshakeError> {
        let Some(message) = whole_message(&self.inbox, 0..=MESSAGE_BYTES_MAX)? else {
            self.state = State::Answered(answered);
            return Ok(());
        };
        let (remote_hello, remote_static) = read_message(&mut answered.noise, message)?;
        self.inbox.clear();
        let Answered { noise, psk_index } = *answered;
        self.state = State::Done(Box::new(Done { noise, remote_static, remote_hello, psk_index }));
        Ok(())
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Listening(_) => "Handshake(listening)",
            State::Asked(_) => "Handshake(asked)",
            State::Answered(_) => "Handshake(answered)",
            State::Done(_) => "Handshake(done)",
            State::Failed => "Handshake(failed)",
        })
    }
}

/// Returns the message in `bytes`, once whole. Its length must lie in `allowed`.
fn whole_message(bytes: &[u8], allowed: core::ops::RangeInclusive<usize>) -> Result<Option<&[u8]>, HandshakeError> {
    let Some((length, message)) = bytes.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes(*length));
    if !allowed.contains(&length) {
        return Err(HandshakeError::Length(length));
    }
    Ok((message.len() == length).then_some(message))
}

/// Tries message 1, with a psk against each open invite in turn: a wrong one fails the tag.
fn read_first(
    listening: &Listening,
    pattern: Pattern,
    preamble: &[u8; Preamble::LEN],
    message: &[u8],
) -> Result<(HandshakeState, Option<usize>), HandshakeError> {
    let mut noise = noise::builder(pattern, listening.entropy.clone())
        .prologue(preamble)
        .and_then(|builder| builder.local_private_key(listening.secret.as_slice()))
        .and_then(snow::Builder::build_responder)
        .expect("every prerequisite is given");
    match pattern {
        Pattern::Xx => {
            noise.read_message(message, &mut []).map_err(|_| HandshakeError::Refused)?;
            Ok((noise, None))
        }
        Pattern::XxPsk0 => {
            let index = listening.psks.iter().position(|psk| {
                noise.set_psk(0, psk.as_slice()).is_ok() && noise.read_message(message, &mut []).is_ok()
            });
            Ok((noise, Some(index.ok_or(HandshakeError::NoInvite)?)))
        }
    }
}

/// Reads a message with the peer's static key and Hello.
fn read_message(noise: &mut HandshakeState, message: &[u8]) -> Result<(Vec<u8>, [u8; 32]), HandshakeError> {
    let mut hello = vec![0; message.len()];
    let length = noise.read_message(message, &mut hello).map_err(|_| HandshakeError::Refused)?;
    if length > HELLO_BYTES_MAX {
        return Err(HandshakeError::Length(message.len()));
    }
    hello.truncate(length);
    let remote_static =
        noise.get_remote_static().and_then(|bytes| bytes.try_into().ok()).ok_or(HandshakeError::Refused)?;
    Ok((hello, remote_static))
}

/// Appends a message with its length.
fn write_message(noise: &mut HandshakeState, payload: &[u8], out: &mut Vec<u8>) -> Result<(), HandshakeError> {
    let start = out.len();
    out.resize(start + LENGTH_BYTES + MESSAGE_BYTES_MAX, 0);
    let (length_bytes, message) = out[start..].split_at_mut(LENGTH_BYTES);
    // Fails only if the peer's key is weak: the payloads of this side are bounded.
    let length = noise.write_message(payload, message).map_err(|_| HandshakeError::Refused)?;
    length_bytes.copy_from_slice(&(length as u16).to_be_bytes());
    out.truncate(start + LENGTH_BYTES + length);
    Ok(())
}

#[cfg(test)]
mod tests;
