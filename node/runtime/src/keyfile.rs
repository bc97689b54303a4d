//! The key file: the key that seals the store.
//!
//! The file never enters a backup and never leaves the data directory (`spec/storage.md`). The keys of logs are never
//! on disk: they are only in the memory of the process that opened the log.

use crate::store::{DATA_FILE, StoreKey, make_dir, sync_dir};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Name of the key file in the data directory.
pub const KEY_FILE: &str = "keys";

const MAGIC: &[u8; 16] = b"cosmicsync keys\n";
const VERSION: u8 = 2;
const CHECK_BYTES: usize = 8;
const FILE_BYTES: usize = MAGIC.len() + 1 + 32 + CHECK_BYTES;

/// The keys of a data directory.
#[derive(Debug, Clone)]
pub struct KeyFile {
    store_key: StoreKey,
}

/// Errors of using the key file. An error leaves everything unchanged.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Other users than the owner may read or write the file.
    #[error("other users can read {path}: run `chmod 600 {path}`, and if others were on this machine, make a new device", path = path.display())]
    TooOpen {
        /// The key file.
        path: PathBuf,
    },
    /// There is a store without a key file.
    #[error("{} holds a store but no key file: put `{KEY_FILE}` back, or restore a backup into another directory", dir.display())]
    Missing {
        /// The data directory.
        dir: PathBuf,
    },
    /// A newer program wrote the file.
    #[error("{} has format {found}, but this program knows only up to {known}: use a newer version of the program", path.display())]
    Newer {
        /// The key file.
        path: PathBuf,
        /// The format on disk.
        found: u8,
        /// The newest format that this program reads.
        known: u8,
    },
    /// An older program wrote the file, and this program does not read its stores.
    #[error(
        "{} has format {found}, of an earlier version whose stores this program does not read: export the documents \
         with that version and import them into a new directory", path.display()
    )]
    Older {
        /// The key file.
        path: PathBuf,
        /// The format on disk.
        found: u8,
    },
    /// The content is not a key file.
    #[error("{} is damaged: put a good copy back, or restore a backup into another directory", path.display())]
    Damaged {
        /// The key file.
        path: PathBuf,
    },
    /// The operating system refused access.
    #[error("can't use {}: {error}", path.display())]
    Disk {
        /// The file or directory.
        path: PathBuf,
        /// The error.
        #[source]
        error: io::Error,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: start the program again")]
    NoEntropy,
}

impl KeyFile {
    /// Reads the key file of the data directory `dir`, or creates the directory and the file if they do not exist.
    ///
    /// # Errors
    /// [`KeyFileError`], if the file is unsafe, damaged, older, newer, or missing beside a store.
    pub fn open_or_create(dir: &Path) -> Result<Self, KeyFileError> {
        let path = dir.join(KEY_FILE);
        if let Some(opened) = Self::open(&path)? {
            return Ok(opened);
        }
        let exists = dir.join(DATA_FILE).try_exists();
        if exists.map_err(|error| KeyFileError::Disk { path: dir.into(), error })? {
            return Err(KeyFileError::Missing { dir: dir.into() });
        }
        make_dir(dir).map_err(|error| KeyFileError::Disk { path: dir.into(), error })?;
        Self::create(dir)
    }

    /// Creates the key file of a directory that has none.
    pub(crate) fn create(dir: &Path) -> Result<Self, KeyFileError> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes).map_err(|_| KeyFileError::NoEntropy)?;
        let made = Self { store_key: StoreKey::new(*bytes) };
        made.write(dir).map_err(|error| KeyFileError::Disk { path: dir.join(KEY_FILE), error })?;
        Ok(made)
    }

    /// Returns the key for [`crate::store::LmdbStore::open`].
    pub const fn store_key(&self) -> &StoreKey {
        &self.store_key
    }

    fn open(path: &Path) -> Result<Option<Self>, KeyFileError> {
        let disk = |error| KeyFileError::Disk { path: path.into(), error };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(disk(error)),
        };
        if file.metadata().map_err(disk)?.mode() & 0o077 != 0 {
            return Err(KeyFileError::TooOpen { path: path.into() });
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES + 1));
        (&file).take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(disk)?;
        Self::decode(path, &bytes).map(Some)
    }

    fn decode(path: &Path, bytes: &[u8]) -> Result<Self, KeyFileError> {
        let damaged = || KeyFileError::Damaged { path: path.into() };
        let (&found, body) = bytes.strip_prefix(MAGIC).and_then(<[u8]>::split_first).ok_or_else(damaged)?;
        if found > VERSION {
            return Err(KeyFileError::Newer { path: path.into(), found, known: VERSION });
        }
        if found < VERSION {
            return Err(KeyFileError::Older { path: path.into(), found });
        }
        let (all, sum) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or_else(damaged)?;
        let body: &[u8; 32 + CHECK_BYTES] = body.try_into().map_err(|_| damaged())?;
        if *sum != check(all) {
            return Err(damaged());
        }
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(&body[..32]);
        Ok(Self { store_key: StoreKey::new(*key) })
    }

    /// Writes the file atomically.
    fn write(&self, dir: &Path) -> io::Result<()> {
        let making = dir.join("keys.new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&making)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES));
        bytes.extend_from_slice(MAGIC);
        bytes.push(VERSION);
        bytes.extend_from_slice(self.store_key.as_bytes());
        let sum = check(&bytes);
        bytes.extend_from_slice(&sum);
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&making, dir.join(KEY_FILE))?;
        sync_dir(dir)
    }
}

fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let mut sum = [0; CHECK_BYTES];
    sum.copy_from_slice(&blake3::derive_key("cosmicsync key file check 1", bytes)[..CHECK_BYTES]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_new_file_is_private_and_read_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("data");
        let made = KeyFile::open_or_create(&home).unwrap();
        assert_eq!(fs::metadata(home.join(KEY_FILE)).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&home).unwrap().mode() & 0o777, 0o700);
        assert_eq!(KeyFile::open_or_create(&home).unwrap().store_key().as_bytes(), made.store_key().as_bytes());
    }

    #[test]
    fn a_file_of_an_earlier_version_is_refused_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY_FILE);
        fs::write(&path, [&MAGIC[..], &[1], &[7; 88]].concat()).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let error = KeyFile::open_or_create(dir.path()).unwrap_err();
        assert!(
            matches!(error, KeyFileError::Older { found: 1, .. }) && error.to_string().contains("export"),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        KeyFile::open_or_create(dir.path()).unwrap();
        let path = dir.path().join(KEY_FILE);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let error = KeyFile::open_or_create(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
    }

    #[test]
    fn a_store_without_its_keys_is_never_given_new_ones() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(DATA_FILE), "rows").unwrap();
        assert!(matches!(KeyFile::open_or_create(dir.path()), Err(KeyFileError::Missing { .. })));
        assert!(!dir.path().join(KEY_FILE).exists());
    }

    #[test]
    fn any_other_bytes_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        KeyFile::open_or_create(dir.path()).unwrap();
        let path = dir.path().join(KEY_FILE);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x80;
            fs::write(&path, bad).unwrap();
            let newer = at == MAGIC.len();
            match KeyFile::open_or_create(dir.path()) {
                Err(KeyFileError::Newer { found: 0x82, .. }) if newer => {}
                Err(KeyFileError::Damaged { .. }) if !newer => {}
                other => panic!("byte {at}: {other:?}"),
            }
            fs::write(&path, &good[..at]).unwrap();
            assert!(matches!(KeyFile::open_or_create(dir.path()), Err(KeyFileError::Damaged { .. })));
        }
    }
}
