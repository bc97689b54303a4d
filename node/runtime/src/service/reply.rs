//! The replies of a node. `-o json` prints these members, so their names are part of the interface (`docs/cli.md`).
//!
//! A time is in milliseconds since the Unix epoch; a name that ends in `_ms` is a duration in milliseconds. Sizes are
//! in bytes.

use cosmicsync_protocol::crdt::VersionId;
use cosmicsync_protocol::ids::{DeviceId, DocId, LogId, SpaceId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::command::{Cut, Format, Position};
use super::names::Text;
use super::state::{Device, Finding, Invite, Partition, Peer, Space, Status};

/// A part of an answer before the final reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// The progress of a long command.
    Progress(Progress),
    /// One document of a list.
    Document(DocView),
    /// One entry of a document's history.
    Revision(Revision),
    /// One change that a watch saw.
    Change(Change),
    /// The changes in the answer of a live query.
    Live(super::LiveBatch),
    /// One hidden value of a document.
    Conflict(Conflict),
    /// The next piece of an exported file, at most 64 KiB of UTF-8.
    Chunk(String),
    /// The next part of a backup, at most 256 KiB. On the socket it is not JSON, but a line `{"bytes":N}` and then N
    /// bytes.
    #[serde(skip)]
    Bytes(Vec<u8>),
}

/// The final reply to a command; the documentation of each command names it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The command is done; there is nothing to report.
    Done {},
    /// The reply to `status`.
    Status(Box<Status>),
    /// The reply to `doctor`; the node is healthy if no finding is a problem.
    Doctor(Vec<Finding>),
    /// The reply to `peer_add`.
    Peer(Peer),
    /// The reply to `peer_list`.
    Peers(Vec<Peer>),
    /// The reply to `device_list`.
    Devices(Vec<Device>),
    /// The reply to commands about one space.
    Space(Space),
    /// The reply to `space_list`.
    Spaces(Vec<Space>),
    /// The reply to `space_invite`.
    Invite(Invite),
    /// The reply to `partition_create`.
    Partition(Partition),
    /// The reply to `partition_list`.
    Partitions(Vec<Partition>),
    /// The reply to `collection_list`.
    Collections(Vec<Collection>),
    /// The reply to `collection_show`.
    Collection(Collection),
    /// The reply to `query`, after its items.
    Queried(super::Queried),
    /// The reply to `query_plan`.
    Plan(super::Plan),
    /// The reply to `count`.
    Counted {
        /// Number of documents.
        count: u64,
    },
    /// The reply to `count` with a field or measures, in the order of the groups' common values.
    Groups(Vec<super::Group>),
    /// The reply to `index_create` and `index_rebuild`.
    Index(super::Index),
    /// The reply to `index_list`.
    Indexes(Vec<super::Index>),
    /// The reply to `index_check`.
    IndexCheck(super::IndexCheck),
    /// The reply to `schema_show`.
    Schema(super::Schema),
    /// The reply to `schema_list`, ordered by collection.
    Schemas(Vec<super::CollectionSchema>),
    /// The reply to `schema_set` and `schema_check`.
    SchemaReport(super::SchemaReport),
    /// The reply to commands that write one document.
    Written(Written),
    /// The reply to `doc_write`.
    Wrote(Wrote),
    /// The reply to `doc_at`.
    Version(VersionView),
    /// The reply to `doc_diff`.
    Diff(Diff),
    /// The reply to `doc_get`.
    Document(DocView),
    /// The reply to commands that list, after their items.
    Listed(Listed),
    /// The reply to `import`.
    Imported(Imported),
    /// The reply to `export`, after its chunks.
    Exported(Exported),
    /// The reply to `digest`.
    Digest(Digest),
    /// The reply to `wait_sync`.
    Synced(Synced),
    /// The reply to `changes`, after its items.
    Changes {
        /// The cursor of the last change that was examined; the next request begins after it.
        cursor: String,
        /// True if there may be more changes already.
        more: bool,
    },
    /// The reply to `token_create` and `login`.
    TokenMade(super::NewToken),
    /// The reply to `token_list`, ordered by name.
    Tokens(Vec<super::Token>),
    /// The reply to `token_check`.
    Who(super::Who),
    /// The reply to `account_create` and `account_change`.
    Account(super::Account),
    /// The reply to `account_list`.
    Accounts(Vec<super::Account>),
    /// The reply to `link_make`.
    Link(super::Link),
    /// The reply to `audit_list`, newest first.
    Audit(Vec<super::Audited>),
    /// The reply to `log_read`, oldest first.
    Log(super::LogPage),
    /// The reply to `rules_set` and `rules_show`.
    Rules(super::Rules),
    /// The reply to `rules_test`.
    Verdicts(Vec<super::Verdict>),
    /// The reply to `backup_create` and to the local `backup verify` and `backup restore`.
    Backup(Backup),
}

/// The progress of a long command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Number of units done.
    pub done: u64,
    /// Number of units in total, if known.
    pub total: Option<u64>,
    /// The unit: `documents`, `bytes`, `entries`.
    pub unit: String,
    /// The present step; may be empty.
    #[serde(default)]
    pub note: String,
}

/// One collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    /// The collection's name.
    pub collection: String,
    /// Number of documents here that are not deleted.
    pub documents: u64,
    /// The format of the imported file.
    pub format: Option<String>,
    /// The member of a row that became the document's key.
    pub id_column: Option<String>,
    /// Dotted paths of texts that merge character by character.
    pub text: Vec<String>,
    /// True if imported documents can be erased only together.
    pub erasable_together: bool,
}

/// A durable write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The document.
    pub doc: Text<DocId>,
    /// Its collection.
    pub collection: String,
    /// Its key, if it has one.
    pub key: Option<String>,
    /// True if the write created the document.
    #[serde(default)]
    pub created: bool,
    /// Its version after the write.
    #[serde(default)]
    pub version: Option<Text<VersionId>>,
    /// The entries that the document included for the writer, with this write.
    pub cut: Cut,
}

/// A durable transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrote {
    /// Its documents, in the order of the writes.
    pub documents: Vec<Written>,
}

/// A document as of a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionView {
    /// The version.
    pub version: Text<VersionId>,
    /// The value.
    pub value: Value,
}

/// The difference between two versions of a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diff {
    /// The earlier version.
    pub from: Text<VersionId>,
    /// The later version.
    pub to: Text<VersionId>,
    /// A JSON patch (RFC 6902) that turns the earlier version into the later.
    pub patch: Vec<Value>,
    /// The value that each operation replaces or removes; null if it adds one.
    pub before: Vec<Option<Value>>,
}

/// A value of a document that a concurrent write hides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// The place in the document, as a JSON pointer (RFC 6901).
    pub path: String,
    /// The hidden value.
    pub value: Value,
    /// The device that wrote the value; none if several may have, or if it is unknown.
    pub device: Option<Text<DeviceId>>,
    /// The entry that wrote the value; none if several may have.
    pub entry: Option<Position>,
}

/// One document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DocView {
    /// The document.
    pub doc: Text<DocId>,
    /// Its collection.
    pub collection: String,
    /// Its key, if it has one.
    pub key: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Text<VersionId>>,
    /// Result of the comparison with the schema, if requested; null if the schema is not readable here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid: Option<Value>,
    /// The document's value; none in a list without values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// The effect of an entry on a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// The entry is known, but its body or an entry that it builds on is not here.
    Missing,
}

/// One entry of a document's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// The log of the entry.
    pub log: Text<LogId>,
    /// The entry's number in the log.
    pub seq: u64,
    /// The device that wrote it.
    pub device: Option<Text<DeviceId>>,
    /// The device's name; known only for this device at present.
    #[serde(default)]
    pub name: Option<String>,
    /// The entry's effect.
    pub kind: RevisionKind,
    /// The version that the writer saw after the entry; none if the entry is not part of the document.
    #[serde(default)]
    pub version: Option<Text<VersionId>>,
    /// The time by the writer's clock; a hint, never trusted.
    pub at: u64,
}

/// One change that a watch reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The document.
    pub doc: Text<DocId>,
    /// Its collection.
    pub collection: String,
    /// Its key, if it has one.
    pub key: Option<String>,
    /// The document's present value; none if it was deleted.
    pub value: Option<Value>,
    /// True if this node made the change.
    pub local: bool,
    /// The time at which this node saw the change.
    pub at: u64,
    /// The document's present version.
    pub version: Text<VersionId>,
    /// The change's cursor, from which a later watch can continue.
    pub cursor: String,
}

/// The end of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Number of items that were sent.
    pub count: u64,
    /// Number of items that the limit left out.
    #[serde(default)]
    pub more: u64,
    /// The last document, for the `after` of the next request; none at the end.
    pub next: Option<String>,
}

/// The end of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// The collection.
    pub collection: String,
    /// The file's format.
    pub format: Format,
    /// The separator between cells, if it is not a comma.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// Number of documents stored that did not exist before.
    pub documents: u64,
    /// Number of rows that replaced another value under their key: of an earlier row, or of an existing document.
    pub replaced: u64,
    /// Number of rows that equal the document under their key.
    pub unchanged: u64,
    /// Number of rows skipped because an earlier run had stored them.
    pub skipped: u64,
    /// Number of bytes read.
    pub bytes: u64,
    /// Duration of the import, in milliseconds.
    pub elapsed_ms: u64,
    /// True if nothing was stored, because only a report was requested.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub dry_run: bool,
    /// The columns of a table, or the names of XML elements. Only in a dry run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// A remark for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The end of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// The collection.
    pub collection: String,
    /// Number of documents written.
    pub documents: u64,
    /// Number of bytes written.
    pub bytes: u64,
}

/// A digest of a space's documents, equal on replicas that have converged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// The space.
    pub space: Text<SpaceId>,
    /// Number of documents in all collections.
    pub documents: u64,
    /// Digest over all collections, 64 hex digits.
    pub digest: String,
    /// The digest of each collection, ordered by name.
    pub collections: Vec<CollectionDigest>,
}

/// Digest of one collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionDigest {
    /// The collection.
    pub collection: String,
    /// Number of documents.
    pub documents: u64,
    /// Digest over ids, keys and values, 64 hex digits.
    pub digest: String,
}

/// The end of a wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synced {
    /// The space.
    pub space: Text<SpaceId>,
    /// Number of connected peers that have everything.
    pub peers: u64,
    /// The length of the wait, in microseconds.
    pub waited_us: u64,
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// The file's path; empty while only the bytes are known.
    pub path: String,
    /// Size of the file, in bytes.
    pub bytes: u64,
    /// Number of spaces in the backup.
    pub spaces: u64,
    /// Number of entries in the backup.
    pub entries: u64,
    /// The time at which the backup was made.
    pub created_at: u64,
}
