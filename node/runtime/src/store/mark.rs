//! A mark beside the data file, left when the store closes: whoever finds the file just so need not check its pages.
//!
//! It is a hint. Without it, or when anything of the file is not as it says, the pages are checked; it is not made durable.

use super::{DATA_FILE, SYNC_FAILED_FILE};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The mark's name in the data directory.
const MARK_FILE: &str = "closed";

/// What the file is known by: its size, and when it was changed.
fn known_by(dir: &Path) -> Option<String> {
    let data = fs::metadata(dir.join(DATA_FILE)).ok()?;
    let (size, inode) = (data.size(), data.ino());
    let (mtime, ctime) = ((data.mtime(), data.mtime_nsec()), (data.ctime(), data.ctime_nsec()));
    Some(format!("{size} {inode} {}.{:09} {}.{:09}\n", mtime.0, mtime.1, ctime.0, ctime.1))
}

/// Leaves the mark: nothing is written to the file any more.
pub(super) fn leave(dir: &Path) {
    let Some(text) = known_by(dir) else { return };
    if dir.join(SYNC_FAILED_FILE).exists() {
        return;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    // A mark that is missing or cut off costs a check of the pages, and nothing else.
    drop(options.open(dir.join(MARK_FILE)).and_then(|mut file| file.write_all(text.as_bytes())));
}

/// Takes the mark away, and returns whether it fits the file.
pub(super) fn take(dir: &Path) -> bool {
    let path = dir.join(MARK_FILE);
    let Ok(text) = fs::read_to_string(&path) else { return false };
    fs::remove_file(&path).is_ok() && Some(text) == known_by(dir)
}
