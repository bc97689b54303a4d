//! A data directory that nobody may write to: a mount that is read only, a copy on a disc. What it holds can be read.
//!
//! A node writes as it opens, and LMDB wants its locks. So a copy is opened, in a directory that only its owner reads and that
//! goes with it; commands that would write are refused, for what they wrote would go too.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use cosmicsync_node::Node;
use cosmicsync_node::service::{Answer, Backend, Command, ErrorCode, Input, Item, ServiceError};
use tokio::sync::mpsc;

/// What a copy needs of a data directory.
const FILES: [&str; 2] = ["data.mdb", "keys"];

/// A copy that goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Copy {
    /// Where it is.
    pub(crate) dir: PathBuf,
}

impl Drop for Copy {
    fn drop(&mut self) {
        // Whoever cleans the directory for temporary files finds it otherwise.
        drop(fs::remove_dir_all(&self.dir));
    }
}

/// Returns whether a directory holds a store and takes no files.
pub(crate) fn is_read_only(dir: &Path) -> bool {
    let refused =
        |error: &io::Error| matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied);
    let lock = OpenOptions::new().write(true).create(true).truncate(false).open(dir.join("lock"));
    dir.join(FILES[0]).exists() && lock.is_err_and(|error| refused(&error))
}

impl Copy {
    /// Copies what a node needs.
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
                // The node says what is missing.
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
    // In this order: the node ends before its directory goes.
    node: Node,
    dir: PathBuf,
    _copy: Copy,
}

impl ReadOnly {
    /// Takes the node of a copy of `dir`.
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
