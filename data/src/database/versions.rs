//! Versions of a document: finds them by name, reads and compares them, and reads hidden concurrent values.

use super::context::{Context, Task, Wake};
use super::request::{Answer, Name, RequestError, Version};
use cosmicsync_protocol::crdt::{self, Change, Conflict, Replica, Seen, Step, TextPaths, TextStep, Value, VersionId};
use cosmicsync_protocol::documents::{Edit, EditError};
use cosmicsync_protocol::ids::{DocRef, PartNo};
use cosmicsync_protocol::sync::LogNo;
use std::collections::BTreeSet;

/// Fewest digits that name a version.
const NAME_MIN: usize = 4;

/// Returns whether a version's id begins with these digits.
pub(super) fn is_named(id: &VersionId, name: &str) -> bool {
    name.len() >= NAME_MIN && id.to_string().starts_with(&name.to_ascii_lowercase())
}

/// Finds a version of an open document by name: the present version, or one before or after an update.
pub(super) fn find(cx: &mut Context<'_>, doc: DocRef, name: &str) -> Result<Seen, RequestError> {
    let deeds = cx.endpoint.deeds(doc);
    let replica = cx.endpoint.replica(doc).ok_or(RequestError::NotFound)?;
    let broke = |broken| RequestError::from(EditError::from(broken));
    let now = Seen { id: replica.version_id().map_err(broke)?, version: replica.version().clone() };
    let mut found: Vec<Seen> = Vec::new();
    let mut take = |seen: Seen| {
        if is_named(&seen.id, name) && !found.iter().any(|other| other.id == seen.id) {
            found.push(seen);
        }
    };
    take(now);
    for deed in deeds {
        let (peer, start, end) = deed.ops;
        replica.version_after(peer, end).map_err(broke)?.into_iter().for_each(&mut take);
        replica.version_before(peer, start).map_err(broke)?.into_iter().for_each(&mut take);
    }
    if found.len() > 1 {
        return Err(RequestError::AmbiguousVersion);
    }
    found.pop().ok_or(RequestError::NoVersion)
}

/// Returns the value of a version, and the paths of its texts.
pub(super) fn value_of(
    cx: &mut Context<'_>,
    doc: DocRef,
    version: &crdt::Version,
) -> Result<(Value, TextPaths), RequestError> {
    let replica = cx.endpoint.replica(doc).ok_or(RequestError::NotFound)?;
    let broke = |broken| RequestError::from(EditError::from(broken));
    let mut then = replica.at(version).map_err(broke)?.ok_or(RequestError::NoVersion)?;
    let texts = texts_of(&mut then).map_err(broke)?;
    Ok((then.value().map_err(broke)?, texts))
}

fn texts_of(replica: &mut Replica) -> Result<TextPaths, crdt::Broken> {
    let mut texts = TextPaths::none();
    for path in replica.texts()? {
        let step = |step| match step {
            Step::Key(key) => TextStep::Key(key),
            Step::Index(_) => TextStep::Each,
        };
        texts.insert(path.into_iter().map(step).collect());
    }
    Ok(texts)
}

/// The newest update: its logical time and writer, its operations, and whether it deleted the document.
type Newest = ((u32, u64), (u64, u32, u32), Option<bool>);

/// Returns the edit that undoes the newest update of this device.
pub(super) fn last_of_ours(cx: &mut Context<'_>, doc: DocRef) -> Result<Edit, RequestError> {
    cx.endpoint.view(doc).ok_or(RequestError::NotFound)?;
    let deeds = cx.endpoint.deeds(doc);
    let broke = |broken| RequestError::from(EditError::from(broken));
    let me = cx.endpoint.device();
    let ours: BTreeSet<LogNo> = cx.endpoint.logs().filter(|log| log.device == Some(me)).map(|log| log.no).collect();
    let mut newest: Option<Newest> = None;
    for deed in deeds.iter().filter(|deed| deed.deed.edits || deed.deed.deletes.is_some()) {
        if !ours.contains(&deed.at.log) {
            continue;
        }
        let replica = cx.endpoint.replica(doc).ok_or(RequestError::NotFound)?;
        let (peer, start, end) = deed.ops;
        let order = (replica.lamport(peer, end.saturating_sub(1)).map_err(broke)?, peer);
        if newest.as_ref().is_none_or(|(known, ..)| *known < order) {
            newest = Some((order, (peer, start, end), deed.deed.deletes));
        }
    }
    let (_, (peer, start, end), deletes) = newest.ok_or(RequestError::NothingToUndo)?;
    if let Some(deleted) = deletes {
        return Ok(Edit::SetDeleted(!deleted));
    }
    let replica = cx.endpoint.replica(doc).ok_or(RequestError::NotFound)?;
    let before = replica.version_before(peer, start).map_err(broke)?.ok_or(RequestError::NothingToUndo)?;
    let after = replica.version_after(peer, end).map_err(broke)?.ok_or(RequestError::NothingToUndo)?;
    let replica = cx.endpoint.replica(doc).ok_or(RequestError::NotFound)?;
    if before.version.is_empty() && *replica.version() == after.version {
        // It made the document, and nobody else wrote in it.
        return Ok(Edit::SetDeleted(true));
    }
    let (was, texts) = value_of(cx, doc, &before.version)?;
    let (became, _) = value_of(cx, doc, &after.version)?;
    let changes: Vec<Change> =
        crate::patch::put(&became, &was, &TextPaths::none()).map_err(|_| RequestError::NotObject)?;
    Ok(Edit::Undo { after: after.version, changes, texts })
}

/// A question about a document's versions.
#[derive(Debug)]
pub(super) enum Question {
    /// The value of a version.
    At(String),
    /// The difference between two versions; without a later one, the present version is the later.
    Diff(String, Option<String>),
    /// The values that concurrent writes hide.
    Conflicts,
}

/// Answers a question about an open document.
#[derive(Debug)]
pub(super) struct Versions {
    partition: PartNo,
    name: Name,
    question: Question,
}

impl Versions {
    pub(super) const fn new(partition: PartNo, name: Name, question: Question) -> Self {
        Self { partition, name, question }
    }

    fn answer(&self, cx: &mut Context<'_>, doc: DocRef) -> Result<Answer, RequestError> {
        cx.endpoint.view(doc).ok_or(RequestError::NotFound)?;
        let at = |cx: &mut Context<'_>, name: &str| -> Result<Version, RequestError> {
            let Seen { id, version } = find(cx, doc, name)?;
            Ok(Version { id, value: value_of(cx, doc, &version)?.0 })
        };
        match &self.question {
            Question::At(name) => at(cx, name).map(Answer::Version),
            Question::Diff(from, to) => {
                let from = at(cx, from)?;
                let to = match to {
                    Some(name) => at(cx, name)?,
                    None => {
                        let now = cx.endpoint.replica(doc).ok_or(RequestError::NotFound)?.version_id();
                        let id = now.map_err(|broken| RequestError::from(EditError::from(broken)))?;
                        Version { id, value: cx.whole(doc)?.value }
                    }
                };
                Ok(Answer::Diff { from, to })
            }
            Question::Conflicts => {
                let replica = cx.endpoint.replica(doc).ok_or(RequestError::NotFound)?;
                let found = replica.conflicts().map_err(|broken| RequestError::from(EditError::from(broken)))?;
                let deeds = cx.endpoint.deeds(doc);
                let by = |conflict: &Conflict| {
                    let (peer, counter) = conflict.by?;
                    let brought = deeds.iter().find(|deed| {
                        let (of, start, end) = deed.ops;
                        of == peer && (start..end).contains(&counter)
                    });
                    brought.and_then(|deed| cx.endpoint.log_id(deed.at.log).map(|log| (log, deed.at.seq)))
                };
                Ok(Answer::Conflicts(found.into_iter().map(|conflict| (by(&conflict), conflict)).collect()))
            }
        }
    }
}

impl Task for Versions {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        match wake {
            Wake::Start => {
                let doc = cx.named(self.partition, &self.name)?;
                cx.open(doc);
                Ok(None)
            }
            Wake::Opened(doc) => self.answer(cx, doc).map(Some),
            Wake::Read(_) | Wake::Committed | Wake::Lost | Wake::Again => Ok(None),
        }
    }
}
