//! Cursors: the positions up to which this store has read the journals of its peers.

use crate::ids::{DeviceId, SpaceNo};
use crate::storage::Op;
use crate::storage::rows::cursor_row;
use crate::sync::Cursor;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(super) struct Cursors {
    of: BTreeMap<(DeviceId, SpaceNo), Cursor>,
    /// Cursors for the next commit. A lost cursor only costs its peer a longer list of changes.
    unsaved: BTreeSet<(DeviceId, SpaceNo)>,
}

impl Cursors {
    pub(super) fn get(&self, peer: DeviceId, space: SpaceNo) -> Option<Cursor> {
        self.of.get(&(peer, space)).copied()
    }

    pub(super) fn restore(&mut self, at: (DeviceId, SpaceNo), cursor: Cursor) {
        self.of.insert(at, cursor);
    }

    /// Sets a cursor, to be saved with the next commit if it moved.
    pub(super) fn set(&mut self, peer: DeviceId, space: SpaceNo, cursor: Cursor) {
        if self.of.insert((peer, space), cursor) != Some(cursor) {
            self.unsaved.insert((peer, space));
        }
    }

    /// Takes the rows that the next commit saves.
    pub(super) fn take_unsaved(&mut self) -> impl Iterator<Item = Op> {
        let unsaved = core::mem::take(&mut self.unsaved).into_iter();
        unsaved.filter_map(|at| Some(cursor_row(&at.0, at.1, self.of.get(&at)?)))
    }
}
