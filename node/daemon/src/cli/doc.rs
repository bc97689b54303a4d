//! Commands about documents.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use cosmicsync_node::service::DocRef;

use super::SpaceOption;
use crate::intents::{IntentVerb, WriteOptions};

#[derive(Debug, Subcommand)]
pub(crate) enum CollectionVerb {
    /// List collections
    List {
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Show one collection
    Show {
        /// Name of the collection
        collection: String,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Delete a collection: all its documents and its description
    Drop {
        /// Name of the collection
        collection: String,
        #[command(flatten)]
        space: SpaceOption,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DocVerb {
    /// Store a document
    Put {
        /// Collection and key; without a key, the document gets a new id
        #[arg(value_name = "COLLECTION[/KEY]")]
        target: String,
        /// Value of the document, a JSON object; - reads stdin
        #[arg(default_value = "-", value_name = "JSON")]
        value: String,
        /// Dotted path of a member that several people may edit at once, with * for each item of a list; repeatable
        #[arg(long, value_name = "PATH")]
        text: Vec<String>,
        #[command(flatten)]
        options: WriteOptions,
    },
    /// Print a document
    Get {
        /// COLLECTION/KEY or a document id
        doc: DocRef,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Change members by a JSON merge patch (RFC 7396, an object) or a JSON patch (RFC 6902, an array)
    Patch {
        /// COLLECTION/KEY or a document id
        doc: DocRef,
        /// The patch; - reads stdin
        #[arg(default_value = "-", value_name = "JSON")]
        patch: String,
        #[command(flatten)]
        options: WriteOptions,
    },
    /// Delete a document; a concurrent edit on another device restores it
    Delete {
        /// COLLECTION/KEY or a document id
        doc: DocRef,
        #[command(flatten)]
        options: WriteOptions,
    },
    /// List documents by collection and key
    List(List),
    /// Print the history of a document, newest first: each change, its time and its device
    History {
        /// COLLECTION/KEY or a document id
        doc: DocRef,
        #[command(flatten)]
        space: SpaceOption,
        /// Largest number of entries [default: all; 50 on a terminal]
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
    },
    /// List the entries of a document that are excluded, because another branch of a forked log is kept
    Excluded {
        /// COLLECTION/KEY or a document id
        doc: DocRef,
        #[command(flatten)]
        space: SpaceOption,
        /// Write their changes again, as this device's own
        #[arg(long)]
        publish: bool,
    },
    /// Print changes as they happen
    Watch {
        /// A collection, COLLECTION/KEY or a document id [default: the whole space]
        #[arg(value_name = "COLLECTION|DOC")]
        target: Option<String>,
        /// Cursor after which to begin, as a watch prints it with -o json
        #[arg(long, value_name = "CURSOR")]
        since: Option<String>,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Edit a text of a document
    Type(Type),
    #[command(flatten)]
    Intent(IntentVerb),
}

/// Options of `doc list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Show only this collection
    pub(crate) collection: Option<String>,
    /// Document after which to begin
    #[arg(long, value_name = "DOC")]
    pub(crate) after: Option<DocRef>,
    /// Largest number of documents [default: all; 100 on a terminal]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Print their values too
    #[arg(long)]
    pub(crate) values: bool,
    #[command(flatten)]
    pub(crate) space: SpaceOption,
}

/// Options of `doc type`.
#[derive(Debug, Args)]
pub(crate) struct Type {
    /// COLLECTION/KEY or a document id
    pub(crate) doc: DocRef,
    /// Dotted path of the text
    pub(crate) path: String,
    /// Text to insert
    #[arg(default_value = "", value_name = "TEXT")]
    pub(crate) insert: String,
    /// Position of the edit, in characters
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) at: u64,
    /// Number of characters to delete there first
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) delete: u64,
    /// File with many edits: a JSON array of [position, deleted, "inserted"] per line, each line one write; - reads
    /// stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["insert", "at", "delete"])]
    pub(crate) patches: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) space: SpaceOption,
}
