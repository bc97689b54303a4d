//! A mark beside the data file, written when the store closes. A start that finds the file unchanged since then need
//! not check its pages.
//!
//! The mark is a hint and not durable. If it is missing or does not match the file, the pages are checked.

use super::{DATA_FILE, SYNC_FAILED_FILE};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Name of the mark in the data directory.
const MARK_FILE: &str = "closed";

/// Returns the file's identity: its size, inode and times of change.
fn known_by(dir: &Path) -> Option<String> {
    let data = fs::metadata(dir.join(DATA_FILE)).ok()?;
    let (size, inode) = (data.size(), data.ino());
    let (mtime, ctime) = ((data.mtime(), data.mtime_nsec()), (data.ctime(), data.ctime_nsec()));
    Some(format!("{size} {inode} {}.{:09} {}.{:09}\n", mtime.0, mtime.1, ctime.0, ctime.1))
}

/// Writes the mark; nothing is written to the data file afterwards.
pub(super) fn leave(dir: &Path) {
    let Some(text) = known_by(dir) else { return };
    if dir.join(SYNC_FAILED_FILE).exists() {
        return;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    // A missing or incomplete mark only costs a check of the pages.
    drop(options.open(dir.join(MARK_FILE)).and_then(|mut file| file.write_all(text.as_bytes())));
}

/// Removes the mark, and returns whether it matches the file.
pub(super) fn take(dir: &Path) -> bool {
    let path = dir.join(MARK_FILE);
    let Ok(text) = fs::read_to_string(&path) else { return false };
    fs::remove_file(&path).is_ok() && Some(text) == known_by(dir)
}
