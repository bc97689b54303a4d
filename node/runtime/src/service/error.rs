//! What a command can fail with: a stable code, one sentence, and the command to run next.

use std::io::ErrorKind;

use serde::{Deserialize, Serialize};

/// Why a command failed. The names are stable: scripts match on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// A check ran and did not hold: a damaged backup, digests that differ.
    CheckFailed,
    /// The command was not understood, or its arguments contradict each other.
    Usage,
    /// The named thing does not exist here.
    NotFound,
    /// It exists already, or it changed underneath.
    Conflict,
    /// A document would not be as its schema says.
    Invalid,
    /// A rule forbids it: no permission, a size limit, an expired invite.
    Refused,
    /// No daemon runs here, or it is busy or stopping.
    Unavailable,
    /// The other side did not answer.
    PeerUnreachable,
    /// The time given was over before it finished.
    TimedOut,
    /// The disk or the store's size limit is full.
    StoreFull,
    /// The store fails its own checks.
    StoreDamaged,
    /// Another process has the store open.
    StoreLocked,
    /// The store was written by a newer version.
    StoreNewer,
    /// The operating system refused a file or a socket.
    Io,
    /// A bug in this program.
    Internal,
}

impl ErrorCode {
    /// Returns the process exit code that stands for this one (the table is in `docs/cli.md`).
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::CheckFailed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Conflict | Self::Invalid | Self::Refused => 4,
            Self::Unavailable | Self::PeerUnreachable | Self::TimedOut => 5,
            Self::StoreFull | Self::StoreDamaged | Self::StoreLocked | Self::StoreNewer | Self::Io => 6,
            Self::Internal => 70,
        }
    }
}

/// What exactly went wrong, for programs that must tell apart what has one code. The names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A name is empty, too long, or has a character that no name may have.
    BadName,
    /// A selector, a sort or a list of fields was not understood.
    BadSelector,
    /// A patch does not fit the document.
    BadPatch,
    /// A schema was not understood.
    BadSchema,
    /// The bookmark is of another query, or none.
    BookmarkInvalid,
    /// What stands there merges in another way than the schema wants.
    ContainerChange,
    /// The document is there already, and the write was to make it.
    Exists,
    /// The document was deleted.
    Gone,
    /// Whoever asks may not, by their role, their token or the rules of the collection.
    Forbidden,
    /// What the cursor names is not kept any more, or is of another store.
    Forgotten,
    /// Another request was carried out under the idempotency key.
    IdempotencyMismatch,
    /// A request under the idempotency key is under way.
    IdempotencyBusy,
    /// The document is not wholly here.
    Incomplete,
    /// The index is being built.
    IndexBuilding,
    /// There is no such document, and never was.
    NoDocument,
    /// Too many documents would have to be read.
    ScanLimit,
    /// No index serves the sort.
    SortNeedsIndex,
    /// A name and a password, or a link, let nobody in.
    LoginFailed,
    /// It was tried too often: later it may be tried again.
    TooOften,
    /// Rules were not understood.
    BadRules,
    /// Something is larger than it may be.
    TooLarge,
    /// The token is none of this node, or was revoked.
    TokenUnknown,
    /// The token's time is over.
    TokenExpired,
    /// The document has another version.
    VersionMismatch,
}

/// A command's failure, as a person and a script read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[serde(deny_unknown_fields)]
pub struct ServiceError {
    /// What kind of failure.
    pub code: ErrorCode,
    /// What went wrong: a lowercase fragment without a full stop.
    pub message: String,
    /// What exactly, where there is a name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The command line to run next, such as `cosmicsync up`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// In which ways a document would not be as its schema says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<super::Violation>,
}

impl ServiceError {
    /// Returns an error with no next step.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), reason: None, next: None, violations: Vec::new() }
    }

    /// Names the command line to run next.
    #[must_use]
    pub fn next(mut self, command: impl Into<String>) -> Self {
        self.next = Some(command.into());
        self
    }

    /// Names what exactly went wrong.
    #[must_use]
    pub const fn because(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Returns the error for a file or socket that the operating system refused.
    pub fn io(what: impl core::fmt::Display, error: &std::io::Error) -> Self {
        let kind = error.kind();
        let code = if matches!(kind, ErrorKind::NotFound) {
            ErrorCode::NotFound
        } else if matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
            ErrorCode::StoreFull
        } else {
            ErrorCode::Io
        };
        Self::new(code, format!("{what}: {error}"))
    }
}
