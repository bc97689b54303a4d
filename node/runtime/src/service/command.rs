//! What can be asked of a node. Every API speaks in these; nothing here knows how they are carried out.
//!
//! On the socket a command is one JSON object with one member, its name: `{"doc_get":{"doc":"zipcodes/00501"}}`.
//! Unknown members are refused, so that a typo never passes for a default.

use cosmicsync_protocol::ids::LogId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::names::{DocRef, Secret, SpaceRef, Text, doc_ref, doc_ref_option};

/// Which bodies of a partition this replica fetches. Every replica knows all heads whatever it chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bodies {
    /// All of them.
    All,
    /// None until a document is opened.
    None,
    /// The newest so many entries of each log.
    Newest(u64),
}

/// The format of an imported or exported file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Values separated by commas or another character, the first line names the columns; values stay text.
    Csv,
    /// The same, separated by tabs.
    Tsv,
    /// One JSON value a line.
    Ndjson,
    /// One JSON array, or an object whose member (`rows`) is one.
    Json,
    /// Elements that stand together in another one.
    Xml,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Csv, Self::Tsv, Self::Ndjson, Self::Json, Self::Xml];

    /// Returns its name, as people write it.
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
    /// The sequence number of the last entry that counts, from 0.
    pub seq: u64,
}

/// A set of positions: what a replica had seen. Logs that are not named had nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cut(pub Vec<Position>);

/// One text edit as `[position, deleted, inserted]`, counted in Unicode scalar values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch(pub u64, pub u64, pub String);

/// Stores a whole document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocPut {
    /// The space.
    #[serde(default)]
    pub space: SpaceRef,
    /// The collection's name; made if it is new.
    pub collection: String,
    /// The key; without one the document gets a fresh id.
    #[serde(default)]
    pub key: Option<String>,
    /// The value; must be a JSON object.
    pub value: Value,
    /// Members (dotted paths) that become collaborative text instead of plain strings.
    #[serde(default)]
    pub text: Vec<String>,
}

/// Lists the documents of a space or collection by collection and key; those without a key follow, by id. More than 4,096
/// come in an order of their own, which stays the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocList {
    /// The space.
    #[serde(default)]
    pub space: SpaceRef,
    /// Only this collection.
    #[serde(default)]
    pub collection: Option<String>,
    /// Only documents that come after this one.
    #[serde(default, with = "doc_ref_option")]
    pub after: Option<DocRef>,
    /// At most so many; none means all.
    #[serde(default)]
    pub limit: Option<u64>,
    /// Whether each document comes with its value.
    #[serde(default)]
    pub values: bool,
}

/// Types into a text of one document: all patches are one transaction, applied in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocSplice {
    /// The space.
    #[serde(default)]
    pub space: SpaceRef,
    /// The document.
    #[serde(with = "doc_ref")]
    pub doc: DocRef,
    /// The dotted path of the text within it.
    pub path: String,
    /// The edits.
    pub patches: Vec<Patch>,
    /// For a held document: first advance its view to exactly this; waits until those entries are here.
    #[serde(default)]
    pub seen: Option<Cut>,
}

/// Reads a file into a collection. The caller opens the file and sends its bytes behind the command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// The space.
    #[serde(default)]
    pub space: SpaceRef,
    /// The collection's name; made if it is new.
    pub collection: String,
    /// The file's name: an absolute path, or `-`. Messages name it, and an interrupted import is found by it.
    pub path: String,
    /// How many bytes it has, where that is known: for progress.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Its format; none means by its name and first record.
    #[serde(default)]
    pub format: Option<Format>,
    /// For tables: what separates the cells; none means by the first record.
    #[serde(default)]
    pub delimiter: Option<char>,
    /// The column or member that is the document's key; none means fresh ids in the file's order.
    #[serde(default)]
    pub id_column: Option<String>,
    /// For JSON: the dotted path of the array that holds the rows. For XML: the path of the elements that are rows.
    #[serde(default)]
    pub rows: Option<String>,
    /// Members (dotted paths) that become collaborative text.
    #[serde(default)]
    pub text: Vec<String>,
    /// Declare that the collection's documents need not be erasable one by one: they take fewer bytes, and can be erased
    /// some hundred at a time. It holds for later imports into the collection too.
    #[serde(default)]
    pub erasable_together: bool,
    /// Continue where an interrupted import of the same file stopped.
    #[serde(default)]
    pub resume: bool,
    /// Read the whole file and tell what is in it, but store nothing.
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
    /// For CSV: what separates the cells; none means as it was imported.
    #[serde(default)]
    pub delimiter: Option<char>,
}

/// Everything a node can be asked for.
///
/// A command that writes answers once the write is durable here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// How the node is: [`Reply::Status`](super::Reply::Status).
    Status {},
    /// What is wrong, or why one document is not here yet: [`Reply::Doctor`](super::Reply::Doctor).
    Doctor {
        /// The space of the document.
        #[serde(default)]
        space: SpaceRef,
        /// The document; none asks about the whole node.
        #[serde(default, with = "doc_ref_option")]
        doc: Option<DocRef>,
    },
    /// Remembers and dials an address: [`Reply::Peer`](super::Reply::Peer).
    PeerAdd {
        /// `HOST:PORT`.
        address: String,
    },
    /// [`Reply::Peers`](super::Reply::Peers).
    PeerList {},
    /// Forgets an address and closes its link: [`Reply::Done`](super::Reply::Done).
    PeerRemove {
        /// As it was added.
        address: String,
    },
    /// Closes every link, dials nobody and accepts nobody until resumed: [`Reply::Done`](super::Reply::Done).
    PeerPause {},
    /// Undoes a pause and dials at once: [`Reply::Done`](super::Reply::Done).
    PeerResume {},
    /// Gives this device another name: [`Reply::Status`](super::Reply::Status).
    DeviceRename {
        /// The name: 1 to 64 bytes without control characters.
        name: String,
    },
    /// The devices of a space: [`Reply::Devices`](super::Reply::Devices).
    DeviceList {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
    },
    /// [`Reply::Space`](super::Reply::Space).
    SpaceCreate {
        /// A name for people; unique on this device.
        name: String,
    },
    /// [`Reply::Spaces`](super::Reply::Spaces).
    SpaceList {},
    /// Makes one pasteable line that adds a device: [`Reply::Invite`](super::Reply::Invite).
    SpaceInvite {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// How long it may be used, in milliseconds.
        expires_ms: u64,
    },
    /// Joins by such a line; streams progress, ends when control is here: [`Reply::Space`](super::Reply::Space).
    SpaceJoin {
        /// The line.
        invite: Secret,
    },
    /// Chooses which bodies are fetched: [`Reply::Space`](super::Reply::Space).
    SpaceFetch {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The choice.
        bodies: Bodies,
    },
    /// [`Reply::Partition`](super::Reply::Partition).
    PartitionCreate {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// Its name within the space.
        name: String,
    },
    /// [`Reply::Partitions`](super::Reply::Partitions).
    PartitionList {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
    },
    /// [`Reply::Collections`](super::Reply::Collections).
    CollectionList {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
    },
    /// [`Reply::Collection`](super::Reply::Collection).
    CollectionShow {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// Its name.
        collection: String,
    },
    /// Deletes all documents of a collection and its description: streams progress, then
    /// [`Reply::Done`](super::Reply::Done).
    CollectionDrop {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// Its name.
        collection: String,
    },
    /// Finds documents: streams [`Item::Document`](super::Item::Document), then [`Reply::Queried`](super::Reply::Queried).
    Query(super::Query),
    /// Says how a query would be answered: [`Reply::Plan`](super::Reply::Plan).
    QueryPlan(super::Query),
    /// Answers a query and keeps the answer up with what changes: streams [`Item::Live`](super::Item::Live), first the
    /// whole answer, until the caller goes away.
    Live {
        /// Which documents. A bookmark does not count.
        query: super::Query,
        /// The cursor of the last batch that the caller knows, which is told what changed since; with a limit, all again.
        #[serde(default)]
        since: Option<String>,
    },
    /// Counts documents: [`Reply::Counted`](super::Reply::Counted); with a field or measures
    /// [`Reply::Groups`](super::Reply::Groups).
    Count {
        /// Which documents.
        query: super::Query,
        /// By which field they are told apart.
        #[serde(default)]
        by: Option<String>,
        /// What is put together of each group.
        #[serde(default)]
        measures: Vec<super::Measure>,
    },
    /// Defines an index and builds it: streams progress, then [`Reply::Index`](super::Reply::Index).
    IndexCreate {
        /// Which.
        #[serde(flatten)]
        index: super::IndexName,
        /// Paths of its fields, first to last.
        fields: Vec<String>,
    },
    /// [`Reply::Indexes`](super::Reply::Indexes).
    IndexList {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The collection.
        collection: String,
    },
    /// Compares an index with the documents: [`Reply::IndexCheck`](super::Reply::IndexCheck).
    IndexCheck(super::IndexName),
    /// Builds an index anew on this device: streams progress, then [`Reply::Index`](super::Reply::Index).
    IndexRebuild(super::IndexName),
    /// Drops an index on every device: [`Reply::Done`](super::Reply::Done).
    IndexDrop(super::IndexName),
    /// Declares the schema of a collection, unless documents are not as it says:
    /// [`Reply::SchemaReport`](super::Reply::SchemaReport).
    SchemaSet(super::SchemaSet),
    /// [`Reply::Schema`](super::Reply::Schema).
    SchemaShow {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The collection.
        collection: String,
    },
    /// The collections of a partition with their schemas: [`Reply::Schemas`](super::Reply::Schemas).
    SchemaList {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
    },
    /// Compares the documents with the schema: [`Reply::SchemaReport`](super::Reply::SchemaReport).
    SchemaCheck {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The collection.
        collection: String,
    },
    /// Takes the schema away: [`Reply::Done`](super::Reply::Done).
    SchemaDrop {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The collection.
        collection: String,
    },
    /// [`Reply::Written`](super::Reply::Written).
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
    /// Lists what does not show in a document: streams [`Item::Conflict`](super::Item::Conflict), then
    /// [`Reply::Listed`](super::Reply::Listed).
    DocConflicts {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
    },
    /// [`Reply::Document`](super::Reply::Document).
    DocGet {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
    },
    /// [`Reply::Written`](super::Reply::Written).
    DocDelete {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
    },
    /// Streams [`Item::Document`](super::Item::Document), then [`Reply::Listed`](super::Reply::Listed).
    DocList(DocList),
    /// Newest first: streams [`Item::Revision`](super::Item::Revision), then [`Reply::Listed`](super::Reply::Listed).
    DocHistory {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// At most so many; none means all.
        #[serde(default)]
        limit: Option<u64>,
    },
    /// Lists entries of a document that are excluded, newest first: streams
    /// [`Item::Revision`](super::Item::Revision), then [`Reply::Listed`](super::Reply::Listed).
    DocExcluded {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// Whether to write them again as this device's own.
        #[serde(default)]
        publish: bool,
    },
    /// Streams one [`Item::Progress`](super::Item::Progress) once it watches, then [`Item::Change`](super::Item::Change)
    /// for every change after that, until the caller goes away.
    DocWatch {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// Only this collection.
        #[serde(default)]
        collection: Option<String>,
        /// Only this document.
        #[serde(default, with = "doc_ref_option")]
        doc: Option<DocRef>,
        /// Only changes behind the one with this cursor; none means from now on.
        #[serde(default)]
        since: Option<String>,
    },
    /// Streams [`Item::Change`](super::Item::Change) for changes that there are, then [`Reply::Changes`](super::Reply::Changes).
    Changes(super::Changes),
    /// [`Reply::Written`](super::Reply::Written).
    DocSplice(DocSplice),
    /// Holds a document's view: what arrives is stored but shows only when a [`DocSplice::seen`] names it.
    /// Made for replaying traces faithfully. [`Reply::Done`](super::Reply::Done).
    DocHold {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The document.
        #[serde(with = "doc_ref")]
        doc: DocRef,
        /// True holds, false releases (and shows everything).
        hold: bool,
    },
    /// Reads its input; streams progress, then [`Reply::Imported`](super::Reply::Imported).
    Import(Import),
    /// Streams [`Item::Chunk`](super::Item::Chunk) and progress, then [`Reply::Exported`](super::Reply::Exported).
    Export(Export),
    /// A hash of everything that converged replicas agree on: [`Reply::Digest`](super::Reply::Digest).
    Digest {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
    },
    /// Waits until every connected peer has everything of the space durably and nothing known is missing here;
    /// at least one peer must be connected: [`Reply::Synced`](super::Reply::Synced), or `timed_out`.
    WaitSync {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// How long to wait, in milliseconds.
        timeout_ms: u64,
    },
    /// Makes a sealed copy of the store with its history, without log keys: streams [`Item::Bytes`](super::Item::Bytes) and
    /// progress, then [`Reply::Backup`](super::Reply::Backup).
    BackupCreate {
        /// What seals it.
        passphrase: Secret,
    },
    /// Makes a token of the HTTP door: [`Reply::TokenMade`](super::Reply::TokenMade).
    TokenCreate(super::TokenCreate),
    /// [`Reply::Tokens`](super::Reply::Tokens).
    TokenList {},
    /// Revokes a token: [`Reply::Done`](super::Reply::Done).
    TokenRevoke {
        /// Its name.
        name: String,
    },
    /// Finds whose token a client sent, unless its time is over: [`Reply::Who`](super::Reply::Who).
    TokenCheck {
        /// As the client sent it.
        token: Secret,
    },
    /// Makes an account: [`Reply::Account`](super::Reply::Account).
    AccountCreate(super::AccountCreate),
    /// [`Reply::Accounts`](super::Reply::Accounts).
    AccountList {},
    /// Changes an account: [`Reply::Account`](super::Reply::Account).
    AccountChange(super::AccountChange),
    /// Removes an account with its tokens and sessions: [`Reply::Done`](super::Reply::Done).
    AccountRemove {
        /// Its name.
        name: String,
    },
    /// Begins a session: [`Reply::TokenMade`](super::Reply::TokenMade).
    Login(super::Login),
    /// Ends a session: [`Reply::Done`](super::Reply::Done).
    Logout {
        /// The name of its token.
        name: String,
    },
    /// Makes a link that lets an owner in, once: [`Reply::Link`](super::Reply::Link).
    LinkMake {},
    /// What concerned who may do what, newest first: [`Reply::Audit`](super::Reply::Audit).
    AuditList {
        /// Only what has a lower number.
        #[serde(default)]
        before: Option<u64>,
        /// At most so many.
        limit: u64,
    },
    /// Reads the last lines of the node's log: [`Reply::Log`](super::Reply::Log).
    LogRead {
        /// Number of the line behind which to begin; without one, the last lines.
        #[serde(default)]
        after: Option<u64>,
        /// Largest number of lines.
        limit: u64,
        /// Longest wait for a line where there is none, in milliseconds.
        #[serde(default)]
        wait_ms: u64,
    },
    /// Sets the rules of a collection: [`Reply::Rules`](super::Reply::Rules).
    RulesSet(super::RulesSet),
    /// [`Reply::Rules`](super::Reply::Rules).
    RulesShow {
        /// The space.
        #[serde(default)]
        space: SpaceRef,
        /// The collection.
        collection: String,
    },
    /// Says what an account may do with a document: [`Reply::Verdicts`](super::Reply::Verdicts).
    RulesTest(super::RulesTest),
    /// Finishes what is under way, closes the store and stops: [`Reply::Done`](super::Reply::Done), also the second time.
    Shutdown {},
}

impl Command {
    /// Says whether the command reads an input, which the caller sends behind it.
    pub const fn reads(&self) -> bool {
        matches!(self, Self::Import(_))
    }

    /// Says whether the command changes what the store holds, or what the node does.
    pub const fn writes(&self) -> bool {
        match self {
            Self::Import(import) => !import.dry_run,
            Self::DocExcluded { publish, .. } => *publish,
            Self::SchemaSet(set) => !set.dry_run,
            Self::PeerAdd { .. }
            | Self::PeerRemove { .. }
            | Self::PeerPause {}
            | Self::PeerResume {}
            | Self::DeviceRename { .. }
            | Self::SpaceCreate { .. }
            | Self::SpaceInvite { .. }
            | Self::SpaceJoin { .. }
            | Self::SpaceFetch { .. }
            | Self::PartitionCreate { .. }
            | Self::CollectionDrop { .. }
            | Self::IndexCreate { .. }
            | Self::IndexRebuild(_)
            | Self::IndexDrop(_)
            | Self::SchemaDrop { .. }
            | Self::TokenCreate(_)
            | Self::TokenRevoke { .. }
            | Self::AccountCreate(_)
            | Self::AccountChange(_)
            | Self::AccountRemove { .. }
            | Self::Login(_)
            | Self::Logout { .. }
            | Self::LinkMake {}
            | Self::RulesSet(_)
            | Self::DocPut(_)
            | Self::DocPatch { .. }
            | Self::DocDelete { .. }
            | Self::DocWrite(_)
            | Self::DocSplice(_)
            | Self::DocHold { .. } => true,
            Self::Status {}
            | Self::Doctor { .. }
            | Self::PeerList {}
            | Self::DeviceList { .. }
            | Self::SpaceList {}
            | Self::PartitionList { .. }
            | Self::CollectionList { .. }
            | Self::CollectionShow { .. }
            | Self::Query(_)
            | Self::QueryPlan(_)
            | Self::Live { .. }
            | Self::Count { .. }
            | Self::IndexList { .. }
            | Self::IndexCheck(_)
            | Self::SchemaShow { .. }
            | Self::SchemaList { .. }
            | Self::SchemaCheck { .. }
            | Self::DocGet { .. }
            | Self::DocAt(_)
            | Self::DocDiff(_)
            | Self::DocConflicts { .. }
            | Self::DocList(_)
            | Self::DocHistory { .. }
            | Self::DocWatch { .. }
            | Self::Changes(_)
            | Self::Export(_)
            | Self::Digest { .. }
            | Self::WaitSync { .. }
            | Self::BackupCreate { .. }
            | Self::TokenList {}
            | Self::AccountList {}
            | Self::AuditList { .. }
            | Self::LogRead { .. }
            | Self::RulesShow { .. }
            | Self::RulesTest(_)
            | Self::TokenCheck { .. }
            | Self::Shutdown {} => false,
        }
    }

    /// Says whether the command only makes sense in a running daemon, because it needs links or outlives a call.
    pub const fn needs_daemon(&self) -> bool {
        matches!(
            self,
            Self::PeerPause {}
                | Self::PeerResume {}
                | Self::SpaceInvite { .. }
                | Self::SpaceJoin { .. }
                | Self::DocWatch { .. }
                | Self::Live { .. }
                | Self::LinkMake {}
                | Self::LogRead { .. }
                | Self::DocHold { .. }
                | Self::WaitSync { .. }
                | Self::Shutdown {}
        )
    }
}
