//! The grammar of the command line. It only parses: no environment, no terminal, no files.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use cosmicsync_node::service::{Bodies, DocRef, Format, quoted};

use crate::intents::IntentVerb;

/// What the exit code of every command means.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   a check failed: damaged backup, digests that differ, a problem that doctor found
  2   the command line or its input was not understood
  3   not found
  4   conflict, or refused by a rule
  5   unavailable: no daemon, no peer, or out of time
  6   the store or a file: full, damaged, locked, newer than this program
  70  a bug in this program";

/// Keeps data on your devices, in sync and sealed.
#[derive(Debug, Parser)]
#[command(name = "cosmicsync", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Data directory [default: $COSMICSYNC_DIR, else cosmicsync in the XDG data directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Output format: text or JSON lines
    #[arg(short, long, global = true, value_enum, default_value_t = OutputFormat::Text, value_name = "text|json")]
    #[arg(hide_possible_values = true)]
    pub(crate) output: OutputFormat,
    /// No colours (NO_COLOR does the same)
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    /// No progress and no notes
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// More log lines on stderr; twice for even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl Global {
    /// Makes a command that is shown to somebody one about the same data directory and space. What another device has
    /// to do, and what comes with a directory of its own, stays as it is.
    pub(crate) fn about_same(&self, space: Option<&str>, next: &str) -> String {
        if next.starts_with("on ") {
            return next.to_owned();
        }
        let dir = self.dir.as_ref().map(|dir| format!("--dir {} ", quoted(&dir.display().to_string())));
        let mut parts = next.split("cosmicsync ");
        let mut shown = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            // Elsewhere it is a word of a sentence.
            let begins = shown.is_empty() || shown.ends_with(": ") || shown.ends_with("$(");
            shown.push_str("cosmicsync ");
            if begins && !part.starts_with("--") {
                shown.push_str(dir.as_deref().unwrap_or_default());
                shown.push_str(&space.map_or_else(|| part.to_owned(), |space| with_space(part, space)));
            } else {
                shown.push_str(part);
            }
        }
        shown
    }
}

/// Adds the space to a command that takes one.
fn with_space(command: &str, space: &str) -> String {
    const OF_SPACE: [&str; 4] = ["space invite", "space wait", "space digest", "partition list"];
    const OF_PARTITION: [&str; 7] = ["doc list", "doc get", "doc put", "doc patch", "doc history", "export", "doctor"];
    let split = |verbs: &[&'static str]| {
        let found = verbs.iter().find(|verb| command == **verb || command.starts_with(&format!("{verb} ")));
        found.map(|verb| command.split_at(verb.len()))
    };
    let (found, space) = match (split(&OF_PARTITION), split(&OF_SPACE)) {
        (Some(found), _) => (found, space),
        (None, Some(found)) => (found, space.rsplit_once(':').map_or(space, |(space, _)| space)),
        (None, None) => return command.to_owned(),
    };
    let ((verb, rest), taken) = (found, command.contains(" --space "));
    if space.is_empty() || taken { command.to_owned() } else { format!("{verb} --space {}{rest}", quoted(space)) }
}

impl Verb {
    /// The space that was named.
    pub(crate) fn space(&self) -> Option<&str> {
        let option = match self {
            Self::Doctor { space, .. } | Self::Device(DeviceVerb::List { space }) => space,
            Self::Space(
                SpaceVerb::Invite { space, .. }
                | SpaceVerb::Fetch { space, .. }
                | SpaceVerb::Digest { space }
                | SpaceVerb::Wait { space, .. },
            ) => space,
            Self::Partition(PartitionVerb::Create { space, .. } | PartitionVerb::List { space }) => space,
            Self::Doc(
                DocVerb::Put { space, .. }
                | DocVerb::Get { space, .. }
                | DocVerb::Patch { space, .. }
                | DocVerb::Delete { space, .. }
                | DocVerb::History { space, .. }
                | DocVerb::Excluded { space, .. }
                | DocVerb::Watch { space, .. },
            ) => space,
            Self::Doc(DocVerb::List(list)) => &list.space,
            Self::Doc(DocVerb::Type(options)) => &options.space,
            Self::Doc(DocVerb::Intent(verb)) => verb.space(),
            Self::Import(import) => &import.space,
            Self::Export(export) => &export.space,
            Self::Init { .. }
            | Self::Up(_)
            | Self::Down
            | Self::Status
            | Self::Peer(_)
            | Self::Device(DeviceVerb::Rename { .. })
            | Self::Space(SpaceVerb::Create { .. } | SpaceVerb::List | SpaceVerb::Join { .. })
            | Self::Backup(_)
            | Self::Demo
            | Self::Config(_)
            | Self::Completions { .. } => return None,
        };
        option.space.as_deref()
    }
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Tables on a terminal, tab-separated lines in a pipe
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a new user and device in the data directory
    Init {
        /// Name of this device
        #[arg(long, default_value = "device", value_name = "NAME")]
        name: String,
    },
    /// Run the node until it is stopped
    Up(Up),
    /// Stop the running node
    Down,
    /// Show node, spaces and peers
    Status,
    /// Find out what is wrong, or why a document is not here yet
    Doctor {
        /// COLLECTION/KEY or a document id
        doc: Option<DocRef>,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// The nodes this one talks to
    #[command(subcommand)]
    Peer(PeerVerb),
    /// The devices of a space
    #[command(subcommand)]
    Device(DeviceVerb),
    /// Spaces: who shares what
    #[command(subcommand)]
    Space(SpaceVerb),
    /// Partitions of a space
    #[command(subcommand)]
    Partition(PartitionVerb),
    /// Documents
    #[command(subcommand)]
    Doc(DocVerb),
    /// Read a CSV, NDJSON or JSON file into a collection
    Import(Import),
    /// Write a collection to a file
    Export(Export),
    /// Sealed copies of the store
    #[command(subcommand)]
    Backup(BackupVerb),
    /// Watch two nodes sync, part, crash and agree, in under a minute
    Demo,
    /// Settings and where they come from
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Print a completion script
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Options of `up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Address or name to listen on; :PORT changes only the port, and port 0 takes a free one [default: net.listen of
    /// the settings]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    /// Name of this device from now on [default: as before; of a new one the host name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// The space a command is about.
#[derive(Debug, Clone, Args)]
pub(crate) struct SpaceOption {
    /// Name or beginning of the id [default: the only space]; for documents SPACE:PARTITION or :PARTITION
    #[arg(short, long, value_name = "SPACE")]
    pub(crate) space: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PeerVerb {
    /// Dial an address from now on
    Add {
        /// Where the other node listens
        #[arg(value_name = "HOST:PORT")]
        address: String,
    },
    /// List peers
    List,
    /// Forget an address
    Remove {
        /// As it was added
        #[arg(value_name = "HOST:PORT")]
        address: String,
    },
    /// Go offline: close all links, open none
    Pause,
    /// Go online again
    Resume,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeviceVerb {
    /// List the devices of a space
    List {
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Give this device another name
    Rename {
        /// Name of this device
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SpaceVerb {
    /// Make a space
    Create {
        /// Name of the space
        name: String,
    },
    /// List spaces
    List,
    /// Print one line that lets one more device in, once
    Invite {
        #[command(flatten)]
        space: SpaceOption,
        /// How long it may be used, such as 90s, 10m, 2h, 1d
        #[arg(long, default_value = "10m", value_parser = parse_duration_ms, value_name = "TIME")]
        expires: u64,
    },
    /// Join with such a line
    Join {
        /// The line; - reads it from stdin
        invite: String,
    },
    /// Choose how much content this device downloads (all, none, newest)
    Fetch {
        /// all, none or newest:N (entries of each device)
        #[arg(value_parser = parse_bodies)]
        bodies: Bodies,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Print a hash of all documents, to compare devices
    Digest {
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Wait until all connected peers are in sync
    Wait {
        #[command(flatten)]
        space: SpaceOption,
        /// How long, such as 90s, 10m, 2h, 1d
        #[arg(long, default_value = "30s", value_parser = parse_duration_ms, value_name = "TIME")]
        timeout: u64,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PartitionVerb {
    /// Make a partition
    Create {
        /// Name of the partition
        name: String,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// List partitions
    List {
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
        space: SpaceOption,
    },
    /// Print a document
    Get {
        /// COLLECTION/KEY or a document id
        doc: DocRef,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Change members by a JSON merge patch (RFC 7396)
    Patch {
        /// COLLECTION/KEY or a document id
        doc: DocRef,
        /// The patch; - reads stdin
        #[arg(default_value = "-", value_name = "JSON")]
        patch: String,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Delete a document
    Delete {
        /// COLLECTION/KEY or a document id
        doc: DocRef,
        #[command(flatten)]
        space: SpaceOption,
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

/// Options of `import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file
    pub(crate) file: PathBuf,
    /// The collection
    #[arg(short, long, value_name = "NAME")]
    pub(crate) collection: String,
    /// Its format [default: by the file's ending]
    #[arg(long, value_parser = parse_format, value_name = "csv|ndjson|json")]
    pub(crate) format: Option<Format>,
    /// Column or member that becomes the key
    #[arg(long, value_name = "NAME")]
    pub(crate) id_column: Option<String>,
    /// JSON: dotted path of the array that holds the rows
    #[arg(long, value_name = "MEMBER")]
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
    #[command(flatten)]
    pub(crate) space: SpaceOption,
}

/// Options of `export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The collection
    pub(crate) collection: String,
    /// The file; - is stdout
    pub(crate) file: PathBuf,
    /// Its format [default: by the file's ending, ndjson for -]
    #[arg(long, value_parser = parse_format, value_name = "csv|ndjson|json")]
    pub(crate) format: Option<Format>,
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
        /// A new file
        file: PathBuf,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Check every byte of a backup
    Verify {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Make a data directory from a backup; restore replaces the device: stop the old one
    Restore {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        passphrase: Passphrase,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Print all settings
    Show {
        /// And where each comes from
        #[arg(long)]
        origin: bool,
    },
    /// Check the settings file and the environment
    Check,
}

/// Parses `90s`, `10m`, `2h` or `1d` into milliseconds.
fn parse_duration_ms(text: &str) -> Result<u64, String> {
    let hint = || format!("'{text}' is not a time such as 90s, 10m, 2h or 1d");
    let unit_ms = match text.chars().last() {
        Some('s') => 1_000,
        Some('m') => 60_000,
        Some('h') => 3_600_000,
        Some('d') => 86_400_000,
        _ => return Err(hint()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| hint())?;
    count.checked_mul(unit_ms).ok_or_else(hint)
}

fn parse_bodies(text: &str) -> Result<Bodies, String> {
    let newest = || text.strip_prefix("newest:")?.parse().ok().map(Bodies::Newest);
    match text {
        "all" => Ok(Bodies::All),
        "none" => Ok(Bodies::None),
        _ => newest().ok_or_else(|| format!("'{text}' is none of all, none, newest:N")),
    }
}

fn parse_format(text: &str) -> Result<Format, String> {
    format_of(text).ok_or_else(|| format!("'{text}' is none of csv, ndjson, json"))
}

/// Returns the format that a file ending stands for.
pub(crate) fn format_of(ending: &str) -> Option<Format> {
    match ending.to_ascii_lowercase().as_str() {
        "csv" => Some(Format::Csv),
        "ndjson" | "jsonl" => Some(Format::Ndjson),
        "json" | "geojson" => Some(Format::Json),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_need_a_unit_and_may_not_overflow() {
        assert_eq!(parse_duration_ms("90s"), Ok(90_000));
        assert_eq!(parse_duration_ms("1d"), Ok(86_400_000));
        for wrong in ["", "s", "5", "1.5h", "-1s", "10µ", "99999999999999999d"] {
            assert!(parse_duration_ms(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bodies_are_all_none_or_a_number() {
        assert_eq!(parse_bodies("newest:7"), Ok(Bodies::Newest(7)));
        assert!(parse_bodies("newest:").is_err());
        assert!(parse_bodies("some").is_err());
    }

    #[test]
    fn a_command_that_is_shown_is_about_the_same_directory() {
        let global = |arguments: &[&str]| Cli::try_parse_from(arguments).expect("parses").global;
        let named = global(&["cosmicsync", "--dir", "my data", "status"]);
        let shown = |next: &str| named.about_same(None, next);
        assert_eq!(shown("cosmicsync up"), "cosmicsync --dir 'my data' up");
        assert_eq!(shown("cosmicsync --dir NEW_DIR up"), "cosmicsync --dir NEW_DIR up");
        assert_eq!(shown("correct it, then: cosmicsync up"), "correct it, then: cosmicsync --dir 'my data' up");
        assert_eq!(shown("on the other device: cosmicsync up"), "on the other device: cosmicsync up");
        assert_eq!(shown("df -h"), "df -h");
        assert_eq!(global(&["cosmicsync", "status"]).about_same(None, "cosmicsync up"), "cosmicsync up");
    }

    #[test]
    fn a_command_that_is_shown_is_about_the_same_space() {
        let global = Cli::try_parse_from(["cosmicsync", "status"]).expect("parses").global;
        let shown = |next: &str| global.about_same(Some("home:work"), next);
        assert_eq!(shown("cosmicsync doc list notes"), "cosmicsync doc list --space home:work notes");
        assert_eq!(shown("cosmicsync partition list"), "cosmicsync partition list --space home");
        assert_eq!(shown("cosmicsync peer list"), "cosmicsync peer list");
        let put = "cosmicsync doc put a/1 \"$(cosmicsync doc get a/1)\"";
        let named = "cosmicsync doc put --space home:work a/1 \"$(cosmicsync doc get --space home:work a/1)\"";
        assert_eq!(shown(put), named);
        assert_eq!(global.about_same(Some(":work"), "cosmicsync space wait"), "cosmicsync space wait");
    }

    #[test]
    fn options_of_every_command_stand_anywhere() {
        let cli =
            Cli::try_parse_from(["cosmicsync", "doc", "get", "zip/00501", "-o", "json", "--dir", "/d", "-s", "x"]);
        let cli = cli.expect("parses");
        assert_eq!(cli.global.output, OutputFormat::Json);
        let Verb::Doc(DocVerb::Get { doc, space }) = cli.verb else { panic!("another verb") };
        assert_eq!(doc.to_string(), "zip/00501");
        assert_eq!(space.space.as_deref(), Some("x"));
    }
}
