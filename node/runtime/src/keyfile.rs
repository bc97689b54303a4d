//! The key file: what seals the store, and what tells whether this is still the store that wrote its logs.
//!
//! A store that is copied, moved or put back from a copy must not go on with its logs: two stores would write the
//! same log. So the file holds a fingerprint of the place where it was made (machine, directory, and the file
//! itself, all of which a copy changes), and [`KeyFile::open_or_create`] says whether that place is this one.
//! It never enters a backup and never leaves the data directory (`spec/storage.md`).

use crate::store::{DATA_FILE, SYNC_FAILED_FILE, StoreKey, make_dir, sync_dir};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The key file, in the data directory.
pub const KEY_FILE: &str = "keys";

const MAGIC: &[u8; 16] = b"cosmicsync keys\n";
const VERSION: u8 = 1;
const CHECK_BYTES: usize = 8;
const FILE_BYTES: usize = MAGIC.len() + 1 + 32 + 16 + 32 + CHECK_BYTES;

/// No place: what a restored store starts with.
const NOWHERE: [u8; 32] = [0; 32];

/// The keys of a data directory.
#[derive(Debug, Clone)]
pub struct KeyFile {
    dir: PathBuf,
    store_key: StoreKey,
    lineage: [u8; 16],
}

/// Whether the store may go on with the logs that it wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// This is the place where the logs were written.
    Continued,
    /// It is not, or it can't be told: end the logs and start new ones, then call [`KeyFile::renew`].
    Broken {
        /// What was noticed.
        why: LeaseBreak,
    },
}

/// Why a [`Lease`] is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseBreak {
    /// The key file was just made: there is nothing to go on with.
    New,
    /// The store came from a backup.
    Restored,
    /// The machine, the directory or the key file is another one: a copy, or a move.
    Moved,
    /// The disk failed to confirm a write the last time.
    SyncFailed,
}

/// Why the key file could not be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Others than the owner may read or write it.
    #[error("other users can read {path}: run `chmod 600 {path}`, and if others were on this machine, make a new device", path = path.display())]
    TooOpen {
        /// The key file.
        path: PathBuf,
    },
    /// A store is there without its keys.
    #[error("{} holds a store but no key file: put `{KEY_FILE}` back, or restore a backup into another directory", dir.display())]
    Missing {
        /// The data directory.
        dir: PathBuf,
    },
    /// A newer program wrote it.
    #[error("{} has format {found}, but this program knows only up to {known}: use a newer version of the program", path.display())]
    Newer {
        /// The key file.
        path: PathBuf,
        /// The format on disk.
        found: u8,
        /// The newest format that this program reads.
        known: u8,
    },
    /// It is not what this program wrote.
    #[error("{} is damaged: put a good copy back, or restore a backup into another directory", path.display())]
    Damaged {
        /// The key file.
        path: PathBuf,
    },
    /// The disk refused.
    #[error("can't use {}: {error}", path.display())]
    Disk {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: start the program again")]
    NoEntropy,
}

impl KeyFile {
    /// Reads the key file of the data directory `dir`, or makes directory and file if there are none.
    ///
    /// A broken lease stays broken until [`Self::renew`], so a crash in between loses nothing.
    ///
    /// # Errors
    /// [`KeyFileError`], if the file is unsafe, damaged, newer, or missing beside a store.
    pub fn open_or_create(dir: &Path) -> Result<(Self, Lease), KeyFileError> {
        let path = dir.join(KEY_FILE);
        if let Some(opened) = Self::open(dir, &path)? {
            return Ok(opened);
        }
        let exists = dir.join(DATA_FILE).try_exists();
        if exists.map_err(|error| KeyFileError::Disk { path: dir.into(), error })? {
            return Err(KeyFileError::Missing { dir: dir.into() });
        }
        make_dir(dir).map_err(|error| KeyFileError::Disk { path: dir.into(), error })?;
        let made = Self::random(dir)?;
        match made.write(here) {
            Ok(()) => Ok((made, Lease::Broken { why: LeaseBreak::New })),
            Err(error) => Err(KeyFileError::Disk { path, error }),
        }
    }

    /// Makes the key file of a directory that is being restored: a new key, a new lineage, a lease that is broken.
    pub(crate) fn create_restored(dir: &Path) -> Result<Self, KeyFileError> {
        let made = Self::random(dir)?;
        made.write(|_, _| Ok(NOWHERE)).map_err(|error| KeyFileError::Disk { path: dir.join(KEY_FILE), error })?;
        Ok(made)
    }

    /// The key for [`crate::store::LmdbStore::open`].
    pub const fn store_key(&self) -> &StoreKey {
        &self.store_key
    }

    /// Names one unbroken life of a store: it changes with every [`Self::renew`].
    pub const fn lineage(&self) -> [u8; 16] {
        self.lineage
    }

    /// Binds the file to this place, under a new lineage. Call it while the store is open, once it has durably
    /// ended what a broken lease forbids to go on with.
    ///
    /// # Errors
    /// If the disk refuses; the old file stands.
    pub fn renew(&mut self) -> Result<(), KeyFileError> {
        let mut renewed = Self { lineage: [0; 16], ..self.clone() };
        getrandom::fill(&mut renewed.lineage).map_err(|_| KeyFileError::NoEntropy)?;
        let disk = |path: PathBuf| move |error| KeyFileError::Disk { path, error };
        renewed.write(here).map_err(disk(self.dir.join(KEY_FILE)))?;
        *self = renewed;
        let mark = self.dir.join(SYNC_FAILED_FILE);
        match fs::remove_file(&mark) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(disk(mark)(error)),
            _ => Ok(()),
        }
    }

    fn random(dir: &Path) -> Result<Self, KeyFileError> {
        let mut bytes = Zeroizing::new([0; 32]);
        let mut lineage = [0; 16];
        getrandom::fill(&mut *bytes).map_err(|_| KeyFileError::NoEntropy)?;
        getrandom::fill(&mut lineage).map_err(|_| KeyFileError::NoEntropy)?;
        Ok(Self { dir: dir.into(), store_key: StoreKey::new(*bytes), lineage })
    }

    fn open(dir: &Path, path: &Path) -> Result<Option<(Self, Lease)>, KeyFileError> {
        let disk = |error| KeyFileError::Disk { path: path.into(), error };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(disk(error)),
        };
        let metadata = file.metadata().map_err(disk)?;
        if metadata.mode() & 0o077 != 0 {
            return Err(KeyFileError::TooOpen { path: path.into() });
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES + 1));
        (&file).take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(disk)?;
        let (opened, place) = Self::decode(dir, path, &bytes)?;
        let why = if place == NOWHERE {
            LeaseBreak::Restored
        } else if place != here(dir, &metadata).map_err(disk)? {
            LeaseBreak::Moved
        } else if dir.join(SYNC_FAILED_FILE).try_exists().map_err(disk)? {
            LeaseBreak::SyncFailed
        } else {
            return Ok(Some((opened, Lease::Continued)));
        };
        Ok(Some((opened, Lease::Broken { why })))
    }

    fn decode(dir: &Path, path: &Path, bytes: &[u8]) -> Result<(Self, [u8; 32]), KeyFileError> {
        let damaged = || KeyFileError::Damaged { path: path.into() };
        let (&found, body) = bytes.strip_prefix(MAGIC).and_then(<[u8]>::split_first).ok_or_else(damaged)?;
        if found > VERSION {
            return Err(KeyFileError::Newer { path: path.into(), found, known: VERSION });
        }
        let (all, sum) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or_else(damaged)?;
        let body: &[u8; 32 + 16 + 32 + CHECK_BYTES] = body.try_into().map_err(|_| damaged())?;
        if found != VERSION || *sum != check(all) {
            return Err(damaged());
        }
        let (mut key, mut lineage, mut place) = (Zeroizing::new([0; 32]), [0; 16], [0; 32]);
        key.copy_from_slice(&body[..32]);
        lineage.copy_from_slice(&body[32..48]);
        place.copy_from_slice(&body[48..80]);
        Ok((Self { dir: dir.into(), store_key: StoreKey::new(*key), lineage }, place))
    }

    /// Writes the file whole or not at all.
    fn write(&self, place: impl FnOnce(&Path, &Metadata) -> io::Result<[u8; 32]>) -> io::Result<()> {
        let making = self.dir.join("keys.new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&making)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES));
        bytes.extend_from_slice(MAGIC);
        bytes.push(VERSION);
        bytes.extend_from_slice(self.store_key.as_bytes());
        bytes.extend_from_slice(&self.lineage);
        bytes.extend_from_slice(&place(&self.dir, &file.metadata()?)?);
        let sum = check(&bytes);
        bytes.extend_from_slice(&sum);
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&making, self.dir.join(KEY_FILE))?;
        sync_dir(&self.dir)
    }
}

fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let mut sum = [0; CHECK_BYTES];
    sum.copy_from_slice(&blake3::derive_key("cosmicsync key file check 1", bytes)[..CHECK_BYTES]);
    sum
}

/// The fingerprint of a place: this machine, that directory, that file.
fn here(dir: &Path, file: &Metadata) -> io::Result<[u8; 32]> {
    let dir = fs::metadata(dir)?;
    let mut hasher = blake3::Hasher::new_derive_key("cosmicsync place 1");
    for source in ["/etc/machine-id", "/proc/sys/kernel/hostname"] {
        // Not every machine has these; without them the inodes alone tell.
        let text = fs::read(source).unwrap_or_default();
        hasher.update(&(text.len() as u64).to_be_bytes());
        hasher.update(&text);
    }
    for number in [dir.dev(), dir.ino(), file.dev(), file.ino()] {
        hasher.update(&number.to_be_bytes());
    }
    Ok(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    fn broken(why: LeaseBreak) -> Lease {
        Lease::Broken { why }
    }

    #[test]
    fn a_new_file_is_private_and_continues_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("data");
        let (made, lease) = KeyFile::open_or_create(&home).unwrap();
        assert_eq!(lease, broken(LeaseBreak::New));
        assert_eq!(fs::metadata(home.join(KEY_FILE)).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&home).unwrap().mode() & 0o777, 0o700);
        let (read, lease) = KeyFile::open_or_create(&home).unwrap();
        assert_eq!(lease, Lease::Continued);
        assert_eq!((read.store_key().as_bytes(), read.lineage()), (made.store_key().as_bytes(), made.lineage()));
    }

    #[test]
    fn a_copy_breaks_the_lease_until_it_is_renewed() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("a"), dir.path().join("b"));
        let (made, _) = KeyFile::open_or_create(&first).unwrap();
        fs::create_dir(&second).unwrap();
        fs::copy(first.join(KEY_FILE), second.join(KEY_FILE)).unwrap();
        let (mut copy, lease) = KeyFile::open_or_create(&second).unwrap();
        assert_eq!(lease, broken(LeaseBreak::Moved));
        assert_eq!(KeyFile::open_or_create(&second).unwrap().1, broken(LeaseBreak::Moved));
        copy.renew().unwrap();
        assert_ne!(copy.lineage(), made.lineage());
        assert_eq!(copy.store_key().as_bytes(), made.store_key().as_bytes());
        assert_eq!(KeyFile::open_or_create(&second).unwrap().1, Lease::Continued);
        assert_eq!(KeyFile::open_or_create(&first).unwrap().1, Lease::Continued);
    }

    #[test]
    fn a_copy_put_back_in_place_breaks_the_lease() {
        let dir = tempfile::tempdir().unwrap();
        KeyFile::open_or_create(dir.path()).unwrap();
        let (path, saved) = (dir.path().join(KEY_FILE), dir.path().join("saved"));
        fs::copy(&path, &saved).unwrap();
        fs::rename(&saved, &path).unwrap();
        assert_eq!(KeyFile::open_or_create(dir.path()).unwrap().1, broken(LeaseBreak::Moved));
    }

    #[test]
    fn a_failed_sync_breaks_the_lease_until_it_is_renewed() {
        let dir = tempfile::tempdir().unwrap();
        KeyFile::open_or_create(dir.path()).unwrap();
        fs::write(dir.path().join(SYNC_FAILED_FILE), "").unwrap();
        let (mut keys, lease) = KeyFile::open_or_create(dir.path()).unwrap();
        assert_eq!(lease, broken(LeaseBreak::SyncFailed));
        keys.renew().unwrap();
        assert_eq!(KeyFile::open_or_create(dir.path()).unwrap().1, Lease::Continued);
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
                Err(KeyFileError::Newer { found: 0x81, .. }) if newer => {}
                Err(KeyFileError::Damaged { .. }) if !newer => {}
                other => panic!("byte {at}: {other:?}"),
            }
            fs::write(&path, &good[..at]).unwrap();
            assert!(matches!(KeyFile::open_or_create(dir.path()), Err(KeyFileError::Damaged { .. })));
        }
    }
}
