//! The requests that a [`Database`](super::Database) accepts, and their answers. This module carries nothing out; each
//! request runs as a task in a module of its own. Specified in `spec/documents.md`, section 10.

use super::ask::{Explained, Group, IndexChange, IndexCheck, IndexInfo, LiveBatch, LiveId, Matches, Query, Want};
pub use super::error::RequestError;
use super::idempotency::Once;
pub use super::intent::{Action, Condition, Intent, Target};
use super::schema_ops::{SchemaChange, SchemaReport};
use crate::collection::CollectionMeta;
use crate::query::Validity;
use crate::rules::Rules;
use cosmicsync_protocol::crdt::{Change, Conflict, TextPaths, Value, VersionId};
use cosmicsync_protocol::documents::{Missing, Snapshot};
use cosmicsync_protocol::ids::{DocId, EntryRef, LogId, PartNo};
use cosmicsync_protocol::storage::rows::FeedRow;
use cosmicsync_protocol::sync::SpaceNo;
use std::collections::BTreeMap;

/// Correlates a request with its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Name of a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// The document's id.
    Id(DocId),
    /// The key of the document in its collection.
    Key {
        /// The collection's name.
        collection: String,
        /// The document's key.
        key: String,
    },
}

/// A set of positions in logs: for each log, the number of the last entry that the set includes.
pub type Cut = BTreeMap<LogId, u64>;

/// A document of an import.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The document's key; a document without a key gets a new id that sorts by time.
    pub key: Option<String>,
    /// The document's value, a map.
    pub value: Value,
    /// The row's position in the file.
    pub at: RowPlace,
}

/// Position of a row in an imported file, for error messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowPlace {
    /// Line on which the row begins; the first line is 1.
    pub line: u64,
    /// Number of the row; the first row is 1.
    pub row: u64,
}

/// Outcome of a transaction for one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrote {
    /// The document.
    pub doc: DocId,
    /// True if the transaction created the document.
    pub created: bool,
    /// The document's version after the write, if it is known.
    pub version: Option<VersionId>,
}

/// A version and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// The version's id.
    pub id: VersionId,
    /// The value.
    pub value: Value,
}

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Changes documents of one partition, all or none; answered with [`Answer::Wrote`].
    Write {
        /// The partition of the documents.
        partition: PartNo,
        /// At most 256 writes, each to a different document.
        intents: Vec<Intent>,
        /// Idempotency key: a request that repeats it is not carried out again.
        once: Option<Once>,
    },
    /// Changes one document; answered with [`Answer::Written`].
    WriteOne {
        /// The partition of the document.
        partition: PartNo,
        /// The write.
        intent: Intent,
        /// Idempotency key: a request that repeats it is not carried out again.
        once: Option<Once>,
    },
    /// Reads a document as of a version; answered with [`Answer::Version`].
    At {
        /// The partition of the document.
        partition: PartNo,
        /// The document.
        name: Name,
        /// The first digits of the version's id, at least 4.
        version: String,
    },
    /// Reads two versions of a document; answered with [`Answer::Diff`].
    Diff {
        /// The partition of the document.
        partition: PartNo,
        /// The document.
        name: Name,
        /// The first digits of the earlier version's id, at least 4.
        from: String,
        /// The first digits of the later version's id; `None` means the present version.
        to: Option<String>,
    },
    /// Reads the values of a document that a concurrent write hides; answered with [`Answer::Conflicts`].
    Conflicts {
        /// The partition of the document.
        partition: PartNo,
        /// The document.
        name: Name,
    },
    /// Stores a whole document: creates it, or applies the smallest change that leads to this value.
    Put {
        /// The partition of the document.
        partition: PartNo,
        /// The collection's name; the collection is created if it does not exist.
        collection: String,
        /// The document's key; `None` creates a document without a key.
        key: Option<String>,
        /// The document's value, a map.
        value: Value,
        /// The paths of strings that merge character by character.
        texts: TextPaths,
    },
    /// Applies an RFC 7396 merge patch.
    Patch {
        /// The partition of the document.
        partition: PartNo,
        /// The document.
        name: Name,
        /// The patch, a map.
        patch: Value,
    },
    /// Applies changes.
    Change {
        /// The partition of the document.
        partition: PartNo,
        /// The document.
        name: Name,
        /// The changes, applied in this order.
        changes: Vec<Change>,
        /// For a held document: imports remote entries up to exactly these positions first, and waits until they are
        /// here.
        seen: Option<Cut>,
        /// True to answer once the change is durable, false to answer once it is applied in memory.
        durable: bool,
    },
    /// Holds or releases a document. While a document is held, only a [`Request::Change`] with `seen` imports remote
    /// entries into it.
    Hold {
        /// The partition of the document.
        partition: PartNo,
        /// The document.
        name: Name,
        /// True to hold the document, false to release it.
        hold: bool,
    },
    /// Deletes a document. Its history remains.
    Delete {
        /// The partition of the document.
        partition: PartNo,
        /// The document.
        name: Name,
    },
    /// Reads a document.
    Get {
        /// The partition of the document.
        partition: PartNo,
        /// The document.
        name: Name,
    },
    /// Reads the durable state of a document, also of a deleted one; answered with [`Answer::Snapshot`].
    Look {
        /// The partition of the document.
        partition: PartNo,
        /// The document.
        name: Name,
    },
    /// Reads the changes after a change number, in all partitions, oldest first; answered with [`Answer::Changes`].
    Changes {
        /// Number of the last change that the caller knows.
        after: u64,
        /// Largest number of changes to return.
        limit: usize,
    },
    /// Reads a page of documents, ascending by id within each collection; skips deleted documents.
    Page {
        /// The partition of the documents.
        partition: PartNo,
        /// The collection to read; `None` reads all collections.
        collection: Option<String>,
        /// The place after which to begin: the `next` of the page before.
        after: Option<Place>,
        /// Largest number of documents to return.
        limit: usize,
        /// True to return the documents' values too.
        values: bool,
    },
    /// Lists a document's entries that are excluded with a branch of a forked log, newest first; answered with
    /// [`Answer::Excluded`].
    Excluded {
        /// The partition of the document.
        partition: PartNo,
        /// The document.
        name: Name,
        /// True to republish the entries' changes as writes of this device.
        publish: bool,
    },
    /// Lists the entries that changed a document, newest first; answered with [`Answer::History`].
    History {
        /// The partition of the document.
        partition: PartNo,
        /// The document.
        name: Name,
        /// Largest number of entries to return.
        limit: usize,
    },
    /// Lists the parts of a document that this store lacks, with reasons; answered with [`Answer::Explained`].
    Explain {
        /// The partition of the document.
        partition: PartNo,
        /// The document.
        name: Name,
    },
    /// Opens an import into a collection, or resumes an interrupted import of the same `source`.
    ImportOpen {
        /// The partition of the collection.
        partition: PartNo,
        /// Name of the file; the import of a file can be resumed under the same name.
        source: String,
        /// The collection's description; stored with the collection, so that an export on another device writes the
        /// same file.
        meta: CollectionMeta,
        /// True to resume an interrupted import.
        resume: bool,
    },
    /// Adds documents to an import. A document whose key exists already is updated as by [`Request::Put`]. After a
    /// refused row the import ends and accepts no more rows, because later rows would leave a gap.
    ImportRows {
        /// The import's number, from [`Answer::ImportOpened`].
        import: ImportId,
        /// The documents to add.
        rows: Vec<Row>,
        /// The file reader's position after these rows: opaque, at most 64 KiB, stored in the commit of the rows.
        checkpoint: Vec<u8>,
    },
    /// Ends an import. The collection's description is replaced by the one that the reader derived from the whole file.
    ImportClose {
        /// The import's number, from [`Answer::ImportOpened`].
        import: ImportId,
        /// The file reader's position at the end of the file. The position is stored, so that a request that resumes
        /// the import finds that the file is complete. An empty checkpoint is not stored.
        checkpoint: Vec<u8>,
        /// The collection's description.
        meta: CollectionMeta,
    },
    /// Lists the descriptions of the collections.
    Collections {
        /// The partition of the collections.
        partition: PartNo,
    },
    /// Lists the names of the collections and the texts of their schemas.
    Schemas {
        /// The partition of the collections.
        partition: PartNo,
    },
    /// Counts documents without reading them; answered with [`Answer::Count`].
    Count {
        /// The partition of the documents.
        partition: PartNo,
        /// The collection to count; `None` counts all except the descriptions of collections.
        collection: Option<String>,
        /// The place after which to count, as in [`Request::Page`].
        after: Option<Place>,
    },
    /// Answers a query.
    Find {
        /// The query.
        query: Box<Query>,
        /// The kind of answer.
        want: Want,
    },
    /// Opens a live query; answered with [`Answer::Live`], which holds the whole answer.
    Live {
        /// The query. Its bookmark is ignored.
        query: Box<Query>,
        /// The change number of an answer that the caller already has, from the `cursor` of an earlier batch. The first
        /// batch then holds only the changes since, where these are known. The batch may report a removal of a document
        /// that the caller never had.
        since: Option<u64>,
    },
    /// Waits until the answer of a live query changes; answered with [`Answer::Live`]. Cancelling this request ends the
    /// live query.
    LiveNext {
        /// The live query.
        id: LiveId,
    },
    /// Ends a live query.
    LiveEnd {
        /// The live query.
        id: LiveId,
    },
    /// Changes the indexes of a collection; answered with [`Answer::Done`] once the definition is durable. The index is
    /// built afterwards.
    IndexChange {
        /// The partition of the collection.
        partition: PartNo,
        /// The collection's name.
        collection: String,
        /// The change.
        change: IndexChange,
    },
    /// Lists the indexes of a collection and their progress; answered with [`Answer::Indexes`].
    IndexList {
        /// The partition of the collection.
        partition: PartNo,
        /// The collection's name.
        collection: String,
    },
    /// Compares an index with the documents; answered with [`Answer::Checked`].
    IndexCheck {
        /// The partition of the collection.
        partition: PartNo,
        /// The collection's name.
        collection: String,
        /// The index's name.
        name: String,
    },
    /// Changes the schema of a collection, or compares its documents with it; answered with [`Answer::Schema`].
    Schema {
        /// The partition of the collection.
        partition: PartNo,
        /// The collection's name.
        collection: String,
        /// The change, or the check.
        change: SchemaChange,
    },
    /// Sets or removes the rules of a collection; answered with [`Answer::Done`] once that is durable.
    Rules {
        /// The partition of the collection.
        partition: PartNo,
        /// The collection's name.
        collection: String,
        /// The rules; `None` removes them.
        rules: Option<Rules>,
    },
    /// Counts and digests every document of a partition, collection by collection.
    Digest {
        /// The partition of the documents.
        partition: PartNo,
    },
}

/// Number of an import in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImportId(pub u64);

/// A place in a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The collection's id, as bytes.
    pub collection: [u8; 16],
    /// The document.
    pub doc: DocId,
}

/// A document in its present state.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The document's id.
    pub doc: DocId,
    /// The collection's name, if it was read.
    pub collection: Option<String>,
    /// The document's key, if it has one.
    pub key: Option<String>,
    /// The document's value, if it was requested.
    pub value: Option<Value>,
    /// The document's version.
    pub version: VersionId,
    /// Result of the comparison with the schema; `None` if the collection has no schema or the request did not ask.
    pub validity: Option<Validity>,
}

/// One entry of a document's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The log of the entry.
    pub log: LogId,
    /// The entry's number in the log.
    pub seq: u64,
    /// Wall clock of the entry's author, in milliseconds; only a hint.
    pub wall_ms: u64,
    /// True if this store wrote it.
    pub mine: bool,
    /// The entry's effect.
    pub kind: RevisionKind,
    /// The version that the writer saw after the entry; `None` if the entry is not part of the document.
    pub version: Option<VersionId>,
}

/// The effect of an entry on a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevisionKind {
    /// The entry created the document.
    Created,
    /// The entry changed the document's value.
    Edited,
    /// The entry deleted the document.
    Deleted,
    /// The entry restored a deleted document.
    Undeleted,
    /// The entry is excluded, because its log forked and another history is kept.
    Excluded,
    /// The entry is known but not applied: its body, or an entry that it builds on, is not here.
    Missing,
}

/// The outcome of a request. Each ticket gets exactly one answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A document was written: durably, or in memory if the request did not ask for durability.
    Written {
        /// The document.
        doc: DocId,
        /// True if this request created the document.
        created: bool,
        /// The document's version after the write.
        version: Option<VersionId>,
        /// The entries that the document included when the answer was made, with this write once it is durable.
        cut: Cut,
    },
    /// All writes of a transaction are durable.
    Wrote {
        /// The outcome for each document, in the order of the intents.
        docs: Vec<Wrote>,
        /// The entries that these documents included when the answer was made.
        cut: Cut,
    },
    /// A version of a document.
    Version(Version),
    /// Two versions of a document.
    Diff {
        /// The earlier version.
        from: Version,
        /// The later version.
        to: Version,
    },
    /// Hidden values, each with the entry that wrote it, if an entry did.
    Conflicts(Vec<(Option<(LogId, u64)>, Conflict)>),
    /// A document; `None` if it does not exist.
    Document(Option<Found>),
    /// A document's durable state, also of a deleted document; `None` if nothing of it is here.
    Snapshot(Option<Snapshot>),
    /// Changes; `None` if some changes after the given number have been discarded.
    Changes(Option<Vec<FeedRow>>),
    /// The documents that match a query.
    Matches(Matches),
    /// Groups of matching documents, in the order of their common values.
    Groups(Vec<Group>),
    /// The changes in the answer of a live query.
    Live(LiveBatch),
    /// The plan for a query.
    Plan(Box<Explained>),
    /// The indexes of a collection, ordered by name.
    Indexes(Vec<IndexInfo>),
    /// The result of an index check.
    Checked(IndexCheck),
    /// The result of comparing a collection's documents with its schema.
    Schema(Box<SchemaReport>),
    /// A page of documents.
    Page {
        /// The documents of the page.
        docs: Vec<Found>,
        /// The place where the next page begins; `None` on the last page.
        next: Option<Place>,
    },
    /// The history of a document.
    History {
        /// The entries, newest first.
        revisions: Vec<Revision>,
        /// Number of entries that the limit left out.
        more: usize,
    },
    /// The excluded entries; with `publish`, their changes were republished and are durable.
    Excluded(Vec<Revision>),
    /// The parts that a document lacks; no parts if it is complete.
    Explained {
        /// True if the document has any content.
        exists: bool,
        /// True if the document is deleted.
        deleted: bool,
        /// The missing parts, each with its reason.
        missing: Vec<Missing>,
        /// First unread entry of each log that may concern the document.
        unread: Vec<EntryRef>,
    },
    /// An import is open.
    ImportOpened {
        /// The import's number.
        import: ImportId,
        /// Checkpoint of the interrupted import, from its last [`Request::ImportRows`].
        checkpoint: Option<Vec<u8>>,
        /// Number of rows that the interrupted import had stored.
        rows: u64,
    },
    /// Rows of an import are durable.
    Imported {
        /// Number of rows stored by the import so far.
        rows: u64,
        /// Outcomes of the rows of this request.
        counts: ImportCounts,
    },
    /// The descriptions of the collections, ordered by name.
    Collections(Vec<CollectionMeta>),
    /// The collections, ordered by name, each with the text of its schema.
    Schemas(Vec<(String, Option<String>)>),
    /// The number of documents.
    Count(u64),
    /// Count and digest of each collection.
    Digest(Vec<CollectionDigest>),
    /// The request is done; there is nothing to report.
    Done,
    /// The request failed; nothing was written.
    Failed(RequestError),
}

/// Outcomes of the rows of an import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportCounts {
    /// Number of documents that did not exist before.
    pub stored: u64,
    /// Number of rows that replaced another value under their key: of an earlier row, or of an existing document.
    pub replaced: u64,
    /// Number of rows that equal the document under their key.
    pub unchanged: u64,
}

/// Count and digest of one collection; equal on two replicas exactly if they hold equal documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionDigest {
    /// The collection's name.
    pub collection: String,
    /// Number of documents in the collection.
    pub count: u64,
    /// Hash over the ids and values, in the order of the ids.
    pub digest: [u8; 32],
}

/// A change of a document, for watchers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The partition of the document.
    pub partition: PartNo,
    /// The space of the partition.
    pub space: SpaceNo,
    /// The document.
    pub doc: DocId,
    /// True if this store made the change.
    pub here: bool,
}
