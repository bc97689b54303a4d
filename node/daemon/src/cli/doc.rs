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
        /// Its name
        collection: String,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Delete all documents of a collection
    Drop {
        /// Its name
        collection: String,
        #[command(flatten)]
        space: SpaceOption,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DocVerb {
    /// Store a document
    Put {
        /// Where; without a key it gets a fresh id
        #[arg(value_name = "COLLECTION[/KEY]")]
        target: String,
        /// A JSON object; - reads stdin
        #[arg(default_value = "-", value_name = "JSON")]
        value: String,
        /// Dotted path of a member that several people may type into, * for each item of a list; repeatable
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
    /// Delete a document; an edit made elsewhere that has not seen this brings it back
    Delete {
        /// COLLECTION/KEY or a document id
        doc: DocRef,
        #[command(flatten)]
        options: WriteOptions,
    },
    /// List documents by collection and key
    List(List),
    /// Print what was done to a document, when and by which device, newest first
    History {
        /// COLLECTION/KEY or a document id
        doc: DocRef,
        #[command(flatten)]
        space: SpaceOption,
        /// At most so many [default: all; 50 on a terminal]
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
    },
    /// List entries that are excluded with a branch of a forked log
    Excluded {
        /// COLLECTION/KEY or a document id
        doc: DocRef,
        #[command(flatten)]
        space: SpaceOption,
        /// Write them again as this device's own
        #[arg(long)]
        publish: bool,
    },
    /// Print changes as they happen
    Watch {
        /// A collection, COLLECTION/KEY or a document id [default: the whole space]
        #[arg(value_name = "COLLECTION|DOC")]
        target: Option<String>,
        /// Only changes behind this one: the cursor that a watch printed with -o json
        #[arg(long, value_name = "CURSOR")]
        since: Option<String>,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Type into a text of a document
    Type(Type),
    #[command(flatten)]
    Intent(IntentVerb),
}

/// Options of `doc list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only this collection
    pub(crate) collection: Option<String>,
    /// Only documents that come after this one
    #[arg(long, value_name = "DOC")]
    pub(crate) after: Option<DocRef>,
    /// At most so many [default: all; 100 on a terminal]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// With their values
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
    /// What to type
    #[arg(default_value = "", value_name = "TEXT")]
    pub(crate) insert: String,
    /// Where, in characters
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) at: u64,
    /// Characters to delete there first
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) delete: u64,
    /// Many edits: a JSON array of [position, deleted, "inserted"] a line, each line one write; - reads stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["insert", "at", "delete"])]
    pub(crate) patches: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) space: SpaceOption,
}
