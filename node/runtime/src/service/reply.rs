//! The answers of a node. `-o json` prints these members, so their names are part of the interface.
//!
//! Times are milliseconds since the Unix epoch (`*_ms` alone are durations), sizes are bytes.

use cosmicsync_protocol::crdt::VersionId;
use cosmicsync_protocol::ids::{DeviceId, DocId, LogId, PartitionId, SpaceId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::command::{Bodies, Cut, Format, Position};
use super::names::Text;

/// Something that arrives before the final reply.
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
    /// What changed in the answer of a live query.
    Live(super::LiveBatch),
    /// One thing that does not show in a document.
    Conflict(Conflict),
    /// The next piece of an exported file, at most 64 KiB of UTF-8.
    Chunk(String),
    /// The next piece of a backup, at most 256 KiB. On the socket it is no JSON, but `{"bytes":N}` and so many bytes.
    #[serde(skip)]
    Bytes(Vec<u8>),
}

/// The final answer to a command; each command names its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done and there is nothing to tell.
    Done {},
    /// To `status`.
    Status(Box<Status>),
    /// To `doctor`; healthy when no finding is a problem.
    Doctor(Vec<Finding>),
    /// To `peer_add`.
    Peer(Peer),
    /// To `peer_list`.
    Peers(Vec<Peer>),
    /// To `device_list`.
    Devices(Vec<Device>),
    /// To commands about one space.
    Space(Space),
    /// To `space_list`.
    Spaces(Vec<Space>),
    /// To `space_invite`.
    Invite(Invite),
    /// To `partition_create`.
    Partition(Partition),
    /// To `partition_list`.
    Partitions(Vec<Partition>),
    /// To `collection_list`.
    Collections(Vec<Collection>),
    /// To `collection_show`.
    Collection(Collection),
    /// To `query`, after its items.
    Queried(super::Queried),
    /// To `query_plan`.
    Plan(super::Plan),
    /// To `count`.
    Counted {
        /// How many documents there are.
        count: u64,
    },
    /// To `count` with a field or measures, in the order of what groups have in common.
    Groups(Vec<super::Group>),
    /// To `index_create` and `index_rebuild`.
    Index(super::Index),
    /// To `index_list`.
    Indexes(Vec<super::Index>),
    /// To `index_check`.
    IndexCheck(super::IndexCheck),
    /// To `schema_show`.
    Schema(super::Schema),
    /// To `schema_list`, by collection.
    Schemas(Vec<super::CollectionSchema>),
    /// To `schema_set` and `schema_check`.
    SchemaReport(super::SchemaReport),
    /// To commands that write one document.
    Written(Written),
    /// To `doc_write`.
    Wrote(Wrote),
    /// To `doc_at`.
    Version(VersionView),
    /// To `doc_diff`.
    Diff(Diff),
    /// To `doc_get`.
    Document(DocView),
    /// To `doc_list` and `doc_history`, after their items.
    Listed(Listed),
    /// To `import`.
    Imported(Imported),
    /// To `export`, after its chunks.
    Exported(Exported),
    /// To `digest`.
    Digest(Digest),
    /// To `wait_sync`.
    Synced(Synced),
    /// To `changes`, after its items.
    Changes {
        /// The cursor of the last change that was looked at: the next ones are behind it.
        cursor: String,
        /// Whether there may be more already.
        more: bool,
    },
    /// To `token_create`.
    TokenMade(super::NewToken),
    /// To `token_list`, by name.
    Tokens(Vec<super::Token>),
    /// To `token_check`.
    Who(super::Who),
    /// To `account_create` and `account_change`.
    Account(super::Account),
    /// To `account_list`.
    Accounts(Vec<super::Account>),
    /// To `link_make`.
    Link(super::Link),
    /// To `audit_list`, newest first.
    Audit(Vec<super::Audited>),
    /// To `log_read`, oldest first.
    Log(super::LogPage),
    /// To `rules_set` and `rules_show`.
    Rules(super::Rules),
    /// To `rules_test`.
    Verdicts(Vec<super::Verdict>),
    /// To `backup_create` and to the local `backup verify` and `backup restore`.
    Backup(Backup),
}

/// The progress of a long command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all, where known.
    pub total: Option<u64>,
    /// The unit: `documents`, `bytes`, `entries`.
    pub unit: String,
    /// The step under way; may be empty.
    #[serde(default)]
    pub note: String,
}

/// The state of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The device's name.
    pub name: String,
    /// The device.
    pub device: Text<DeviceId>,
    /// The user who owns it; none until one was made or joined.
    pub user: Option<Text<UserId>>,
    /// The key with which a coming version recovers the user when all devices are lost: told once, by `init`, and kept
    /// nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_key: Option<String>,
    /// The program's version.
    pub version: String,
    /// The process that answers.
    pub pid: u32,
    /// True if a daemon answers, false if the command opened the store itself.
    pub daemon: bool,
    /// The address it listens on, with the real port.
    pub listen: Option<String>,
    /// The URL of the HTTP door; none while it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// True while links are paused.
    pub paused: bool,
    /// The time since it started.
    pub uptime_ms: u64,
    /// The store.
    pub store: Store,
    /// All links since the start.
    pub traffic: Traffic,
    /// The spaces.
    pub spaces: Vec<Space>,
    /// The peers.
    pub peers: Vec<Peer>,
}

/// The state of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// Its directory; empty for a store that an embedder keeps.
    pub path: String,
    /// Its format version.
    pub format: u32,
    /// Its size: that of its data file, which does not shrink.
    pub bytes: u64,
    /// Size from which on nothing more is written here.
    pub bytes_max: u64,
    /// Logs it holds.
    pub logs: u64,
    /// Entries it holds.
    pub entries: u64,
    /// Where the bytes of the entries went that it wrote since its start.
    #[serde(default)]
    pub written: EntryBytes,
    /// Why it takes no requests at the moment; the node tries again by itself, and `doctor` says more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Bytes of entries, by what they are for; sealed as they are stored and sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryBytes {
    /// Entries.
    pub entries: u64,
    /// Parts of documents in them.
    pub items: u64,
    /// The fields before the sections.
    pub fields: u64,
    /// The sections' lengths.
    pub lengths: u64,
    /// The tags of the seals.
    pub tags: u64,
    /// Ids of documents that are written out.
    pub ids: u64,
    /// The rest of the headers: the item table above all.
    pub headers: u64,
    /// Seeds of data keys.
    pub key_boxes: u64,
    /// Dictionaries and control records.
    pub records: u64,
    /// Updates of documents, compressed.
    pub bodies: u64,
    /// Open sections.
    pub open: u64,
}

/// The traffic of links.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Bytes sent, handshakes included.
    pub bytes_out: u64,
    /// Bytes received, handshakes included.
    pub bytes_in: u64,
    /// The bytes of preambles and handshakes, in both directions.
    pub bytes_handshake: u64,
    /// Request and answer pairs of synchronisation; live pushes cost none.
    pub round_trips: u64,
}

/// The meaning of a finding for the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, but look at it.
    Warning,
    /// Does not work.
    Problem,
}

/// One thing that doctor looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Its state.
    pub level: Level,
    /// The thing examined.
    pub subject: String,
    /// The finding, in words.
    pub message: String,
    /// The command line to run next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The state of the link to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// Links are paused.
    Paused,
    /// Not connected; tried again later.
    Waiting,
    /// Not connected; it dialled us before, and no address of it is known.
    Away,
    /// A connection or its handshake is under way.
    Connecting,
    /// Connected.
    Connected,
}

/// One peer: an address to dial, or a device that dialled us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The address to dial, or the one it came from.
    pub address: String,
    /// True if this node dials the peer, false if the peer dialled this node.
    pub dialled: bool,
    /// The device, once known.
    pub device: Option<Text<DeviceId>>,
    /// The device's name, once known.
    pub name: Option<String>,
    /// The state of the link.
    pub state: PeerState,
    /// Entries that it does not durably have yet, as far as is known.
    pub behind: u64,
    /// Entries that it has and we do not, as far as is known.
    pub ahead: u64,
    /// The last time it sent anything.
    pub seen_at: Option<u64>,
    /// Why the last link ended.
    pub error: Option<String>,
    /// The traffic of its links.
    pub traffic: Traffic,
}

/// One device of a space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The device.
    pub device: Text<DeviceId>,
    /// Its name, as far as it is known: of this device, so far.
    pub name: Option<String>,
    /// True for this device.
    pub this: bool,
    /// True while a link to it is up.
    pub connected: bool,
    /// The last time it sent anything since this node started.
    pub seen_at: Option<u64>,
}

/// One space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// The space.
    pub space: Text<SpaceId>,
    /// Its name on this device.
    pub name: String,
    /// Documents that are here and not deleted.
    pub documents: u64,
    /// Logs of all its partitions.
    pub logs: u64,
    /// Devices that may read it.
    pub devices: u64,
    /// Which bodies are fetched.
    pub bodies: Bodies,
    /// Entries known from heads whose bodies are still to come.
    pub missing: u64,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// The partition.
    pub partition: Text<PartitionId>,
    /// Its name.
    pub name: String,
    /// Its logs.
    pub logs: u64,
    /// Its entries here.
    pub entries: u64,
}

/// An invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// The line to paste into `cosmicsync space join`. Whoever has it may join, once.
    pub invite: String,
    /// When it ends.
    pub expires_at: u64,
}

/// One collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    /// Its name.
    pub collection: String,
    /// Documents that are here and not deleted.
    pub documents: u64,
    /// The format that it was imported from.
    pub format: Option<String>,
    /// The member of a row that became its key.
    pub id_column: Option<String>,
    /// Dotted paths of texts that merge.
    pub text: Vec<String>,
    /// Whether documents that imports bring can be erased only together.
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
    /// Whether the write made it.
    #[serde(default)]
    pub created: bool,
    /// Its version after the write.
    #[serde(default)]
    pub version: Option<Text<VersionId>>,
    /// Everything that the document's writer had seen, this write included.
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

/// What lies between two versions of a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diff {
    /// The earlier version.
    pub from: Text<VersionId>,
    /// The later version.
    pub to: Text<VersionId>,
    /// A JSON patch (RFC 6902) that makes the later of the earlier.
    pub patch: Vec<Value>,
    /// What each operation of it replaces or removes; null where it adds.
    pub before: Vec<Option<Value>>,
}

/// What does not show in a document, because somebody wrote something else there at the same time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// Where, as a JSON pointer (RFC 6901).
    pub path: String,
    /// What was written.
    pub value: Value,
    /// The device that wrote it; none where several may have, or it is not known.
    pub device: Option<Text<DeviceId>>,
    /// The entry that wrote it; none where several may have.
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
    /// Whether it is as its schema says, if that was asked for; null where the schema cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid: Option<Value>,
    /// Its value; none when a list was asked for without values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// The effect of an entry on a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevisionKind {
    /// The document begins with it.
    Created,
    /// It changed what the document holds.
    Edited,
    /// It deleted the document.
    Deleted,
    /// It brought a deleted document back.
    Undeleted,
    /// It does not count, because its log has another history.
    Excluded,
    /// It is known, and its body or what it builds on is not here.
    Missing,
}

/// One entry that touched a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// The log it is in.
    pub log: Text<LogId>,
    /// Its place there.
    pub seq: u64,
    /// The device that wrote it.
    pub device: Option<Text<DeviceId>>,
    /// The device's name, as far as it is known: of this device, so far.
    #[serde(default)]
    pub name: Option<String>,
    /// Its effect.
    pub kind: RevisionKind,
    /// The version that its writer saw after it; none where it is not in the document.
    #[serde(default)]
    pub version: Option<Text<VersionId>>,
    /// The writer's clock; a hint, never trusted.
    pub at: u64,
}

/// One change that a watch saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The document.
    pub doc: Text<DocId>,
    /// Its collection.
    pub collection: String,
    /// Its key, if it has one.
    pub key: Option<String>,
    /// Its value now; none when it was deleted.
    pub value: Option<Value>,
    /// True if this node wrote it.
    pub local: bool,
    /// When this node saw it.
    pub at: u64,
    /// Its version now.
    pub version: Text<VersionId>,
    /// Names the change, for a later watch to go on behind it.
    pub cursor: String,
}

/// The end of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Items that were sent.
    pub count: u64,
    /// The number that the limit left out.
    #[serde(default)]
    pub more: u64,
    /// The last document: pass it as `after` to go on; none at the end.
    pub next: Option<String>,
}

/// The end of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// The collection.
    pub collection: String,
    /// The file's format.
    pub format: Format,
    /// What separated the cells of a table that is no CSV with commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// Documents stored that were not there before.
    pub documents: u64,
    /// Rows that took the place of another value under their key: of an earlier row, or of what was there.
    pub replaced: u64,
    /// Rows whose document was just so already.
    pub unchanged: u64,
    /// Rows skipped because an earlier run had stored them.
    pub skipped: u64,
    /// Bytes read.
    pub bytes: u64,
    /// The time that it took.
    pub elapsed_ms: u64,
    /// Nothing was stored: it was only asked what is in the file.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub dry_run: bool,
    /// The columns of a table, or the names of the elements of XML. Only of a dry run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The end of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// The collection.
    pub collection: String,
    /// Documents written.
    pub documents: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// The digest on which converged replicas agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// The space.
    pub space: Text<SpaceId>,
    /// Documents in all.
    pub documents: u64,
    /// 64 hex digits over all collections.
    pub digest: String,
    /// Each collection by name.
    pub collections: Vec<CollectionDigest>,
}

/// One collection's part of a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionDigest {
    /// The collection.
    pub collection: String,
    /// Documents in it.
    pub documents: u64,
    /// 64 hex digits over ids, keys and values.
    pub digest: String,
}

/// The end of a wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synced {
    /// The space.
    pub space: Text<SpaceId>,
    /// Connected peers that have everything.
    pub peers: u64,
    /// The length of the wait, in microseconds.
    pub waited_us: u64,
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// The file; empty while only its bytes are known.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Spaces in it.
    pub spaces: u64,
    /// Entries in it.
    pub entries: u64,
    /// When it was made.
    pub created_at: u64,
}
