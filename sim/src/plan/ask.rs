//! Requests of users to a database: writes that collide, indexes that come and go, queries.

use serde::{Deserialize, Serialize};

/// Request to a peer's database. Documents and collections are numbered over all partitions. Written values and
/// queries are drawn for the action's id, from so small a range that they often match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Stores a whole document.
    Put {
        /// The document's number.
        doc: u32,
    },
    /// Changes members of a document.
    Patch {
        /// The document's number.
        doc: u32,
    },
    /// Changes a member of a document, without waiting for durability.
    Gather {
        /// The document's number.
        doc: u32,
    },
    /// Deletes a document.
    Delete {
        /// The document's number.
        doc: u32,
    },
    /// Brings a deleted document back.
    Undelete {
        /// The document's number.
        doc: u32,
    },
    /// Stores two documents in one transaction.
    Both {
        /// The documents' numbers, in one partition.
        docs: [u32; 2],
    },
    /// Holds a document at its present content, or ends the hold.
    Hold {
        /// The document's number.
        doc: u32,
        /// True to begin a hold, false to end it.
        on: bool,
    },
    /// Imports documents with keys of their own.
    Import {
        /// The collection's number.
        place: u32,
        /// Number of documents.
        docs: u32,
    },
    /// Changes the indexes of a collection.
    Index {
        /// The collection's number.
        place: u32,
        /// The index's number.
        index: u32,
        /// The change.
        change: Change,
    },
    /// Declares a schema of a collection, even one that documents violate, or removes it.
    Schema {
        /// The collection's number.
        place: u32,
        /// The schema's number; 0 removes it.
        schema: u32,
    },
    /// Runs a query, during any other work.
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
        /// Largest number of changes.
        limit: u32,
    },
    /// Opens a live query and follows it from then on, across restarts.
    Follow {
        /// The collection's number.
        place: u32,
    },
    /// Ends the live query that was opened first.
    Unfollow,
    /// Takes a step of an app's user: see [`App`](crate::App).
    Step,
    /// Has the peer's store carry out all waiting requests, then compares indexes, answers and live queries with
    /// the documents.
    Check,
}

impl Ask {
    /// Returns whether the request is a query, which changes nothing.
    pub const fn is_question(&self) -> bool {
        matches!(self, Self::Find { .. } | Self::FindBound { .. } | Self::Feed { .. } | Self::Check)
    }
}

/// Change of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// The index is defined.
    Create,
    /// The index is removed.
    Drop,
    /// The index is rebuilt.
    Rebuild,
}
