//! Versions of a document: their names, their values, and undoing updates (`spec/documents.md`, section 5).

use super::read::Reader;
use super::{Broken, Change, Replica, Step, TextPaths, Value, Version, carry};
use core::fmt;
use loro::{Frontiers, ID, LoroDoc};
use std::collections::BTreeMap;

/// The writer of operations that never leave a scratch copy.
const NOBODY: u64 = 0;

/// Name of a version: equal on replicas that have the same operations of a document.
///
/// A hash of the operations that no other operation follows: their peers and counters, ascending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionId(pub [u8; 16]);

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Error for a text that is not the name of a version: 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a version has 32 hex digits")]
pub struct BadVersionId;

impl core::str::FromStr for VersionId {
    type Err = BadVersionId;

    fn from_str(text: &str) -> Result<Self, BadVersionId> {
        let mut id = [0; 16];
        let digits = text.as_bytes();
        if digits.len() != 2 * id.len() || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(BadVersionId);
        }
        for (byte, at) in id.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| BadVersionId)?;
        }
        Ok(Self(id))
    }
}

impl VersionId {
    pub(super) fn of(frontiers: &Frontiers) -> Self {
        let mut ends: Vec<(u64, i32)> = frontiers.iter().map(|id| (id.peer, id.counter)).collect();
        ends.sort_unstable();
        let mut hasher = blake3::Hasher::new_derive_key("cosmicsync version 1");
        for (peer, counter) in ends {
            hasher.update(&peer.to_le_bytes()).update(&counter.to_le_bytes());
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(id)
    }
}

/// A version that a writer saw: the one after an update, or the one that it was made on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Name of the version.
    pub id: VersionId,
    /// Operations that the version contains.
    pub version: Version,
}

impl Replica {
    /// Returns the name of the present version.
    ///
    /// # Errors
    /// If the document broke.
    pub fn version_id(&mut self) -> Result<VersionId, Broken> {
        self.guarded(|doc| VersionId::of(&doc.oplog_frontiers()))
    }

    /// Returns the version that the writer of an update saw after it: the update and all its dependencies.
    /// `None` if the operations are not here.
    ///
    /// # Errors
    /// If the document broke.
    pub fn version_after(&mut self, peer: u64, end: u32) -> Result<Option<Seen>, Broken> {
        self.guarded(|doc| seen(doc, &Frontiers::from(id(peer, end.checked_sub(1)?))))
    }

    /// Returns the version that an update was made on.
    ///
    /// # Errors
    /// If the document broke.
    pub fn version_before(&mut self, peer: u64, start: u32) -> Result<Option<Seen>, Broken> {
        self.guarded(|doc| {
            let first = id(peer, start);
            let change = doc.get_change(first)?;
            let on = if change.id == first { change.deps } else { Frontiers::from(id(peer, start.checked_sub(1)?)) };
            seen(doc, &on)
        })
    }

    /// Returns the logical time of an operation: greater than that of everything it builds on.
    ///
    /// # Errors
    /// If the document broke.
    pub fn lamport(&mut self, peer: u64, counter: u32) -> Result<u32, Broken> {
        self.guarded(|doc| {
            let at = id(peer, counter);
            doc.get_change(at)
                .map_or(0, |change| change.lamport + u32::try_from(at.counter - change.id.counter).unwrap_or(0))
        })
    }

    /// Undoes one update: its changes between two versions are reverted, and later writes of others stay.
    ///
    /// `after` is a version that is here; `changes` turn its value into that of the version before the
    /// update.
    ///
    /// # Errors
    /// If the document broke, or the changes don't fit.
    pub fn undo(&mut self, after: &Version, changes: &[Change], texts: &TextPaths) -> Result<bool, super::ChangeError> {
        let Some(mut then) = self.at(after)? else { return Ok(false) };
        then.set_peer(NOBODY)?;
        then.apply(changes, texts)?;
        let Some(update) = then.take_update()? else { return Ok(false) };
        let checked = super::check(&update.bytes, NOBODY, update.start).map_err(|_| super::ChangeError::Refused)?;
        let now = self.version().clone();
        let Some(mut scratch) = self.at(&now)? else { return Ok(false) };
        let base = self.guarded(LoroDoc::oplog_frontiers)?;
        scratch.import(vec![checked]).map_err(|_| super::ChangeError::Refused)?;
        let cost = super::shape::Cost {
            bytes: update.bytes.len().saturating_mul(2) + 4096,
            ops: (update.end - update.start) as usize,
        };
        let carried = scratch.guarded(|from| {
            self.guarded(|to| {
                let carried = carry::carry(from, &base, to);
                to.commit();
                carried
            })
        })??;
        carried.map_err(|_| super::ChangeError::Refused)?;
        self.note_own(cost)?;
        Ok(true)
    }
}

fn id(peer: u64, counter: u32) -> ID {
    ID::new(peer, i32::try_from(counter).unwrap_or(i32::MAX))
}

fn seen(doc: &LoroDoc, frontiers: &Frontiers) -> Option<Seen> {
    let version = doc.frontiers_to_vv(frontiers)?;
    let version = version.iter().filter_map(|(peer, end)| Some((*peer, u32::try_from(*end).ok()?))).collect();
    Some(Seen { id: VersionId::of(frontiers), version })
}

/// A value that was written, or a container that was filled, and that is hidden by another.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// Place of the value.
    pub path: Vec<Step>,
    /// The hidden value.
    pub value: Value,
    /// The operation that wrote it, by peer and counter; `None` for a container, which several may have
    /// filled.
    pub by: Option<(u64, u32)>,
}

impl Replica {
    /// Returns content hidden by a concurrent write at the same place: containers of another kind, and plain
    /// values that lost.
    ///
    /// # Errors
    /// If the document broke.
    pub fn conflicts(&mut self) -> Result<Vec<Conflict>, Broken> {
        let hidden =
            self.hidden()?.into_iter().map(|hidden| Conflict { path: hidden.path, value: hidden.value, by: None });
        let mut conflicts: Vec<Conflict> = hidden.collect();
        conflicts.extend(self.guarded(lost)?);
        conflicts.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(conflicts)
    }
}

/// One write of an entry of a map.
struct Write {
    order: (u32, u64),
    id: ID,
    value: Option<Value>,
}

/// Returns plain values whose writers had not seen the value that is shown, and that no later write has seen.
fn lost(doc: &LoroDoc) -> Vec<Conflict> {
    let places = Reader::new(doc).places();
    let mut writes: BTreeMap<(String, String), Vec<Write>> = BTreeMap::new();
    let mut ends: Vec<(u64, i32)> = doc.oplog_vv().iter().map(|(peer, end)| (*peer, *end)).collect();
    ends.sort_unstable();
    for (peer, end) in ends {
        for change in doc.export_json_in_id_span(loro::IdSpan::new(peer, 0, end)) {
            for op in &change.ops {
                let loro::JsonOpContent::Map(written) = &op.content else { continue };
                let container = op.container.to_string();
                if !places.contains_key(&container) {
                    continue;
                }
                let (key, value) = match written {
                    loro::JsonMapOp::Insert { key, value } => (key, super::slot::plain_value(value)),
                    loro::JsonMapOp::Delete { key } => (key, None),
                };
                let lamport = change.lamport + u32::try_from(op.counter - change.id.counter).unwrap_or(0);
                let write = Write { order: (lamport, peer), id: ID::new(peer, op.counter), value };
                writes.entry((container, key.clone())).or_default().push(write);
            }
        }
    }
    let mut found = Vec::new();
    for ((container, key), mut writes) in writes {
        writes.sort_by_key(|write| core::cmp::Reverse(write.order));
        let Some(above) = places.get(&container).filter(|_| writes.len() > 1) else { continue };
        let mut seen = loro::VersionVector::new();
        let mut shown: Option<Option<Value>> = None;
        for write in writes {
            if let Some(stands) = &shown
                && !seen.includes_id(write.id)
                && write.value.is_some()
                && write.value != *stands
            {
                let mut path = above.clone();
                path.push(Step::Key(key.clone()));
                let by = (write.id.peer, u32::try_from(write.id.counter).unwrap_or(0));
                found.extend(write.value.clone().map(|value| Conflict { path, value, by: Some(by) }));
            }
            if let Some(past) = doc.frontiers_to_vv(&Frontiers::from(write.id)) {
                seen.merge(&past);
            }
            shown.get_or_insert(write.value);
        }
    }
    found
}

impl Reader<'_> {
    /// Returns the places of all reachable maps, by the ids of their containers.
    fn places(mut self) -> BTreeMap<String, Vec<Step>> {
        self.maps = Some(BTreeMap::new());
        self.document();
        self.maps.unwrap_or_default()
    }
}
