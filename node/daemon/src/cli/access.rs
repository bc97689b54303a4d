//! Commands about access over HTTP: accounts, tokens, rules, the audit log.

use clap::{Args, Subcommand, ValueEnum};
use cosmicsync_node::service::{self, Command, Only, Scope, TokenCreate};
use std::path::PathBuf;

use super::SpaceOption;
use super::spaces::parse_duration_ms;

#[derive(Debug, Subcommand)]
pub(crate) enum TokenVerb {
    /// Create a token and print it once: the node stores only its hash
    Create {
        /// Name of the token
        name: String,
        /// The token may only read
        #[arg(long)]
        read_only: bool,
        /// Lifetime of the token, such as 10m, 2h, 30d [default: until it is revoked]
        #[arg(long, value_parser = parse_duration_ms, value_name = "TIME")]
        expires: Option<u64>,
        /// Account that the token acts for, with its role and the rules [default: an owner]
        #[arg(long)]
        account: Option<String>,
        /// Part that the token may use: SPACE, SPACE/COLLECTION or /COLLECTION, with :read at the end to read only;
        /// repeatable
        #[arg(long, value_parser = parse_only, value_name = "PART")]
        only: Vec<Only>,
    },
    /// List tokens and sessions
    List,
    /// Revoke a token or end a session
    Revoke {
        /// Name of the token
        name: String,
    },
}

/// Parses the part of a node that a token may use.
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
    /// Returns the service's command.
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

/// The role of an account.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Role {
    /// May do everything
    Owner,
    /// May do everything except manage owners and make backups
    Admin,
    /// May read and write documents, as far as rules allow
    Editor,
    /// May read documents, as far as rules allow
    Viewer,
    /// May read the node's status, log, accounts and audit log, but no documents
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

/// Source of a password.
#[derive(Debug, Clone, Args)]
pub(crate) struct Password {
    /// File whose first line is the password [default: $COSMICSYNC_PASSWORD, else asked for]
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccountVerb {
    /// Create an account, which can log in to this node
    Create {
        /// Name of the account
        name: String,
        /// Role of the account
        #[arg(long, value_enum)]
        role: Role,
        #[command(flatten)]
        password: Password,
        /// Account without a password, which can only be used through tokens
        #[arg(long, conflicts_with = "password_file")]
        no_password: bool,
    },
    /// List accounts
    List,
    /// Change the role or the password of an account
    Set {
        /// Name of the account
        name: String,
        /// New role of the account
        #[arg(long, value_enum)]
        role: Option<Role>,
        /// Ask for a new password
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
        /// Collection, created if it does not exist
        collection: String,
        /// A file with rules in JSON, the rules themselves in braces, or - for stdin
        #[arg(value_name = "FILE|RULES")]
        rules: String,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Show the rules of a collection
    Show {
        /// Name of the collection
        collection: String,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Test an account's permissions on a document
    Test {
        /// Name of the collection
        collection: String,
        /// Name of the account
        #[arg(long)]
        account: String,
        /// Key of an existing document
        #[arg(long, required_unless_present = "value", conflicts_with = "value")]
        key: Option<String>,
        /// Value of a document in JSON, instead of a key
        #[arg(long, value_name = "JSON")]
        value: Option<String>,
        /// Rules to test instead of those of the collection: a file, or the rules in braces
        #[arg(long, value_name = "FILE|RULES")]
        rules: Option<String>,
        #[command(flatten)]
        space: SpaceOption,
    },
    /// Remove the rules of a collection, which locks it for editors and viewers
    Drop {
        /// Name of the collection
        collection: String,
        #[command(flatten)]
        space: SpaceOption,
    },
}

impl RulesVerb {
    /// Returns the option with the space.
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
    /// List the entries of the audit log, newest first
    List {
        /// Largest number of entries
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1000))]
        limit: u64,
        /// Show only entries with a lower number
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
        /// Continue with new lines, until Ctrl-C
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
