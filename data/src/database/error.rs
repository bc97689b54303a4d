//! Errors of requests.

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
use cosmicsync_protocol::spaces::SpaceError;
use cosmicsync_protocol::storage::StoreError;

/// Displays the first violation of a document and the number of further ones.
struct Violations<'a>(&'a [Violation]);

impl fmt::Display for Violations<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the document violates its schema: ")?;
        let Some((first, more)) = self.0.split_first() else { return Ok(()) };
        first.fmt(f)?;
        if more.is_empty() { Ok(()) } else { write!(f, "; and {} more", more.len()) }
    }
}

/// Displays the first document that does not match a schema.
struct First<'a>(&'a SchemaReport);

impl fmt::Display for First<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.0.examples.first() else { return Ok(()) };
        let name = first.key.clone().unwrap_or_else(|| first.doc.to_string());
        let violation = first.violations.first().map(ToString::to_string);
        write!(f, " (the first is {name:?}: {})", violation.unwrap_or_default())
    }
}

/// Displays a refused deed.
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

/// Reasons for a request to fail.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// The document does not exist.
    #[error("there is no such document")]
    NotFound,
    /// The document is incomplete, so an edit is refused.
    #[error("parts of the document have not arrived on this device yet")]
    Incomplete(Vec<Missing>),
    /// A name, key or source is empty or too long.
    #[error("{0} must have 1 to 255 bytes")]
    BadName(&'static str),
    /// An error about the document of write number `.0` of a transaction.
    #[error("write {}: {}", .0 + 1, .1)]
    At(usize, #[source] Box<Self>),
    /// The document exists, and the write was to create it.
    #[error("the document exists already")]
    Exists,
    /// The document has another version than the write requires.
    #[error("the document has version {now} now")]
    VersionMismatch {
        /// The document's version.
        now: VersionId,
    },
    /// The document has no version whose name begins with these digits.
    #[error("the document has no such version")]
    NoVersion,
    /// Several versions have names that begin with these digits.
    #[error("several versions begin with these digits: give more")]
    AmbiguousVersion,
    /// This device has made no change that could be undone.
    #[error("this device wrote nothing here that could be undone")]
    NothingToUndo,
    /// A transaction holds too many writes.
    #[error("a transaction holds at most {0} writes")]
    TooMany(usize),
    /// A different request was carried out under this idempotency key.
    #[error("another request was carried out under this idempotency key")]
    OnceMismatch,
    /// A request with this idempotency key is being carried out.
    #[error("a request under this idempotency key is under way: ask again once it is done")]
    OnceBusy,
    /// A JSON patch was refused.
    #[error(transparent)]
    JsonPatch(#[from] JsonPatchError),
    /// A name contains a character that commands cannot express.
    #[error("{what} must not contain {character}")]
    BadCharacter {
        /// The kind of thing that is named.
        what: &'static str,
        /// The character.
        character: &'static str,
    },
    /// A row of an import was refused.
    #[error("line {} (row {}): {error}", at.line, at.row)]
    Row {
        /// The row's position in the file.
        at: RowPlace,
        /// The error.
        error: Box<RequestError>,
    },
    /// A patch or value is not an object.
    #[error("a document must be an object")]
    NotObject,
    /// The import does not exist, or has ended.
    #[error("there is no such import: start it again")]
    NoImport,
    /// A query was refused.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A definition of an index was refused.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The schema is invalid.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The document would not match its schema.
    #[error("{}", Violations(.0))]
    Violates(Vec<Violation>),
    /// The schema merges members in another way than the existing documents do.
    #[error("the collection has documents, and {0} would merge in another way: drop them first, or keep its x-crdt")]
    ContainerChange(String),
    /// The schema was not set, because existing documents do not match it.
    #[error(
        "{} of {} documents violate the schema{}: correct them, or set it with force",
        .0.invalid, .0.docs, First(.0)
    )]
    DocumentsViolate(Box<SchemaReport>),
    /// The collection has no schema.
    #[error("the collection has no schema")]
    NoSchema,
    /// The collection's rules do not allow the deed.
    #[error("{}", Forbidden { deed: *deed, collection, locked: *locked })]
    Forbidden {
        /// The deed that was refused.
        deed: Deed,
        /// The collection of the document.
        collection: String,
        /// True if the deed is refused for every document of the collection.
        locked: bool,
    },
    /// The actor's token is for other collections, or does not allow the deed there.
    #[error("the token gives no permission to {} documents of the collection {collection:?}", deed.name())]
    OutOfReach {
        /// The deed that was refused.
        deed: Deed,
        /// The collection.
        collection: String,
    },
    /// Only an actor without limits may make this request.
    #[error("only an owner or an admin of this node may do this")]
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
