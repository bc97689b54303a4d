//! Commands about accounts of the HTTP API, and the permissions of roles and tokens.

use super::command::Command;
use super::demand::Need;
use super::names::Secret;
use super::token::{Scope, Token};
use serde::{Deserialize, Serialize};

/// The role of an account. Rules of collections apply to editors and viewers only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May do everything.
    Owner,
    /// May do everything except manage owners and make backups.
    Admin,
    /// May read and write documents within the rules.
    Editor,
    /// May read documents within the rules.
    Viewer,
    /// May read the node's state, log, accounts and audit log, but no documents.
    Auditor,
}

impl Role {
    /// All roles, the most powerful first.
    pub const ALL: [Self; 5] = [Self::Owner, Self::Admin, Self::Editor, Self::Viewer, Self::Auditor];

    /// Returns the role's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Editor => "editor",
            Self::Viewer => "viewer",
            Self::Auditor => "auditor",
        }
    }

    /// Returns whether rules of collections apply to the role.
    pub const fn is_bound(self) -> bool {
        matches!(self, Self::Editor | Self::Viewer)
    }
}

/// The sender of a request: its token, and the role of the token's account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The token.
    pub token: Token,
    /// The role of the token's account; owner for a token without an account.
    pub role: Role,
}

impl Who {
    /// Returns whether the token and the role allow a command. Rules of collections are checked separately.
    pub fn may(&self, command: &Command) -> bool {
        let need = command.need();
        // A backup includes the keys with which a device writes.
        let only_reads = !command.writes() && need != Need::Own;
        let is_in_scope = self.token.scope == Scope::Write || only_reads;
        // A token limited to a part of the node may use only commands about documents and their names.
        let is_in_reach = self.token.only.is_empty() || matches!(need, Need::Read | Need::Write);
        is_in_scope && is_in_reach && need.is_met_by(self.role)
    }

    /// Returns whether the sender may access all documents: neither rules nor the token limit it.
    pub fn is_free(&self) -> bool {
        !self.role.is_bound() && self.token.only.is_empty()
    }
}

/// Creates an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountCreate {
    /// The account's name: 1 to 64 letters, digits, `.`, `_`, `-` or `@`.
    pub name: String,
    /// The account's role.
    pub role: Role,
    /// The password for logging in; without one, the account can only be used through tokens.
    #[serde(default)]
    pub password: Option<Secret>,
}

/// Changes an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountChange {
    /// The account's name.
    pub name: String,
    /// The new role.
    #[serde(default)]
    pub role: Option<Role>,
    /// The new password. The account's sessions end.
    #[serde(default)]
    pub password: Option<Secret>,
}

/// An account; its password is not included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The account's name.
    pub name: String,
    /// The account's role.
    pub role: Role,
    /// The time at which the account was created, in Unix milliseconds.
    pub created_at: u64,
    /// True if the account has a password for logging in.
    pub password: bool,
}

/// Starts a session: by an account and its password, or by a link of [`Command::LinkMake`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The account's name.
    #[serde(default)]
    pub account: Option<String>,
    /// The account's password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// The link's secret.
    #[serde(default)]
    pub link: Option<Secret>,
}

/// A link that logs an owner in once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The link's URL; only the secret if the node serves no HTTP API.
    pub link: Secret,
    /// The time at which the link expires, in Unix milliseconds.
    pub expires_at: u64,
}

/// An entry of the audit log: a command about access, or a denied command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audited {
    /// The entry's number; each is one more than the entry before.
    pub number: u64,
    /// The time, in Unix milliseconds.
    pub at: u64,
    /// The account or token that made the request; `operator` is the command line.
    pub who: String,
    /// The action, such as `login`, `denied`, `account_create`, `token_create`, `rules_set`.
    pub what: String,
    /// The object of the action, such as a name.
    pub about: String,
    /// True if the action was carried out.
    pub done: bool,
}
