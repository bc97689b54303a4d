//! Errors of commands: a stable code, one sentence, and the command to run next (`docs/cli.md`).

use std::io::ErrorKind;

use serde::{Deserialize, Serialize};

/// The kind of a failure. The names are stable, because scripts match on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// A check failed: a damaged backup, or digests that differ.
    CheckFailed,
    /// The command was not understood, or its arguments contradict each other.
    Usage,
    /// The named object does not exist on this node.
    NotFound,
    /// The named object exists already, or has changed meanwhile.
    Conflict,
    /// A document would not match its schema.
    Invalid,
    /// The request is not permitted, exceeds a size limit, or used an expired invite.
    Refused,
    /// No daemon is running here, or it is busy or stopping.
    Unavailable,
    /// The peer did not answer.
    PeerUnreachable,
    /// The given time ended before the command did.
    TimedOut,
    /// The disk is full, or the store has reached its size limit.
    StoreFull,
    /// The store fails its own checks.
    StoreDamaged,
    /// Another process has the store open.
    StoreLocked,
    /// The store was written by a newer version.
    StoreNewer,
    /// The operating system refused a file or a socket.
    Io,
    /// There is a bug in this program.
    Internal,
}

impl ErrorCode {
    /// Returns the process exit code for this error code (the table is in `docs/cli.md`).
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

/// The exact reason for a failure, for programs that must tell apart errors of one code. The names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A name is empty, too long, or has a character that names must not have.
    BadName,
    /// A selector, a sort or a list of fields is invalid.
    BadSelector,
    /// A patch does not fit the document.
    BadPatch,
    /// A schema is invalid.
    BadSchema,
    /// The bookmark belongs to another query, or is not a bookmark.
    BookmarkInvalid,
    /// Existing members merge in another way than the schema requires.
    ContainerChange,
    /// The document exists, and the write was to create it.
    Exists,
    /// The document is deleted.
    Gone,
    /// The role, the token or the rules of the collection do not allow the request.
    Forbidden,
    /// The changes after the cursor have been discarded, or the cursor is of another store.
    Forgotten,
    /// Another request was carried out under this idempotency key.
    IdempotencyMismatch,
    /// A request with this idempotency key is being carried out.
    IdempotencyBusy,
    /// Parts of the document are not here.
    Incomplete,
    /// The index is still being built.
    IndexBuilding,
    /// The document does not exist, and never did.
    NoDocument,
    /// The query would have to read too many documents.
    ScanLimit,
    /// No index serves the sort.
    SortNeedsIndex,
    /// The name and password, or the link, are not valid.
    LoginFailed,
    /// There were too many attempts; try again later.
    TooOften,
    /// Rules are invalid.
    BadRules,
    /// Something exceeds its size limit.
    TooLarge,
    /// The token is not of this node, or was revoked.
    TokenUnknown,
    /// The token has expired.
    TokenExpired,
    /// The document has another version than the request requires.
    VersionMismatch,
}

/// A command's failure, for a person and for a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[serde(deny_unknown_fields)]
pub struct ServiceError {
    /// The kind of the failure.
    pub code: ErrorCode,
    /// The message: a lowercase fragment without a full stop.
    pub message: String,
    /// The exact reason, if it has a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The command line to run next, such as `cosmicsync up`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The violations of the schema by the document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<super::Violation>,
}

impl ServiceError {
    /// Returns an error with no next step.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), reason: None, next: None, violations: Vec::new() }
    }

    /// Sets the command line to run next.
    #[must_use]
    pub fn next(mut self, command: impl Into<String>) -> Self {
        self.next = Some(command.into());
        self
    }

    /// Sets the exact reason.
    #[must_use]
    pub const fn because(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Returns the error for a file or socket operation that the operating system refused.
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
