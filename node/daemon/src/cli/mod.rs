//! The grammar of the command line. This module only parses: it uses no environment, no terminal and no files.

mod access;
mod doc;
mod files;
mod query;
mod schema;
mod spaces;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use cosmicsync_node::service::{DocRef, quoted};

pub(crate) use access::{AccountVerb, AuditVerb, LogVerb, Password, RulesVerb, TokenVerb};
pub(crate) use doc::{CollectionVerb, DocVerb, List, Type};
pub(crate) use files::{BackupVerb, Export, Import, Passphrase, format_of};
pub(crate) use query::{Count, Find, IndexVerb, Live, Query};
pub(crate) use schema::SchemaVerb;
pub(crate) use spaces::{DeviceVerb, PartitionVerb, PeerVerb, SpaceVerb};

/// The meaning of the exit codes, for `--help`.
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

/// Heading of the options of all commands, which stand behind those of a command.
const GLOBAL: &str = "Global options";

/// Options of all commands.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Data directory [default: $COSMICSYNC_DIR, else cosmicsync in the XDG data directory]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// URL of a node on another machine, with a token of that node [default: $COSMICSYNC_URL, else the node of the data
    /// directory]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "URL", conflicts_with = "dir")]
    pub(crate) url: Option<String>,
    /// File whose first line is the token for --url [default: $COSMICSYNC_TOKEN]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FILE", requires = "url")]
    pub(crate) token_file: Option<PathBuf>,
    /// PEM file of certificates to trust for --url, in addition to the system's
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Output format: text or JSON lines
    #[arg(short, long, global = true, help_heading = GLOBAL, value_enum, default_value_t = OutputFormat::Text, value_name = "text|json")]
    #[arg(hide_possible_values = true)]
    pub(crate) output: OutputFormat,
    /// Print without colours, like NO_COLOR
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) no_color: bool,
    /// Print no progress and no notes
    #[arg(short, long, global = true, help_heading = GLOBAL, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Write more log lines to stderr; twice for even more
    #[arg(short, long, global = true, help_heading = GLOBAL, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl Global {
    /// Adds the options for the same data directory and space to a suggested command. Commands for another device, and
    /// commands with a directory of their own, stay unchanged.
    pub(crate) fn about_same(&self, space: Option<&str>, next: &str) -> String {
        if next.starts_with("on ") {
            return next.to_owned();
        }
        let path = |name: &str, path: &Option<PathBuf>| {
            let path = path.as_ref().map(|path| format!("--{name} {} ", quoted(&path.display().to_string())));
            path.unwrap_or_default()
        };
        let url = self.url.as_ref().map(|url| format!("--url {} ", quoted(url))).unwrap_or_default();
        let same = [path("dir", &self.dir), url, path("token-file", &self.token_file), path("ca", &self.ca)].concat();
        let mut parts = next.split("cosmicsync ");
        let mut shown = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            // Elsewhere, `cosmicsync` is part of a sentence.
            let begins = shown.is_empty() || shown.ends_with(": ") || shown.ends_with("$(");
            shown.push_str("cosmicsync ");
            if begins && !part.starts_with("--") {
                shown.push_str(&same);
                shown.push_str(&space.map_or_else(|| part.to_owned(), |space| with_space(part, space)));
            } else {
                shown.push_str(part);
            }
        }
        shown
    }
}

/// Adds the space to a command that accepts one.
fn with_space(command: &str, space: &str) -> String {
    const OF_SPACE: [&str; 4] = ["space invite", "space wait", "space digest", "partition list"];
    const OF_PARTITION: [&str; 20] = [
        "doc list",
        "doc get",
        "doc put",
        "doc patch",
        "doc history",
        "doc undelete",
        "collection list",
        "collection show",
        "query",
        "count",
        "index create",
        "index list",
        "index rebuild",
        "schema check",
        "schema set",
        "schema show",
        "rules set",
        "rules show",
        "export",
        "doctor",
    ];
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
    /// Returns the named space.
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
                DocVerb::Get { space, .. }
                | DocVerb::History { space, .. }
                | DocVerb::Excluded { space, .. }
                | DocVerb::Watch { space, .. },
            ) => space,
            Self::Doc(
                DocVerb::Put { options, .. } | DocVerb::Patch { options, .. } | DocVerb::Delete { options, .. },
            ) => &options.space,
            Self::Collection(
                CollectionVerb::List { space }
                | CollectionVerb::Show { space, .. }
                | CollectionVerb::Drop { space, .. },
            ) => space,
            Self::Doc(DocVerb::Intent(verb)) => verb.space(),
            Self::Doc(DocVerb::List(list)) => &list.space,
            Self::Doc(DocVerb::Type(options)) => &options.space,
            Self::Query(query) => &query.find.space,
            Self::Live(live) => &live.find.space,
            Self::Count(count) => &count.space,
            Self::Index(verb) => verb.space(),
            Self::Schema(verb) => verb.space(),
            Self::Rules(verb) => verb.space(),
            Self::Import(import) => &import.space,
            Self::Export(export) => &export.space,
            Self::Init { .. }
            | Self::Up(_)
            | Self::Down
            | Self::Status
            | Self::Peer(_)
            | Self::Device(DeviceVerb::Rename { .. })
            | Self::Space(SpaceVerb::Create { .. } | SpaceVerb::List | SpaceVerb::Join { .. })
            | Self::Login
            | Self::Account(_)
            | Self::Token(_)
            | Self::Audit(_)
            | Self::Log(_)
            | Self::Openapi
            | Self::Backup(_)
            | Self::Demo
            | Self::Config(_)
            | Self::Completions { .. }
            | Self::Man { .. } => return None,
        };
        option.space.as_deref()
    }
}

/// Output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Print tables on a terminal, tab-separated lines in a pipe
    Text,
    /// Print one JSON object per line
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Create a user and a device in the data directory
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
    /// Diagnose the node, or explain why a document is missing here
    Doctor {
        /// COLLECTION/KEY or a document id
        doc: Option<DocRef>,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Manage the peers of this node
    #[command(subcommand)]
    Peer(PeerVerb),
    /// Manage the devices of a space
    #[command(subcommand)]
    Device(DeviceVerb),
    /// Manage spaces, which devices share
    #[command(subcommand)]
    Space(SpaceVerb),
    /// Manage the partitions of a space
    #[command(subcommand)]
    Partition(PartitionVerb),
    /// Manage collections of documents
    #[command(subcommand)]
    Collection(CollectionVerb),
    /// Find documents of a collection
    Query(Query),
    /// Find documents, and print the changes of the answer
    Live(Live),
    /// Count documents, or compute sums and other aggregates
    Count(Count),
    /// Manage indexes, which make queries fast
    #[command(subcommand)]
    Index(IndexVerb),
    /// Manage schemas, the shapes of a collection's documents
    #[command(subcommand)]
    Schema(SchemaVerb),
    /// Read and write documents
    #[command(subcommand)]
    Doc(DocVerb),
    /// Import a CSV, NDJSON, JSON or XML file into a collection
    Import(Import),
    /// Export a collection to a file
    Export(Export),
    /// Print a link that logs an owner in to the console, once
    Login,
    /// Manage accounts, with which people log in to this node over HTTP
    #[command(subcommand)]
    Account(AccountVerb),
    /// Manage tokens, with which programs use this node over HTTP
    #[command(subcommand)]
    Token(TokenVerb),
    /// Manage rules, which limit editors and viewers to some documents of a collection
    #[command(subcommand)]
    Rules(RulesVerb),
    /// Read the audit log of logins, denied requests and changes of access
    #[command(subcommand)]
    Audit(AuditVerb),
    /// Read the log of the running node
    #[command(subcommand)]
    Log(LogVerb),
    /// Print the description of the HTTP API (OpenAPI 3.1)
    Openapi,
    /// Create, verify and restore sealed backups of the store
    #[command(subcommand)]
    Backup(BackupVerb),
    /// Watch two nodes sync, disconnect, crash and agree again, in under a minute
    Demo,
    /// Show the settings and their origins
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Print a completion script
    Completions {
        /// Name of the shell
        shell: Shell,
    },
    /// Write manual pages, one for each command
    Man {
        /// Directory for the pages, created if it does not exist
        dir: PathBuf,
    },
}

/// Options of `up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Address or name to listen on; :PORT changes only the port, and port 0 picks a free one [default: net.listen in
    /// the settings]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    /// Address or name to serve the HTTP API on; :PORT means this machine only, and port 0 picks a free port [default:
    /// http.listen in the settings; if empty, not served]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) http: Option<String>,
    /// Address or name to serve metrics for Prometheus on, with /healthz and /readyz, without a token; :PORT means this
    /// machine only [default: http.metrics in the settings; if empty, not served]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics: Option<String>,
    /// New name of this device [default: unchanged; the host name for a new device]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Run a sandbox: a new node in a temporary directory with sample data, deleted at the end
    #[arg(long, conflicts_with = "name")]
    pub(crate) dev: bool,
}

/// The space of a command.
#[derive(Debug, Clone, Args)]
pub(crate) struct SpaceOption {
    /// Name or prefix of the id [default: the only space]; for documents also SPACE:PARTITION or :PARTITION
    #[arg(short, long, value_name = "SPACE")]
    pub(crate) space: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Print all settings
    Show {
        /// Print the origin of each setting too
        #[arg(long)]
        origin: bool,
    },
    /// Check the settings file and the environment
    Check,
    /// Print the JSON Schema of the settings, for editors
    Schema,
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
