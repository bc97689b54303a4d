//! Backups: all rows of a store in one sealed file, taken while the node runs.
//!
//! The file is a header (magic, version, Argon2id parameters, salt, key check, nonce prefix) and 64 KiB chunks, sealed
//! with XChaCha20-Poly1305 in the STREAM construction. The nonce holds the chunk's number and a mark for the last one,
//! so chunks cannot be dropped, repeated, reordered or cut off. Rows come in the order of table and key.
//!
//! A backup never holds the store's incarnation, temporary rows, tokens or the key file. A restored store gets an
//! incarnation and a key of its own (`spec/storage.md`).

mod stream;
#[cfg(test)]
mod tests;

pub use stream::KdfCost;

use crate::driver::TOKEN_ROWS;
use crate::keyfile::{KeyFile, KeyFileError};
use crate::store::{LmdbStore, OpenError, Snapshot, SnapshotError, StoreOptions, StoreStopped, sync_dir};
use bytes::Bytes;
use cosmicsync_protocol::storage::rows::{META_FEED, META_INCARNATION};
use cosmicsync_protocol::storage::{KEY_BYTES_MAX, Op, StoreDone, StoreError, StoreId, StoreRequest, Table};
use std::fs;
use std::io::{self, BufRead, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use stream::{OpenReader, SealWriter};

/// Marks the end, after the last row.
const END_TAG: u8 = 0xff;

/// Number of bytes of rows per read of the snapshot, and per write to the restored store.
const BATCH_BYTES: usize = 4 << 20;

/// Content of a backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Number of rows in each table, in the order of [`Table::ALL`].
    pub rows: [u64; Table::ALL.len()],
    /// Size of all keys and values, in bytes.
    pub bytes: u64,
}

impl Summary {
    /// Returns the number of rows in all tables. It only grows while a backup is made or read, so it measures progress.
    pub fn rows_total(&self) -> u64 {
        self.rows.iter().sum()
    }

    fn count(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.rows[table as usize] += 1;
        self.bytes += (key.len() + value.len()) as u64;
    }
}

/// Errors of making, reading or restoring a backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The passphrase is not the one of the backup.
    #[error("the passphrase is wrong, or the start of the backup is damaged: try again, or use another backup")]
    WrongPassphrase,
    /// The file was changed or truncated.
    #[error("the backup is damaged or incomplete: use another one")]
    Damaged,
    /// The file is not a backup.
    #[error("this file is not a backup")]
    NotABackup,
    /// A newer program wrote the file.
    #[error(
        "the backup has format {found}, but this program knows only up to {known}: use a newer version of the program"
    )]
    Newer {
        /// The format of the file.
        found: u8,
        /// The newest format that this program reads.
        known: u8,
    },
    /// The file demands more memory or time than any backup of this program.
    #[error("the backup asks for more memory or time to open than this program gives: use another one")]
    TooCostly,
    /// The target directory is not empty.
    #[error("{} is not empty: choose a directory that is empty or not there yet", dir.display())]
    NotEmpty {
        /// The target directory.
        dir: PathBuf,
    },
    /// The store's rows could not be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The new store could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new key file could not be written.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The new store could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The new store has stopped.
    #[error(transparent)]
    Stopped(#[from] StoreStopped),
    /// A file could not be read or written.
    #[error("can't read or write the backup: {0}")]
    Io(#[from] io::Error),
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: start the program again")]
    NoEntropy,
}

/// Writes all rows of `snapshot` to `out`, sealed under `passphrase`. Calls `progress` after every batch.
///
/// # Errors
/// [`BackupError::Snapshot`] if the store outgrew the snapshot: take another one and try again.
pub fn create(
    snapshot: &Snapshot,
    passphrase: &str,
    out: impl Write,
    progress: impl FnMut(&Summary),
) -> Result<Summary, BackupError> {
    create_with(snapshot, passphrase, KdfCost::STRONG, out, progress)
}

/// Writes a backup like [`create`], at another cost of the key. Costs below [`KdfCost::STRONG`] are for tests only.
///
/// # Errors
/// As [`create`].
pub fn create_with(
    snapshot: &Snapshot,
    passphrase: &str,
    cost: KdfCost,
    out: impl Write,
    mut progress: impl FnMut(&Summary),
) -> Result<Summary, BackupError> {
    let mut out = SealWriter::new(out, passphrase, cost)?;
    let mut summary = Summary::default();
    for table in Table::ALL {
        let mut after: Option<Bytes> = None;
        loop {
            let rows = snapshot.rows(table, after.as_deref(), BATCH_BYTES)?;
            let Some((last, _)) = rows.last() else { break };
            after = Some(last.clone());
            for (key, value) in rows.iter().filter(|(key, _)| !is_left_out(table, key)) {
                write_row(&mut out, table, key, value)?;
                summary.count(table, key, value);
            }
            progress(&summary);
        }
    }
    out.push(&[END_TAG])?;
    out.push(&summary.rows_total().to_be_bytes())?;
    out.finish()?;
    Ok(summary)
}

/// Reads a backup to its end, checks every byte and returns a summary.
///
/// # Errors
/// If the passphrase is wrong, or if the file was changed or truncated.
pub fn verify(
    input: impl BufRead,
    passphrase: &str,
    mut progress: impl FnMut(&Summary),
) -> Result<Summary, BackupError> {
    let mut rows = RowReader::new(input, passphrase)?;
    while rows.next_batch()?.is_some() {
        progress(&rows.summary);
    }
    Ok(rows.summary)
}

/// Restores a store in `dir` from a backup, with a key file of its own. `dir` must be empty or not exist; it appears
/// only once everything is restored and durable.
///
/// # Errors
/// As [`verify`], or if the directory is not empty or cannot be written; then nothing is left behind.
pub fn restore(
    input: impl BufRead,
    passphrase: &str,
    dir: &Path,
    progress: impl FnMut(&Summary),
) -> Result<Summary, BackupError> {
    let empty = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => return Err(error.into()),
    };
    if !empty {
        return Err(BackupError::NotEmpty { dir: dir.into() });
    }
    fs::create_dir_all(dir)?;
    let dir = dir.canonicalize()?;
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(format!(".restoring-{}", std::process::id()));
    let making = dir.with_file_name(name);
    let fill = || -> Result<Summary, BackupError> {
        let summary = fill(input, passphrase, &making, progress)?;
        sync_dir(&making)?;
        // A rename replaces an empty directory.
        fs::rename(&making, &dir)?;
        sync_dir(parent(&dir))?;
        Ok(summary)
    };
    let restored = fill();
    if restored.is_err() {
        // The first error is the one to report.
        drop(fs::remove_dir_all(&making));
    }
    restored
}

fn fill(
    input: impl BufRead,
    passphrase: &str,
    dir: &Path,
    mut progress: impl FnMut(&Summary),
) -> Result<Summary, BackupError> {
    let mut rows = RowReader::new(input, passphrase)?;
    crate::store::make_dir(dir)?;
    let keys = KeyFile::create(dir)?;
    let (sender, done): (_, Receiver<StoreDone>) = channel();
    let store = LmdbStore::open(dir, keys.store_key(), StoreOptions::default(), move |one| {
        // The receiver is gone if an earlier batch failed.
        drop(sender.send(one));
    })?;
    while let Some(ops) = rows.next_batch()? {
        store.submit(StoreRequest::Commit { id: StoreId(rows.summary.rows_total()), ops })?;
        match done.recv() {
            Ok(StoreDone::Failed { error, .. }) => return Err(error.into()),
            Ok(_) => progress(&rows.summary),
            Err(_) => return Err(StoreStopped.into()),
        }
    }
    Ok(rows.summary)
}

/// Returns whether a row never enters a backup. Peers' positions in the journal are not valid in a restored store,
/// temporary rows are of no use there, and tokens are of one device.
fn is_left_out(table: Table, key: &[u8]) -> bool {
    (table == Table::Meta && (key == META_INCARNATION || key == META_FEED))
        || (table == Table::App && (key.starts_with(b"tmp/") || key.starts_with(TOKEN_ROWS)))
        || table.stays_out_of_backups()
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a row: table (1 byte), key length (1 byte; 0 if over 255, followed by 2 bytes, big endian), key, value length
/// (8 bytes, big endian) and value.
fn write_row(out: &mut SealWriter<impl Write>, table: Table, key: &[u8], value: &[u8]) -> Result<(), BackupError> {
    match u8::try_from(key.len()) {
        Ok(len) => out.push(&[table as u8, len])?,
        Err(_) => {
            let len = u16::try_from(key.len()).expect("a store holds no key longer than KEY_BYTES_MAX");
            out.push(&[table as u8, 0])?;
            out.push(&len.to_be_bytes())?;
        }
    }
    out.push(key)?;
    out.push(&(value.len() as u64).to_be_bytes())?;
    out.push(value)
}

/// Reads rows in batches. Every returned byte was authenticated.
struct RowReader<R> {
    input: OpenReader<R>,
    summary: Summary,
    ended: bool,
}

impl<R: BufRead> RowReader<R> {
    fn new(input: R, passphrase: &str) -> Result<Self, BackupError> {
        Ok(Self { input: OpenReader::new(input, passphrase)?, summary: Summary::default(), ended: false })
    }

    /// Returns about [`BATCH_BYTES`] of rows; `None` at the end.
    fn next_batch(&mut self) -> Result<Option<Vec<Op>>, BackupError> {
        let mut ops = Vec::new();
        let start = self.summary.bytes;
        while !self.ended && self.summary.bytes - start < BATCH_BYTES as u64 {
            match self.next_row()? {
                Some(row) => ops.push(row),
                None => self.ended = true,
            }
        }
        Ok((!ops.is_empty()).then_some(ops))
    }

    fn next_row(&mut self) -> Result<Option<Op>, BackupError> {
        let [tag] = self.input.array()?;
        if tag == END_TAG {
            let total = u64::from_be_bytes(self.input.array()?);
            self.input.end()?;
            return if total == self.summary.rows_total() { Ok(None) } else { Err(BackupError::Damaged) };
        }
        let table = *Table::ALL.get(usize::from(tag)).ok_or(BackupError::Damaged)?;
        let key_len = match self.input.array()? {
            [0] => usize::from(u16::from_be_bytes(self.input.array()?)),
            [len] => usize::from(len),
        };
        if key_len == 0 || key_len > KEY_BYTES_MAX {
            return Err(BackupError::Damaged);
        }
        let key = self.input.take(key_len as u64)?;
        if is_left_out(table, &key) {
            return Err(BackupError::Damaged);
        }
        let value_len = u64::from_be_bytes(self.input.array()?);
        let value = self.input.take(value_len)?;
        self.summary.count(table, &key, &value);
        Ok(Some(Op::Put { table, key: key.into(), value: value.into() }))
    }
}
