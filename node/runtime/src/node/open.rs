//! Opens a node: key file, store, recovery, core thread, listener.

use super::Node;
use super::acting::Acting;
use super::blame::{keyfile_error, space_error};
use super::handle::Handle;
use super::room::Limit;
use crate::clock::{Clock, SystemClock};
use crate::driver::{self, Disk, LmdbDisk, Seeds, Setup, Shared};
use crate::embed::Parts;
use crate::keyfile::{KEY_FILE, KeyFile};
use crate::net::{Net, Tcp};
use crate::service::{ErrorCode, Reply, ServiceError, Status};
use crate::store::{DATA_FILE, SYNC_FAILED_FILE, StoreOptions};
use cosmicsync_protocol::config::Config;
use cosmicsync_protocol::spaces::SpaceError;
use futures_util::FutureExt as _;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio::time::Instant;

/// Stack of the core thread, in bytes. Loro and Noise recurse, and documents of others determine the depth.
const CORE_STACK_BYTES: usize = 64 << 20;

/// Options of a node.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address to listen on; none for a node without links, opened for one command.
    pub listen: Option<SocketAddr>,
    /// Addresses to dial in addition to the stored ones.
    pub peers: Vec<String>,
    /// Largest number of open links to known devices.
    pub links_max: usize,
    /// Largest number of accepted connections that are not authenticated yet; beyond it, the oldest are closed.
    pub strangers_max: usize,
    /// Size of the store beyond which this node writes nothing, in bytes.
    pub bytes_max: u64,
    /// The place of that setting, for messages: a file and a line.
    pub bytes_max_place: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: None,
            peers: Vec::new(),
            links_max: 256,
            strangers_max: 128,
            bytes_max: 64 << 30,
            bytes_max_place: "the settings".to_owned(),
        }
    }
}

impl Node {
    /// Opens the node of a data directory and locks the directory.
    ///
    /// With links, an empty directory becomes a new device, which can join a space. Without links, an empty directory
    /// is the error `not_found`.
    ///
    /// # Errors
    /// If another process has the directory open, if its content is damaged, newer or not readable, or if the address
    /// cannot be bound.
    pub async fn open(dir: &Path, options: Options) -> Result<Self, ServiceError> {
        let exists = |name| dir.join(name).try_exists();
        let found = exists(KEY_FILE).and_then(|keys| Ok((keys, exists(DATA_FILE)?)));
        let found = found.map_err(|error| ServiceError::io(format!("cannot look into {}", dir.display()), &error))?;
        if found == (true, false) {
            let message =
                format!("{} is not there, though its key file is: it was lost", dir.join(DATA_FILE).display());
            let next = "cosmicsync --dir NEW_DIR backup restore FILE";
            return Err(ServiceError::new(ErrorCode::StoreDamaged, message).next(next));
        }
        let found = found.1 || found.0;
        if !found && options.listen.is_none() {
            let message = format!(
                "there is no node in {}: `init` makes a new user there; a device that is to join others starts with `up`",
                dir.display()
            );
            return Err(ServiceError::new(ErrorCode::NotFound, message).next("cosmicsync init"));
        }
        if let (false, Some(address)) = (found, options.listen) {
            // An address that is in use must not leave a new device behind.
            std::net::TcpListener::bind(address).map_err(|error| driver::cannot_listen(address, &error))?;
        }
        Self::open_or_create(dir, options).await
    }

    async fn open_or_create(dir: &Path, options: Options) -> Result<Self, ServiceError> {
        let keys = KeyFile::open_or_create(dir).map_err(|error| keyfile_error(&error))?;
        let shared = Shared::default();
        let disk = LmdbDisk {
            dir: dir.to_owned(),
            key: keys.store_key().clone(),
            options: StoreOptions::default(),
            shared: Shared::clone(&shared),
        };
        let (mut node, end, is_ready) = ends(options, driver::system_seeds(), Some(dir.to_owned()), shared);
        let thread = std::thread::Builder::new()
            .name("core".to_owned())
            .stack_size(CORE_STACK_BYTES)
            .spawn(move || core_thread(disk, end))
            .map_err(|error| ServiceError::io("cannot start the core thread", &error))?;
        node.thread = Some(thread);
        match is_ready.await {
            Ok(Ok(())) => clear_sync_failure(dir).map(|()| node),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(node.ended().await.err().unwrap_or_else(driver::stopping)),
        }
    }

    /// Returns a node of an embedder's own parts, and the future that runs it (see [`crate::embed`]).
    ///
    /// Commands wait until the node has started. The node ends like any other, and also if it is dropped. Dropping the
    /// future acts like a crash.
    pub fn embed<C: Clock, N: Net, D: Disk>(
        parts: Parts<C, N, D>,
        options: Options,
    ) -> (Self, impl Future<Output = Result<(), ServiceError>>) {
        let Parts { clock, net, disk, seeds } = parts;
        let (node, end, mut is_ready) = ends(options, seeds, None, Shared::default());
        let running = async move {
            let (ended, tell) = end.run(clock, net, disk).await;
            let ended = match is_ready.try_recv() {
                Ok(Err(error)) => Err(error),
                Ok(Ok(())) | Err(_) => ended,
            };
            // The node itself may be gone.
            drop(tell.send(ended.clone()));
            ended
        };
        (node, running)
    }

    /// Creates a user, with this device as the first. The returned status includes the recovery key, which is not
    /// stored.
    ///
    /// # Errors
    /// `conflict`, if the device has a user; otherwise as any command that writes.
    pub async fn found(&self, name: &str) -> Result<Status, ServiceError> {
        super::devices::check_name(name)?;
        let operator = self.acting(None)?;
        let recovery_key = operator.create_user(name.to_owned()).await?;
        let Reply::Status(mut status) = operator.status().await? else { return Err(super::handle::unexpected()) };
        status.recovery_key = Some(recovery_key);
        Ok(*status)
    }
}

/// The core's end of a node.
struct CoreEnd {
    setup: Setup,
    door: driver::Door,
    ready: oneshot::Sender<Result<(), ServiceError>>,
    tell: oneshot::Sender<Result<(), ServiceError>>,
}

impl CoreEnd {
    /// Runs the node until it ends. The end is reported last, when the store is closed.
    async fn run<C: Clock, N: Net, D: Disk>(
        self,
        clock: C,
        net: N,
        disk: D,
    ) -> (Result<(), ServiceError>, oneshot::Sender<Result<(), ServiceError>>) {
        let Self { setup, door, ready, tell } = self;
        let tasks = LocalSet::new();
        let ended = tasks.run_until(driver::run(clock, net, disk, setup, door, ready)).await;
        drop(tasks);
        (ended, tell)
    }
}

/// Returns both ends of a node, and the receiver that reports its start.
fn ends(
    options: Options,
    seeds: Seeds,
    dir: Option<PathBuf>,
    store: Shared,
) -> (Node, CoreEnd, oneshot::Receiver<Result<(), ServiceError>>) {
    let daemon = options.listen.is_some();
    // The driver enforces its own limit; the core's limit is for runtimes without one.
    let mut config = Config::default();
    config.handshakes_max = config.handshakes_max.max(options.strangers_max.saturating_mul(2));
    let setup = Setup {
        config,
        listen: options.listen,
        peers: options.peers,
        links_max: options.links_max,
        strangers_max: options.strangers_max,
        seeds,
    };
    let (handle, door) = Handle::new();
    let (ready, is_ready) = oneshot::channel();
    let (tell, ended) = oneshot::channel();
    let node = Node {
        handle: Some(handle),
        ended: ended.shared(),
        thread: None,
        store,
        dir,
        started: Instant::now(),
        daemon,
        limit: Limit { bytes: options.bytes_max, place: options.bytes_max_place },
        documents: std::sync::Mutex::default(),
        http: std::sync::OnceLock::new(),
        log: std::sync::OnceLock::new(),
    };
    (node, CoreEnd { setup, door, ready, tell }, is_ready)
}

/// Clears the mark of a disk failure, once the store has been read.
fn clear_sync_failure(dir: &Path) -> Result<(), ServiceError> {
    match std::fs::remove_file(dir.join(SYNC_FAILED_FILE)) {
        Ok(()) => tracing::warn!("the disk failed to confirm a write the last time: check the disk"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(ServiceError::io("cannot remove the mark of a failed disk", &error)),
    }
    Ok(())
}

fn core_thread(disk: LmdbDisk, end: CoreEnd) {
    let (ended, tell) = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(end.run(SystemClock::start(), Tcp, disk)),
        Err(error) => (Err(ServiceError::io("cannot start the runtime", &error)), end.tell),
    };
    if let Err(error) = &ended {
        tracing::error!(%error, "the node ends");
    }
    // The node itself may be gone.
    drop(tell.send(ended));
}

/// Creates a user in an empty directory, with this device as the first. The returned status includes the recovery key,
/// which is not stored.
///
/// # Errors
/// As [`Node::open`], and `conflict` if the device has a user.
pub async fn init(dir: &Path, name: &str) -> Result<Status, ServiceError> {
    super::devices::check_name(name)?;
    let node = Node::open_or_create(dir, Options::default()).await?;
    let made = node.found(name).await;
    node.acting(None)?.shut_down().await?;
    made
}

impl Acting<'_> {
    /// Creates a user; returns the recovery key as groups of hex digits.
    async fn create_user(&self, name: String) -> Result<String, ServiceError> {
        let made = self.handle()?.with(|core| core.db.spaces(core.now).create_user());
        let recovery = made.await?.map_err(|error| {
            if error == SpaceError::HasUser {
                let place = self.dir.as_ref().map_or("this node".to_owned(), |dir| dir.display().to_string());
                ServiceError::new(ErrorCode::Conflict, format!("{place} belongs to a user already"))
                    .next("cosmicsync status")
            } else {
                space_error(&error)
            }
        })?;
        self.rename(name).await?;
        let digits: String = recovery.secret().iter().map(|byte| format!("{byte:02x}")).collect();
        let groups: Vec<_> = digits.as_bytes().chunks(8).map(String::from_utf8_lossy).collect();
        Ok(groups.join("-"))
    }
}
