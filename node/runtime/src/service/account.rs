//! Commands about accounts of the HTTP door, and who sends a request through it.

use super::command::{Command, DocPut, DocSplice};
use super::names::{Secret, SpaceRef};
use super::query::{Changes, Query};
use super::token::{Scope, Token};
use super::write::{DocAt, DocDiff, DocWrite};
use serde::{Deserialize, Serialize};

/// What an account may do. Rules of collections bind editors and viewers only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Owner,
    /// Everything but what concerns owners.
    Admin,
    /// Reads and writes documents, where rules let it.
    Editor,
    /// Reads documents, where rules let it.
    Viewer,
    /// Reads how the node is, its accounts and its audit log, and no document.
    Auditor,
}

impl Role {
    /// All of them, the most powerful first.
    pub const ALL: [Self; 5] = [Self::Owner, Self::Admin, Self::Editor, Self::Viewer, Self::Auditor];

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Editor => "editor",
            Self::Viewer => "viewer",
            Self::Auditor => "auditor",
        }
    }

    /// Whether rules of collections bind it.
    pub const fn is_bound(self) -> bool {
        matches!(self, Self::Editor | Self::Viewer)
    }
}

/// What a command takes of whoever asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// To read documents.
    Read,
    /// To write documents.
    Write,
    /// To look at the node.
    Look,
    /// To change the node, its spaces or how documents are kept.
    Manage,
    /// To have all that the node holds, its keys among it.
    Own,
    /// Not through this door.
    Never,
}

impl Need {
    /// Whether a role has it.
    pub const fn is_met_by(self, role: Role) -> bool {
        match self {
            Self::Read => !matches!(role, Role::Auditor),
            Self::Write => matches!(role, Role::Owner | Role::Admin | Role::Editor),
            Self::Look => matches!(role, Role::Owner | Role::Admin | Role::Auditor),
            Self::Manage => matches!(role, Role::Owner | Role::Admin),
            Self::Own => matches!(role, Role::Owner),
            Self::Never => false,
        }
    }
}

impl Command {
    /// Returns what the command takes of whoever asks for it.
    pub const fn need(&self) -> Need {
        match self {
            Self::CollectionList { .. }
            | Self::CollectionShow { .. }
            | Self::Query(_)
            | Self::QueryPlan(_)
            | Self::Live { .. }
            | Self::Count { .. }
            | Self::SchemaShow { .. }
            | Self::SchemaList { .. }
            | Self::DocGet { .. }
            | Self::DocAt(_)
            | Self::DocDiff(_)
            | Self::DocConflicts { .. }
            | Self::DocHistory { .. }
            | Self::DocWatch { .. }
            | Self::Changes(_) => Need::Read,
            Self::DocPut(_)
            | Self::DocPatch { .. }
            | Self::DocDelete { .. }
            | Self::DocWrite(_)
            | Self::DocSplice(_) => Need::Write,
            Self::Status {}
            | Self::SpaceList {}
            | Self::PartitionList { .. }
            | Self::Doctor { .. }
            | Self::PeerList {}
            | Self::DeviceList { .. }
            | Self::AccountList {}
            | Self::TokenList {}
            | Self::AuditList { .. }
            | Self::LogRead { .. } => Need::Look,
            Self::PeerAdd { .. }
            | Self::PeerRemove { .. }
            | Self::PeerPause {}
            | Self::PeerResume {}
            | Self::DeviceRename { .. }
            | Self::SpaceCreate { .. }
            | Self::SpaceInvite { .. }
            | Self::SpaceJoin { .. }
            | Self::SpaceFetch { .. }
            | Self::PartitionCreate { .. }
            | Self::CollectionDrop { .. }
            | Self::IndexCreate { .. }
            | Self::IndexList { .. }
            | Self::IndexCheck(_)
            | Self::IndexRebuild(_)
            | Self::IndexDrop(_)
            | Self::SchemaSet(_)
            | Self::SchemaCheck { .. }
            | Self::SchemaDrop { .. }
            | Self::RulesSet(_)
            | Self::RulesShow { .. }
            | Self::RulesTest(_)
            | Self::DocList(_)
            | Self::DocExcluded { .. }
            | Self::DocHold { .. }
            | Self::Import(_)
            | Self::Export(_)
            | Self::Digest { .. }
            | Self::WaitSync { .. }
            | Self::AccountCreate(_)
            | Self::AccountChange(_)
            | Self::AccountRemove { .. }
            | Self::TokenCreate(_)
            | Self::TokenRevoke { .. } => Need::Manage,
            Self::BackupCreate { .. } => Need::Own,
            Self::TokenCheck { .. } | Self::Login(_) | Self::Logout { .. } | Self::LinkMake {} | Self::Shutdown {} => {
                Need::Never
            }
        }
    }
}

impl Command {
    /// Returns the space that a command about documents names.
    pub const fn space(&self) -> Option<&SpaceRef> {
        if let Self::CollectionList { space }
        | Self::CollectionShow { space, .. }
        | Self::Query(Query { space, .. })
        | Self::QueryPlan(Query { space, .. })
        | Self::Live { query: Query { space, .. }, .. }
        | Self::Count { query: Query { space, .. }, .. }
        | Self::SchemaShow { space, .. }
        | Self::SchemaList { space }
        | Self::DocGet { space, .. }
        | Self::DocAt(DocAt { space, .. })
        | Self::DocDiff(DocDiff { space, .. })
        | Self::DocConflicts { space, .. }
        | Self::DocHistory { space, .. }
        | Self::DocWatch { space, .. }
        | Self::Changes(Changes { space, .. })
        | Self::DocPut(DocPut { space, .. })
        | Self::DocPatch { space, .. }
        | Self::DocDelete { space, .. }
        | Self::DocWrite(DocWrite { space, .. })
        | Self::DocSplice(DocSplice { space, .. }) = self
        {
            return Some(space);
        }
        None
    }
}

/// Who sends a request: the token that it bears, and the role of whom the token is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The token.
    pub token: Token,
    /// The role of its account; that of an owner where the token is for no account.
    pub role: Role,
}

impl Who {
    /// Whether something is asked for that its token or its role does not allow, whatever rules say.
    pub fn may(&self, command: &Command) -> bool {
        let need = command.need();
        // A backup has the keys by which a device writes.
        let only_reads = !command.writes() && need != Need::Own;
        let is_in_scope = self.token.scope == Scope::Write || only_reads;
        // A token for a part of the node reaches documents, and what names them.
        let is_in_reach = self.token.only.is_empty() || matches!(need, Need::Read | Need::Write);
        is_in_scope && is_in_reach && need.is_met_by(self.role)
    }

    /// Whether documents are all one to it: neither rules nor its token keep it from any.
    pub fn is_free(&self) -> bool {
        !self.role.is_bound() && self.token.only.is_empty()
    }
}

/// Makes an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountCreate {
    /// Its name: 1 to 64 letters, digits, `.`, `_`, `-` or `@`.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// What it logs in with; without one, only tokens are made for it.
    #[serde(default)]
    pub password: Option<Secret>,
}

/// Changes an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountChange {
    /// Its name.
    pub name: String,
    /// What it may do from now on.
    #[serde(default)]
    pub role: Option<Role>,
    /// What it logs in with from now on. Its sessions end.
    #[serde(default)]
    pub password: Option<Secret>,
}

/// An account, without its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made, in Unix milliseconds.
    pub created_at: u64,
    /// Whether it has a password to log in with.
    pub password: bool,
}

/// Begins a session: by an account and its password, or by a link that [`Command::LinkMake`] made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The account.
    #[serde(default)]
    pub account: Option<String>,
    /// Its password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A link's secret.
    #[serde(default)]
    pub link: Option<Secret>,
}

/// A link that lets an owner in, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The address; the secret alone where the node serves no HTTP.
    pub link: Secret,
    /// Until when it can be used, in Unix milliseconds.
    pub expires_at: u64,
}

/// Something that concerns who may do what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audited {
    /// Its number; each is one more than the one before.
    pub number: u64,
    /// When, in Unix milliseconds.
    pub at: u64,
    /// The account or token that asked; `operator` is the command line.
    pub who: String,
    /// What was asked for: `login`, `denied`, `account_create`, `token_create`, `rules_set` and the like.
    pub what: String,
    /// What it was about.
    pub about: String,
    /// Whether it was done.
    pub done: bool,
}
