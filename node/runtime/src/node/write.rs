//! Commands that write documents, and questions about versions and conflicts.

use super::docs::{doc_of, name, partition, steps, value_of};
use super::handle::unexpected;
use super::{Acting, blame};
use crate::service::{
    Command, Conflict, Cut, Diff, DocAt, DocChange, DocDiff, DocOp, DocPut, DocRef, DocWrite, ErrorCode, Import,
    IndexName, Item, Listed, Position, Reason, Reply, SchemaSet, ServiceError, SpaceRef, Text, VersionView, Written,
    Wrote, quoted,
};
use cosmicsync_data::database::idempotency::Once;
use cosmicsync_data::database::request::{Action, Answer, Condition, Intent, Request, RequestError, Target};
use cosmicsync_data::{json, json_patch};
use cosmicsync_protocol::crdt::{Change, ChangeError, TextPaths};
use cosmicsync_protocol::documents::EditError;
use tokio::sync::mpsc;

/// Scope of idempotency keys of the control socket.
const SCOPE: &[u8] = b"control";

impl Acting<'_> {
    pub(super) async fn doc_write(&self, write: DocWrite) -> Result<Reply, ServiceError> {
        self.check_room()?;
        let once = write.idempotency_key.as_ref().map(|key| {
            let request = serde_json::to_vec(&(&write.space, &write.writes)).unwrap_or_default();
            Once::new(SCOPE, key, &request)
        });
        let mut intents = Vec::with_capacity(write.writes.len());
        let mut named = Vec::with_capacity(write.writes.len());
        for (at, op) in write.writes.iter().enumerate() {
            let intent = intent(op).map_err(|error| which(at, write.writes.len(), error))?;
            named.push(
                self.called(&write.space, &intent.target)
                    .await
                    .map_err(|error| which(at, write.writes.len(), error))?,
            );
            intents.push(intent);
        }
        let space = write.space.clone();
        let answer = self.handle()?.answer(move |core| {
            let partition = partition(core, &space)?;
            Ok(Request::Write { partition, intents, once })
        });
        match answer.await? {
            Answer::Wrote { docs, cut } => {
                let cut = Cut(cut.into_iter().map(|(log, seq)| Position { log: Text(log), seq }).collect());
                let mut documents = Vec::with_capacity(docs.len());
                for (one, (collection, mut key)) in docs.into_iter().zip(named) {
                    if key.is_none() {
                        // The schema may have derived a key.
                        key = self.known(&write.space, &DocRef::Id(one.doc)).await?.1;
                    }
                    documents.push(Written {
                        doc: Text(one.doc),
                        collection,
                        key,
                        created: one.created,
                        version: one.version.map(Text),
                        cut: cut.clone(),
                    });
                }
                Ok(Reply::Wrote(Wrote { documents }))
            }
            Answer::Failed(error) => Err(self.refused(&write, error).await),
            _ => Err(unexpected()),
        }
    }

    /// Returns the name of a write's target, for messages.
    async fn called(&self, space: &SpaceRef, target: &Target) -> Result<(String, Option<String>), ServiceError> {
        match target {
            Target::New { collection } => Ok((collection.clone(), None)),
            Target::Named(name) => self.known(space, &doc_of(name.clone())).await,
        }
    }

    /// Returns the error for a refused write: which write, why, and the next step.
    async fn refused(&self, write: &DocWrite, error: RequestError) -> ServiceError {
        let (at, error) = match error {
            RequestError::At(at, error) => (at, *error),
            error => (0, error),
        };
        let Some(op) = write.writes.get(at) else { return blame::request_error(&error) };
        let (doc, _) = op.parts();
        let shown = quoted(&doc);
        let get = format!("cosmicsync doc get {shown}");
        let told = match &error {
            RequestError::NotFound => match doc.parse::<DocRef>() {
                Ok(doc) => self.no_document(write.space.clone(), &doc).await,
                Err(error) => error,
            },
            RequestError::Exists if !doc.contains('/') => {
                let message = format!("{doc} already has a document with this key");
                ServiceError::new(ErrorCode::Conflict, message).next(format!("cosmicsync query {shown}"))
            }
            RequestError::Exists => ServiceError::new(ErrorCode::Conflict, format!("{doc} exists already")).next(get),
            RequestError::VersionMismatch { now } => {
                let message = format!("{doc} has version {now} now: somebody changed it");
                ServiceError::new(ErrorCode::Conflict, message).next(get)
            }
            RequestError::NoVersion | RequestError::AmbiguousVersion => {
                let next = format!("cosmicsync doc history {shown}");
                ServiceError::new(ErrorCode::NotFound, format!("{doc}: {error}")).next(next)
            }
            RequestError::NothingToUndo => {
                let next = format!("cosmicsync doc history {shown}");
                ServiceError::new(ErrorCode::NotFound, format!("{doc}: {error}")).next(next)
            }
            RequestError::Edit(EditError::Change(
                ChangeError::NoSuchPath(_) | ChangeError::WrongKind(_) | ChangeError::PastEnd(_),
            ))
            | RequestError::JsonPatch(_) => ServiceError::new(ErrorCode::Refused, format!("{doc}: {error}")).next(get),
            error => blame::request_error(error),
        };
        let reason = told.reason.or(blame::reason(&error));
        let told = ServiceError { reason, ..told };
        which(at, write.writes.len(), told)
    }

    pub(super) async fn doc_at(&self, at: DocAt) -> Result<Reply, ServiceError> {
        let DocAt { space, doc, version } = at;
        let named = doc.clone();
        let request = move |partition| Request::At { partition, name: name(named), version };
        match self.asked_of(space.clone(), &doc, request).await? {
            Answer::Version(version) => {
                Ok(Reply::Version(VersionView { version: Text(version.id), value: json::to_json(&version.value) }))
            }
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn doc_diff(&self, diff: DocDiff) -> Result<Reply, ServiceError> {
        let DocDiff { space, doc, from, to } = diff;
        let named = doc.clone();
        let request = move |partition| Request::Diff { partition, name: name(named), from, to };
        match self.asked_of(space, &doc, request).await? {
            Answer::Diff { from, to } => {
                let operations = json_patch::diff(&from.value, &to.value);
                let patch = operations.iter().map(|one| json::to_json(&json_patch::to_value(one))).collect();
                let before = json_patch::replaced(&from.value, &operations).unwrap_or_default();
                let before = before.iter().map(|value| value.as_ref().map(json::to_json)).collect();
                Ok(Reply::Diff(Diff { from: Text(from.id), to: Text(to.id), patch, before }))
            }
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn doc_conflicts(
        &self,
        space: SpaceRef,
        doc: DocRef,
        items: &mpsc::Sender<Item>,
    ) -> Result<Reply, ServiceError> {
        let named = doc.clone();
        let request = move |partition| Request::Conflicts { partition, name: name(named) };
        let Answer::Conflicts(found) = self.asked_of(space, &doc, request).await? else { return Err(unexpected()) };
        let devices = self.handle()?.with(|core| {
            let logs = core.db.endpoint().logs();
            logs.filter_map(|log| Some((log.id, log.device?))).collect::<std::collections::BTreeMap<_, _>>()
        });
        let devices = devices.await?;
        let count = found.len() as u64;
        for (by, conflict) in found {
            let pointer: Vec<String> = conflict.path.iter().map(ToString::to_string).collect();
            let item = Conflict {
                path: json_patch::show(&pointer),
                value: json::to_json(&conflict.value),
                device: by.and_then(|(log, _)| devices.get(&log).copied()).map(Text),
                entry: by.map(|(log, seq)| Position { log: Text(log), seq }),
            };
            drop(items.send(Item::Conflict(item)).await);
        }
        Ok(Reply::Listed(Listed { count, more: 0, next: None }))
    }

    /// Submits a question about a document that must exist.
    async fn asked_of(
        &self,
        space: SpaceRef,
        doc: &DocRef,
        request: impl FnOnce(cosmicsync_protocol::ids::PartNo) -> Request + Send + 'static,
    ) -> Result<Answer, ServiceError> {
        let of = space.clone();
        let answer = self.handle()?.answer(move |core| Ok(request(partition(core, &of)?)));
        match answer.await? {
            Answer::Failed(RequestError::NotFound) => Err(self.no_document(space, doc).await),
            Answer::Failed(error @ (RequestError::NoVersion | RequestError::AmbiguousVersion)) => {
                let next = format!("cosmicsync doc history {}", quoted(&doc.to_string()));
                Err(ServiceError::new(ErrorCode::NotFound, format!("{doc}: {error}")).next(next))
            }
            Answer::Failed(error) => Err(blame::request_error(&error)),
            answer => Ok(answer),
        }
    }
}

/// Adds the number of the write to an error, if there are several writes.
fn which(at: usize, of: usize, mut error: ServiceError) -> ServiceError {
    if of > 1 {
        error.message = format!("write {} of {of}: {}. Nothing was written", at + 1, error.message);
    }
    error
}

fn place(number: &u64) -> Result<usize, ServiceError> {
    usize::try_from(*number).map_err(|_| ServiceError::new(ErrorCode::Usage, "a position is too large"))
}

/// Converts a change for the core.
fn change(change: &DocChange) -> Result<Change, ServiceError> {
    Ok(match change {
        DocChange::Set { path, value } => Change::Set { path: steps(path)?, value: value_of(value)? },
        DocChange::Remove { path } => Change::Remove { path: steps(path)? },
        DocChange::Insert { path, index, values } => {
            let values = values.iter().map(value_of).collect::<Result<_, _>>()?;
            Change::Insert { path: steps(path)?, index: place(index)?, values }
        }
        DocChange::Splice { path, at, delete, insert } => {
            Change::Splice { path: steps(path)?, at: place(at)?, delete: place(delete)?, insert: insert.clone() }
        }
        DocChange::Add { path, by } => Change::Add { path: steps(path)?, by: *by },
    })
}

/// Refuses a write to a collection whose name begins with `_`, because descriptions are changed by their own commands.
pub(super) fn check_reserved(command: &Command) -> Result<(), ServiceError> {
    let of_doc = |doc: &DocRef| match doc {
        DocRef::Key { collection, .. } => vec![collection.clone()],
        DocRef::Id(_) => Vec::new(),
    };
    let written: Vec<String> = if let Command::DocPatch { doc, .. } | Command::DocDelete { doc, .. } = command {
        of_doc(doc)
    } else if let Command::DocSplice(splice) = command {
        of_doc(&splice.doc)
    } else if let Command::DocWrite(write) = command {
        write.writes.iter().map(|op| op.parts().0).collect()
    } else if let Command::DocPut(DocPut { collection, .. })
    | Command::Import(Import { collection, .. })
    | Command::IndexCreate { index: IndexName { collection, .. }, .. }
    | Command::SchemaSet(SchemaSet { collection, .. }) = command
    {
        vec![collection.clone()]
    } else {
        return Ok(());
    };
    match written.iter().find(|name| name.starts_with('_')) {
        Some(name) => {
            let message =
                format!("{} is reserved: a collection's name begins with another character than _", quoted(name));
            Err(ServiceError::new(ErrorCode::Refused, message).because(Reason::BadName))
        }
        None => Ok(()),
    }
}

fn intent(op: &DocOp) -> Result<Intent, ServiceError> {
    let (named, condition) = op.parts();
    let condition = match condition {
        None => Condition::None,
        Some("absent") => Condition::Absent,
        Some("exists") => Condition::Exists,
        Some(version) if version.len() >= 4 && version.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Condition::Version(version.to_owned())
        }
        Some(other) => {
            let message =
                format!("'{other}' is not a condition: write absent, exists, or 4 or more digits of a version");
            return Err(ServiceError::new(ErrorCode::Usage, message));
        }
    };
    let named_target = |doc: &DocRef| Target::Named(name(doc.clone()));
    let (target, action) = match op {
        DocOp::Put { value, text, .. } => {
            let (value, mut texts) = json::unwrap_texts(value_of(value)?);
            texts.extend(&text.iter().collect::<TextPaths>());
            let target = match named.parse::<DocRef>() {
                Ok(doc) => named_target(&doc),
                Err(_) if !named.is_empty() && !named.contains('/') => Target::New { collection: named.clone() },
                Err(error) => return Err(error),
            };
            (target, Action::Put { value, texts })
        }
        DocOp::Patch { doc, patch, .. } => {
            let patch = value_of(patch)?;
            let action = if patch.as_list().is_some() {
                let operations = json_patch::parse(&patch);
                Action::JsonPatch(operations.map_err(|error| {
                    ServiceError::new(ErrorCode::Usage, error.to_string()).because(Reason::BadPatch)
                })?)
            } else {
                Action::Patch(patch)
            };
            (named_target(doc), action)
        }
        DocOp::Type { doc, path, patches, .. } => {
            let way = steps(path)?;
            let mut changes = Vec::with_capacity(patches.len());
            for patch in patches {
                let (at, delete) = (place(&patch.0)?, place(&patch.1)?);
                changes.push(Change::Splice { path: way.clone(), at, delete, insert: patch.2.clone() });
            }
            (named_target(doc), Action::Change(changes))
        }
        DocOp::Change { doc, changes, .. } => {
            let changes = changes.iter().map(change).collect::<Result<_, _>>()?;
            (named_target(doc), Action::Change(changes))
        }
        DocOp::Add { doc, path, by, .. } => {
            (named_target(doc), Action::Change(vec![Change::Add { path: steps(path)?, by: *by }]))
        }
        DocOp::Insert { doc, path, index, values, .. } => {
            let values = values.iter().map(value_of).collect::<Result<_, _>>()?;
            let index = index.as_ref().map(place).transpose()?;
            (named_target(doc), Action::Insert { path: steps(path)?, index, values })
        }
        DocOp::Move { doc, path, from, to, .. } => {
            (named_target(doc), Action::Move { path: steps(path)?, from: place(from)?, to: place(to)? })
        }
        DocOp::Remove { doc, path, .. } => {
            (named_target(doc), Action::Change(vec![Change::Remove { path: steps(path)? }]))
        }
        DocOp::Delete { doc, .. } => (named_target(doc), Action::Delete),
        DocOp::Undelete { doc, .. } => (named_target(doc), Action::Undelete),
        DocOp::Revert { doc, version, .. } => (named_target(doc), Action::Revert(version.clone())),
        DocOp::Undo { doc, .. } => (named_target(doc), Action::Undo),
    };
    Ok(Intent { target, action, condition })
}
