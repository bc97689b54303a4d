//! Queries, as requests and answers.

use super::request::Found;
use crate::index::define::Fields;
use crate::query::plan::Plan;
use crate::query::{Field, Selector, Sort, Virtual};
use cosmicsync_protocol::crdt::Value;
use cosmicsync_protocol::ids::DocId;
use cosmicsync_protocol::ledger::PartNo;

/// Documents that a page has, at most.
pub const PAGE_MAX: usize = 10_000;
/// Documents that are read for one answer where no index helps, at most.
pub const SCANNED_MAX: u64 = 100_000;
/// Measures of a group, at most.
pub const MEASURES_MAX: usize = 16;
/// Bytes of values that a live query holds, at most.
pub const LIVE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Groups of an aggregate, at most.
pub const GROUPS_MAX: usize = 10_000;
/// Live queries that wait for a change, at most.
pub const RESTING_MAX: usize = 16_384;

/// A query over one collection.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Where.
    pub partition: PartNo,
    /// The collection's name.
    pub collection: String,
    /// Which documents.
    pub selector: Selector,
    /// In what order; without fields, in the order in which they are read.
    pub sort: Sort,
    /// At most so many. A page has fewer if they are large, or more than [`PAGE_MAX`]; its bookmark leads on.
    pub limit: Option<usize>,
    /// Behind where a former page of the same query ended.
    pub bookmark: Option<String>,
    /// Only with this index.
    pub use_index: Option<String>,
    /// True if each document comes with whether it is as its schema says.
    pub validity: bool,
}

impl Query {
    /// A query for all documents of a collection.
    pub fn all(partition: PartNo, collection: String) -> Self {
        let (selector, sort) = (Selector::All(Vec::new()), Sort::by_id());
        Self { partition, collection, selector, sort, limit: None, bookmark: None, use_index: None, validity: false }
    }
}

impl Query {
    /// Returns whether documents must be compared with the schema.
    pub(super) fn asks_validity(&self) -> bool {
        let sorts = self.sort.fields().iter().any(|(field, _)| *field == Field::Virtual(Virtual::Valid));
        self.validity || sorts || self.selector.asks(Virtual::Valid)
    }
}

impl Want {
    /// Returns whether documents must be compared with the schema.
    pub(super) fn asks_validity(&self) -> bool {
        let is_it = |field: &Field| *field == Field::Virtual(Virtual::Valid);
        match self {
            Self::Groups { by, measures } => {
                by.as_ref().is_some_and(is_it) || measures.iter().any(|measure| is_it(&measure.field))
            }
            Self::Docs | Self::Count | Self::Plan => false,
        }
    }
}

/// What becomes of the documents that match.
#[derive(Debug, Clone, PartialEq)]
pub enum Want {
    /// They are the answer: [`Answer::Matches`](super::request::Answer::Matches).
    Docs,
    /// Their number is: [`Answer::Count`](super::request::Answer::Count).
    Count,
    /// Their values are put together: [`Answer::Groups`](super::request::Answer::Groups).
    Groups {
        /// By what documents are told apart; without it all are one group.
        by: Option<Field>,
        /// What is put together.
        measures: Vec<Measure>,
    },
    /// How it would be answered: [`Answer::Plan`](super::request::Answer::Plan).
    Plan,
}

/// What is put together of a group. Values that are no numbers count for the least and the greatest alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measure {
    /// How.
    pub kind: MeasureKind,
    /// Of which field.
    pub field: Field,
}

/// How values are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeasureKind {
    /// The numbers are added.
    Sum,
    /// The least value that is not missing, in the order of values.
    Min,
    /// The greatest.
    Max,
    /// The numbers are added and divided by how many there are.
    Average,
}

/// A group of documents.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// What they have in common; `None` where it is missing, and where all are one group.
    pub value: Option<Value>,
    /// How many there are.
    pub count: u64,
    /// What was put together, in the order that was asked for. `None` of no values at all.
    pub measures: Vec<Option<Value>>,
}

/// Documents that match.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matches {
    /// In order.
    pub docs: Vec<Found>,
    /// Where the next page goes on; `None` at the end.
    pub bookmark: Option<String>,
    /// What the answer cost.
    pub cost: Cost,
}

/// What an answer cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Rows of indexes that were read.
    pub keys: u64,
    /// Documents that were looked at.
    pub docs: u64,
    /// Whether every document of the collection had to be looked at, because no index helps.
    pub no_index: bool,
}

/// A live query that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LiveId(pub u64);

/// What changed in the answer of a live query.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveBatch {
    /// Which.
    pub id: LiveId,
    /// The number of the last change that is in it.
    pub cursor: u64,
    /// The answer begins anew: what was told before does not count.
    pub reset: bool,
    /// In this order they make the answer before into the answer now.
    pub events: Vec<LiveEvent>,
}

/// A change of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum LiveEvent {
    /// A document is in the answer now.
    Added {
        /// The document.
        found: Found,
        /// Behind which other it stands; `None` is first.
        after: Option<DocId>,
    },
    /// A document changed and stands where it stood.
    Changed {
        /// The document.
        found: Found,
    },
    /// What a document is sorted by changed: it may stand elsewhere.
    Moved {
        /// The document.
        found: Found,
        /// Behind which other it stands; `None` is first.
        after: Option<DocId>,
    },
    /// A document is not in the answer any more.
    Removed {
        /// Which.
        doc: DocId,
        /// Its key, if it has one and the document was told of before.
        key: Option<String>,
    },
}

impl LiveEvent {
    /// Returns the document that it is about.
    pub const fn doc(&self) -> DocId {
        match self {
            Self::Added { found, .. } | Self::Changed { found } | Self::Moved { found, .. } => found.doc,
            Self::Removed { doc, .. } => *doc,
        }
    }
}

/// A change of the indexes of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexChange {
    /// One is defined; nothing changes if it is there already.
    Create {
        /// Its name.
        name: String,
        /// Its fields.
        fields: Fields,
    },
    /// One goes, on every device.
    Drop {
        /// Its name.
        name: String,
    },
    /// One is built anew, on this device.
    Rebuild {
        /// Its name.
        name: String,
    },
}

/// How far an index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexState {
    /// So many documents stand in it.
    Building {
        /// How many.
        done: u64,
    },
    /// All do, and queries read it.
    Ready,
}

/// An index, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexInfo {
    /// Its name.
    pub name: String,
    /// The paths of its fields.
    pub fields: Vec<String>,
    /// How far it is.
    pub state: IndexState,
    /// Whether some document has several keys in it.
    pub lists: bool,
}

/// What checking an index found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IndexCheck {
    /// Documents that were compared.
    pub docs: u64,
    /// Rows that they have in the index.
    pub rows: u64,
    /// Rows that the index lacks.
    pub missing: u64,
    /// Rows that the index has too many.
    pub extra: u64,
}

/// How a query is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// The plan.
    pub plan: Plan,
    /// Documents of the partition that indexes are behind for: they are read in any case.
    pub behind: usize,
}

/// Why a query is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// No index serves the sort, and too many documents match to sort them here.
    #[error("more than {PAGE_MAX} documents match, and no index sorts them: make an index on {0}, or ask for fewer")]
    SortNeedsIndex(String),
    /// Too many documents would have to be read.
    #[error(
        "no index helps, and the collection has more than {SCANNED_MAX} documents: make an index on a field of the selector"
    )]
    ScanLimit,
    /// Not a bookmark, or of another query.
    #[error("the bookmark is none of this query: begin without one")]
    Bookmark,
    /// There is no such index.
    #[error("the collection has no index {0:?}")]
    NoIndex(String),
    /// Another index has the name.
    #[error("the index {0:?} is there already, on other fields: drop it first, or take another name")]
    IndexThere(String),
    /// The index cannot answer the query, or not yet.
    #[error("the index {0:?} is still being built")]
    IndexBuilding(String),
    /// There is no such live query, or it ended.
    #[error("there is no such live query: open it again")]
    NotLive,
    /// Too many live queries are open.
    #[error("there are {RESTING_MAX} live queries already: end others first")]
    TooManyLive,
    /// Too many groups, or too large ones.
    #[error(
        "there are more than {GROUPS_MAX} groups or 32 MiB of them: select fewer documents, or group by another field"
    )]
    TooManyGroups,
    /// More measures than a group may have.
    #[error("a group has at most {MEASURES_MAX} measures, not {0}")]
    TooManyMeasures(usize),
    /// Too much would have to be held for a live query.
    #[error("more than {LIVE_BYTES_MAX} bytes match: select fewer documents, or set a limit")]
    LiveTooLarge,
}
