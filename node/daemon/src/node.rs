//! Nodes in this process: creates and opens them, and verifies and restores backups.

use std::path::Path;

use cosmicsync_node::service::{Client, ErrorCode, ServiceError, Status};
use cosmicsync_node::{Node, Options};
pub(crate) use cosmicsync_node::{restore_backup, verify_backup};

use crate::config::Loaded;

/// Opens the node of a directory and locks the directory. The node listens and dials only if `links`.
pub(crate) async fn open(dir: &Path, loaded: &Loaded, links: bool) -> Result<Node, ServiceError> {
    let config = &loaded.config;
    let options = Options {
        listen: links.then_some(config.net.listen),
        peers: config.net.peers.clone(),
        links_max: usize::try_from(config.net.links_max).unwrap_or(usize::MAX),
        strangers_max: usize::try_from(config.net.strangers_max).unwrap_or(usize::MAX),
        bytes_max: config.store.bytes_max,
        bytes_max_place: loaded.place(dir, "store.bytes_max"),
    };
    match Node::open(dir, options).await {
        Ok(node) => Ok(node),
        Err(error) => Err(who_holds(dir, error).await),
    }
}

/// Creates a user and its first device.
pub(crate) async fn init(dir: &Path, name: &str) -> Result<Status, ServiceError> {
    match cosmicsync_node::init(dir, name).await {
        Ok(status) => Ok(status),
        Err(error) => Err(who_holds(dir, error).await),
    }
}

/// Adds the next step to the error about a locked store: a daemon can be asked, but another command must end first.
async fn who_holds(dir: &Path, error: ServiceError) -> ServiceError {
    if error.code != ErrorCode::StoreLocked || matches!(Client::find(dir).await, Ok(Some(_))) {
        return error;
    }
    error.next("when that process has ended: cosmicsync status")
}
