//! The demands of commands: what each reads and changes, and the rights that it needs.

use super::account::Role;
use super::command::{Command, DocPut, DocSplice};
use super::names::SpaceRef;
use super::query::{Changes, Query};
use super::write::{DocAt, DocDiff, DocWrite};

/// The permission that a command requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Reading documents.
    Read,
    /// Writing documents.
    Write,
    /// Reading the node's state.
    Look,
    /// Changing the node, its spaces, or the storage of documents.
    Manage,
    /// Access to everything that the node holds, including its keys.
    Own,
    /// Not available through the HTTP API.
    Never,
}

impl Need {
    /// Returns whether a role has the permission.
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
    /// Returns the permission that the command requires.
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

    /// Returns the space of a command about documents.
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

    /// Returns whether the command reads an input, which the caller sends after it.
    pub const fn reads(&self) -> bool {
        matches!(self, Self::Import(_))
    }

    /// Returns whether the command changes the store's content or the node's state.
    pub const fn writes(&self) -> bool {
        match self {
            Self::Import(import) => !import.dry_run,
            Self::DocExcluded { publish, .. } => *publish,
            Self::SchemaSet(set) => !set.dry_run,
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
            | Self::IndexRebuild(_)
            | Self::IndexDrop(_)
            | Self::SchemaDrop { .. }
            | Self::TokenCreate(_)
            | Self::TokenRevoke { .. }
            | Self::AccountCreate(_)
            | Self::AccountChange(_)
            | Self::AccountRemove { .. }
            | Self::Login(_)
            | Self::Logout { .. }
            | Self::LinkMake {}
            | Self::RulesSet(_)
            | Self::DocPut(_)
            | Self::DocPatch { .. }
            | Self::DocDelete { .. }
            | Self::DocWrite(_)
            | Self::DocSplice(_)
            | Self::DocHold { .. } => true,
            Self::Status {}
            | Self::Doctor { .. }
            | Self::PeerList {}
            | Self::DeviceList { .. }
            | Self::SpaceList {}
            | Self::PartitionList { .. }
            | Self::CollectionList { .. }
            | Self::CollectionShow { .. }
            | Self::Query(_)
            | Self::QueryPlan(_)
            | Self::Live { .. }
            | Self::Count { .. }
            | Self::IndexList { .. }
            | Self::IndexCheck(_)
            | Self::SchemaShow { .. }
            | Self::SchemaList { .. }
            | Self::SchemaCheck { .. }
            | Self::DocGet { .. }
            | Self::DocAt(_)
            | Self::DocDiff(_)
            | Self::DocConflicts { .. }
            | Self::DocList(_)
            | Self::DocHistory { .. }
            | Self::DocWatch { .. }
            | Self::Changes(_)
            | Self::Export(_)
            | Self::Digest { .. }
            | Self::WaitSync { .. }
            | Self::BackupCreate { .. }
            | Self::TokenList {}
            | Self::AccountList {}
            | Self::AuditList { .. }
            | Self::LogRead { .. }
            | Self::RulesShow { .. }
            | Self::RulesTest(_)
            | Self::TokenCheck { .. }
            | Self::Shutdown {} => false,
        }
    }

    /// Returns whether the command needs a running daemon, because it uses links or outlives one call.
    pub const fn needs_daemon(&self) -> bool {
        matches!(
            self,
            Self::PeerPause {}
                | Self::PeerResume {}
                | Self::SpaceInvite { .. }
                | Self::SpaceJoin { .. }
                | Self::DocWatch { .. }
                | Self::Live { .. }
                | Self::LinkMake {}
                | Self::LogRead { .. }
                | Self::DocHold { .. }
                | Self::WaitSync { .. }
                | Self::Shutdown {}
        )
    }
}
