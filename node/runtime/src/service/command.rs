//! The commands of a node. All APIs use these types; this module carries none of them out.
//!
//! On the control socket a command is one JSON object with one member, its name:
//! `{"doc_get":{"doc":"zipcodes/00501"}}`. An unknown member is an error, so a typo never acts as a default. Specified
//! in `docs/cli.md`.

use cosmicsync_protocol::ids::LogId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::names::{DocRef, Secret, SpaceRef, Text, doc_ref, doc_ref_option};

/// The bodies of a partition that this replica fetches. Every replica knows all heads in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bodies {
    /// All bodies.
    All,
    /// No bodies until a document is opened.
    None,
    /// The bodies of this number of newest entries of each log.
    Newest(u64),
}

/// The format of an imported or exported file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Values separated by commas or another character; the first line names the columns. All values are strings.
    Csv,
    /// Like CSV, separated by tabs.
    Tsv,
    /// One JSON value per line.
    Ndjson,
    /// One JSON array, or an object with a member (`rows`) that is one.
    Json,
    /// XML elements side by side in another element.
    Xml,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 5] = [Self::Csv, Self::Tsv, Self::Ndjson, Self::Json, Self::Xml];

    /// Returns the name, in its usual spelling.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Ndjson => "ndjson",
            Self::Json => "json",
            Self::Xml => "xml",
        }
    }
}

/// A position in one log: the entry `seq` and everything before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The log.
    pub log: Text<LogId>,
    /// Number of the last included entry of the log, from 0.
    pub seq: u64,
}

/// A set of positions: the entries that a replica had seen. The replica had seen nothing of a log that is not named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cut(pub Vec<Position>);

/// One text edit as `[position, deleted, inserted]`, in Unicode scalar values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch(pub u64, pub u64, pub String);

/// Stores a whole document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocPut {
    /// The space.
    #[serde(default)]
    pub space: SpaceRef,
    /// The collection's name; the collection is created if it does not exist.
    pub collection: String,
    /// The document's key; without one, the document gets a new id.
    #[serde(default)]
    pub key: Option<String>,
    /// The document's value, a JSON object.
    pub value: Value,
    /// Dotted paths of members that become collaborative text instead of plain strings.
    #[serde(default)]
    pub text: Vec<String>,
}

/// Lists the documents of a space by collection and key; documents without a key follow, by id. More than 4,096
/// documents come in another order, which is the same each time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocList {
    /// The space.
    #[serde(default)]
    pub space: SpaceRef,
    /// The only collection to list.
    #[serde(default)]
    pub collection: Option<String>,
    /// The document after which the list begins.
    #[serde(default, with = "doc_ref_option")]
    pub after: Option<DocRef>,
    /// Largest number of documents; none means all.
    #[serde(default)]
    pub limit: Option<u64>,
    /// True to list the documents' values too.
    #[serde(default)]
    pub values: bool,
}

/// Edits a text of one document; all patches are one transaction, applied in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocSplice {
    /// The space.
    #[serde(default)]
    pub space: SpaceRef,
    /// The document.
    #[serde(with = "doc_ref")]
    pub doc: DocRef,
    /// The dotted path of the text in the document.
    pub path: String,
    /// The edits.
    pub patches: Vec<Patch>,
    /// For a held document: the positions to which its view advances first. The command waits until these entries are
    /// here.
    #[serde(default)]
    pub seen: Option<Cut>,
}

/// Imports a file into a collection. The caller opens the file and sends its bytes after the command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// The space.
    #[serde(default)]
    pub space: SpaceRef,
    /// The collection's name; the collection is created if it does not exist.
    pub collection: String,
    /// The file's absolute path, or `-`. Messages show it, and an interrupted import is resumed under it.
    pub path: String,
    /// Size of the file in bytes, if known; used for progress.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// The file's format; none means to detect it from the name and the first record.
    #[serde(default)]
    pub format: Option<Format>,
    /// For tables: the separator between cells; none means to detect it from the first record.
    #[serde(default)]
    pub delimiter: Option<char>,
    /// The column or member with the document's key; without one, documents get new ids in the order of the file.
    #[serde(default)]
    pub id_column: Option<String>,
    /// For JSON: the dotted path of the array with the rows. For XML: the path of the elements that are rows.
    #[serde(default)]
    pub rows: Option<String>,
    /// Dotted paths of members that become collaborative text.
    #[serde(default)]
    pub text: Vec<String>,
    /// For tables: columns whose cells become numbers; all other cells are texts.
    #[serde(default)]
    pub numbers: Vec<String>,
    /// True to seal documents together: they take fewer bytes, but can be erased only by the hundred. This also holds
    /// for later imports into the collection.
    #[serde(default)]
    pub erasable_together: bool,
    /// True to resume an interrupted import of the same file.
    #[serde(default)]
    pub resume: bool,
    /// True to read the whole file and report its content without storing anything.
    #[serde(default)]
    pub dry_run: bool,
}

/// Writes a collection as a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// The space.
    #[serde(default)]
    pub space: SpaceRef,
    /// The collection's name.
    pub collection: String,
    /// The format.
    pub format: Format,
    /// For CSV: the separator between cells; none means that of the imported file.
    #[serde(default)]
    pub delimiter: Option<char>,
}

/// All commands of a node.
///
/// A command that writes is answered once the write is durable on this node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Reports the state of the node: [`Reply::Status`](super::Reply::Status).
    Status {},
    /// Diagnoses the node, or one document: [`Reply::Doctor`](super::Reply::Doctor).
    Doctor {
        /// The space of the document.
        #[serde(default)]
        space: SpaceRef,
        /// The document; none means the whole node.
        #[serde(default, with = "doc_ref_option")]
        doc: Option<DocRef>,
    },
    /// Stores an address and dials it: [`Reply::Peer`](super::Reply::Peer).
    PeerAdd {
        /// `HOST:PORT`.
        address: String,
    },
    /// Lists the peers: [`Reply::Peers`](super::Reply::Peers).
    PeerList {},
    /// Deletes a stored address and closes its link: [`Reply::Done`](super::Reply::Done).
    PeerRemove {
        /// The address, as it was added.
        address: String,
    },
    /// Closes all links; no link is dialled or accepted until [`Command::PeerResume`]:
    /// [`Reply::Done`](super::Reply::Done).
    PeerPause {},
    /// Ends a pause and dials all peers at once: [`Reply::Done`](super::Reply::Done).
    PeerResume {},
    /// Renames this device: [`Reply::Status`](super::Reply::Status).
    DeviceRename {
        /// The name: 1 to 64 bytes without control characters.
        name: String,
    },
    /// Lists the devices of a space: [`Reply::Devices`](super::Reply::Devices).
    DeviceList {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
    },
    /// Creates a space: [`Reply::Space`](super::Reply::Space).
    SpaceCreate {
        /// The space's name for display; unique on this device.
        name: String,
    },
    /// Lists the spaces: [`Reply::Spaces`](super::Reply::Spaces).
    SpaceList {},
    /// Makes an invite, one line of text that lets a device join: [`Reply::Invite`](super::Reply::Invite).
    SpaceInvite {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// Lifetime of the invite, in milliseconds.
        expires_ms: u64,
    },
    /// Joins a space by an invite: streams progress, ends when the control partition is here, then
    /// [`Reply::Space`](super::Reply::Space).
    SpaceJoin {
        /// The invite.
        invite: Secret,
    },
    /// Chooses the bodies that this node fetches: [`Reply::Space`](super::Reply::Space).
    SpaceFetch {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The choice.
        bodies: Bodies,
    },
    /// Creates a partition: [`Reply::Partition`](super::Reply::Partition).
    PartitionCreate {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The partition's name in the space.
        name: String,
    },
    /// Lists the partitions of a space: [`Reply::Partitions`](super::Reply::Partitions).
    PartitionList {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
    },
    /// Lists the collections: [`Reply::Collections`](super::Reply::Collections).
    CollectionList {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
    },
    /// Describes a collection: [`Reply::Collection`](super::Reply::Collection).
    CollectionShow {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The collection's name.
        collection: String,
    },
    /// Deletes a collection: all its documents and its description. Streams progress, then
    /// [`Reply::Done`](super::Reply::Done).
    CollectionDrop {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The collection's name.
        collection: String,
    },
    /// Finds documents: streams [`Item::Document`](super::Item::Document), then
    /// [`Reply::Queried`](super::Reply::Queried).
    Query(super::Query),
    /// Explains the plan for a query: [`Reply::Plan`](super::Reply::Plan).
    QueryPlan(super::Query),
    /// Runs a live query: streams [`Item::Live`](super::Item::Live), first the whole answer, then its changes, until
    /// the caller closes the call.
    Live {
        /// The query. Its bookmark is ignored.
        query: super::Query,
        /// The cursor of the last batch that the caller has; the stream then begins with the changes since. A query
        /// with a limit begins with the whole answer.
        #[serde(default)]
        since: Option<String>,
    },
    /// Counts documents: [`Reply::Counted`](super::Reply::Counted), or with a field or measures
    /// [`Reply::Groups`](super::Reply::Groups).
    Count {
        /// The query that selects the documents.
        query: super::Query,
        /// The field to group by.
        #[serde(default)]
        by: Option<String>,
        /// The aggregates to compute for each group.
        #[serde(default)]
        measures: Vec<super::Measure>,
    },
    /// Defines an index and builds it: streams progress, then [`Reply::Index`](super::Reply::Index).
    IndexCreate {
        /// The index.
        #[serde(flatten)]
        index: super::IndexName,
        /// Paths of the index's fields, most significant first.
        fields: Vec<String>,
    },
    /// Lists the indexes of a collection: [`Reply::Indexes`](super::Reply::Indexes).
    IndexList {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The collection.
        collection: String,
    },
    /// Compares an index with the documents: [`Reply::IndexCheck`](super::Reply::IndexCheck).
    IndexCheck(super::IndexName),
    /// Rebuilds an index on this device: streams progress, then [`Reply::Index`](super::Reply::Index).
    IndexRebuild(super::IndexName),
    /// Drops an index on every device: [`Reply::Done`](super::Reply::Done).
    IndexDrop(super::IndexName),
    /// Sets the schema of a collection, if its documents match it: [`Reply::SchemaReport`](super::Reply::SchemaReport).
    SchemaSet(super::SchemaSet),
    /// Shows the schema of a collection: [`Reply::Schema`](super::Reply::Schema).
    SchemaShow {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The collection.
        collection: String,
    },
    /// Lists the collections of a partition with their schemas: [`Reply::Schemas`](super::Reply::Schemas).
    SchemaList {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
    },
    /// Compares the documents of a collection with its schema: [`Reply::SchemaReport`](super::Reply::SchemaReport).
    SchemaCheck {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The collection.
        collection: String,
    },
    /// Removes the schema of a collection: [`Reply::Done`](super::Reply::Done).
    SchemaDrop {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The collection.
        collection: String,
    },
    /// Stores a whole document: [`Reply::Written`](super::Reply::Written).
    DocPut(DocPut),
    /// Applies a JSON merge patch (RFC 7396): [`Reply::Written`](super::Reply::Written).
    DocPatch {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// The patch.
        patch: Value,
    },
    /// Changes documents, all or none: [`Reply::Wrote`](super::Reply::Wrote).
    DocWrite(super::DocWrite),
    /// Reads a document as of a version: [`Reply::Version`](super::Reply::Version).
    DocAt(super::DocAt),
    /// Compares two versions of a document: [`Reply::Diff`](super::Reply::Diff).
    DocDiff(super::DocDiff),
    /// Lists the values of a document that concurrent writes hide: streams [`Item::Conflict`](super::Item::Conflict),
    /// then [`Reply::Listed`](super::Reply::Listed).
    DocConflicts {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
    },
    /// Reads a document: [`Reply::Document`](super::Reply::Document).
    DocGet {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
    },
    /// Deletes a document: [`Reply::Written`](super::Reply::Written).
    DocDelete {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
    },
    /// Lists documents: streams [`Item::Document`](super::Item::Document), then
    /// [`Reply::Listed`](super::Reply::Listed).
    DocList(DocList),
    /// Lists the entries that changed a document, newest first: streams [`Item::Revision`](super::Item::Revision), then
    /// [`Reply::Listed`](super::Reply::Listed).
    DocHistory {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// Largest number of entries; none means all.
        #[serde(default)]
        limit: Option<u64>,
    },
    /// Lists the excluded entries of a document, newest first: streams [`Item::Revision`](super::Item::Revision), then
    /// [`Reply::Listed`](super::Reply::Listed).
    DocExcluded {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// True to republish the entries' changes as writes of this device.
        #[serde(default)]
        publish: bool,
    },
    /// Watches documents: streams one [`Item::Progress`](super::Item::Progress) once the watch has begun, then an
    /// [`Item::Change`](super::Item::Change) for every later change, until the caller closes the call.
    DocWatch {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The only collection to watch.
        #[serde(default)]
        collection: Option<String>,
        /// The only document to watch.
        #[serde(default, with = "doc_ref_option")]
        doc: Option<DocRef>,
        /// The cursor of a change; the stream begins after it. None means to begin now.
        #[serde(default)]
        since: Option<String>,
    },
    /// Reads past changes: streams [`Item::Change`](super::Item::Change), then
    /// [`Reply::Changes`](super::Reply::Changes).
    Changes(super::Changes),
    /// Edits a text: [`Reply::Written`](super::Reply::Written).
    DocSplice(DocSplice),
    /// Holds a document's view: arriving entries are stored, but become visible only when a [`DocSplice::seen`] names
    /// them. Meant for faithful replays of traces: [`Reply::Done`](super::Reply::Done).
    DocHold {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// True to hold the document; false to release it, which makes all entries visible.
        hold: bool,
    },
    /// Imports a file from the command's input: streams progress, then [`Reply::Imported`](super::Reply::Imported).
    Import(Import),
    /// Exports a collection: streams [`Item::Chunk`](super::Item::Chunk) and progress, then
    /// [`Reply::Exported`](super::Reply::Exported).
    Export(Export),
    /// Computes a hash of all documents, which is equal on replicas that have converged:
    /// [`Reply::Digest`](super::Reply::Digest).
    Digest {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
    },
    /// Waits until all connected peers, at least one, have everything of the space durably and this node lacks nothing
    /// that it knows of: [`Reply::Synced`](super::Reply::Synced), or the error `timed_out`.
    WaitSync {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// Longest wait, in milliseconds.
        timeout_ms: u64,
    },
    /// Makes a sealed copy of the store and its history, without log keys: streams [`Item::Bytes`](super::Item::Bytes)
    /// and progress, then [`Reply::Backup`](super::Reply::Backup).
    BackupCreate {
        /// The passphrase that seals the backup.
        passphrase: Secret,
    },
    /// Creates a token for the HTTP API: [`Reply::TokenMade`](super::Reply::TokenMade).
    TokenCreate(super::TokenCreate),
    /// Lists the tokens: [`Reply::Tokens`](super::Reply::Tokens).
    TokenList {},
    /// Revokes a token: [`Reply::Done`](super::Reply::Done).
    TokenRevoke {
        /// The token's name.
        name: String,
    },
    /// Looks up the token that a client sent, if it is valid: [`Reply::Who`](super::Reply::Who).
    TokenCheck {
        /// The token as the client sent it.
        token: Secret,
    },
    /// Creates an account: [`Reply::Account`](super::Reply::Account).
    AccountCreate(super::AccountCreate),
    /// Lists the accounts: [`Reply::Accounts`](super::Reply::Accounts).
    AccountList {},
    /// Changes an account: [`Reply::Account`](super::Reply::Account).
    AccountChange(super::AccountChange),
    /// Removes an account, its tokens and its sessions: [`Reply::Done`](super::Reply::Done).
    AccountRemove {
        /// The account's name.
        name: String,
    },
    /// Starts a session: [`Reply::TokenMade`](super::Reply::TokenMade).
    Login(super::Login),
    /// Ends a session: [`Reply::Done`](super::Reply::Done).
    Logout {
        /// The name of the session's token.
        name: String,
    },
    /// Makes a link that logs an owner in once: [`Reply::Link`](super::Reply::Link).
    LinkMake {},
    /// Lists the entries of the audit log, newest first: [`Reply::Audit`](super::Reply::Audit).
    AuditList {
        /// The entry number below which the list begins.
        #[serde(default)]
        before: Option<u64>,
        /// Largest number of entries.
        limit: u64,
    },
    /// Reads the last lines of the node's log: [`Reply::Log`](super::Reply::Log).
    LogRead {
        /// Number of the line after which to begin; without it, the last lines are returned.
        #[serde(default)]
        after: Option<u64>,
        /// Largest number of lines.
        limit: u64,
        /// Longest wait for a line, if there is none yet, in milliseconds.
        #[serde(default)]
        wait_ms: u64,
    },
    /// Sets the rules of a collection: [`Reply::Rules`](super::Reply::Rules).
    RulesSet(super::RulesSet),
    /// Shows the rules of a collection: [`Reply::Rules`](super::Reply::Rules).
    RulesShow {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The collection.
        collection: String,
    },
    /// Tests an account's permissions on a document: [`Reply::Verdicts`](super::Reply::Verdicts).
    RulesTest(super::RulesTest),
    /// Ends running commands, closes the store and stops the node: [`Reply::Done`](super::Reply::Done), also when
    /// repeated.
    Shutdown {},
}
