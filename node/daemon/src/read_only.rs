//! Reading from a data directory that is not writable, such as a read-only mount.
//!
//! A node writes when it opens, and LMDB needs its locks. Therefore a copy is opened, in a temporary directory that
//! only its owner can read. Commands that write are refused, because their changes would be lost with the copy.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use cosmicsync_node::Node;
use cosmicsync_node::service::{Answer, Backend, Command, ErrorCode, Input, Item, ServiceError};
use tokio::sync::mpsc;

/// The files that a copy needs.
const FILES: [&str; 2] = ["data.mdb", "keys"];

/// A copy of a data directory, deleted when it is dropped.
#[derive(Debug)]
pub(crate) struct Copy {
    /// The directory of the copy.
    pub(crate) dir: PathBuf,
}

impl Drop for Copy {
    fn drop(&mut self) {
        // If this fails, a cleanup of the temporary directory removes it later.
        drop(fs::remove_dir_all(&self.dir));
    }
}

/// Returns whether a directory has a store and is not writable.
pub(crate) fn is_read_only(dir: &Path) -> bool {
    let refused =
        |error: &io::Error| matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied);
    let lock = OpenOptions::new().write(true).create(true).truncate(false).open(dir.join("lock"));
    dir.join(FILES[0]).exists() && lock.is_err_and(|error| refused(&error))
}

impl Copy {
    /// Copies the files that a node needs.
    pub(crate) fn of(dir: &Path, temporary: &Path) -> Result<Self, ServiceError> {
        let failed = |error: &io::Error| {
            let what = format!("{} is read only, and cannot be copied to {}", dir.display(), temporary.display());
            ServiceError::io(what, error)
        };
        let made = (0..100).find_map(|number| {
            let path = temporary.join(format!("cosmicsync-read-only-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => None,
                made => Some(made.map(|()| Self { dir: path })),
            }
        });
        let copy = made.unwrap_or_else(|| Err(ErrorKind::AlreadyExists.into())).map_err(|error| failed(&error))?;
        for name in FILES {
            match fs::copy(dir.join(name), copy.dir.join(name)) {
                Ok(_) => {}
                // The node reports a missing file.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        Ok(copy)
    }
}

/// The node of a copy.
#[derive(Debug)]
pub(crate) struct ReadOnly {
    // The order of the fields matters: the node ends before its directory is deleted.
    node: Node,
    dir: PathBuf,
    _copy: Copy,
}

impl ReadOnly {
    /// Returns the node of a copy of `dir`.
    pub(crate) fn new(node: Node, dir: &Path, copy: Copy) -> Self {
        Self { node, dir: dir.to_owned(), _copy: copy }
    }

    fn refusal(&self, command: &Command) -> Option<ServiceError> {
        command.writes().then(|| {
            let message = format!("{} is read only: it can be read, not written to", self.dir.display());
            ServiceError::new(ErrorCode::Io, message).next("cosmicsync --dir A_COPY_OF_IT status")
        })
    }
}

impl Backend for ReadOnly {
    fn call(&self, command: Command, items: mpsc::Sender<Item>) -> Answer<'_> {
        match self.refusal(&command) {
            Some(error) => Box::pin(async { Err(error) }),
            None => self.node.call(command, items),
        }
    }

    fn call_reading(&self, command: Command, input: Input, items: mpsc::Sender<Item>) -> Answer<'_> {
        match self.refusal(&command) {
            Some(error) => Box::pin(async { Err(error) }),
            None => self.node.call_reading(command, input, items),
        }
    }
}
