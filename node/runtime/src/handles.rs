//! Handles: spaces, collections and documents as values, over the commands of [`service`](crate::service).
//!
//! A handle holds a name and a backend, and no state: making one costs nothing, and the name need not exist yet. A
//! handle of a [`Client`](crate::service::Client) works like one of a [`Node`] in this process.
//!
//! ```
//! use cosmicsync_node::{Node, Options, init};
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # init(dir.path(), "laptop").await?;
//! let node = Node::open(dir.path(), Options::default()).await?;
//! let home = node.create_space("home").await?;
//! let people = home.collection("people");
//!
//! let ada = people.doc("ada");
//! assert_eq!(ada.get().await?, None);
//! ada.put(json!({ "name": "Ada", "born": 1815 })).await?; // returns once the document is durable
//! people.doc("alan").put(json!({ "name": "Alan", "born": 1912 })).await?;
//! ada.patch(json!({ "field": "mathematics" })).await?;
//!
//! let old = people.find(json!({ "born": { "$lt": 1900 } }));
//! assert_eq!(old.fetch().await?.len(), 1);
//! assert_eq!(people.all().sort(json!([{ "born": "desc" }])).count().await?, 2);
//!
//! // A live query returns the whole answer first, then its changes.
//! let mut live = old.live();
//! assert_eq!(live.next().await?.events.len(), 1);
//! ada.delete().await?;
//! assert_eq!(live.next().await?.events.len(), 1);
//! # drop(live);
//! # node.shut_down().await?;
//! # Ok(())
//! # }
//! ```
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a reply of another kind than the command's is a defect of the backend, whichever kind it is"
)]

use crate::Node;
use crate::service::{
    Answer, Backend, Command, DocOp, DocPut, DocRef, DocSplice, DocView, DocWrite, ErrorCode, Invite, Item, LiveBatch,
    Patch, Query, Reason, Reply, Revision, Secret, ServiceError, SpaceRef, Synced, Written, Wrote, request,
};
use core::fmt;
use core::time::Duration;
use futures_util::future;
use serde_json::Value;
use tokio::sync::mpsc;

/// Number of items of a live query or list that wait for their reader.
const ITEMS_WAITING: usize = 64;

/// A space of a node.
#[derive(Debug, Clone)]
pub struct Space<'a> {
    backend: &'a dyn Backend,
    name: SpaceRef,
}

/// A collection of documents in a space.
#[derive(Debug, Clone)]
pub struct Collection<'a> {
    space: Space<'a>,
    name: String,
}

/// A document.
#[derive(Debug, Clone)]
pub struct Doc<'a> {
    space: Space<'a>,
    doc: DocRef,
}

/// A query of one collection.
#[derive(Debug, Clone)]
pub struct Find<'a> {
    backend: &'a dyn Backend,
    query: Query,
}

/// A running live query. Dropping it ends the query.
pub struct Live<'a> {
    /// The running command; `None` once it has ended.
    command: Option<Answer<'a>>,
    items: mpsc::Receiver<Item>,
}

impl Node {
    /// Returns a handle to a space, by its name or an unambiguous prefix of its id. `SPACE:PARTITION` names a partition;
    /// without it, the partition is `main`.
    pub fn space(&self, name: &str) -> Space<'_> {
        Space::of(self, Some(name.to_owned()))
    }

    /// Creates a space.
    ///
    /// # Errors
    /// The name is taken or too long, or the store failed.
    pub async fn create_space(&self, name: &str) -> Result<Space<'_>, ServiceError> {
        request(self, Command::SpaceCreate { name: name.to_owned() }).await?;
        Ok(self.space(name))
    }

    /// Joins a space by an invite; returns once the space's records are here. A device without a user becomes one of the
    /// inviter's user.
    ///
    /// # Errors
    /// The invite is invalid, used or expired, its device was not reached, or this device belongs to another user.
    pub async fn join_space(&self, invite: &str) -> Result<Space<'_>, ServiceError> {
        match request(self, Command::SpaceJoin { invite: Secret(invite.to_owned()) }).await? {
            Reply::Space(space) => Ok(Space::of(self, Some(space.space.to_string()))),
            other => Err(unexpected(&other)),
        }
    }

    /// Ends running commands, closes the store and stops the node.
    ///
    /// # Errors
    /// The store failed. The node has stopped.
    pub async fn shut_down(&self) -> Result<(), ServiceError> {
        request(self, Command::Shutdown {}).await.map(drop)
    }
}

impl<'a> Space<'a> {
    /// Returns a handle to a space of a backend; none means its only space.
    pub fn of(backend: &'a dyn Backend, name: SpaceRef) -> Self {
        Self { backend, name }
    }

    /// Returns a handle to a collection. Its first document creates it.
    pub fn collection(&self, name: &str) -> Collection<'a> {
        Collection { space: self.clone(), name: name.to_owned() }
    }

    /// Returns a handle to a document, by `COLLECTION/KEY` or its id.
    pub fn doc(&self, doc: DocRef) -> Doc<'a> {
        Doc { space: self.clone(), doc }
    }

    /// Changes documents, all or none; returns once they are durable.
    ///
    /// # Errors
    /// A write was refused or its condition does not hold; nothing was written.
    pub async fn write(&self, writes: Vec<DocOp>) -> Result<Wrote, ServiceError> {
        let write = DocWrite { space: self.name.clone(), writes, idempotency_key: None };
        match request(self.backend, Command::DocWrite(write)).await? {
            Reply::Wrote(wrote) => Ok(wrote),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes an invite, which lets one device join.
    ///
    /// # Errors
    /// There is no such space, or this node does not listen.
    pub async fn invite(&self, lifetime: Duration) -> Result<Invite, ServiceError> {
        let expires_ms = milliseconds(lifetime);
        match request(self.backend, Command::SpaceInvite { space: self.name.clone(), expires_ms }).await? {
            Reply::Invite(invite) => Ok(invite),
            other => Err(unexpected(&other)),
        }
    }

    /// Waits until all connected peers, at least one, have everything of the space durably, and this node lacks nothing
    /// that it knows of.
    ///
    /// # Errors
    /// The time is over: [`ErrorCode::TimedOut`].
    pub async fn wait_sync(&self, longest: Duration) -> Result<Synced, ServiceError> {
        let timeout_ms = milliseconds(longest);
        match request(self.backend, Command::WaitSync { space: self.name.clone(), timeout_ms }).await? {
            Reply::Synced(synced) => Ok(synced),
            other => Err(unexpected(&other)),
        }
    }
}

impl<'a> Collection<'a> {
    /// Returns a handle to the document with a key.
    pub fn doc(&self, key: &str) -> Doc<'a> {
        let doc = DocRef::Key { collection: self.name.clone(), key: key.to_owned() };
        Doc { space: self.space.clone(), doc }
    }

    /// Creates a document without a key; returns once it is durable.
    ///
    /// # Errors
    /// The value is no object, is too large, or violates the collection's schema; nothing was written.
    pub async fn insert(&self, value: Value) -> Result<Written, ServiceError> {
        put(&self.space, self.name.clone(), None, value, Vec::new()).await
    }

    /// Returns a query of all documents.
    pub fn all(&self) -> Find<'a> {
        let query = Query { space: self.space.name.clone(), collection: self.name.clone(), ..Query::default() };
        Find { backend: self.space.backend, query }
    }

    /// Returns a query of the documents that a selector (`spec/query.md`, section 3) describes.
    pub fn find(&self, selector: Value) -> Find<'a> {
        let mut find = self.all();
        find.query.selector = Some(selector);
        find
    }
}

impl<'a> Find<'a> {
    /// Sorts the answer, such as by `["name", {"age": "desc"}]`.
    #[must_use]
    pub fn sort(mut self, sort: Value) -> Self {
        self.query.sort = Some(sort);
        self
    }

    /// Limits the number of documents.
    #[must_use]
    pub const fn limit(mut self, limit: u64) -> Self {
        self.query.limit = Some(limit);
        self
    }

    /// Returns the whole answer, in order. It is held in memory: set a limit unless the collection is small.
    ///
    /// # Errors
    /// The selector or sort is invalid; the error points into it. A sort needs an index beyond a number of documents.
    pub async fn fetch(&self) -> Result<Vec<DocView>, ServiceError> {
        let command = Command::Query(self.query.clone());
        let item = |item| if let Item::Document(doc) = item { Some(doc) } else { None };
        collect(self.backend, command, item).await
    }

    /// Returns the number of documents that match; a sort and a limit have no effect.
    ///
    /// # Errors
    /// The selector is invalid; the error points into it.
    pub async fn count(&self) -> Result<u64, ServiceError> {
        let query = Query { sort: None, limit: None, ..self.query.clone() };
        match request(self.backend, Command::Count { query, by: None, measures: Vec::new() }).await? {
            Reply::Counted { count } => Ok(count),
            other => Err(unexpected(&other)),
        }
    }

    /// Starts the query as a live query.
    pub fn live(&self) -> Live<'a> {
        let (sender, items) = mpsc::channel(ITEMS_WAITING);
        let command = Command::Live { query: self.query.clone(), since: None };
        Live { command: Some(self.backend.call(command, sender)), items }
    }
}

impl fmt::Debug for Live<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("is_running", &self.command.is_some()).finish_non_exhaustive()
    }
}

impl Live<'_> {
    /// Waits for the next changes of the answer; the first batch is the whole answer. Nothing is lost if the future is
    /// dropped.
    ///
    /// # Errors
    /// The query is invalid, or the node stopped. The live query has ended.
    pub async fn next(&mut self) -> Result<LiveBatch, ServiceError> {
        loop {
            let item = if let Some(command) = &mut self.command {
                tokio::select! {
                    biased;
                    item = self.items.recv() => item,
                    reply = command => {
                        self.command = None;
                        reply?;
                        continue;
                    }
                }
            } else {
                self.items.recv().await
            };
            match item {
                Some(Item::Live(batch)) => return Ok(batch),
                Some(_) => {}
                None => return Err(crate::driver::stopping()),
            }
        }
    }
}

impl Doc<'_> {
    /// Returns the document; `None` if it does not exist.
    ///
    /// # Errors
    /// There is no such space, or parts of the document are not here yet.
    pub async fn get(&self) -> Result<Option<DocView>, ServiceError> {
        match request(self.space.backend, Command::DocGet { space: self.space.name.clone(), doc: self.doc.clone() })
            .await
        {
            Ok(Reply::Document(found)) => Ok(Some(found)),
            Ok(other) => Err(unexpected(&other)),
            Err(error) if matches!(error.reason, Some(Reason::NoDocument | Reason::Gone)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores a value, an object: creates the document, or makes the smallest change that leads to the value. Returns
    /// once that is durable.
    ///
    /// # Errors
    /// The value is no object, is too large, or violates the collection's schema; nothing was written.
    pub async fn put(&self, value: Value) -> Result<Written, ServiceError> {
        self.put_with_texts(value, &[]).await
    }

    /// Stores a value as [`Self::put`] does. Strings at the dotted paths `texts` become texts, which merge character by
    /// character.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub async fn put_with_texts(&self, value: Value, texts: &[&str]) -> Result<Written, ServiceError> {
        let texts: Vec<String> = texts.iter().map(|path| (*path).to_owned()).collect();
        match &self.doc {
            DocRef::Key { collection, key } => {
                put(&self.space, collection.clone(), Some(key.clone()), value, texts).await
            }
            DocRef::Id(_) => {
                let put = DocOp::Put { doc: self.doc.to_string(), value, text: texts, condition: None };
                let mut documents = self.space.write(vec![put]).await?.documents;
                documents.pop().ok_or_else(|| ServiceError::new(ErrorCode::Internal, "a write without a document"))
            }
        }
    }

    /// Applies a merge patch (RFC 7396); returns once it is durable.
    ///
    /// # Errors
    /// The document does not exist, or its new value is refused; nothing was written.
    pub async fn patch(&self, patch: Value) -> Result<Written, ServiceError> {
        let (space, doc) = (self.space.name.clone(), self.doc.clone());
        written(request(self.space.backend, Command::DocPatch { space, doc, patch }).await?)
    }

    /// Edits the text at a dotted path; returns once that is durable.
    ///
    /// # Errors
    /// There is no text at the path, or a patch exceeds it; nothing was written.
    pub async fn splice(&self, path: &str, patches: Vec<Patch>) -> Result<Written, ServiceError> {
        let (space, doc) = (self.space.name.clone(), self.doc.clone());
        let splice = DocSplice { space, doc, path: path.to_owned(), patches, seen: None };
        written(request(self.space.backend, Command::DocSplice(splice)).await?)
    }

    /// Deletes the document; returns once that is durable. Its history remains.
    ///
    /// # Errors
    /// The document does not exist.
    pub async fn delete(&self) -> Result<Written, ServiceError> {
        let (space, doc) = (self.space.name.clone(), self.doc.clone());
        written(request(self.space.backend, Command::DocDelete { space, doc }).await?)
    }

    /// Returns the entries that changed the document, newest first, at most `limit`.
    ///
    /// # Errors
    /// The document does not exist.
    pub async fn history(&self, limit: u64) -> Result<Vec<Revision>, ServiceError> {
        let (space, doc) = (self.space.name.clone(), self.doc.clone());
        let command = Command::DocHistory { space, doc, limit: Some(limit) };
        let item = |item| if let Item::Revision(revision) = item { Some(revision) } else { None };
        collect(self.space.backend, command, item).await
    }
}

/// Carries out a command and returns its items of one kind.
async fn collect<T>(
    backend: &dyn Backend,
    command: Command,
    of_kind: impl Fn(Item) -> Option<T>,
) -> Result<Vec<T>, ServiceError> {
    let (sender, mut items) = mpsc::channel(ITEMS_WAITING);
    let receiving = async {
        let mut all = Vec::new();
        while let Some(item) = items.recv().await {
            all.extend(of_kind(item));
        }
        all
    };
    let (reply, all) = future::join(backend.call(command, sender), receiving).await;
    reply.map(|_| all)
}

async fn put(
    space: &Space<'_>,
    collection: String,
    key: Option<String>,
    value: Value,
    text: Vec<String>,
) -> Result<Written, ServiceError> {
    let put = DocPut { space: space.name.clone(), collection, key, value, text };
    written(request(space.backend, Command::DocPut(put)).await?)
}

fn written(reply: Reply) -> Result<Written, ServiceError> {
    if let Reply::Written(written) = reply { Ok(written) } else { Err(unexpected(&reply)) }
}

/// Returns the error for a reply that does not fit its command. Only a defect of the backend causes it.
fn unexpected(reply: &Reply) -> ServiceError {
    ServiceError::new(ErrorCode::Internal, format!("a reply of another kind: {reply:?}"))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
