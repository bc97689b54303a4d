//! Why a request fails.

use super::ask::QueryError;
use super::request::RowPlace;
use super::schema_ops::SchemaReport;
use crate::index::define::IndexError;
use crate::json_patch::JsonPatchError;
use crate::rules::Deed;
use crate::schema::{SchemaError, Violation};
use core::fmt;
use cosmicsync_protocol::crdt::VersionId;
use cosmicsync_protocol::documents::{BulkError, EditError, Missing};
use cosmicsync_protocol::ledger::SpaceError;
use cosmicsync_protocol::storage::StoreError;

/// Lists what a document violates: the first of it, and how much more there is.
struct Violations<'a>(&'a [Violation]);

impl fmt::Display for Violations<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the document is not as its schema says: ")?;
        let Some((first, more)) = self.0.split_first() else { return Ok(()) };
        first.fmt(f)?;
        if more.is_empty() { Ok(()) } else { write!(f, "; and {} more", more.len()) }
    }
}

/// Shows the first document that is not as a schema says.
struct First<'a>(&'a SchemaReport);

impl fmt::Display for First<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.0.examples.first() else { return Ok(()) };
        let name = first.key.clone().unwrap_or_else(|| first.doc.to_string());
        let violation = first.violations.first().map(ToString::to_string);
        write!(f, " (the first is {name:?}: {})", violation.unwrap_or_default())
    }
}

/// Shows a refused deed.
struct Forbidden<'a> {
    deed: Deed,
    collection: &'a str,
    locked: bool,
}

impl fmt::Display for Forbidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deed, collection, locked } = self;
        let deed = deed.name();
        if *locked {
            write!(f, "the collection {collection:?} is locked for you: no rule {deed} lets you in")
        } else {
            write!(f, "the rule {deed} of the collection {collection:?} does not allow it")
        }
    }
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// There is no such document.
    #[error("there is no such document")]
    NotFound,
    /// The document is not wholly here, so it is not changed blindly.
    #[error("the document is not wholly here")]
    Incomplete(Vec<Missing>),
    /// A name, key or source is empty or too long.
    #[error("{0} must have 1 to 255 bytes")]
    BadName(&'static str),
    /// The document of write number `.0` of a transaction.
    #[error("write {}: {}", .0 + 1, .1)]
    At(usize, #[source] Box<Self>),
    /// The document exists, and the write was to make it.
    #[error("the document exists already")]
    Exists,
    /// The document has another version than the write was for.
    #[error("the document has version {now} now")]
    VersionMismatch {
        /// Its version.
        now: VersionId,
    },
    /// No version has this name.
    #[error("the document has no such version")]
    NoVersion,
    /// Several versions have names that begin so.
    #[error("several versions begin so: give more digits")]
    AmbiguousVersion,
    /// This device changed nothing that could be taken back.
    #[error("this device wrote nothing here that could be undone")]
    NothingToUndo,
    /// A transaction holds too many writes.
    #[error("a transaction holds at most {0} writes")]
    TooMany(usize),
    /// Another request was carried out under this name.
    #[error("another request was carried out under this idempotency key")]
    OnceMismatch,
    /// The same request, or another under its name, is under way.
    #[error("a request under this idempotency key is under way: ask again once it is done")]
    OnceBusy,
    /// A JSON patch was refused.
    #[error(transparent)]
    JsonPatch(#[from] JsonPatchError),
    /// A name that commands could not say.
    #[error("{what} has {character}, which no name may have")]
    BadCharacter {
        /// What is named.
        what: &'static str,
        /// What is wrong with it.
        character: &'static str,
    },
    /// A row of an import was refused.
    #[error("line {} (row {}): {error}", at.line, at.row)]
    Row {
        /// Where it stands.
        at: RowPlace,
        /// Why.
        error: Box<RequestError>,
    },
    /// A patch or value is no object.
    #[error("a document must be an object")]
    NotObject,
    /// There is no such import, or it ended.
    #[error("there is no such import: start it again")]
    NoImport,
    /// A query was refused.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A definition of an index was refused.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Something is no schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The document would not be as its schema says.
    #[error("{}", Violations(.0))]
    Violates(Vec<Violation>),
    /// A schema says that members merge in another way than those of the documents that are there.
    #[error("the collection has documents, and {0} would merge in another way: drop them first, or keep its x-crdt")]
    ContainerChange(String),
    /// A schema was not set, because documents are not as it says.
    #[error(
        "{} of {} documents are not as the schema says{}: mend them, or set it with force",
        .0.invalid, .0.docs, First(.0)
    )]
    DocumentsViolate(Box<SchemaReport>),
    /// The collection has no schema.
    #[error("the collection has no schema")]
    NoSchema,
    /// The rules of the collection, or the reach of whoever asks, do not allow it.
    #[error("{}", Forbidden { deed: *deed, collection, locked: *locked })]
    Forbidden {
        /// The deed that was refused.
        deed: Deed,
        /// The collection of the document.
        collection: String,
        /// Whether it is refused for every document.
        locked: bool,
    },
    /// Only whoever may do everything may ask for this.
    #[error("only an owner or an admin of this node may ask for this")]
    AdminOnly,
    /// The edit was refused.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The import was refused.
    #[error(transparent)]
    Bulk(#[from] BulkError),
    /// The space cannot be written to.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The endpoint failed before the write was durable.
    #[error("the write was lost before it was durable: try again")]
    Lost,
}
