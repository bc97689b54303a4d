//! A sealed stream: a header, then chunks. The stream knows nothing of rows.

use super::BackupError;
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use std::io::{BufRead, Read as _, Write};
use zeroize::Zeroizing;

const MAGIC: &[u8; 16] = b"cosmicsync back\n";
const VERSION: u8 = 1;
const CHUNK_BYTES: usize = 64 << 10;
const TAG_BYTES: usize = 16;
const SALT_BYTES: usize = 16;
const CHECK_BYTES: usize = 16;
const PREFIX_BYTES: usize = 19;
const HEADER_BYTES: usize = MAGIC.len() + 1 + 12 + SALT_BYTES + CHECK_BYTES + PREFIX_BYTES;

/// Cost of deriving a key from a passphrase with Argon2id: once for the user, for each guess of an attacker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Number of passes over that memory.
    pub passes: u32,
    /// Number of lanes.
    pub lanes: u32,
}

impl KdfCost {
    /// The cost of backups: 64 MiB, three passes (RFC 9106, section 4, second choice, with one lane).
    pub const STRONG: Self = Self { memory_kib: 64 << 10, passes: 3, lanes: 1 };

    /// The highest cost that a file may demand.
    const MAX: Self = Self { memory_kib: 256 << 10, passes: 16, lanes: 16 };

    fn fits(self) -> bool {
        self.memory_kib <= Self::MAX.memory_kib && self.passes <= Self::MAX.passes && self.lanes <= Self::MAX.lanes
    }
}

/// The start of a file. Every chunk is authenticated together with the whole header.
struct Header([u8; HEADER_BYTES]);

impl Header {
    fn part(&self, from: usize, len: usize) -> &[u8] {
        &self.0[from..from + len]
    }

    fn salt(&self) -> &[u8] {
        self.part(MAGIC.len() + 13, SALT_BYTES)
    }

    fn check(&self) -> &[u8] {
        self.part(MAGIC.len() + 13 + SALT_BYTES, CHECK_BYTES)
    }

    fn prefix(&self) -> &[u8] {
        self.part(HEADER_BYTES - PREFIX_BYTES, PREFIX_BYTES)
    }

    fn cost(&self) -> KdfCost {
        let number =
            |at: usize| u32::from_be_bytes(std::array::from_fn(|byte| self.0[MAGIC.len() + 1 + at * 4 + byte]));
        KdfCost { memory_kib: number(0), passes: number(1), lanes: number(2) }
    }
}

/// The cipher of one file and the position in it.
struct Chunks {
    cipher: XChaCha20Poly1305,
    header: Header,
    counter: u32,
}

impl Chunks {
    fn nonce(&mut self, last: bool) -> XNonce {
        let mut nonce = [0; 24];
        nonce[..PREFIX_BYTES].copy_from_slice(self.header.prefix());
        nonce[PREFIX_BYTES..23].copy_from_slice(&self.counter.to_be_bytes());
        nonce[23] = u8::from(last);
        self.counter = self.counter.checked_add(1).expect("no backup reaches 256 TiB");
        nonce.into()
    }
}

/// Derives the key of a file, and the header's value that detects a wrong passphrase.
fn derive(
    passphrase: &str,
    salt: &[u8],
    cost: KdfCost,
) -> Result<(Zeroizing<[u8; 32]>, [u8; CHECK_BYTES]), BackupError> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(|_| BackupError::TooCostly)?;
    let mut root = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, &mut *root)
        .map_err(|_| BackupError::TooCostly)?;
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&blake3::derive_key("cosmicsync backup check 1", &*root)[..CHECK_BYTES]);
    Ok((Zeroizing::new(blake3::derive_key("cosmicsync backup 1", &*root)), check))
}

/// Seals the bytes that are pushed into it.
pub(super) struct SealWriter<W> {
    out: W,
    chunks: Chunks,
    buffer: Vec<u8>,
}

impl<W: Write> SealWriter<W> {
    /// Writes the header.
    pub(super) fn new(mut out: W, passphrase: &str, cost: KdfCost) -> Result<Self, BackupError> {
        let mut random = [0; SALT_BYTES + PREFIX_BYTES];
        getrandom::fill(&mut random).map_err(|_| BackupError::NoEntropy)?;
        let (salt, prefix) = random.split_at(SALT_BYTES);
        let (key, check) = derive(passphrase, salt, cost)?;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.push(VERSION);
        for number in [cost.memory_kib, cost.passes, cost.lanes] {
            header.extend_from_slice(&number.to_be_bytes());
        }
        header.extend_from_slice(salt);
        header.extend_from_slice(&check);
        header.extend_from_slice(prefix);
        out.write_all(&header)?;
        let header = Header(header.try_into().expect("the fields make up HEADER_BYTES"));
        let chunks = Chunks { cipher: XChaCha20Poly1305::new((&*key).into()), header, counter: 0 };
        Ok(Self { out, chunks, buffer: Vec::with_capacity(CHUNK_BYTES + TAG_BYTES) })
    }

    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), BackupError> {
        while !bytes.is_empty() {
            if self.buffer.len() == CHUNK_BYTES {
                self.seal(false)?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Writes the last chunk.
    pub(super) fn finish(mut self) -> Result<(), BackupError> {
        self.seal(true)?;
        Ok(self.out.flush()?)
    }

    fn seal(&mut self, last: bool) -> Result<(), BackupError> {
        let nonce = self.chunks.nonce(last);
        let sealed = self.chunks.cipher.encrypt_in_place(&nonce, &self.chunks.header.0, &mut self.buffer);
        sealed.expect("a chunk is shorter than the cipher's limit");
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// Opens a stream written by a [`SealWriter`].
pub(super) struct OpenReader<R> {
    input: R,
    chunks: Chunks,
    buffer: Vec<u8>,
    at: usize,
    last: bool,
}

impl<R: BufRead> OpenReader<R> {
    /// Reads the header and derives the key.
    pub(super) fn new(mut input: R, passphrase: &str) -> Result<Self, BackupError> {
        let mut start = Vec::with_capacity(HEADER_BYTES);
        input.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut start)?;
        let found = *start.strip_prefix(MAGIC).and_then(<[u8]>::first).ok_or(BackupError::NotABackup)?;
        if found > VERSION {
            return Err(BackupError::Newer { found, known: VERSION });
        }
        let header = Header(start.try_into().map_err(|_| BackupError::Damaged)?);
        if found != VERSION {
            return Err(BackupError::NotABackup);
        }
        if !header.cost().fits() {
            return Err(BackupError::TooCostly);
        }
        let (key, check) = derive(passphrase, header.salt(), header.cost())?;
        if check != *header.check() {
            return Err(BackupError::WrongPassphrase);
        }
        let chunks = Chunks { cipher: XChaCha20Poly1305::new((&*key).into()), header, counter: 0 };
        Ok(Self { input, chunks, buffer: Vec::new(), at: 0, last: false })
    }

    /// Reads a fixed number of bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], BackupError> {
        Ok(self.take(N as u64)?.try_into().expect("take returns the length it was asked for"))
    }

    /// Reads `len` bytes. Allocates no more than has arrived.
    pub(super) fn take(&mut self, len: u64) -> Result<Vec<u8>, BackupError> {
        let mut taken = Vec::new();
        while (taken.len() as u64) < len {
            if self.at == self.buffer.len() {
                self.refill()?;
            }
            let here = &self.buffer[self.at..];
            let missing = usize::try_from(len - taken.len() as u64).unwrap_or(usize::MAX);
            let now = &here[..here.len().min(missing)];
            taken.extend_from_slice(now);
            self.at += now.len();
        }
        Ok(taken)
    }

    /// Checks that the stream has ended.
    pub(super) const fn end(&self) -> Result<(), BackupError> {
        if self.last && self.at == self.buffer.len() { Ok(()) } else { Err(BackupError::Damaged) }
    }

    fn refill(&mut self) -> Result<(), BackupError> {
        if self.last {
            return Err(BackupError::Damaged);
        }
        self.buffer.clear();
        self.at = 0;
        self.input.by_ref().take((CHUNK_BYTES + TAG_BYTES) as u64).read_to_end(&mut self.buffer)?;
        self.last = self.input.fill_buf()?.is_empty();
        let nonce = self.chunks.nonce(self.last);
        let opened = self.chunks.cipher.decrypt_in_place(&nonce, &self.chunks.header.0, &mut self.buffer);
        opened.map_err(|_| BackupError::Damaged)
    }
}
