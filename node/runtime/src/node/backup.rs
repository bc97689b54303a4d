//! Backups: made from a running node; verified and restored without one.

use super::Acting;
use super::blame::{backup_error, snapshot_error};
use crate::backup;
use crate::backup::{BackupError, Summary};
use crate::clock::wall_ms;
use crate::service::{Backup, ErrorCode, Item, PIECE_BYTES_MAX, Progress, Reply, Secret, ServiceError};
use cosmicsync_protocol::storage::Table;
use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

/// Least number of characters in a backup's passphrase.
const PASSPHRASE_CHARS_MIN: usize = 8;

impl Acting<'_> {
    pub(super) async fn backup_create(
        &self,
        passphrase: Secret,
        items: &mpsc::Sender<Item>,
    ) -> Result<Reply, ServiceError> {
        if passphrase.0.chars().count() < PASSPHRASE_CHARS_MIN {
            let message = format!(
                "a passphrase needs {PASSPHRASE_CHARS_MIN} characters or more: somebody with the file can try any number of them"
            );
            return Err(ServiceError::new(ErrorCode::Refused, message).next("the same with a longer passphrase"));
        }
        self.handle()?.with(|core| core.available()).await??;
        // The backup includes all writes from before the command.
        self.durable().await?;
        if self.dir.is_none() {
            let message = "this node is embedded in a program, which keeps the store and must copy it";
            return Err(ServiceError::new(ErrorCode::Refused, message));
        }
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Arc::clone);
        let store = store.ok_or_else(crate::driver::stopping)?;
        self.note_audit("backup_create", String::new(), true).await;
        let items = items.clone();
        let written = spawn_blocking(move || {
            let snapshot = store.snapshot().map_err(|error| snapshot_error(&error))?;
            drop(store);
            let tell = |summary: &Summary| {
                let progress =
                    Progress { done: summary.rows_total(), total: None, unit: "rows".to_owned(), note: String::new() };
                // A slow reader misses some progress.
                drop(items.try_send(Item::Progress(progress)));
            };
            let mut out = Pieces { items: &items, piece: Vec::new(), bytes: 0 };
            let summary = backup::create(&snapshot, &passphrase.0, &mut out, tell);
            let summary = summary.map_err(|error| backup_error(&error))?;
            out.flush().map_err(|error| backup_error(&BackupError::Io(error)))?;
            Ok(described(String::new(), &summary, out.bytes, wall_ms()))
        });
        written.await.map_err(|_| crate::driver::stopping())?.map(Reply::Backup)
    }
}

/// Sends a backup in pieces. Waits while they are not taken, and fails once the receiver is gone.
struct Pieces<'a> {
    items: &'a mpsc::Sender<Item>,
    piece: Vec<u8>,
    bytes: u64,
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        self.bytes += bytes.len() as u64;
        if self.piece.len() >= PIECE_BYTES_MAX / 2 {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = Item::Bytes(core::mem::take(&mut self.piece));
        self.items.blocking_send(piece).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

/// A backup to read: a file, or a stream that can be read once.
pub struct BackupSource {
    /// The name of the file or stream.
    pub name: String,
    /// The backup's bytes.
    pub input: Box<dyn Read + Send>,
    /// The time at which the backup was made, in milliseconds since the Unix epoch.
    pub made_ms: u64,
}

impl core::fmt::Debug for BackupSource {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BackupSource").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Verifies every byte of a backup.
///
/// # Errors
/// If the backup is damaged, or the passphrase is wrong.
pub async fn verify_backup(source: BackupSource, passphrase: &Secret) -> Result<Backup, ServiceError> {
    read(source, passphrase, |file, passphrase| backup::verify(file, passphrase, |_| {})).await
}

/// Restores a data directory from a backup.
///
/// # Errors
/// As [`verify_backup`], or if the directory is not empty or cannot be written.
pub async fn restore_backup(source: BackupSource, passphrase: &Secret, dir: &Path) -> Result<Backup, ServiceError> {
    let dir = dir.to_owned();
    let restore = move |file: &mut Counted, passphrase: &str| {
        let new = !dir.exists();
        if new {
            crate::store::make_dir(&dir)?;
        }
        let restored = backup::restore(file, passphrase, &dir, |_| {});
        if new && restored.is_err() {
            // Removes the directory only if it is empty; the first error is the one to report.
            drop(fs::remove_dir(&dir));
        }
        restored
    };
    read(source, passphrase, restore).await
}

/// A reader that counts the bytes of a backup.
type Counted = BufReader<Counter>;

struct Counter {
    input: Box<dyn Read + Send>,
    bytes: u64,
}

impl Read for Counter {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.bytes += count as u64;
        Ok(count)
    }
}

async fn read(
    source: BackupSource,
    passphrase: &Secret,
    work: impl FnOnce(&mut Counted, &str) -> Result<Summary, BackupError> + Send + 'static,
) -> Result<Backup, ServiceError> {
    let passphrase = passphrase.clone();
    let done = spawn_blocking(move || {
        let mut file = BufReader::new(Counter { input: source.input, bytes: 0 });
        let summary = work(&mut file, &passphrase.0).map_err(|error| backup_error(&error))?;
        let bytes = file.get_ref().bytes - file.buffer().len() as u64;
        Ok(described(source.name, &summary, bytes, source.made_ms))
    });
    done.await.map_err(|_| crate::driver::stopping())?
}

fn described(path: String, summary: &Summary, bytes: u64, created_at: u64) -> Backup {
    let (spaces, entries) = (summary.rows[Table::Space as usize], summary.rows[Table::Entry as usize]);
    Backup { path, bytes, spaces, entries, created_at }
}
