//! Workloads of a scenario's peers.

use super::Span;
use schemars::JsonSchema;
use serde::Deserialize;

/// A workload. Documents are named by number; each is made at the start by peer 0 unless a `create` makes it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(tag = "kind")]
pub enum Workload {
    /// Makes documents.
    Create {
        /// The peer.
        peer: usize,
        /// Numbers of the documents.
        docs: Vec<u32>,
        /// Time of the creation.
        #[serde(default)]
        at: Span,
    },
    /// Types into texts, a token of its own each time. The oracles look for every acknowledged token.
    TextEdits {
        /// The peers that type.
        peers: Vec<usize>,
        /// Numbers of the documents.
        #[serde(default = "first")]
        docs: Vec<u32>,
        /// Edits of each peer per second.
        rate_hz: f64,
        /// Start.
        #[serde(default)]
        at: Span,
        /// End.
        until: Span,
        /// Number of characters beside the token.
        #[serde(default)]
        bytes: u32,
        /// True if each edit becomes an entry of its own at once.
        #[serde(default)]
        urgent: bool,
    },
    /// Types and deletes in a second text.
    Scribbles {
        /// The peers that type.
        peers: Vec<usize>,
        /// Numbers of the documents.
        #[serde(default = "first")]
        docs: Vec<u32>,
        /// Edits of each peer per second.
        rate_hz: f64,
        /// Start.
        #[serde(default)]
        at: Span,
        /// End.
        until: Span,
    },
    /// Adds items to lists, which nest. Each has a token that the oracles look for; `text-edits` type into items
    /// too.
    Items {
        /// The peers that add items.
        peers: Vec<usize>,
        /// Numbers of the documents.
        #[serde(default = "first")]
        docs: Vec<u32>,
        /// Edits of each peer per second.
        rate_hz: f64,
        /// Start.
        #[serde(default)]
        at: Span,
        /// End.
        until: Span,
    },
    /// Sets fields.
    Fields {
        /// The peers that set fields.
        peers: Vec<usize>,
        /// Numbers of the documents.
        #[serde(default = "first")]
        docs: Vec<u32>,
        /// Edits of each peer per second.
        rate_hz: f64,
        /// Start.
        #[serde(default)]
        at: Span,
        /// End.
        until: Span,
    },
    /// Types into two documents of one partition, as one transaction.
    Transactions {
        /// The peers that type.
        peers: Vec<usize>,
        /// Numbers of the two documents.
        docs: [u32; 2],
        /// Transactions of each peer per second.
        rate_hz: f64,
        /// Start.
        #[serde(default)]
        at: Span,
        /// End.
        until: Span,
    },
    /// Deletes documents and brings them back, in turns.
    Deletes {
        /// The peers that delete.
        peers: Vec<usize>,
        /// Numbers of the documents.
        docs: Vec<u32>,
        /// Deletions and restorations of each peer per second.
        rate_hz: f64,
        /// Start.
        #[serde(default)]
        at: Span,
        /// End.
        until: Span,
    },
    /// Opens documents and closes them again, so that they are evicted and read anew.
    Reads {
        /// The peers that read.
        peers: Vec<usize>,
        /// Numbers of the documents.
        docs: Vec<u32>,
        /// Reads of each peer per second.
        rate_hz: f64,
        /// Start.
        #[serde(default)]
        at: Span,
        /// End.
        until: Span,
    },
    /// Makes a log of many entries: one document, one edit after another.
    History {
        /// The peer that writes the document.
        peer: usize,
        /// Number of the document.
        #[serde(default)]
        doc: u32,
        /// Number of entries.
        entries: u32,
        /// Start; one entry per millisecond follows.
        #[serde(default)]
        at: Span,
    },
    /// Imports documents in bulk.
    Import {
        /// The peer.
        peer: usize,
        /// Number of documents.
        count: u32,
        /// Number of characters of each.
        #[serde(default)]
        bytes: u32,
        /// Time of the import.
        #[serde(default)]
        at: Span,
    },
    /// Runs databases on all peers: writes and deletes documents that an index and live queries cover, and compares
    /// their answers. No other workload can be beside it.
    Database {
        /// The peers that write and query.
        peers: Vec<usize>,
        /// Numbers of the documents.
        docs: Vec<u32>,
        /// Requests of each peer per second.
        rate_hz: f64,
        /// Start.
        #[serde(default)]
        at: Span,
        /// End.
        until: Span,
    },
}

fn first() -> Vec<u32> {
    vec![0]
}
