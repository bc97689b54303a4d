//! The grammar of the command line. It only parses: no environment, no terminal, no files.

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
    /// Node elsewhere: its HTTP address, with a token of it [default: $COSMICSYNC_URL, else the node of the data directory]
    #[arg(long, global = true, value_name = "URL", conflicts_with = "dir")]
    pub(crate) url: Option<String>,
    /// File whose first line is the token for --url [default: $COSMICSYNC_TOKEN]
    #[arg(long, global = true, value_name = "FILE", requires = "url")]
    pub(crate) token_file: Option<PathBuf>,
    /// PEM file of certificates to believe for --url, beside the system's
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
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
        let path = |name: &str, path: &Option<PathBuf>| {
            let path = path.as_ref().map(|path| format!("--{name} {} ", quoted(&path.display().to_string())));
            path.unwrap_or_default()
        };
        let url = self.url.as_ref().map(|url| format!("--url {} ", quoted(url))).unwrap_or_default();
        let same = [path("dir", &self.dir), url, path("token-file", &self.token_file), path("ca", &self.ca)].concat();
        let mut parts = next.split("cosmicsync ");
        let mut shown = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            // Elsewhere it is a word of a sentence.
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

/// Adds the space to a command that takes one.
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
    /// Collections: where documents are listed
    #[command(subcommand)]
    Collection(CollectionVerb),
    /// Find documents of a collection
    Query(Query),
    /// Find documents, and print what changes in the answer
    Live(Live),
    /// Count documents, or put values of theirs together
    Count(Count),
    /// Indexes: what makes queries fast
    #[command(subcommand)]
    Index(IndexVerb),
    /// Schemas: the shape that documents of a collection have
    #[command(subcommand)]
    Schema(SchemaVerb),
    /// Documents
    #[command(subcommand)]
    Doc(DocVerb),
    /// Read a CSV, NDJSON, JSON or XML file into a collection
    Import(Import),
    /// Write a collection to a file
    Export(Export),
    /// Print a link that opens the console as an owner, once
    Login,
    /// Accounts, by which people log in to this node over HTTP
    #[command(subcommand)]
    Account(AccountVerb),
    /// Tokens, by which programs use this node over HTTP
    #[command(subcommand)]
    Token(TokenVerb),
    /// Rules: what editors and viewers may do with documents of a collection
    #[command(subcommand)]
    Rules(RulesVerb),
    /// What concerned who may do what over HTTP
    #[command(subcommand)]
    Audit(AuditVerb),
    /// The log of the running node
    #[command(subcommand)]
    Log(LogVerb),
    /// Print the description of the HTTP API (OpenAPI 3.1)
    Openapi,
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
    /// Write manual pages, one for each command
    Man {
        /// Where to: a directory, made if it is not there
        dir: PathBuf,
    },
}

/// Options of `up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Address or name to listen on; :PORT changes only the port, and port 0 takes a free one [default: net.listen of
    /// the settings]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    /// Address or name to serve HTTP on; :PORT means this machine alone, and port 0 takes a free one [default: http.listen of
    /// the settings; else it is not served]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) http: Option<String>,
    /// Address or name to serve figures for Prometheus on, with /healthz and /readyz, without a token; :PORT means this machine
    /// alone [default: http.metrics of the settings; else they are not served]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics: Option<String>,
    /// Name of this device from now on [default: as before; of a new one the host name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// A sandbox: a new node in a temporary directory with sample data, which is forgotten at the end
    #[arg(long, conflicts_with = "name")]
    pub(crate) dev: bool,
}

/// The space a command is about.
#[derive(Debug, Clone, Args)]
pub(crate) struct SpaceOption {
    /// Name or beginning of the id [default: the only space]; for documents SPACE:PARTITION or :PARTITION
    #[arg(short, long, value_name = "SPACE")]
    pub(crate) space: Option<String>,
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
