//! Commands that read or write files: import, export, backup.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use cosmicsync_node::service::Format;

use super::SpaceOption;

/// Options of `import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file, a pipe or a FIFO; - is stdin
    pub(crate) file: PathBuf,
    /// The collection
    #[arg(short, long, value_name = "NAME")]
    pub(crate) collection: String,
    /// Its format [default: by the file's ending and first record]
    #[arg(long, value_parser = parse_format, value_name = "csv|tsv|ndjson|json|xml")]
    pub(crate) format: Option<Format>,
    /// What separates the cells of a table: one character, or tab [default: by the first record]
    #[arg(long, value_parser = parse_delimiter, value_name = "CHARACTER")]
    pub(crate) delimiter: Option<char>,
    /// Column or member that becomes the key, as a dotted path; in XML an attribute begins with @
    #[arg(long, value_name = "NAME")]
    pub(crate) id_column: Option<String>,
    /// JSON: dotted path of the array that holds the rows; XML: of the elements that are rows
    #[arg(long, value_name = "PATH")]
    pub(crate) rows: Option<String>,
    /// Dotted path of a member that several people may type into, * for each item of a list; repeatable
    #[arg(long, value_name = "PATH")]
    pub(crate) text: Vec<String>,
    /// Declare that documents of this collection can be erased some hundred together, not one by one: they take fewer bytes
    #[arg(long)]
    pub(crate) erasable_together: bool,
    /// Go on where an interrupted import of this file stopped
    #[arg(long)]
    pub(crate) resume: bool,
    /// Read the whole file and say what is in it, but store nothing
    #[arg(long, conflicts_with = "resume")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) space: SpaceOption,
}

/// Options of `export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The collection
    pub(crate) collection: String,
    /// The file, a pipe or a FIFO; - is stdout
    pub(crate) file: PathBuf,
    /// Its format [default: by the file's ending, ndjson for -]
    #[arg(long, value_parser = parse_format, value_name = "csv|tsv|ndjson|json|xml")]
    pub(crate) format: Option<Format>,
    /// CSV: what separates the cells: one character, or tab [default: as it was imported]
    #[arg(long, value_parser = parse_delimiter, value_name = "CHARACTER")]
    pub(crate) delimiter: Option<char>,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) space: SpaceOption,
}

/// Where a backup's passphrase comes from.
#[derive(Debug, Clone, Args)]
pub(crate) struct Passphrase {
    /// File whose first line is the passphrase [default: $COSMICSYNC_PASSPHRASE, else asked for]
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackupVerb {
    /// Write a backup: all history, sealed
    Create {
        /// A new file, a pipe or a FIFO; - is stdout
        file: PathBuf,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Check every byte of a backup
    Verify {
        /// The file; - is stdin
        file: PathBuf,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Make a data directory from a backup; restore replaces the device: stop the old one
    Restore {
        /// The file; - is stdin
        file: PathBuf,
        #[command(flatten)]
        passphrase: Passphrase,
    },
}

fn parse_format(text: &str) -> Result<Format, String> {
    format_of(text).ok_or_else(|| format!("'{text}' is none of csv, tsv, ndjson, json, xml"))
}

fn parse_delimiter(text: &str) -> Result<char, String> {
    let mut characters = text.chars();
    match (text, characters.next(), characters.next()) {
        ("tab" | "\\t", ..) => Ok('\t'),
        (_, Some(character), None) => Ok(character),
        _ => Err(format!("'{text}' is neither one character nor the word tab")),
    }
}

/// Returns the format that a file ending stands for.
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
