//! What the peers of a scenario do.

use super::Span;
use schemars::JsonSchema;
use serde::Deserialize;

/// What peers do. Documents are named by number; each is made at the start by peer 0 unless a `create` makes it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(tag = "kind")]
pub enum Workload {
    /// Makes documents.
    Create {
        /// Where.
        peer: usize,
        /// Which.
        docs: Vec<u32>,
        /// When.
        #[serde(default)]
        at: Span,
    },
    /// Types into texts, a word of its own each time. The oracles look for every one that was acknowledged.
    TextEdits {
        /// Who.
        peers: Vec<usize>,
        /// Into which documents.
        #[serde(default = "first")]
        docs: Vec<u32>,
        /// How often each peer types, a second.
        rate_hz: f64,
        /// From when.
        #[serde(default)]
        at: Span,
        /// Until when.
        until: Span,
        /// How many characters beside the word.
        #[serde(default)]
        bytes: u32,
        /// Each edit becomes an entry of its own at once.
        #[serde(default)]
        urgent: bool,
    },
    /// Types and deletes in a second text.
    Scribbles {
        /// Who.
        peers: Vec<usize>,
        /// In which documents.
        #[serde(default = "first")]
        docs: Vec<u32>,
        /// How often each peer does, a second.
        rate_hz: f64,
        /// From when.
        #[serde(default)]
        at: Span,
        /// Until when.
        until: Span,
    },
    /// Adds items to lists, which nest. Each bears a word that the oracles look for; `text-edits` type into items too.
    Items {
        /// Who.
        peers: Vec<usize>,
        /// In which documents.
        #[serde(default = "first")]
        docs: Vec<u32>,
        /// How often each peer does, a second.
        rate_hz: f64,
        /// From when.
        #[serde(default)]
        at: Span,
        /// Until when.
        until: Span,
    },
    /// Sets fields.
    Fields {
        /// Who.
        peers: Vec<usize>,
        /// In which documents.
        #[serde(default = "first")]
        docs: Vec<u32>,
        /// How often each peer does, a second.
        rate_hz: f64,
        /// From when.
        #[serde(default)]
        at: Span,
        /// Until when.
        until: Span,
    },
    /// Types into two documents of one partition at a time, as one transaction.
    Transactions {
        /// Who.
        peers: Vec<usize>,
        /// Which two documents.
        docs: [u32; 2],
        /// How often each peer does, a second.
        rate_hz: f64,
        /// From when.
        #[serde(default)]
        at: Span,
        /// Until when.
        until: Span,
    },
    /// Deletes documents and brings them back, in turns.
    Deletes {
        /// Who.
        peers: Vec<usize>,
        /// Which.
        docs: Vec<u32>,
        /// How often each peer does, a second.
        rate_hz: f64,
        /// From when.
        #[serde(default)]
        at: Span,
        /// Until when.
        until: Span,
    },
    /// Opens documents and lets them go again, so that they are evicted and read anew.
    Reads {
        /// Who.
        peers: Vec<usize>,
        /// Which.
        docs: Vec<u32>,
        /// How often each peer does, a second.
        rate_hz: f64,
        /// From when.
        #[serde(default)]
        at: Span,
        /// Until when.
        until: Span,
    },
    /// Makes a log of many entries: one document, one edit after another.
    History {
        /// Who writes it.
        peer: usize,
        /// Into which document.
        #[serde(default)]
        doc: u32,
        /// How many entries.
        entries: u32,
        /// When it begins; an entry follows each millisecond.
        #[serde(default)]
        at: Span,
    },
    /// Imports documents in bulk.
    Import {
        /// Where.
        peer: usize,
        /// How many.
        count: u32,
        /// How many characters each.
        #[serde(default)]
        bytes: u32,
        /// When.
        #[serde(default)]
        at: Span,
    },
}

fn first() -> Vec<u32> {
    vec![0]
}
