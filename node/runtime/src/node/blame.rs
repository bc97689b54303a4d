//! Translates errors of the database and the core for a person and a script: a code, a sentence, a next step.

use crate::backup::BackupError;
use crate::driver::{other_user, store_error};
use crate::keyfile::KeyFileError;
use crate::service::{ErrorCode, Reason, ServiceError, quoted};
use crate::store::SnapshotError;
use cosmicsync_data::database::ask::QueryError;
use cosmicsync_data::database::request::RequestError;
use cosmicsync_protocol::crdt::{ChangeError, UPDATE_BYTES_MAX, UPDATE_OPS_MAX};
use cosmicsync_protocol::documents::{BulkError, EditError};
use cosmicsync_protocol::spaces::SpaceError;

/// Next step for a command that needs the user key, which stays on the device that created the user.
pub(super) const ON_FIRST_DEVICE: &str = "on the device where `init` was run: cosmicsync space invite";

/// Returns the error for a command that needs the user key; `command` does the same on the device with the key.
pub(super) fn founder_error(error: &SpaceError, command: &str) -> ServiceError {
    let answer = space_error(error);
    match error {
        SpaceError::NoUserKey => answer.next(format!("on the device where `init` was run: {command}")),
        _ => answer,
    }
}

pub(super) fn space_error(error: &SpaceError) -> ServiceError {
    let message = error.to_string();
    match error {
        SpaceError::NoUser => ServiceError::new(ErrorCode::Conflict, message)
            .next("cosmicsync space join LINE; or, on the first device, cosmicsync init"),
        SpaceError::HasUser => ServiceError::new(ErrorCode::Conflict, message).next("cosmicsync status"),
        SpaceError::Name => ServiceError::new(ErrorCode::Conflict, message).next("cosmicsync space list"),
        SpaceError::OtherUser => other_user(),
        SpaceError::UnknownSpace | SpaceError::UnknownPartition => {
            ServiceError::new(ErrorCode::NotFound, message).next("cosmicsync space list")
        }
        SpaceError::NoKeys => ServiceError::new(ErrorCode::Unavailable, message).next("cosmicsync peer list"),
        SpaceError::NoUserKey => ServiceError::new(ErrorCode::Refused, message).next(ON_FIRST_DEVICE),
        SpaceError::TooManyInvites | SpaceError::InviteUsed => ServiceError::new(ErrorCode::Refused, message),
        SpaceError::Invite(_) => ServiceError::new(ErrorCode::Usage, message),
        SpaceError::Mint(_) | SpaceError::Seal(_) => ServiceError::new(ErrorCode::Refused, message),
    }
}

/// Returns the error for a refused query, with the next step.
pub(super) fn query_error(error: &RequestError, collection: &str) -> ServiceError {
    let said = request_error(error);
    let collection = quoted(collection);
    match error {
        RequestError::Query(QueryError::SortNeedsIndex(fields)) => {
            let fields = fields.split(',').map(quoted).collect::<Vec<_>>().join(" ");
            said.next(format!("cosmicsync index create {collection} NAME {fields}"))
        }
        RequestError::Query(QueryError::ScanLimit) => {
            said.next(format!("cosmicsync index create {collection} NAME FIELD"))
        }
        RequestError::Query(QueryError::NoIndex(_) | QueryError::IndexBuilding(_)) => {
            said.next(format!("cosmicsync index list {collection}"))
        }
        _ => said,
    }
}

pub(super) fn request_error(error: &RequestError) -> ServiceError {
    let said = told(error);
    let reason = said.reason.or_else(|| reason(error));
    ServiceError { reason, ..said }
}

/// Returns the name of the exact reason, if it has one.
pub(super) fn reason(error: &RequestError) -> Option<Reason> {
    Some(match error {
        RequestError::At(_, error) | RequestError::Row { error, .. } => return reason(error),
        RequestError::Incomplete(_) => Reason::Incomplete,
        RequestError::BadName(_) | RequestError::BadCharacter { .. } => Reason::BadName,
        RequestError::Forbidden { .. } | RequestError::OutOfReach { .. } | RequestError::AdminOnly => Reason::Forbidden,
        RequestError::Exists => Reason::Exists,
        RequestError::VersionMismatch { .. } => Reason::VersionMismatch,
        RequestError::OnceMismatch => Reason::IdempotencyMismatch,
        RequestError::OnceBusy => Reason::IdempotencyBusy,
        RequestError::JsonPatch(_) => Reason::BadPatch,
        RequestError::Schema(_) => Reason::BadSchema,
        RequestError::ContainerChange(_) => Reason::ContainerChange,
        RequestError::Query(QueryError::SortNeedsIndex(_)) => Reason::SortNeedsIndex,
        RequestError::Query(QueryError::ScanLimit) => Reason::ScanLimit,
        RequestError::Query(QueryError::Bookmark) => Reason::BookmarkInvalid,
        RequestError::Query(QueryError::IndexBuilding(_)) => Reason::IndexBuilding,
        RequestError::Query(QueryError::LiveTooLarge | QueryError::TooManyGroups)
        | RequestError::TooMany(_)
        | RequestError::Edit(EditError::Change(ChangeError::TooLarge)) => Reason::TooLarge,
        RequestError::Edit(EditError::Change(
            ChangeError::NoSuchPath(_) | ChangeError::WrongKind(_) | ChangeError::PastEnd(_),
        )) => Reason::BadPatch,
        _ => return None,
    })
}

fn told(error: &RequestError) -> ServiceError {
    let message = error.to_string();
    match error {
        RequestError::NotFound => ServiceError::new(ErrorCode::NotFound, message).next("cosmicsync doc list"),
        RequestError::Incomplete(_) => ServiceError::new(ErrorCode::Unavailable, message).next("cosmicsync doctor"),
        RequestError::BadName(_)
        | RequestError::BadCharacter { .. }
        | RequestError::NotObject
        | RequestError::TooMany(_) => ServiceError::new(ErrorCode::Usage, message),
        RequestError::Row { at, error } => {
            let said = request_error(error);
            let message = format!("line {} (row {}): {}", at.line, at.row, said.message);
            ServiceError { message, next: None, ..said }
        }
        RequestError::Edit(EditError::Change(ChangeError::TooLarge)) => {
            let message = format!(
                "{message}: it holds at most {UPDATE_OPS_MAX} changes, each character of a text that merges counted, and \
                 {UPDATE_BYTES_MAX} bytes"
            );
            ServiceError::new(ErrorCode::Refused, message).next("shorten it, or write it as several documents")
        }
        RequestError::At(_, error) => ServiceError { message, ..request_error(error) },
        RequestError::Exists
        | RequestError::VersionMismatch { .. }
        | RequestError::OnceMismatch
        | RequestError::OnceBusy => ServiceError::new(ErrorCode::Conflict, message),
        RequestError::NoVersion | RequestError::AmbiguousVersion | RequestError::NothingToUndo => {
            ServiceError::new(ErrorCode::NotFound, message)
        }
        RequestError::Query(QueryError::NoIndex(_) | QueryError::NotLive) => {
            ServiceError::new(ErrorCode::NotFound, message)
        }
        RequestError::Query(QueryError::IndexThere(_)) => ServiceError::new(ErrorCode::Conflict, message),
        RequestError::Query(QueryError::IndexBuilding(_) | QueryError::TooManyLive) => {
            ServiceError::new(ErrorCode::Unavailable, message)
        }
        RequestError::Query(QueryError::Bookmark | QueryError::TooManyMeasures(_)) | RequestError::Index(_) => {
            ServiceError::new(ErrorCode::Usage, message)
        }
        RequestError::Query(
            QueryError::SortNeedsIndex(_)
            | QueryError::ScanLimit
            | QueryError::TooManyGroups
            | QueryError::LiveTooLarge,
        ) => ServiceError::new(ErrorCode::Refused, message),
        RequestError::Violates(violations) => ServiceError {
            violations: super::schemas::violations(violations),
            ..ServiceError::new(ErrorCode::Invalid, message)
        },
        RequestError::Schema(_) => ServiceError::new(ErrorCode::Usage, message),
        RequestError::DocumentsViolate(_) => ServiceError::new(ErrorCode::Invalid, message),
        RequestError::ContainerChange(_) => ServiceError::new(ErrorCode::Conflict, message),
        RequestError::NoSchema => ServiceError::new(ErrorCode::NotFound, message),
        RequestError::Forbidden { collection, locked: true, .. } => ServiceError::new(ErrorCode::Refused, message)
            .next(format!("as an owner or admin: cosmicsync rules set {} FILE", quoted(collection))),
        RequestError::Forbidden { .. } | RequestError::OutOfReach { .. } | RequestError::AdminOnly => {
            ServiceError::new(ErrorCode::Refused, message)
        }
        RequestError::JsonPatch(_) => ServiceError::new(ErrorCode::Refused, message),
        RequestError::NoImport => ServiceError::new(ErrorCode::NotFound, message).next("cosmicsync doctor"),
        RequestError::Edit(EditError::Space(error)) | RequestError::Space(error) => space_error(error),
        RequestError::Edit(EditError::Exists | EditError::NotOpen | EditError::Broken(_)) => {
            ServiceError::new(ErrorCode::Conflict, message)
        }
        RequestError::Edit(EditError::Change(_) | EditError::SeveralPartitions | EditError::Repeated)
        | RequestError::Bulk(BulkError::Doc { .. } | BulkError::Seal(_)) => {
            ServiceError::new(ErrorCode::Refused, message)
        }
        RequestError::Bulk(BulkError::NotOpen) => ServiceError::new(ErrorCode::NotFound, message),
        RequestError::Store(error) => store_error(error),
        RequestError::Edit(EditError::ShutDown) => {
            ServiceError::new(ErrorCode::Unavailable, message).next("cosmicsync up")
        }
        RequestError::Lost => ServiceError::new(ErrorCode::Unavailable, message).next("cosmicsync doctor"),
    }
}

pub(super) fn keyfile_error(error: &KeyFileError) -> ServiceError {
    let message = error.to_string();
    match error {
        KeyFileError::TooOpen { path } => {
            let path = quoted(&path.display().to_string());
            ServiceError::new(ErrorCode::Refused, message).next(format!("chmod 600 {path}"))
        }
        KeyFileError::Missing { .. } | KeyFileError::Damaged { .. } => {
            ServiceError::new(ErrorCode::StoreDamaged, message).next("cosmicsync --dir NEW_DIR backup restore FILE")
        }
        KeyFileError::Newer { .. } | KeyFileError::Older { .. } => ServiceError::new(ErrorCode::StoreNewer, message),
        KeyFileError::Disk { error, .. } => {
            let code = ServiceError::io("", error).code;
            ServiceError::new(if code == ErrorCode::NotFound { ErrorCode::Io } else { code }, message)
        }
        KeyFileError::NoEntropy => ServiceError::new(ErrorCode::Io, message),
    }
}

pub(super) fn snapshot_error(error: &SnapshotError) -> ServiceError {
    match error {
        SnapshotError::Outgrown => ServiceError::new(ErrorCode::Conflict, error.to_string()),
        SnapshotError::Store(error) => store_error(error),
        SnapshotError::Stopped(_) => ServiceError::new(ErrorCode::Unavailable, error.to_string()),
    }
}

pub(super) fn backup_error(error: &BackupError) -> ServiceError {
    let message = error.to_string();
    match error {
        BackupError::WrongPassphrase | BackupError::Damaged | BackupError::NotABackup | BackupError::TooCostly => {
            ServiceError::new(ErrorCode::CheckFailed, message)
        }
        BackupError::Newer { .. } => ServiceError::new(ErrorCode::StoreNewer, message),
        BackupError::NotEmpty { .. } => {
            ServiceError::new(ErrorCode::Conflict, message).next("cosmicsync --dir NEW_DIR backup restore FILE")
        }
        BackupError::Snapshot(error) => snapshot_error(error),
        BackupError::Open(error) => crate::driver::open_error(error),
        BackupError::KeyFile(error) => keyfile_error(error),
        BackupError::Store(error) => store_error(error),
        BackupError::Stopped(_) => ServiceError::new(ErrorCode::Internal, message),
        BackupError::Io(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            ServiceError::new(ErrorCode::Conflict, "the backup file exists already: choose another name")
                .next("cosmicsync backup create NEW_FILE")
        }
        BackupError::Io(error) => ServiceError::io("cannot read or write the backup", error),
        BackupError::NoEntropy => ServiceError::new(ErrorCode::Io, message),
    }
}
