//! Opens and creates a store: lock, format, key, tables, in this order. Nothing is written before the first three are
//! checked.

use super::check::{self, Damage, Root};
use super::engine::{Db, Engine};
use super::lock::{DirLock, sync_dir};
use super::seal::{Sealer, StoreKey};
use super::{DATA_FILE, mark};
use cosmicsync_protocol::entropy::Entropy;
use cosmicsync_protocol::storage::Table;
use heed::types::Bytes as RawBytes;
use heed::{CommitOrAbort, Database, Env, EnvOpenOptions, WithoutTls};
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The store format that this program writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 2;

/// The oldest store format that this program reads: without the tables of [`ADDED`].
const FORMAT_MIN: u32 = 1;

/// Tables that a store of an older format gets when it is opened. A program that knows only the older format would not
/// keep them up to date.
const ADDED: [Table; 2] = [Table::Term, Table::Keys];

/// Name of the database with the store's own rows. No request reaches it and no backup includes it.
const OWN_NAME: &str = "store";
const FORMAT_KEY: &[u8] = b"format";
const CHECK_KEY: &[u8] = b"key";

/// Name of the directory in which a store is created before it is renamed, so that a crash leaves nothing incomplete.
const CREATING_DIR: &str = "creating";

const DBS_MAX: u32 = 32;

/// Size up to which all pages of a file are checked if no store closed it properly, in bytes; this takes about a
/// second.
const CHECKED_BYTES_MAX: u64 = 1 << 30;

/// Smallest map, in bytes: room for the empty tables and one page of each.
const MAP_BYTES_MIN: usize = 1 << 20;

/// Options of a store. The defaults suit a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreOptions {
    /// Initial size of the memory map, in bytes. The map grows by itself; it takes address space, not memory.
    pub map_bytes: usize,
    /// Number of waiting requests from which on a submitter waits too.
    pub queue_max: usize,
    /// Largest number of commits that share one sync.
    pub group_commits_max: usize,
    /// Largest size of the keys and values that share one sync, in bytes; a single larger commit is possible.
    pub group_bytes_max: usize,
    /// Largest size of the rows that one scan returns, in bytes, whatever it requests; a single larger row is possible.
    pub scan_bytes_max: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            map_bytes: 1 << 30,
            queue_max: 4096,
            group_commits_max: 1024,
            group_bytes_max: 16 << 20,
            scan_bytes_max: 16 << 20,
        }
    }
}

/// Errors of opening a store. An error leaves everything unchanged.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or this one, has the store open.
    #[error("{} is in use by {holder}: stop it first, or choose another data directory", dir.display())]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// Description of the lock's holder.
        holder: String,
    },
    /// A newer program wrote the store.
    #[error("{} has store format {found}, but this program knows only up to {known}: use a newer version of the program", dir.display())]
    Newer {
        /// The data directory.
        dir: PathBuf,
        /// The format on disk.
        found: u32,
        /// The newest format that this program reads.
        known: u32,
    },
    /// The data file is not a store, or its first pages are damaged.
    #[error("{} is not a store, or is damaged: restore a backup, or choose another data directory", path.display())]
    NotAStore {
        /// The data file.
        path: PathBuf,
    },
    /// Pages of the data file are missing or damaged.
    #[error("{} is damaged ({what}): restore a backup", path.display())]
    Damaged {
        /// The data file.
        path: PathBuf,
        /// The error.
        what: String,
    },
    /// The key file does not belong to the store.
    #[error("the key file in {} does not belong to the store there: put back the one that was made with it, or restore a backup", dir.display())]
    WrongKey {
        /// The data directory.
        dir: PathBuf,
    },
    /// The disk refused access.
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

/// Opens or creates the store in `dir`.
pub(super) fn open(dir: &Path, key: &StoreKey, options: &StoreOptions) -> Result<Engine, OpenError> {
    let disk = |error| OpenError::Disk { path: dir.into(), error };
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| OpenError::NoEntropy)?;
    make_dir(dir).map_err(disk)?;
    let dir = &dir.canonicalize().map_err(disk)?;
    let lock = Arc::new(DirLock::take(dir)?);
    let path = dir.join(DATA_FILE);
    if !path.try_exists().map_err(disk)? {
        create(dir, key)?;
    }
    let file_bytes = check_file(dir, &path)?;
    let map_bytes = map_bytes(options.map_bytes, usize::try_from(file_bytes).unwrap_or(usize::MAX / 4));
    let env = open_env(dir, map_bytes).map_err(|error| blame(dir, error))?;
    if check_own_rows(dir, key, &env)? < FORMAT {
        open_tables(dir, &env, &ADDED)?;
        create_tables(&env, &ADDED, key).map_err(|error| blame(dir, error))?;
    }
    let tables = open_tables(dir, &env, &[])?;
    Ok(Engine::new(env, tables, Sealer::new(key), Entropy::new(seed), lock))
}

/// Checks the data file before it is mapped, unless a store closed it properly. Returns its size.
fn check_file(dir: &Path, path: &Path) -> Result<u64, OpenError> {
    let disk = |error| OpenError::Disk { path: path.into(), error };
    let blame = |damage| match damage {
        Damage::Io(error) => disk(error),
        damage @ Damage::Page { .. } => OpenError::Damaged { path: path.into(), what: damage.to_string() },
    };
    let left_so = mark::take(dir);
    let file = fs::File::open(path).map_err(disk)?;
    let bytes = file.metadata().map_err(disk)?.len();
    let root = Root::newest(&file).map_err(|damage| match damage {
        Damage::Io(error) => disk(error),
        Damage::Page { .. } => OpenError::NotAStore { path: path.into() },
    })?;
    // The pages of a large file are left to `doctor`, unless some are known to be missing.
    if !left_so && (bytes <= CHECKED_BYTES_MAX || !root.fits(bytes)) {
        check::check(&file).map_err(blame)?;
    }
    Ok(bytes)
}

/// Creates the directory if it does not exist, and makes that durable in its parent.
pub(crate) fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

/// Creates an empty store under another name, then renames it.
fn create(dir: &Path, key: &StoreKey) -> Result<(), OpenError> {
    let making = dir.join(CREATING_DIR);
    let disk = |error| OpenError::Disk { path: making.clone(), error };
    fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(disk)?;
    if making.try_exists().map_err(disk)? {
        fs::remove_dir_all(&making).map_err(disk)?;
    }
    DirBuilder::new().mode(0o700).create(&making).map_err(disk)?;
    let env = open_env(&making, MAP_BYTES_MIN).map_err(|error| blame(&making, error))?;
    create_tables(&env, &Table::ALL, key).map_err(|error| blame(&making, error))?;
    drop(env);
    fs::set_permissions(making.join(DATA_FILE), Permissions::from_mode(0o600)).map_err(disk)?;
    fs::rename(making.join(DATA_FILE), dir.join(DATA_FILE)).map_err(disk)?;
    fs::remove_dir_all(&making).map_err(disk)?;
    sync_dir(dir).map_err(disk)
}

/// Creates tables and writes the format, in one transaction.
fn create_tables(env: &Env<WithoutTls>, tables: &[Table], key: &StoreKey) -> heed::Result<()> {
    let wtxn = env.write_txn()?;
    let created = env.create_databases_and_commit(wtxn, |opener, wtxn| {
        for table in tables {
            opener.create_database::<RawBytes, RawBytes>(wtxn, Some(table.name()))?;
        }
        let own: Database<RawBytes, RawBytes> = opener.create_database(wtxn, Some(OWN_NAME))?;
        own.put(wtxn, FORMAT_KEY, &FORMAT.to_be_bytes())?;
        own.put(wtxn, CHECK_KEY, &key.check_value())?;
        Ok::<_, heed::Error>(CommitOrAbort::<(), ()>::Commit(()))
    });
    created.map(drop)
}

/// Opens all tables except `but`; the opened ones must exist.
fn open_tables(dir: &Path, env: &Env<WithoutTls>, but: &[Table]) -> Result<Vec<Db>, OpenError> {
    let rtxn = env.read_txn().map_err(|error| blame(dir, error))?;
    let opened = env.open_databases_and_commit(rtxn, |opener, rtxn| {
        let open = |table: Table| opener.open_database::<RawBytes, RawBytes>(rtxn, Some(table.name()));
        let opened = Table::ALL.map(|table| (!but.contains(&table)).then(|| open(table)));
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(opened))
    });
    let tables = match opened.map_err(|error| blame(dir, error))? {
        CommitOrAbort::Commit(tables) => tables,
        CommitOrAbort::Abort(()) => return Err(OpenError::NotAStore { path: dir.join(DATA_FILE) }),
    };
    let tables = tables.into_iter().flatten().map(|table| match table {
        Ok(Some(table)) => Ok(table),
        Ok(None) => Err(OpenError::NotAStore { path: dir.join(DATA_FILE) }),
        Err(error) => Err(blame(dir, error)),
    });
    tables.collect()
}

/// Checks the format and the key. Returns the format.
fn check_own_rows(dir: &Path, key: &StoreKey, env: &Env<WithoutTls>) -> Result<u32, OpenError> {
    let rtxn = env.read_txn().map_err(|error| blame(dir, error))?;
    let found = env.open_databases_and_commit(rtxn, |opener, rtxn| {
        let Some(own) = opener.open_database::<RawBytes, RawBytes>(rtxn, Some(OWN_NAME))? else {
            return Ok(CommitOrAbort::Abort(None));
        };
        let format = own.get(rtxn, FORMAT_KEY)?.and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        let fits = own.get(rtxn, CHECK_KEY)? == Some(&key.check_value());
        Ok::<_, heed::Error>(CommitOrAbort::<(), _>::Abort(format.map(|format| (format, fits))))
    });
    let found = match found.map_err(|error| blame(dir, error))? {
        CommitOrAbort::Commit(()) => None,
        CommitOrAbort::Abort(found) => found,
    };
    match found {
        Some((found, _)) if found > FORMAT => Err(OpenError::Newer { dir: dir.into(), found, known: FORMAT }),
        Some((found, true)) if found >= FORMAT_MIN => Ok(found),
        Some((found, false)) if found >= FORMAT_MIN => Err(OpenError::WrongKey { dir: dir.into() }),
        Some(_) | None => Err(OpenError::NotAStore { path: dir.join(DATA_FILE) }),
    }
}

/// Returns the size of the map for an existing file: at least half of it stays free.
fn map_bytes(asked: usize, file_bytes: usize) -> usize {
    asked.max(file_bytes.saturating_mul(2)).max(MAP_BYTES_MIN).next_power_of_two()
}

#[expect(unsafe_code, reason = "heed's one entry point")]
fn open_env(dir: &Path, map_bytes: usize) -> heed::Result<Env<WithoutTls>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(map_bytes).max_dbs(DBS_MAX).max_readers(16);
    // SAFETY: the map is undefined if another process or store changes the file under it. `DirLock` keeps every other
    // process and store of this program out of the directory. LMDB's own lock file is left to LMDB, and no flag is set
    // that would turn off its locks or syncs.
    unsafe { options.open(dir) }
}

/// Returns the error for a fault of the caller, the file or the disk.
fn blame(dir: &Path, error: heed::Error) -> OpenError {
    let path = dir.join(DATA_FILE);
    match error {
        heed::Error::Io(error) => OpenError::Disk { path, error },
        heed::Error::EnvAlreadyOpened => OpenError::Locked { dir: dir.into(), holder: "this process".into() },
        heed::Error::Mdb(_) | heed::Error::Encoding(_) | heed::Error::Decoding(_) => OpenError::NotAStore { path },
    }
}

/// Rewrites the format of a closed store, as a newer program would.
#[cfg(test)]
pub(super) fn tests_write_format(dir: &Path, format: u32) {
    let env = open_env(dir, MAP_BYTES_MIN).unwrap();
    let wtxn = env.write_txn().unwrap();
    let written = env.create_databases_and_commit(wtxn, |opener, wtxn| {
        let own: Database<RawBytes, RawBytes> = opener.create_database(wtxn, Some(OWN_NAME))?;
        own.put(wtxn, FORMAT_KEY, &format.to_be_bytes())?;
        Ok::<_, heed::Error>(CommitOrAbort::<(), ()>::Commit(()))
    });
    written.map(drop).unwrap();
}

/// Creates a store of [`FORMAT_MIN`]; it may lack more tables than that format did.
#[cfg(test)]
pub(super) fn tests_create_oldest(dir: &Path, key: &StoreKey, without: &[Table]) {
    let env = open_env(dir, MAP_BYTES_MIN).unwrap();
    let lacks = |table: &Table| ADDED.contains(table) || without.contains(table);
    let tables: Vec<Table> = Table::ALL.into_iter().filter(|table| !lacks(table)).collect();
    create_tables(&env, &tables, key).unwrap();
    drop(env);
    tests_write_format(dir, FORMAT_MIN);
}
