//! What the command line needs of a node in its own process: make one, open one, check and restore backups.

use std::path::Path;

use cosmicsync_node::service::ServiceError;
use cosmicsync_node::{Node, Options};
pub(crate) use cosmicsync_node::{init, restore_backup, verify_backup};

use crate::config::Config;

/// Opens the node of a directory and takes its lock. It listens and dials only if `links`.
pub(crate) async fn open(dir: &Path, config: &Config, links: bool) -> Result<Node, ServiceError> {
    let options = Options {
        listen: links.then_some(config.net.listen),
        peers: config.net.peers.clone(),
        links_max: usize::try_from(config.net.links_max).unwrap_or(usize::MAX),
        strangers_max: usize::try_from(config.net.strangers_max).unwrap_or(usize::MAX),
        bytes_max: config.store.bytes_max,
    };
    Node::open(dir, options).await
}
