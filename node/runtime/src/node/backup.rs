//! Backups: made from a running node, checked and restored without one.

use super::Node;
use super::blame::{backup_error, snapshot_error};
use crate::backup;
use crate::backup::{BackupError, Summary};
use crate::clock::wall_ms;
use crate::service::{Backup, ErrorCode, Item, Progress, Reply, Secret, ServiceError};
use cosmicsync_protocol::storage::Table;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::UNIX_EPOCH;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

/// Characters of a passphrase that seals a backup, at least.
const PASSPHRASE_CHARS_MIN: usize = 8;

impl Node {
    pub(super) async fn backup_create(
        &self,
        path: String,
        passphrase: Secret,
        items: &mpsc::Sender<Item>,
    ) -> Result<Reply, ServiceError> {
        if passphrase.0.chars().count() < PASSPHRASE_CHARS_MIN {
            let message = format!(
                "a passphrase has {PASSPHRASE_CHARS_MIN} characters or more: whoever has the file can try any number of them"
            );
            return Err(ServiceError::new(ErrorCode::Refused, message).next("the same with a longer passphrase"));
        }
        self.handle()?.with(|core| core.available()).await??;
        // What was written before the command is in the backup.
        self.durable().await?;
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Arc::clone);
        let store = store.ok_or_else(crate::driver::stopping)?;
        let (items, path) = (items.clone(), PathBuf::from(path));
        let written = spawn_blocking(move || {
            let snapshot = store.snapshot().map_err(|error| snapshot_error(&error))?;
            drop(store);
            let tell = |summary: &Summary| {
                let progress =
                    Progress { done: summary.rows_total(), total: None, unit: "rows".to_owned(), note: String::new() };
                // Whoever reads progress slowly misses some of it.
                drop(items.try_send(Item::Progress(progress)));
            };
            let summary = backup::create_file(&snapshot, &passphrase.0, &path, tell);
            let summary = summary.map_err(|error| backup_error(&error))?;
            Ok(described(&path, &summary, wall_ms()))
        });
        written.await.map_err(|_| crate::driver::stopping())?.map(Reply::Backup)
    }
}

/// Checks every byte of a backup.
///
/// # Errors
/// If it is damaged, or the passphrase is not its own.
pub async fn verify_backup(path: &Path, passphrase: &Secret) -> Result<Backup, ServiceError> {
    read(path, passphrase, |file, passphrase| backup::verify(file, passphrase, |_| {})).await
}

/// Makes a data directory from a backup.
///
/// # Errors
/// As [`verify_backup`]; and if the directory is not empty, or the disk refuses.
pub async fn restore_backup(path: &Path, passphrase: &Secret, dir: &Path) -> Result<Backup, ServiceError> {
    let dir = dir.to_owned();
    let restore = move |file: std::io::BufReader<fs::File>, passphrase: &str| {
        let new = !dir.exists();
        if new {
            crate::store::make_dir(&dir)?;
        }
        let restored = backup::restore(file, passphrase, &dir, |_| {});
        if new && restored.is_err() {
            // Only if it is empty, and the first error is the one to tell.
            drop(fs::remove_dir(&dir));
        }
        restored
    };
    read(path, passphrase, restore).await
}

async fn read(
    path: &Path,
    passphrase: &Secret,
    work: impl FnOnce(std::io::BufReader<fs::File>, &str) -> Result<Summary, BackupError> + Send + 'static,
) -> Result<Backup, ServiceError> {
    let (path, passphrase) = (path.to_owned(), passphrase.clone());
    let done = spawn_blocking(move || {
        let failed = |error: &std::io::Error| ServiceError::io(format!("cannot read {}", path.display()), error);
        let made = fs::metadata(&path).and_then(|metadata| metadata.modified()).map_err(|error| failed(&error))?;
        let made_ms = made.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let file = backup::open_file(&path).map_err(|error| backup_error(&error))?;
        let summary = work(file, &passphrase.0).map_err(|error| backup_error(&error))?;
        Ok(described(&path, &summary, u64::try_from(made_ms).unwrap_or_default()))
    });
    done.await.map_err(|_| crate::driver::stopping())?
}

fn described(path: &Path, summary: &Summary, created_at: u64) -> Backup {
    Backup {
        path: path.display().to_string(),
        bytes: fs::metadata(path).map(|metadata| metadata.len()).unwrap_or_default(),
        spaces: summary.rows[Table::Space as usize],
        entries: summary.rows[Table::Entry as usize],
        created_at,
    }
}
