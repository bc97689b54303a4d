//! The requests that a [`Database`](super::Database) takes, and its answers.

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
use cosmicsync_protocol::ids::{DocId, LogId};
use cosmicsync_protocol::ledger::rows::FeedRow;
use cosmicsync_protocol::ledger::{EntryRef, PartNo};
use cosmicsync_protocol::sync::SpaceNo;
use std::collections::BTreeMap;

/// Correlates a request with its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The name of a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// By its id.
    Id(DocId),
    /// By the key it was stored under, in a collection.
    Key {
        /// The collection's name.
        collection: String,
        /// The key.
        key: String,
    },
}

/// A set of positions in logs: up to and including which entry of each.
pub type Cut = BTreeMap<LogId, u64>;

/// A document that an import brings.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The key; without one the document gets an id that sorts by time.
    pub key: Option<String>,
    /// Its content.
    pub value: Value,
    /// Where it stands in the file.
    pub at: RowPlace,
}

/// Where a row stands in a file, for errors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowPlace {
    /// The line where it begins; the first is 1.
    pub line: u64,
    /// Its number; the first is 1.
    pub row: u64,
}

/// What became of one document of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrote {
    /// The document.
    pub doc: DocId,
    /// Whether it was made.
    pub created: bool,
    /// Its version after the write, as far as it is known.
    pub version: Option<VersionId>,
}

/// A version and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Its name.
    pub id: VersionId,
    /// The value.
    pub value: Value,
}

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Changes documents of one partition, all or none: [`Answer::Wrote`].
    Write {
        /// Where.
        partition: PartNo,
        /// At most 256, each about another document.
        intents: Vec<Intent>,
        /// Under this name it is carried out once.
        once: Option<Once>,
    },
    /// Changes one document: [`Answer::Written`].
    WriteOne {
        /// Where.
        partition: PartNo,
        /// What.
        intent: Intent,
        /// Under this name it is carried out once.
        once: Option<Once>,
    },
    /// Reads a document as of a version.
    At {
        /// Where.
        partition: PartNo,
        /// Which document.
        name: Name,
        /// The version: 4 or more digits of its name.
        version: String,
    },
    /// Reads two versions.
    Diff {
        /// Where.
        partition: PartNo,
        /// Which document.
        name: Name,
        /// The earlier.
        from: String,
        /// The later; the present one if it is not named.
        to: Option<String>,
    },
    /// Reads what does not show, because somebody wrote something else there at the same time.
    Conflicts {
        /// Where.
        partition: PartNo,
        /// Which document.
        name: Name,
    },
    /// Stores a whole document: made if it is new, otherwise the least change that leads to this value.
    Put {
        /// Where.
        partition: PartNo,
        /// The collection's name; made if it is new.
        collection: String,
        /// The key; without one a new document is made.
        key: Option<String>,
        /// Its value, a map.
        value: Value,
        /// Which strings merge character by character.
        texts: TextPaths,
    },
    /// Applies an RFC 7396 merge patch.
    Patch {
        /// Where.
        partition: PartNo,
        /// Which document.
        name: Name,
        /// The patch, a map.
        patch: Value,
    },
    /// Applies changes.
    Change {
        /// Where.
        partition: PartNo,
        /// Which document.
        name: Name,
        /// In order.
        changes: Vec<Change>,
        /// For a held document: first let in exactly these entries of others' logs, and wait until they are here.
        seen: Option<Cut>,
        /// Answer when durable (`true`), or as soon as the change is applied and gathered.
        durable: bool,
    },
    /// Holds a document back: from now on only [`Request::Change`] with `seen` lets others' entries in. `false` ends it.
    Hold {
        /// Where.
        partition: PartNo,
        /// Which document.
        name: Name,
        /// True to hold, false to let go.
        hold: bool,
    },
    /// Deletes a document. Its history stays.
    Delete {
        /// Where.
        partition: PartNo,
        /// Which document.
        name: Name,
    },
    /// Reads a document.
    Get {
        /// Where.
        partition: PartNo,
        /// Which document.
        name: Name,
    },
    /// Reads a document as it is durable, also one that is deleted.
    Look {
        /// Where.
        partition: PartNo,
        /// Which document.
        name: Name,
    },
    /// Reads the changes behind a number, of all partitions, oldest first.
    Changes {
        /// The number of the last change that is known.
        after: u64,
        /// At most so many.
        limit: usize,
    },
    /// Reads a page of documents, ascending by id within each collection; deleted ones are passed over.
    Page {
        /// Where.
        partition: PartNo,
        /// Only this collection.
        collection: Option<String>,
        /// From behind this one, as a former page's `next` said.
        after: Option<Place>,
        /// At most so many.
        limit: usize,
        /// True if values are read too.
        values: bool,
    },
    /// Lists the entries of a document that are excluded with a branch of a forked log, newest first.
    Excluded {
        /// Where.
        partition: PartNo,
        /// Which document.
        name: Name,
        /// True if this device writes them again, as its own.
        publish: bool,
    },
    /// Lists the entries that made a document, newest first.
    History {
        /// Where.
        partition: PartNo,
        /// Which document.
        name: Name,
        /// At most so many.
        limit: usize,
    },
    /// Why a document is not, or not wholly, here.
    Explain {
        /// Where.
        partition: PartNo,
        /// Which document.
        name: Name,
    },
    /// Opens an import into a collection, or takes up an interrupted one of the same `source`.
    ImportOpen {
        /// Where.
        partition: PartNo,
        /// Names the file; an import of the same source can be resumed.
        source: String,
        /// The description of the collection; kept with it, so that an export elsewhere makes the same file again.
        meta: CollectionMeta,
        /// True to take up an interrupted import.
        resume: bool,
    },
    /// Adds documents to an import. Those whose key exists already are updated like [`Request::Put`]. Of an import of
    /// which rows were refused nothing more is taken: what follows would leave a gap.
    ImportRows {
        /// From [`Answer::ImportOpened`].
        import: ImportId,
        /// The documents.
        rows: Vec<Row>,
        /// Where the reader stands after them; opaque, at most 64 KiB; kept in the same commit.
        checkpoint: Vec<u8>,
    },
    /// Ends an import; the collection's description is written again with what the whole file taught.
    ImportClose {
        /// From [`Answer::ImportOpened`].
        import: ImportId,
        /// Says that the whole file was read; kept, so that whoever takes the import up again learns it. An empty one
        /// is not kept.
        checkpoint: Vec<u8>,
        /// The description.
        meta: CollectionMeta,
    },
    /// The descriptions of the collections.
    Collections {
        /// Where.
        partition: PartNo,
    },
    /// The names of the collections, and the texts of their schemas.
    Schemas {
        /// Where.
        partition: PartNo,
    },
    /// Counts documents without reading them.
    Count {
        /// Where.
        partition: PartNo,
        /// Of this collection; without it of all but the descriptions of collections.
        collection: Option<String>,
        /// Those behind this place, as [`Request::Page`] tells of it.
        after: Option<Place>,
    },
    /// Answers a query.
    Find {
        /// What is asked.
        query: Box<Query>,
        /// What becomes of the documents that match.
        want: Want,
    },
    /// Opens a live query: [`Answer::Live`] with its whole answer.
    Live {
        /// What is asked. A bookmark does not count.
        query: Box<Query>,
        /// The last change that whoever asks knows the answer with, as a former batch said. They are told what changed
        /// since, where that is known; of what is not in the answer any more they may be told although they never had it.
        since: Option<u64>,
    },
    /// Waits until the answer of a live query changes: [`Answer::Live`]. Cancelled, it ends the live query.
    LiveNext {
        /// Which.
        id: LiveId,
    },
    /// Ends a live query.
    LiveEnd {
        /// Which.
        id: LiveId,
    },
    /// Changes the indexes of a collection: [`Answer::Done`] once that is durable; they are built later.
    IndexChange {
        /// Where.
        partition: PartNo,
        /// The collection's name.
        collection: String,
        /// What changes.
        change: IndexChange,
    },
    /// Lists the indexes of a collection, and how far they are: [`Answer::Indexes`].
    IndexList {
        /// Where.
        partition: PartNo,
        /// The collection's name.
        collection: String,
    },
    /// Compares an index with the documents: [`Answer::Checked`].
    IndexCheck {
        /// Where.
        partition: PartNo,
        /// The collection's name.
        collection: String,
        /// The index's name.
        name: String,
    },
    /// Changes the schema of a collection, or compares its documents with it: [`Answer::Schema`].
    Schema {
        /// Where.
        partition: PartNo,
        /// The collection's name.
        collection: String,
        /// What becomes of it.
        change: SchemaChange,
    },
    /// Sets the rules of a collection, or takes them away: [`Answer::Done`] once that is durable.
    Rules {
        /// Where.
        partition: PartNo,
        /// The collection's name.
        collection: String,
        /// The rules; none means that there are none.
        rules: Option<Rules>,
    },
    /// Counts and digests every document of a partition, collection by collection.
    Digest {
        /// Where.
        partition: PartNo,
    },
}

/// An import that is under way.
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

/// A document as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its id.
    pub doc: DocId,
    /// The collection's name, as far as the document is read.
    pub collection: Option<String>,
    /// Its key, if it has one.
    pub key: Option<String>,
    /// Its value, if it was asked for.
    pub value: Option<Value>,
    /// Its version.
    pub version: VersionId,
    /// Whether it is as its schema says; none if its collection has no schema, or nobody asked.
    pub validity: Option<Validity>,
}

/// One entry of a document's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The log.
    pub log: LogId,
    /// Its place in the log.
    pub seq: u64,
    /// The author's wall clock, a hint.
    pub wall_ms: u64,
    /// True if this store wrote it.
    pub mine: bool,
    /// Its effect.
    pub kind: RevisionKind,
    /// The version that its writer saw after it; none where it is not in the document.
    pub version: Option<VersionId>,
}

/// The effect of an entry on a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevisionKind {
    /// The document begins with it.
    Created,
    /// It changed what the document holds.
    Edited,
    /// It deleted the document.
    Deleted,
    /// It brought a deleted document back.
    Undeleted,
    /// It is excluded, because its log has another history.
    Excluded,
    /// It is known and not in the document: its body, or what it builds on, is not here.
    Missing,
}

/// The outcome of a request. The last answer of a ticket is its only one.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Written and durable (or applied, where that was asked for).
    Written {
        /// Which document.
        doc: DocId,
        /// True if this request made it.
        created: bool,
        /// Its version after the write.
        version: Option<VersionId>,
        /// The entries that the document had taken in when the answer was made, this write included once it is durable.
        cut: Cut,
    },
    /// All of a transaction is durable.
    Wrote {
        /// In the order of the intents.
        docs: Vec<Wrote>,
        /// What these documents had taken in when the answer was made.
        cut: Cut,
    },
    /// A version.
    Version(Version),
    /// Two versions.
    Diff {
        /// The earlier.
        from: Version,
        /// The later.
        to: Version,
    },
    /// What does not show, and the entry that wrote it, where one did.
    Conflicts(Vec<(Option<(LogId, u64)>, Conflict)>),
    /// A document, or `None` if there is none.
    Document(Option<Found>),
    /// A document, also one that is deleted; `None` if there is none.
    Snapshot(Option<Snapshot>),
    /// Changes; `None` if some behind that number are not kept any more.
    Changes(Option<Vec<FeedRow>>),
    /// Documents that match.
    Matches(Matches),
    /// Groups of documents that match, in the order of what they have in common.
    Groups(Vec<Group>),
    /// What changed in the answer of a live query.
    Live(LiveBatch),
    /// How a query would be answered.
    Plan(Box<Explained>),
    /// The indexes of a collection, by name.
    Indexes(Vec<IndexInfo>),
    /// What checking an index found.
    Checked(IndexCheck),
    /// How the documents of a collection are, beside its schema.
    Schema(Box<SchemaReport>),
    /// A page of documents.
    Page {
        /// The documents.
        docs: Vec<Found>,
        /// Go on from here; `None` at the end.
        next: Option<Place>,
    },
    /// A document's history.
    History {
        /// The newest first.
        revisions: Vec<Revision>,
        /// The number that the limit left out.
        more: usize,
    },
    /// Which entries are excluded; with `publish` they were written again and are durable.
    Excluded(Vec<Revision>),
    /// The parts that a document lacks: none if it is whole.
    Explained {
        /// True if there is any content.
        exists: bool,
        /// True if it is deleted.
        deleted: bool,
        /// The missing parts, each with its reason.
        missing: Vec<Missing>,
        /// Entries of unread logs that may concern it: (entry, why it was not read).
        unread: Vec<EntryRef>,
    },
    /// An import is open.
    ImportOpened {
        /// Its number.
        import: ImportId,
        /// Where an interrupted import stood, as its last [`Request::ImportRows`] said.
        checkpoint: Option<Vec<u8>>,
        /// The number of rows that it had stored.
        rows: u64,
    },
    /// Rows are durable.
    Imported {
        /// The number so far.
        rows: u64,
        /// What became of those of this request.
        counts: ImportCounts,
    },
    /// The descriptions of the collections, by name.
    Collections(Vec<CollectionMeta>),
    /// The collections by name, with the texts of their schemas.
    Schemas(Vec<(String, Option<String>)>),
    /// How many documents there are.
    Count(u64),
    /// Counts and digests.
    Digest(Vec<CollectionDigest>),
    /// Done, with nothing to tell.
    Done,
    /// It failed; nothing was written.
    Failed(RequestError),
}

/// What became of rows of an import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportCounts {
    /// Documents that were not there before.
    pub stored: u64,
    /// Rows that took the place of another value under their key: of an earlier row, or of what was there.
    pub replaced: u64,
    /// Rows whose document was just so already.
    pub unchanged: u64,
}

/// Count and digest of one collection: equal on two replicas exactly if they hold equal documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionDigest {
    /// The collection's name.
    pub collection: String,
    /// The number of its documents.
    pub count: u64,
    /// Over ids and values, in the order of the ids.
    pub digest: [u8; 32],
}

/// A change, for watchers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Where.
    pub partition: PartNo,
    /// The space of the partition.
    pub space: SpaceNo,
    /// Which document.
    pub doc: DocId,
    /// True if this store changed it.
    pub here: bool,
}
