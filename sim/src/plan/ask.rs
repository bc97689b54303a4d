//! What users ask of a database: writes that collide, indexes that come and go, queries.

use serde::{Deserialize, Serialize};

/// What is asked of a peer's database. Documents and collections are numbered over all partitions; what is written, and
/// what a query is about, is drawn for the action's id, from so few values that much of it meets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Stores a document whole.
    Put {
        /// Its number.
        doc: u32,
    },
    /// Changes members of a document.
    Patch {
        /// Its number.
        doc: u32,
    },
    /// Changes a member of a document. Nobody waits until that is durable.
    Gather {
        /// Its number.
        doc: u32,
    },
    /// Deletes a document.
    Delete {
        /// Its number.
        doc: u32,
    },
    /// Brings a deleted document back.
    Undelete {
        /// Its number.
        doc: u32,
    },
    /// Stores two documents in one transaction.
    Both {
        /// Their numbers, in one partition.
        docs: [u32; 2],
    },
    /// Holds a document back, or lets everything in again.
    Hold {
        /// Its number.
        doc: u32,
        /// Whether to hold.
        on: bool,
    },
    /// Imports documents with keys of their own.
    Import {
        /// The collection's number.
        place: u32,
        /// How many.
        docs: u32,
    },
    /// Changes the indexes of a collection.
    Index {
        /// The collection's number.
        place: u32,
        /// The index's number.
        index: u32,
        /// What becomes of it.
        change: Change,
    },
    /// Declares a schema of a collection, also one that documents violate, or takes it away.
    Schema {
        /// The collection's number.
        place: u32,
        /// The schema's number; 0 is none.
        schema: u32,
    },
    /// Asks a query, whatever else is under way.
    Find {
        /// The collection's number.
        place: u32,
        /// The number of the index by which it is to be answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        index: Option<u32>,
    },
    /// Asks a query in the name of somebody whom the rules of the collection bind.
    FindBound {
        /// The collection's number.
        place: u32,
    },
    /// Opens a live query in the name of somebody whom the rules of the collection bind.
    FollowBound {
        /// The collection's number.
        place: u32,
    },
    /// Sets rules of a collection, or takes them away.
    Rules {
        /// The collection's number.
        place: u32,
        /// The rules' number; 0 is none.
        rules: u32,
    },
    /// Reads the next numbered changes, and looks at the documents they are about.
    Feed {
        /// At most so many.
        limit: u32,
    },
    /// Opens a live query and follows it from then on, also after restarts.
    Follow {
        /// The collection's number.
        place: u32,
    },
    /// Ends the live query that was opened first.
    Unfollow,
    /// Has the peer's store carry out all that waits, then compares indexes, answers and live queries with the documents.
    Check,
}

impl Ask {
    /// Whether it only asks, and changes nothing.
    pub const fn is_question(&self) -> bool {
        matches!(self, Self::Find { .. } | Self::FindBound { .. } | Self::Feed { .. } | Self::Check)
    }
}

/// What becomes of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It is defined.
    Create,
    /// It goes.
    Drop,
    /// It is built anew.
    Rebuild,
}
