//! The node: a store, its core thread, and the commands of the service interface.
//!
//! One thread named `core` owns the database and its tokio runtime; commands reach it as closures that never block.
//! Files are opened, read and written by the caller; their bytes are passed in pieces. An acknowledged write is
//! durable. Specified in `docs/cli.md`.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "an answer of another kind than the request's is our own bug, whichever kind it is"
)]

pub(crate) mod accounts;
mod acting;
pub(crate) mod audit;
mod backup;
mod blame;
mod collections;
mod devices;
mod docs;
mod export;
mod files;
mod handle;
mod import;
mod list;
mod open;
mod peers;
mod querying;
mod room;
mod rules;
mod schemas;
mod spaces;
mod status;
#[cfg(test)]
mod tests;
pub(crate) mod tokens;
mod watching;
mod write;

pub use backup::{BackupSource, restore_backup, verify_backup};
pub use open::{Options, init};

use crate::driver::Shared;
use crate::service::{Answer, Backend, Command, ErrorCode, Input, Item, LogTail, Reply, ServiceError, Who};
use acting::Acting;
use cosmicsync_protocol::sync::SpaceNo;
use futures_util::future;
use handle::Handle;
use room::Limit;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant};

/// The future end of a node, with its result.
///
/// Waiters wake in the order of their waits, unlike those of a `watch` channel, so that a simulation repeats itself.
type Ended = future::Shared<oneshot::Receiver<Result<(), ServiceError>>>;

/// An open node, which ends by [`Command::Shutdown`]. Dropping the node also ends it, and waits for the end.
#[derive(Debug)]
pub struct Node {
    /// `None` while the node is being dropped.
    handle: Option<Handle>,
    ended: Ended,
    thread: Option<JoinHandle<()>>,
    store: Shared,
    /// The data directory; none if an embedder keeps the store.
    dir: Option<PathBuf>,
    started: Instant,
    daemon: bool,
    limit: Limit,
    /// The number of documents of each space, with the number of changes at which it was counted.
    documents: Mutex<BTreeMap<SpaceNo, (u64, u64)>>,
    /// The URL of the HTTP API.
    http: OnceLock<String>,
    /// The last lines of the log, if the program keeps them.
    log: OnceLock<Arc<LogTail>>,
}

impl Node {
    /// Completes once the node has ended. Returns the error, unless the node was told to end.
    pub async fn ended(&self) -> Result<(), ServiceError> {
        match self.ended.clone().await {
            Ok(how) => how,
            Err(_) => Err(ServiceError::new(ErrorCode::Internal, "the core thread panicked: look at the log")),
        }
    }

    /// Sets the URL of the HTTP API, which the status reports.
    pub fn serves_http(&self, url: String) {
        // Only the first URL is kept.
        drop(self.http.set(url));
    }

    /// Makes the last lines of the log available to commands.
    pub fn keeps_log(&self, tail: Arc<LogTail>) {
        // Only the first one is kept.
        drop(self.log.set(tail));
    }

    fn is_over(&self) -> bool {
        self.handle.as_ref().is_none_or(Handle::is_closed)
    }

    fn handle(&self) -> Result<&Handle, ServiceError> {
        self.handle.as_ref().ok_or_else(crate::driver::stopping)
    }
}

impl Acting<'_> {
    async fn carry_out(
        &self,
        command: Command,
        input: Option<Input>,
        items: mpsc::Sender<Item>,
    ) -> Result<Reply, ServiceError> {
        write::check_reserved(&command)?;
        match command {
            Command::Status {} => self.status().await,
            Command::Doctor { space, doc } => self.doctor(space, doc).await,
            Command::PeerAdd { address } => self.peer_add(address).await,
            Command::PeerList {} => self.peer_list().await,
            Command::PeerRemove { address } => self.peer_remove(address).await,
            Command::PeerPause {} => self.peer_pause().await,
            Command::PeerResume {} => self.peer_resume().await,
            Command::DeviceRename { name } => self.device_rename(name).await,
            Command::DeviceList { space } => self.device_list(space).await,
            Command::SpaceCreate { name } => self.space_create(name).await,
            Command::SpaceList {} => self.space_list().await,
            Command::SpaceInvite { space, expires_ms } => self.space_invite(space, expires_ms).await,
            Command::SpaceJoin { invite } => self.space_join(&invite, &items).await,
            Command::SpaceFetch { space, bodies } => self.space_fetch(space, bodies).await,
            Command::PartitionCreate { space, name } => self.partition_create(space, name).await,
            Command::PartitionList { space } => self.partition_list(space).await,
            Command::CollectionList { space } => self.collection_list(space).await,
            Command::CollectionShow { space, collection } => self.collection_show(space, collection).await,
            Command::Query(query) => self.query(query, &items).await,
            Command::Live { query, since } => self.live(query, since, &items).await,
            Command::QueryPlan(query) => self.query_plan(query).await,
            Command::Count { query, by, measures } => self.count(query, by, measures).await,
            Command::IndexCreate { index, fields } => self.index_create(index, fields, &items).await,
            Command::IndexList { space, collection } => self.index_list(space, collection).await,
            Command::IndexCheck(index) => self.index_check(index).await,
            Command::IndexRebuild(index) => self.index_rebuild(index, &items).await,
            Command::IndexDrop(index) => self.index_drop(index).await,
            Command::SchemaSet(set) => self.schema_set(set).await,
            Command::SchemaShow { space, collection } => self.schema_show(space, collection).await,
            Command::SchemaList { space } => self.schema_list(space).await,
            Command::SchemaCheck { space, collection } => self.schema_check(space, collection).await,
            Command::SchemaDrop { space, collection } => self.schema_drop(space, collection).await,
            Command::CollectionDrop { space, collection } => self.collection_drop(space, collection, &items).await,
            Command::DocPut(put) => self.doc_put(put).await,
            Command::DocPatch { space, doc, patch } => self.doc_patch(space, doc, patch).await,
            Command::DocWrite(write) => self.doc_write(write).await,
            Command::DocAt(at) => self.doc_at(at).await,
            Command::DocDiff(diff) => self.doc_diff(diff).await,
            Command::DocConflicts { space, doc } => self.doc_conflicts(space, doc, &items).await,
            Command::DocGet { space, doc } => self.doc_get(space, doc).await,
            Command::DocDelete { space, doc } => self.doc_delete(space, doc).await,
            Command::DocList(list) => self.doc_list(list, &items).await,
            Command::DocExcluded { space, doc, publish } => self.doc_excluded(space, doc, publish, &items).await,
            Command::DocHistory { space, doc, limit } => self.doc_history(space, doc, limit, &items).await,
            Command::DocWatch { space, collection, doc, since } => {
                self.doc_watch(space, collection, doc, since, &items).await
            }
            Command::Changes(changes) => self.changes(changes, &items).await,
            Command::DocSplice(splice) => self.doc_splice(splice).await,
            Command::DocHold { space, doc, hold } => self.doc_hold(space, doc, hold).await,
            Command::Import(import) => match input {
                Some(input) => self.import(import, input, &items).await,
                None => Err(ServiceError::new(ErrorCode::Usage, "an import needs the bytes of its file")),
            },
            Command::Export(export) => self.export(export, &items).await,
            Command::Digest { space } => self.digest(space).await,
            Command::WaitSync { space, timeout_ms } => self.wait_sync(space, timeout_ms).await,
            Command::BackupCreate { passphrase } => self.backup_create(passphrase, &items).await,
            Command::TokenCreate(create) => self.token_create(create).await,
            Command::TokenList {} => self.token_list().await,
            Command::TokenRevoke { name } => self.token_revoke(name).await,
            Command::TokenCheck { token } => self.token_check(token).await,
            Command::AccountCreate(create) => self.account_create(create).await,
            Command::AccountList {} => self.account_list().await,
            Command::AccountChange(change) => self.account_change(change).await,
            Command::AccountRemove { name } => self.account_remove(name).await,
            Command::Login(login) => self.login(login).await,
            Command::Logout { name } => self.logout(name).await,
            Command::LinkMake {} => self.link_make().await,
            Command::AuditList { before, limit } => self.audit_list(before, limit).await,
            Command::LogRead { after, limit, wait_ms } => self.log_read(after, limit, wait_ms).await,
            Command::RulesSet(set) => self.rules_set(set).await,
            Command::RulesShow { space, collection } => self.rules_show(space, collection).await,
            Command::RulesTest(test) => self.rules_test(test).await,
            Command::Shutdown {} => self.shut_down().await,
        }
    }

    /// Reads the last lines of the log.
    async fn log_read(&self, after: Option<u64>, limit: u64, wait_ms: u64) -> Result<Reply, ServiceError> {
        let Some(tail) = self.log.get() else {
            let message = "this node is embedded in a program that keeps no lines of its log";
            return Err(ServiceError::new(ErrorCode::Refused, message));
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let page = tail.next_page(after, limit, Duration::from_millis(wait_ms));
        let ended = self.ended.clone();
        // A node that stops ends the wait.
        tokio::select! {
            biased;
            page = page => Ok(Reply::Log(page)),
            _ = ended => Ok(Reply::Log(tail.page(after, limit))),
        }
    }

    async fn shut_down(&self) -> Result<Reply, ServiceError> {
        // A node that has ended takes no commands.
        drop(self.handle()?.with(crate::driver::Core::stop).await);
        self.ended().await.map(|()| Reply::Done {})
    }
}

impl Node {
    async fn answer(
        &self,
        who: Option<Who>,
        command: Command,
        input: Option<Input>,
        items: mpsc::Sender<Item>,
    ) -> Result<Reply, ServiceError> {
        match self.acting(who)?.carry_out(command, input, items).await {
            // The core is ending; the error that ended it is more useful.
            Err(error) if error.code == ErrorCode::Unavailable && self.is_over() => {
                Err(self.ended().await.err().unwrap_or(error))
            }
            result => result,
        }
    }
}

impl Backend for Node {
    fn call(&self, command: Command, items: mpsc::Sender<Item>) -> Answer<'_> {
        Box::pin(self.answer(None, command, None, items))
    }

    fn call_reading(&self, command: Command, input: Input, items: mpsc::Sender<Item>) -> Answer<'_> {
        Box::pin(self.answer(None, command, Some(input), items))
    }

    fn call_as(&self, who: &Who, command: Command, input: Option<Input>, items: mpsc::Sender<Item>) -> Answer<'_> {
        let who = who.clone();
        Box::pin(async move {
            self.acting(Some(who.clone()))?.admit(&command).await?;
            self.answer(Some(who), command, input, items).await
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.handle.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed when it happened.
            drop(thread.join());
        }
    }
}
