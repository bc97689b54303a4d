//! Start-up: opens the store, reads it, and builds the core.

use super::peers::Peers;
use super::state::{ACCOUNT_ROWS, AUDIT_ROWS, Core, NAME_ROW, PEER_ROWS, TOKEN_ROWS};
use super::store::{Disk, Store, store_error};
use crate::clock::Clock;
use crate::node::accounts::Accounts;
use crate::node::audit::AuditLog;
use crate::node::tokens::{self, Tokens};
use crate::service::{ErrorCode, ServiceError};
use cosmicsync_data::database::Database;
use cosmicsync_protocol::Recovery;
use cosmicsync_protocol::config::Config;
use cosmicsync_protocol::endpoint::Step;
use cosmicsync_protocol::ledger::RecoverError;
use cosmicsync_protocol::storage::{Read, Row, Scan, StoreDone, StoreId, StoreRequest, Table};
use std::collections::BTreeMap;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Size of the node's own rows per read, in bytes.
const OWN_ROWS_BYTES: usize = 1 << 20;

/// A source of randomness: returns 32 bytes per call that nobody else can know.
///
/// All keys of a node derive from these bytes, so only a simulation may return the same bytes again.
pub type Seeds = Box<dyn FnMut() -> std::io::Result<[u8; 32]> + Send>;

/// An open store and the core over it.
pub(super) struct Started<S> {
    pub(super) store: S,
    pub(super) completions: UnboundedReceiver<StoreDone>,
    pub(super) core: Core,
    /// Addresses in the store.
    pub(super) addresses: Vec<String>,
}

/// Opens the store and recovers the core.
pub(super) async fn start<C: Clock, D: Disk>(
    clock: &C,
    disk: &mut D,
    config: &Config,
    seeds: &mut Seeds,
) -> Result<Started<D::Store>, ServiceError> {
    let (done, mut completions) = unbounded_channel();
    let store = disk.open(done)?;
    let own = own_rows(&store, &mut completions).await?;
    let mut recovery = Recovery::new(config.clone(), seed(seeds)?);
    let endpoint = loop {
        while let Some(request) = recovery.poll_store() {
            submit(&store, request)?;
        }
        let completion = completions.recv().await.ok_or_else(gone)?;
        match recovery.step(clock.now(), completion).map_err(|error| recover_error(&error))? {
            Step::More(more) => recovery = more,
            Step::Ready(endpoint) => break *endpoint,
        }
    };
    let mut addresses = Vec::new();
    let mut name = None;
    let mut tokens = Tokens::new();
    let (mut accounts, mut audit) = (Accounts::default(), AuditLog::default());
    for (key, value) in own {
        if let Some(address) = key.strip_prefix(PEER_ROWS) {
            addresses.extend(String::from_utf8(address.to_vec()).ok());
        } else if key == NAME_ROW {
            name = String::from_utf8(value.to_vec()).ok();
        } else if key.starts_with(ACCOUNT_ROWS) {
            accounts.read_row(&key, &value);
        } else if key.starts_with(AUDIT_ROWS) {
            audit.read_row(&value);
        } else {
            tokens.extend(tokens::read_row(&key, &value));
        }
    }
    let mut core = Core::new(Database::new(endpoint), clock.now(), Peers::new(Vec::new(), seed(seeds)?));
    (core.tokens, core.accounts, core.audit) = (tokens, accounts, audit);
    core.name = name.unwrap_or_else(host_name);
    core.db.follow_indexes(clock.now());
    let mut started = Started { store, completions, core, addresses };
    settle(clock, &mut started).await?;
    Ok(started)
}

/// Carries out the reads and writes of the recovery.
async fn settle<C: Clock, S: Store>(clock: &C, started: &mut Started<S>) -> Result<(), ServiceError> {
    loop {
        while started.core.pump(Some(&started.store), &BTreeMap::new())?.0 {}
        if let Some(error) = &started.core.failure {
            return Err(store_error(error));
        }
        if started.core.db.endpoint().stats().store_requests == 0 {
            return Ok(());
        }
        let completion = started.completions.recv().await.ok_or_else(gone)?;
        started.core.now = clock.now();
        started.core.db.handle_stored(started.core.now, completion);
    }
}

/// Reads the node's own rows.
async fn own_rows<S: Store>(
    store: &S,
    completions: &mut UnboundedReceiver<StoreDone>,
) -> Result<Vec<Row>, ServiceError> {
    let mut found = Vec::new();
    for prefix in [PEER_ROWS, NAME_ROW, TOKEN_ROWS, ACCOUNT_ROWS, AUDIT_ROWS] {
        let mut from = prefix.to_vec();
        let mut to = prefix.to_vec();
        to.push(0xff);
        loop {
            let scan = Scan::of(Table::App, from.clone().into(), to.clone().into(), OWN_ROWS_BYTES);
            submit(store, StoreRequest::Scan { id: StoreId(u64::MAX), scan, read: Read::Ordered })?;
            let (rows, more) = match completions.recv().await.ok_or_else(gone)? {
                StoreDone::Scanned { rows, more, .. } => (rows, more),
                StoreDone::Failed { error, .. } => return Err(store_error(&error)),
                StoreDone::Committed { .. } | StoreDone::Got { .. } => (Vec::new(), false),
            };
            if let Some((last, _)) = rows.last() {
                from = [last, &[0][..]].concat();
            }
            found.extend(rows);
            if !more {
                break;
            }
        }
    }
    Ok(found)
}

pub(super) fn submit<S: Store>(store: &S, request: StoreRequest) -> Result<(), ServiceError> {
    store.submit(request).map_err(|_| gone())
}

/// Returns the error for a store whose thread is gone.
pub(super) fn gone() -> ServiceError {
    ServiceError::new(ErrorCode::Internal, "the store stopped: look at the log, then start the node again")
        .next("cosmicsync up")
}

fn recover_error(error: &RecoverError) -> ServiceError {
    match error {
        RecoverError::Store(error) => store_error(error),
        RecoverError::Config(_) => ServiceError::new(ErrorCode::Usage, error.to_string()),
        RecoverError::Row { .. } => ServiceError::new(ErrorCode::StoreDamaged, error.to_string())
            .next("cosmicsync --dir NEW_DIR backup restore FILE"),
    }
}

/// Returns the randomness of the operating system.
pub(crate) fn system_seeds() -> Seeds {
    Box::new(|| {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok(seed)
    })
}

/// Draws fresh randomness.
pub(super) fn seed(seeds: &mut Seeds) -> Result<[u8; 32], ServiceError> {
    seeds().map_err(|_| ServiceError::new(ErrorCode::Io, "the operating system gave no randomness: start again"))
}

/// Returns the default name of a device, the host name.
fn host_name() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = text.trim();
    if name.is_empty() { "device".to_owned() } else { name.to_owned() }
}
