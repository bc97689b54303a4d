//! Commands about who may do what over HTTP: accounts, tokens, rules, the audit log.

use clap::{Args, Subcommand, ValueEnum};
use cosmicsync_node::service::{self, Command, Only, Scope, TokenCreate};
use std::path::PathBuf;

use super::SpaceOption;
use super::spaces::parse_duration_ms;

#[derive(Debug, Subcommand)]
pub(crate) enum TokenVerb {
    /// Make a token and print it, once: the node keeps a hash of it
    Create {
        /// Name of the token
        name: String,
        /// It allows reading alone
        #[arg(long)]
        read_only: bool,
        /// How long it may be used, such as 10m, 2h, 30d [default: until it is revoked]
        #[arg(long, value_parser = parse_duration_ms, value_name = "TIME")]
        expires: Option<u64>,
        /// The account that it is for: its role and the rules count [default: an owner]
        #[arg(long)]
        account: Option<String>,
        /// What it reaches: SPACE, SPACE/COLLECTION or /COLLECTION; with :read behind it only to read; several times
        #[arg(long, value_parser = parse_only, value_name = "PART")]
        only: Vec<Only>,
    },
    /// List tokens and sessions
    List,
    /// End a token or a session
    Revoke {
        /// Name of the token
        name: String,
    },
}

/// Reads what a token reaches.
fn parse_only(text: &str) -> Result<Only, String> {
    let (place, scope) = match text.strip_suffix(":read") {
        Some(place) => (place, Scope::Read),
        None => (text, Scope::Write),
    };
    let (space, collection) = place.split_once('/').map_or((place, ""), |parts| parts);
    let part = |part: &str| (!part.is_empty()).then(|| part.to_owned());
    let only = Only { space: part(space), collection: part(collection), scope };
    if only.space.is_none() && only.collection.is_none() {
        return Err("write SPACE, SPACE/COLLECTION or /COLLECTION".to_owned());
    }
    Ok(only)
}

impl TokenVerb {
    /// Returns the command that it stands for.
    pub(crate) fn into_command(self) -> Command {
        match self {
            Self::Create { name, read_only, expires, account, only } => {
                let scope = if read_only { Scope::Read } else { Scope::Write };
                Command::TokenCreate(TokenCreate {
                    expires_ms: expires,
                    account,
                    only,
                    ..TokenCreate::new(name, scope)
                })
            }
            Self::List => Command::TokenList {},
            Self::Revoke { name } => Command::TokenRevoke { name },
        }
    }
}

/// What an account may do.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Role {
    /// Everything
    Owner,
    /// Everything but what concerns owners
    Admin,
    /// Reads and writes documents, where rules let it
    Editor,
    /// Reads documents, where rules let it
    Viewer,
    /// Reads how the node is, its accounts and its audit log, and no document
    Auditor,
}

impl From<Role> for service::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Admin => Self::Admin,
            Role::Editor => Self::Editor,
            Role::Viewer => Self::Viewer,
            Role::Auditor => Self::Auditor,
        }
    }
}

/// Where a password comes from.
#[derive(Debug, Clone, Args)]
pub(crate) struct Password {
    /// File whose first line is the password [default: $COSMICSYNC_PASSWORD, else asked for]
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccountVerb {
    /// Make an account, which logs in to this node
    Create {
        /// Name of the account
        name: String,
        /// What it may do
        #[arg(long, value_enum)]
        role: Role,
        #[command(flatten)]
        password: Password,
        /// It does not log in: only tokens are made for it
        #[arg(long, conflicts_with = "password_file")]
        no_password: bool,
    },
    /// List accounts
    List,
    /// Change what an account may do, or its password
    Set {
        /// Name of the account
        name: String,
        /// What it may do from now on
        #[arg(long, value_enum)]
        role: Option<Role>,
        /// Ask for another password
        #[arg(long, required_unless_present_any = ["role", "password_file"])]
        password: bool,
        #[command(flatten)]
        source: Password,
    },
    /// Remove an account, with its tokens and sessions
    Remove {
        /// Name of the account
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RulesVerb {
    /// Set the rules of a collection: a selector for each of list, view, create, update, delete
    Set {
        /// The collection; made if it is new
        collection: String,
        /// A file with rules in JSON, the rules themselves in braces, or - for stdin
        #[arg(value_name = "FILE|RULES")]
        rules: String,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Show the rules of a collection
    Show {
        /// The collection
        collection: String,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Ask what an account may do with a document
    Test {
        /// The collection
        collection: String,
        /// The account
        #[arg(long)]
        account: String,
        /// Key of a document that is there
        #[arg(long, required_unless_present = "value", conflicts_with = "value")]
        key: Option<String>,
        /// Or a value, in JSON
        #[arg(long, value_name = "JSON")]
        value: Option<String>,
        /// Rules to try instead of those that the collection has: a file, or the rules in braces
        #[arg(long, value_name = "FILE|RULES")]
        rules: Option<String>,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Take the rules away: the collection is locked for editors and viewers
    Drop {
        /// The collection
        collection: String,
        #[command(flatten)]
        space: SpaceOption,
    },
}

impl RulesVerb {
    /// The space that was named.
    pub(crate) const fn space(&self) -> &SpaceOption {
        match self {
            Self::Set { space, .. }
            | Self::Show { space, .. }
            | Self::Test { space, .. }
            | Self::Drop { space, .. } => space,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// List what concerned who may do what, newest first
    List {
        /// At most so many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1000))]
        limit: u64,
        /// Only what has a lower number
        #[arg(long, value_name = "NUMBER")]
        before: Option<u64>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogVerb {
    /// Print the last lines of the log of the running node, oldest first
    Show {
        /// Largest number of lines
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=2000))]
        limit: u64,
        /// Go on with new lines, until Ctrl-C
        #[arg(long)]
        follow: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_parts() {
        let only = |space: Option<&str>, collection: Option<&str>, scope| Only {
            space: space.map(str::to_owned),
            collection: collection.map(str::to_owned),
            scope,
        };
        for (text, found) in [
            ("home", only(Some("home"), None, Scope::Write)),
            ("home:read", only(Some("home"), None, Scope::Read)),
            ("home/notes", only(Some("home"), Some("notes"), Scope::Write)),
            ("/notes:read", only(None, Some("notes"), Scope::Read)),
        ] {
            assert_eq!(parse_only(text), Ok(found), "{text}");
        }
        for wrong in ["", "/", ":read"] {
            assert!(parse_only(wrong).is_err(), "{wrong}");
        }
    }
}
