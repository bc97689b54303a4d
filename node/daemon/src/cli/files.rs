//! Commands that read or write files: import, export, backup.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use cosmicsync_node::service::Format;

use super::SpaceOption;

/// Options of `import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// File, pipe or FIFO to read; - is stdin
    pub(crate) file: PathBuf,
    /// Collection to import into
    #[arg(short, long, value_name = "NAME")]
    pub(crate) collection: String,
    /// Format of the file [default: by its extension and first record]
    #[arg(long, value_parser = parse_format, value_name = "csv|tsv|ndjson|json|xml")]
    pub(crate) format: Option<Format>,
    /// Separator between the cells of a table: one character, or tab [default: by the first record]
    #[arg(long, value_parser = parse_delimiter, value_name = "CHARACTER")]
    pub(crate) delimiter: Option<char>,
    /// Column or member with the document's key, as a dotted path; in XML an attribute begins with @
    #[arg(long, value_name = "NAME")]
    pub(crate) id_column: Option<String>,
    /// JSON: dotted path of the array with the rows; XML: path of the elements that are rows
    #[arg(long, value_name = "PATH")]
    pub(crate) rows: Option<String>,
    /// Dotted path of a member that several people may edit at once, with * for each item of a list; repeatable
    #[arg(long, value_name = "PATH")]
    pub(crate) text: Vec<String>,
    /// Table: column whose cells become numbers; repeatable [default: every cell is a text]
    #[arg(long = "number", value_name = "NAME")]
    pub(crate) numbers: Vec<String>,
    /// Seal documents together, which takes fewer bytes: they can then be erased only by the hundred
    #[arg(long)]
    pub(crate) erasable_together: bool,
    /// Resume an interrupted import of this file
    #[arg(long)]
    pub(crate) resume: bool,
    /// Read the whole file and report its content without storing anything
    #[arg(long, conflicts_with = "resume")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) space: SpaceOption,
}

/// Options of `export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Collection to export
    pub(crate) collection: String,
    /// File, pipe or FIFO to write; - is stdout
    pub(crate) file: PathBuf,
    /// Format of the file [default: by its extension, ndjson for -]
    #[arg(long, value_parser = parse_format, value_name = "csv|tsv|ndjson|json|xml")]
    pub(crate) format: Option<Format>,
    /// CSV: separator between the cells, one character or tab [default: as imported]
    #[arg(long, value_parser = parse_delimiter, value_name = "CHARACTER")]
    pub(crate) delimiter: Option<char>,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) space: SpaceOption,
}

/// Source of a backup's passphrase.
#[derive(Debug, Clone, Args)]
pub(crate) struct Passphrase {
    /// File whose first line is the passphrase [default: $COSMICSYNC_PASSPHRASE, else asked for]
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackupVerb {
    /// Write a sealed backup of the store and its history
    Create {
        /// New file, pipe or FIFO to write; - is stdout
        file: PathBuf,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Verify every byte of a backup
    Verify {
        /// Backup to read; - is stdin
        file: PathBuf,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Restore a data directory from a backup; it replaces the old device, so stop that one
    Restore {
        /// Backup to read; - is stdin
        file: PathBuf,
        #[command(flatten)]
        passphrase: Passphrase,
    },
}

fn parse_format(text: &str) -> Result<Format, String> {
    format_of(text).ok_or_else(|| format!("'{text}' is not one of csv, tsv, ndjson, json, xml"))
}

fn parse_delimiter(text: &str) -> Result<char, String> {
    let mut characters = text.chars();
    match (text, characters.next(), characters.next()) {
        ("tab" | "\\t", ..) => Ok('\t'),
        (_, Some(character), None) => Ok(character),
        _ => Err(format!("'{text}' is neither one character nor the word tab")),
    }
}

/// Returns the format of a file extension.
pub(crate) fn format_of(ending: &str) -> Option<Format> {
    match ending.to_ascii_lowercase().as_str() {
        "csv" => Some(Format::Csv),
        "tsv" | "tab" => Some(Format::Tsv),
        "xml" => Some(Format::Xml),
        "ndjson" | "jsonl" => Some(Format::Ndjson),
        "json" | "geojson" => Some(Format::Json),
        _ => None,
    }
}
