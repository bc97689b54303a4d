//! One document in memory.
//!
//! A [`Replica`] owns a Loro document, edits it as one peer and imports updates of others. Loro runs inside a
//! guard: after a panic the Loro document is leaked, every later call fails with [`Broken`], and the caller
//! rebuilds from the updates (`spec/documents.md`, section 6).

use super::change::Splice;
use super::encode::{Writer, export, fresh, ops_of, splice};
pub use super::engine::Broken;
use super::engine::Engine;
use super::read::{Hidden, Reader};
use super::shape::{Cost, dry_run};
use super::slot::{Children, Kind, Node, Slot, mark};
use super::{
    Change, ChangeError, CheckedUpdate, Meta, Step, TextPaths, UPDATE_BYTES_MAX, UPDATE_OPS_MAX, Value, Version, carry,
    read,
};
use super::{envelope, gone};
use core::fmt;
use loro::{ExportMode, IdSpan, LoroDoc, LoroError, LoroList, LoroResult, LoroValue};
use std::ops::ControlFlow;

/// Length of the longest update that is made if the operations can be cut anywhere, in bytes: half of the
/// accepted length.
const PIECE_BYTES_MAX: usize = UPDATE_BYTES_MAX / 2;

/// One document, edited as one peer at a time.
pub struct Replica {
    engine: Engine,
    peer: u64,
    /// End of this replica's own operations at the last [`Replica::take_update`].
    taken: u32,
    /// Upper bound of the cost of the operations applied since then.
    untaken: Cost,
    version: Version,
}

/// One update: the operations of one peer from `start` to `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// In Loro's encoding.
    pub bytes: Vec<u8>,
    /// Counter of the first operation.
    pub start: u32,
    /// Counter after the last operation.
    pub end: u32,
}

/// Result of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Number of new operations.
    pub ops: u64,
}

/// Reason why updates were not imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Update number `index` does not start where its peer's operations end. Nothing was imported.
    #[error("update {index} does not start where its peer's operations end")]
    OutOfOrder {
        /// Index of the update among the given ones.
        index: usize,
    },
    /// Update number `index` builds on operations that are not here. Nothing was imported.
    #[error("update {index} builds on operations that are not here")]
    MissingDependency {
        /// Index of the update among the given ones.
        index: usize,
    },
    /// An update has a gap inside: the engine would wait for ever. The replica is broken; rebuild.
    #[error("an update has a gap inside")]
    Gap,
    /// The engine refused an update. The replica is broken; rebuild.
    #[error("the document engine refused an update")]
    Refused,
    /// The engine panicked. The replica is broken; rebuild.
    #[error("the document engine panicked on an update")]
    Panicked,
    /// The replica was broken before.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// Reason why updates could not be restated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RepublishError {
    /// The updates cannot be imported any more.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The engine refused to apply the updates.
    #[error("the document engine cannot republish the updates")]
    Refused,
    /// The engine panicked.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// A stretch of one peer's operations, as the engine groups them.
///
/// A stretch has no time of its own: the clock hint of its entry is the one to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRecord {
    /// The peer that wrote the operations.
    pub peer: u64,
    /// Counter of the first operation.
    pub start: u32,
    /// Number of operations.
    pub len: u32,
    /// Logical time: greater than that of everything it builds on.
    pub lamport: u32,
    /// Operations that the stretch directly builds on: (peer, counter).
    pub deps: Vec<(u64, u32)>,
}

impl Replica {
    /// Makes an empty document, to be edited as `peer`.
    pub fn new(peer: u64) -> Self {
        Self { engine: Engine::Empty, peer, taken: 0, untaken: Cost::default(), version: Version::new() }
    }

    /// Makes a new document that holds a value. Its update is then to be taken.
    pub fn create(peer: u64, meta: &Meta, value: &Value, texts: &TextPaths) -> Result<Self, ChangeError> {
        let Value::Map(entries) = value else { return Err(ChangeError::RootNotMap) };
        let changes: Vec<Change> = entries
            .iter()
            .map(|(key, value)| Change::Set { path: vec![Step::Key(key.clone())], value: value.clone() })
            .collect();
        let mut replica = Self::new(peer);
        replica.untaken = Cost { bytes: meta.cost(), ops: 2 };
        replica.guarded(|doc| meta.write(doc))?.map_err(|_| ChangeError::Refused)?;
        replica.apply(&changes, texts)?;
        Ok(replica)
    }

    /// Rebuilds a document from its updates, one at a time in the given order, without those that cannot be
    /// imported.
    ///
    /// Returns the indices of the updates left out: the engine panicked on them or refused them, they have a
    /// gap inside, or they build on such updates. The caller passes updates in canonical order (causal, then
    /// log, then sequence number), so that every replica leaves out the same.
    pub fn rebuild(peer: u64, updates: &[CheckedUpdate]) -> (Self, Vec<usize>) {
        let mut replica = Self::new(peer);
        let mut kept: Vec<usize> = Vec::new();
        let mut excluded = Vec::new();
        for (index, update) in updates.iter().enumerate() {
            if replica.settle(update).is_ok() {
                kept.push(index);
                continue;
            }
            excluded.push(index);
            if replica.is_broken() {
                replica = Self::new(peer);
                // They were accepted in this very order, so they are again.
                kept.retain(|kept| replica.settle(&updates[*kept]).is_ok());
            }
        }
        replica.taken = replica.end_of(peer);
        (replica, excluded)
    }

    fn settle(&mut self, update: &CheckedUpdate) -> Result<(), ImportError> {
        self.import(vec![update.clone()])?;
        self.value()?;
        Ok(())
    }

    /// Restates the additions of `rest` to `base` as operations of `peer`, for excluded updates.
    ///
    /// `base` contains the updates that `rest` builds on and that are not excluded; both are in causal order.
    /// Positions are those in `base`, so the result merges with other updates on `base`. The returned updates
    /// follow each other.
    pub fn republish(
        base: Vec<CheckedUpdate>,
        rest: Vec<CheckedUpdate>,
        peer: u64,
    ) -> Result<Vec<Update>, RepublishError> {
        let mut new = Self::new(peer);
        new.import(base.clone())?;
        let before = new.guarded(LoroDoc::oplog_frontiers)?;
        let mut old = Self::new(peer);
        old.import(base)?;
        old.import(rest)?;
        let carried = old.guarded(|from| {
            new.guarded(|to| {
                let carried = carry::carry(from, &before, to);
                to.commit();
                carried
            })
        })??;
        carried.map_err(|_| RepublishError::Refused)?;
        new.see_own_end()?;
        let mut updates = Vec::new();
        let end = new.end_of(peer);
        new.take_pieces(0, end, &mut updates)?;
        Ok(updates)
    }

    /// Exports own operations in as many updates as their limits require.
    fn take_pieces(&mut self, start: u32, end: u32, updates: &mut Vec<Update>) -> Result<(), Broken> {
        if start == end {
            return Ok(());
        }
        let peer = self.peer;
        let bytes = self.guarded(|doc| export(doc, peer, start, end))?.ok_or(Broken)?;
        if (bytes.len() > PIECE_BYTES_MAX || end - start > UPDATE_OPS_MAX) && end - start > 1 {
            let middle = start + (end - start) / 2;
            self.take_pieces(start, middle, updates)?;
            return self.take_pieces(middle, end, updates);
        }
        updates.push(Update { bytes, start, end });
        Ok(())
    }

    /// Continues as another peer.
    ///
    /// # Panics
    ///
    /// If operations of the present peer were not taken: they would never be sent.
    pub fn set_peer(&mut self, peer: u64) -> Result<(), Broken> {
        assert_eq!(self.taken, self.end_of(self.peer), "operations of the last peer were not taken");
        if !matches!(self.engine, Engine::Empty) {
            self.guarded(|doc| doc.set_peer_id(peer))?.map_err(|_| Broken)?;
        }
        self.peer = peer;
        self.taken = self.end_of(peer);
        Ok(())
    }

    /// Returns the peer that this replica edits as.
    pub const fn peer(&self) -> u64 {
        self.peer
    }

    /// Applies all changes, in order, or none.
    ///
    /// The changes are tried on an overlay first; the engine is touched when all fit. Strings at a path in `texts`
    /// become texts that merge character by character.
    pub fn apply(&mut self, changes: &[Change], texts: &TextPaths) -> Result<(), ChangeError> {
        let cost = self.guarded(|doc| dry_run(doc, changes, texts))??;
        if !cost.fits() {
            return Err(ChangeError::TooLarge);
        }
        if !self.untaken.plus(cost).fits() {
            return Err(ChangeError::Full);
        }
        let applied = self.guarded(|doc| {
            let applied = changes.iter().try_for_each(|change| edit(doc, change, texts));
            doc.commit();
            applied
        })?;
        if applied.is_err() {
            self.engine = Engine::Broken;
            return Err(ChangeError::Refused);
        }
        self.untaken = self.untaken.plus(cost);
        self.see_own_end()?;
        Ok(())
    }

    /// Adds the upper bound of the cost of own operations that were made.
    pub(super) fn note_own(&mut self, cost: Cost) -> Result<(), Broken> {
        self.untaken = self.untaken.plus(cost);
        self.see_own_end()
    }

    fn see_own_end(&mut self) -> Result<(), Broken> {
        let peer = self.peer;
        let end = self.guarded(|doc| ops_of(doc, peer))?;
        if end > 0 {
            self.version.insert(peer, end);
        }
        Ok(())
    }

    /// Tries changes without making them. Returns at most how many bytes they would add to the update.
    ///
    /// Fails as [`Self::apply`] would.
    pub fn check(&mut self, changes: &[Change], texts: &TextPaths) -> Result<usize, ChangeError> {
        let cost = self.guarded(|doc| dry_run(doc, changes, texts))??;
        if !cost.fits() {
            return Err(ChangeError::TooLarge);
        }
        if self.untaken.plus(cost).fits() { Ok(cost.bytes) } else { Err(ChangeError::Full) }
    }

    /// Returns an upper bound of the update's length if it were taken now, in bytes.
    pub const fn untaken_bytes(&self) -> usize {
        self.untaken.bytes
    }

    /// Deletes the document, or brings it back. Its content stays, and any edit that the deletion has not seen also
    /// brings it back.
    pub fn set_deleted(&mut self, deleted: bool) -> Result<(), ChangeError> {
        self.untaken = self.untaken.plus(Cost { bytes: 64, ops: 1 });
        let peer = self.peer;
        let deleted = deleted || planted!("doc.stays-deleted");
        self.guarded(|doc| gone::write(doc, peer, deleted))?.map_err(|_| ChangeError::Refused)?;
        self.see_own_end()?;
        Ok(())
    }

    /// Takes the update with the operations of this replica since the last one. `None` if there are no such
    /// operations.
    pub fn take_update(&mut self) -> Result<Option<Update>, Broken> {
        let (peer, start, end) = (self.peer, self.taken, self.end_of(self.peer));
        // Changes without effect leave no operation, but were included in the bound.
        self.untaken = Cost::default();
        if start == end {
            return Ok(None);
        }
        let bytes = self.guarded(|doc| export(doc, peer, start, end))?.ok_or(Broken)?;
        self.taken = end;
        Ok(Some(Update { bytes, start, end }))
    }

    /// Imports checked updates, given in causal order.
    ///
    /// Start counters and dependencies are checked before the engine is touched. After [`ImportError::Gap`],
    /// `Refused` or `Panicked` the replica is broken: see [`Replica::rebuild`].
    pub fn import(&mut self, updates: Vec<CheckedUpdate>) -> Result<Imported, ImportError> {
        if self.is_broken() {
            return Err(Broken.into());
        }
        let ends = self.in_causal_order(&updates)?;
        let ops = updates.iter().map(|update| u64::from(update.end - update.start)).sum();
        if updates.is_empty() {
            return Ok(Imported { ops });
        }
        let joined: Vec<u8> = envelope::join(updates.iter().map(|update| update.bytes.as_slice()));
        let status = self.guarded(|doc| doc.import_batch(&[joined])).map_err(|_| ImportError::Panicked)?;
        let failure = match status {
            Ok(status) if status.pending.is_none() => {
                // Own operations may come back from the store; those are not to be sent again.
                if let Some(end) = ends.get(&self.peer) {
                    self.taken = *end;
                }
                self.version.extend(ends);
                return Ok(Imported { ops });
            }
            Ok(_) => ImportError::Gap,
            Err(_) => ImportError::Refused,
        };
        self.engine = Engine::Broken;
        Err(failure)
    }

    /// Returns the ends of the peers' operations after these updates.
    fn in_causal_order(&self, updates: &[CheckedUpdate]) -> Result<Version, ImportError> {
        let mut ahead = Version::new();
        for (index, update) in updates.iter().enumerate() {
            let end = |peer| ahead.get(&peer).copied().unwrap_or_else(|| self.end_of(peer));
            let untaken = update.peer == self.peer && self.taken != self.end_of(self.peer);
            if untaken || end(update.peer) != update.start {
                return Err(ImportError::OutOfOrder { index });
            }
            if update.deps.iter().any(|(peer, counter)| *counter >= end(*peer)) {
                return Err(ImportError::MissingDependency { index });
            }
            ahead.insert(update.peer, update.end);
        }
        Ok(ahead)
    }

    /// Reads the value.
    pub fn value(&mut self) -> Result<Value, Broken> {
        self.guarded(|doc| Reader::new(doc).document())
    }

    /// Reads the value at a path. `None` if the path leads nowhere.
    pub fn value_in(&mut self, path: &[Step]) -> Result<Option<Value>, Broken> {
        self.guarded(|doc| Some(Reader::new(doc).node(&read::find(doc, path)?, path.len())))
    }

    /// Reads the text container at a path. `None` if there is no such container: a plain string is not one.
    pub fn text_at(&mut self, path: &[Step]) -> Result<Option<String>, Broken> {
        self.guarded(|doc| match read::find(doc, path) {
            Some(Node::Text(text)) => Some(text.to_string()),
            _ => None,
        })
    }

    /// Returns the places of all texts.
    pub fn texts(&mut self) -> Result<Vec<Vec<Step>>, Broken> {
        self.guarded(|doc| {
            let mut reader = Reader::new(doc);
            reader.texts = Some(Vec::new());
            reader.document();
            reader.texts.unwrap_or_default()
        })
    }

    /// Returns the containers hidden by concurrent writes of another kind under the same key.
    pub fn hidden(&mut self) -> Result<Vec<Hidden>, Broken> {
        self.guarded(|doc| {
            let mut reader = Reader::new(doc);
            reader.hidden = Some(Vec::new());
            reader.document();
            reader.hidden.unwrap_or_default()
        })
    }

    /// Reads the document's name and collection.
    pub fn meta(&mut self) -> Result<Meta, Broken> {
        self.guarded(Meta::read)
    }

    /// Returns the end of each peer's operations.
    pub const fn version(&self) -> &Version {
        &self.version
    }

    /// Lists all stretches of operations, oldest first.
    pub fn history(&mut self) -> Result<Vec<ChangeRecord>, Broken> {
        let mut records = self.guarded(|doc| {
            let heads: Vec<loro::ID> = doc.oplog_frontiers().iter().collect();
            let mut records = Vec::new();
            let walked = doc.travel_change_ancestors(&heads, &mut |change| {
                records.push(record(&change));
                ControlFlow::Continue(())
            });
            walked.map(|()| records).map_err(|_| Broken)
        })??;
        records.sort_by_key(|record| (record.lamport, record.peer));
        Ok(records)
    }

    /// Returns the document as of a version. `None` if the version contains operations that are not here.
    ///
    /// The document is built from its operations, in time that grows with them. Its edits are never sent.
    pub fn at(&mut self, version: &Version) -> Result<Option<Self>, Broken> {
        if version.iter().any(|(peer, end)| *end > self.end_of(*peer)) {
            return Ok(None);
        }
        let span = |(peer, end): (&u64, &u32)| IdSpan::new(*peer, 0, i32::try_from(*end).unwrap_or(i32::MAX));
        let spans: Vec<IdSpan> = version.iter().filter(|(_, end)| **end > 0).map(span).collect();
        let reader = self.peer;
        let then = self.guarded(|doc| {
            let then = fresh(reader);
            let updates = doc.export(ExportMode::updates_in_range(spans)).map_err(|_| Broken)?;
            let imported = then.import_batch(&[updates]).map_err(|_| Broken)?;
            if imported.pending.is_none() { Ok(then) } else { Err(Broken) }
        })??;
        let taken = version.get(&reader).copied().unwrap_or(0);
        Ok(Some(Self {
            engine: Engine::Loro(then),
            peer: reader,
            taken,
            untaken: Cost::default(),
            version: version.clone(),
        }))
    }

    /// Reads the value as of a version. `None` if the version contains operations that are not here.
    pub fn value_at(&mut self, version: &Version) -> Result<Option<Value>, Broken> {
        self.at(version)?.map(|mut then| then.value()).transpose()
    }

    /// Returns whether the replica broke and must be rebuilt.
    pub const fn is_broken(&self) -> bool {
        matches!(self.engine, Engine::Broken)
    }

    /// Breaks the replica, as a panic of the engine would.
    #[cfg(test)]
    pub(crate) fn shatter(&mut self) {
        self.engine = Engine::Broken;
    }

    /// Makes an update that passes the check and breaks a replica: some of its operations are missing.
    #[cfg(test)]
    pub(crate) fn gap(peer: u64) -> Vec<u8> {
        super::envelope::without(&tests::gap(peer).bytes).unwrap_or_default()
    }

    fn end_of(&self, peer: u64) -> u32 {
        self.version.get(&peer).copied().unwrap_or(0)
    }

    /// Runs `work` on the document, behind the guard.
    pub(super) fn guarded<R>(&mut self, work: impl FnOnce(&LoroDoc) -> R) -> Result<R, Broken> {
        self.engine.run(self.peer, work)
    }
}

fn record(change: &loro::ChangeMeta) -> ChangeRecord {
    let unsigned = |counter: i32| u32::try_from(counter).unwrap_or(0);
    ChangeRecord {
        peer: change.id.peer,
        start: unsigned(change.id.counter),
        len: u32::try_from(change.len).unwrap_or(u32::MAX),
        lamport: change.lamport,
        deps: change.deps.iter().map(|id| (id.peer, unsigned(id.counter))).collect(),
    }
}

/// Applies one change that the dry run found valid.
fn edit(doc: &LoroDoc, change: &Change, texts: &TextPaths) -> LoroResult<()> {
    match change {
        Change::Set { path, value } => {
            let (parent, last, above) = parent(doc, path)?;
            let mut writer = Writer::new(doc, texts, above.to_vec());
            match (parent, last) {
                (Node::Map(map), Step::Key(key)) => writer.put(&map, key, value),
                (Node::List(list), Step::Index(index)) => set_item(&mut writer, &list, *index, value),
                _ => Err(misplaced()),
            }
        }
        Change::Remove { path } if planted!("field.not-removed") && path.len() == 1 => Ok(()),
        Change::Remove { path } => match parent(doc, path)? {
            (Node::Map(map), Step::Key(key), above) => {
                Writer::new(doc, texts, Vec::new()).remove(&map, key, above.len())
            }
            (Node::List(list), Step::Index(index), _) => list.delete(*index, 1),
            _ => Err(misplaced()),
        },
        Change::Insert { path, index, values } => {
            let index = if planted!("list.in-front") { 0 } else { *index };
            Writer::new(doc, texts, path.clone()).insert(&list(doc, path)?, index, values)
        }
        Change::Delete { path, index, len } => list(doc, path)?.delete(*index, *len),
        Change::Splice { path, at, delete, insert } => match stand(doc, path)? {
            Node::Text(text) => {
                let kept = usize::from(planted!("text.deletes-less") && *delete > 2);
                splice(&text, &Splice { at: *at, delete: *delete - kept, insert })
            }
            Node::Map(_) | Node::List(_) | Node::Counter(_) | Node::Plain(_) => Err(misplaced()),
        },
        Change::Add { path, by } => match parent(doc, path)? {
            (Node::Map(map), Step::Key(key), above) => {
                let counter = Children::of(&map, key).counter(doc);
                let stands = Slot::of(&map, key);
                if stands != Slot::Marker(Kind::Counter) {
                    Writer::new(doc, texts, Vec::new()).clear_but(&map, key, Kind::Counter, above.len())?;
                    mark(&map, key, Kind::Counter)?;
                }
                if let Slot::Plain(LoroValue::I64(number)) = stands {
                    counter.begin(number)?;
                }
                counter.add(doc.peer_id(), *by)
            }
            _ => Err(misplaced()),
        },
    }
}

/// Replaces an item of a list, or edits it if it is a text.
fn set_item(writer: &mut Writer<'_>, list: &LoroList, index: usize, value: &Value) -> LoroResult<()> {
    let stands = list.get(index).map(Node::item);
    if let (Some(Node::Text(text)), Value::Text(new)) = (stands, value) {
        return splice(&text, &super::change::splice_between(&text.to_string(), new));
    }
    list.delete(index, 1)?;
    writer.insert(list, index, core::slice::from_ref(value))
}

/// Returns the node to be edited. An entry on the way that is visible only because of its content gets its
/// marker again.
fn stand(doc: &LoroDoc, path: &[Step]) -> LoroResult<Node> {
    read::descend(doc, path, |map, key, kind| mark(map, key, kind).ok()).ok_or_else(misplaced)
}

fn list(doc: &LoroDoc, path: &[Step]) -> LoroResult<LoroList> {
    match stand(doc, path)? {
        Node::List(list) => Ok(list),
        Node::Map(_) | Node::Text(_) | Node::Counter(_) | Node::Plain(_) => Err(misplaced()),
    }
}

fn parent<'a>(doc: &LoroDoc, path: &'a [Step]) -> LoroResult<(Node, &'a Step, &'a [Step])> {
    let (last, above) = path.split_last().ok_or_else(misplaced)?;
    Ok((stand(doc, above)?, last, above))
}

fn misplaced() -> LoroError {
    LoroError::NotFoundError("the dry run found what is not there".into())
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("peer", &self.peer)
            .field("version", &self.version)
            .field("broken", &self.is_broken())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
