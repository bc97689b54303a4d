//! The edits that carry out an intent on an open document.

use super::super::context::Context;
use super::super::request::{Action, Condition, Intent, Name, RequestError, Target};
use super::super::versions;
use crate::schema::Schema;
use crate::{json_patch, patch, preview};
use cosmicsync_protocol::crdt::{Change, ChangeError, Step, TextPaths, Value, VersionId};
use cosmicsync_protocol::documents::{Edit, EditError, Snapshot};
use cosmicsync_protocol::ids::DocRef;
use std::sync::Arc;

/// The edits of an intent.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) edits: Vec<(DocRef, Edit)>,
    pub(super) created: bool,
    pub(super) texts: TextPaths,
}

impl Made {
    fn changes(doc: DocRef, changes: Vec<Change>) -> Self {
        let edits = if changes.is_empty() { Vec::new() } else { vec![(doc, Edit::Apply(changes))] };
        Self { edits, ..Self::default() }
    }
}

/// Returns the edits that carry out an intent on an open document.
pub(super) fn edits_of(
    cx: &mut Context<'_>,
    doc: DocRef,
    intent: &Intent,
    schema: Option<&Arc<Schema>>,
) -> Result<Made, RequestError> {
    check_condition(cx, doc, &intent.condition)?;
    Ok(match &intent.action {
        Action::Put { value, texts } => {
            let (collection, key) = match &intent.target {
                Target::Named(Name::Key { collection, key }) => (collection.clone(), Some(key.clone())),
                Target::New { collection } => (collection.clone(), None),
                Target::Named(Name::Id(_)) => {
                    let meta = cx.whole(doc)?.meta;
                    (meta.collection.unwrap_or_default(), meta.key)
                }
            };
            let mut value = value.clone();
            if let Some(schema) = schema {
                schema.complete(&mut value);
            }
            let mut texts = texts.clone();
            texts.extend(&schema.map(|schema| schema.containers().texts.clone()).unwrap_or_default());
            let (edits, created) = cx.put_edits(doc, &collection, key.as_deref(), &value, &texts)?;
            Made { edits, created, ..Made::default() }
        }
        Action::Patch(patch) => {
            let found = cx.whole(doc)?;
            Made::changes(doc, patch::merge_patch(&found.value, patch).map_err(|_| RequestError::NotObject)?)
        }
        Action::JsonPatch(operations) => {
            let found = cx.whole(doc)?;
            Made::changes(doc, json_patch::changes(&found.value, operations)?)
        }
        Action::Change(changes) => cx.whole(doc).map(|_| Made::changes(doc, changes.clone()))?,
        Action::Insert { path, index, values } => {
            let found = cx.whole(doc)?;
            let index = index.map_or_else(|| items(&found.value, path).map(Vec::len), Ok)?;
            Made::changes(doc, vec![Change::Insert { path: path.clone(), index, values: values.clone() }])
        }
        Action::Move { path, from, to } => {
            let found = cx.whole(doc)?;
            Made::changes(doc, moved(&found.value, path, *from, *to)?)
        }
        Action::Delete => {
            cx.whole(doc).map(|_| vec![(doc, Edit::SetDeleted(true))]).map(|edits| Made { edits, ..Made::default() })?
        }
        Action::Undelete => {
            let found = cx.endpoint.view(doc).ok_or(RequestError::NotFound)?;
            let edits = if found.meta.deleted { vec![(doc, Edit::SetDeleted(false))] } else { Vec::new() };
            Made { edits, ..Made::default() }
        }
        Action::Revert(version) => {
            let found = cx.endpoint.view(doc).ok_or(RequestError::NotFound)?;
            let then = versions::find(cx, doc, version)?;
            let (value, texts) = versions::value_of(cx, doc, &then.version)?;
            let changes = patch::put(&found.value, &value, &TextPaths::none()).map_err(|_| RequestError::NotObject)?;
            let mut made = Made { texts, ..Made::changes(doc, changes) };
            if found.meta.deleted {
                made.edits.insert(0, (doc, Edit::SetDeleted(false)));
            }
            made
        }
        Action::Undo => {
            let undo = versions::last_of_ours(cx, doc)?;
            Made { edits: vec![(doc, undo)], ..Made::default() }
        }
    })
}

/// Returns the document after the edits. Returns `None` if the result is not known in advance: changes that do not fit
/// are refused when they are applied.
pub(super) fn outcome<'a>(found: Option<Snapshot>, edits: impl IntoIterator<Item = &'a Edit>) -> Option<Snapshot> {
    let mut made = found;
    for edit in edits {
        match edit {
            Edit::Create { meta, value, .. } => {
                made = Some(Snapshot { meta: meta.clone(), value: value.clone(), version: VersionId([0; 16]) });
            }
            Edit::Apply(changes) => {
                let mut changed = made?;
                changed.value = preview::apply(changed.value, changes)?;
                made = Some(changed);
            }
            Edit::SetDeleted(deleted) => made.as_mut()?.meta.deleted = *deleted,
            // Changes since then may move what an undo changes; that it does not fit is then found when it is applied.
            Edit::Undo { changes, .. } => {
                let mut changed = made?;
                changed.value = preview::apply(changed.value, changes)?;
                made = Some(changed);
            }
        }
    }
    made
}

/// Returns the items of the list at a path.
fn items<'a>(value: &'a Value, path: &[Step]) -> Result<&'a Vec<Value>, RequestError> {
    let list = path.iter().try_fold(value, |here, step| match (here, step) {
        (Value::Map(entries), Step::Key(key)) => entries.get(key),
        (Value::List(items), Step::Index(index)) => items.get(*index),
        _ => None,
    });
    let list = list.ok_or(ChangeError::NoSuchPath(0)).map_err(EditError::from)?;
    list.as_list().ok_or_else(|| EditError::from(ChangeError::WrongKind(0)).into())
}

/// Returns the changes that move an item of a list.
fn moved(value: &Value, path: &[Step], from: usize, to: usize) -> Result<Vec<Change>, RequestError> {
    let items = items(value, path)?;
    let item = items.get(from).filter(|_| to < items.len());
    let item = item.ok_or(ChangeError::PastEnd(0)).map_err(EditError::from)?;
    if from == to {
        return Ok(Vec::new());
    }
    Ok(vec![
        Change::Delete { path: path.to_vec(), index: from, len: 1 },
        Change::Insert { path: path.to_vec(), index: to, values: vec![item.clone()] },
    ])
}

fn check_condition(cx: &mut Context<'_>, doc: DocRef, condition: &Condition) -> Result<(), RequestError> {
    let stands = cx.endpoint.view(doc).is_some_and(|found| !found.meta.deleted);
    match condition {
        Condition::None => Ok(()),
        Condition::Absent if stands => Err(RequestError::Exists),
        Condition::Absent => Ok(()),
        Condition::Exists if stands => Ok(()),
        Condition::Exists => Err(RequestError::NotFound),
        Condition::Version(_) if !stands => Err(RequestError::NotFound),
        Condition::Version(wanted) => {
            let now = cx.endpoint.replica(doc).and_then(|replica| replica.version_id().ok());
            let now = now.ok_or(RequestError::NotFound)?;
            if versions::is_named(&now, wanted) { Ok(()) } else { Err(RequestError::VersionMismatch { now }) }
        }
    }
}
