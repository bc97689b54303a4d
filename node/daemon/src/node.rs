//! What the command line needs of a node in its own process: make one, open one, check and restore backups.

use std::path::Path;
use std::sync::Arc;

use cosmicsync_node::service::{Backend, Backup, ErrorCode, Secret, ServiceError, Status};

use crate::config::Config;

/// Makes a user and a device in a directory that holds none, and returns the new node's status.
#[expect(clippy::unused_async, reason = "the node's own calls are async")]
pub(crate) async fn init(_dir: &Path, _name: &str) -> Result<Status, ServiceError> {
    Err(absent())
}

/// Opens the node of a directory and takes its lock. It listens and dials only if `links`.
#[expect(clippy::unused_async, reason = "the node's own calls are async")]
pub(crate) async fn open(_dir: &Path, _config: &Config, _links: bool) -> Result<Arc<dyn Backend>, ServiceError> {
    Err(absent())
}

/// Checks every byte of a backup.
#[expect(clippy::unused_async, reason = "the node's own calls are async")]
pub(crate) async fn verify_backup(_path: &Path, _passphrase: &Secret) -> Result<Backup, ServiceError> {
    Err(absent())
}

/// Makes a data directory from a backup.
#[expect(clippy::unused_async, reason = "the node's own calls are async")]
pub(crate) async fn restore_backup(_path: &Path, _passphrase: &Secret, _dir: &Path) -> Result<Backup, ServiceError> {
    Err(absent())
}

fn absent() -> ServiceError {
    ServiceError::new(ErrorCode::Unavailable, "this build cannot open a store itself").next("cosmicsync up")
}
