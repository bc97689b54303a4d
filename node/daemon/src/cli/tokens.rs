//! Commands about tokens.

use clap::Subcommand;
use cosmicsync_node::service::{Command, Scope, TokenCreate};

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
    },
    /// List tokens
    List,
    /// End a token
    Revoke {
        /// Name of the token
        name: String,
    },
}

impl TokenVerb {
    /// Returns the command that it stands for.
    pub(crate) fn into_command(self) -> Command {
        match self {
            Self::Create { name, read_only, expires } => {
                let scope = if read_only { Scope::Read } else { Scope::Write };
                Command::TokenCreate(TokenCreate { name, scope, expires_ms: expires })
            }
            Self::List => Command::TokenList {},
            Self::Revoke { name } => Command::TokenRevoke { name },
        }
    }
}
