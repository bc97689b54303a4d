//! O14: all content that no deletion saw is shown or listed, and nothing else is.
//!
//! The model records the pieces that each edit added and removed, as its author saw it. The version that all peers
//! agree on determines the edits that are in effect: logs number their operations, and without forks a number
//! identifies one operation.

use super::model::{Deed, Model};
use super::reader::Shown;
use crate::coverage::Mark;
use crate::report::OracleId;
use crate::world::{Piece, Pieces, World};
use cosmicsync_protocol::crdt::Version;
use std::collections::{BTreeMap, BTreeSet};

/// Content of a document on a replica, taken apart.
pub(super) struct Seen {
    tokens: BTreeSet<u64>,
    pieces: BTreeSet<Piece>,
    version: Version,
}

impl Seen {
    pub(super) fn new(shown: &Shown) -> Self {
        Self { tokens: shown.tokens(), pieces: shown.pieces(), version: shown.version.clone() }
    }

    /// Returns whether a token, or the effect of an edit, is present. If logs fork, numbers of operations identify
    /// nothing, and edits may occur twice. In that case, all pieces must be present that the edit added and that
    /// are not among `undone`, except those of counters.
    pub(super) fn has(&self, number: u64, deed: Option<&Deed>, undone: Option<&BTreeSet<Piece>>) -> bool {
        match (deed, undone) {
            (None, _) => self.tokens.contains(&number),
            (Some(deed), None) => deed.is_in(&self.version),
            (Some(deed), Some(undone)) => deed
                .added
                .iter()
                .filter(|piece| matches!(piece, Piece::Token(_)) && !undone.contains(*piece))
                .all(|piece| self.pieces.contains(piece)),
        }
    }
}

impl Model {
    /// Returns the pieces that any edit removed, in effect or not.
    pub(super) fn undone(&self) -> BTreeSet<Piece> {
        self.tokens.values().filter_map(|token| token.deed.as_ref()).flat_map(|deed| deed.removed.clone()).collect()
    }
}

impl World<'_> {
    /// Checks that an edit deletes the content that it replaces, for its author: it must not hide shown content.
    pub(crate) fn check_replaced(&mut self, peer: usize, doc: u64, before: &Pieces, after: &Pieces) {
        self.stats.checks += 1;
        if let Some(piece) = after.hidden.iter().find(|piece| !before.hidden.contains(piece)) {
            let text = format!("an edit of document {doc} hides {piece} instead of deleting it");
            self.violation(OracleId::O14, Some(peer), text);
        }
    }

    /// O14 for all documents.
    pub(super) fn check_members(&mut self, shown: &BTreeMap<u64, Shown>) {
        for (doc, shown) in shown {
            let gone = shown.snapshot.as_ref().is_some_and(|snapshot| snapshot.meta.deleted);
            if !shown.hidden.is_empty() {
                self.mark(Mark::Hides);
            }
            if gone {
                self.mark(Mark::Deleted);
            }
            if !self.model.forks {
                self.check_pieces(*doc, shown);
                self.check_gone(*doc, shown, gone);
            }
        }
    }

    fn check_pieces(&mut self, doc: u64, shown: &Shown) {
        let (mut added, mut removed) = (BTreeSet::new(), BTreeSet::new());
        let (mut perhaps_added, mut perhaps_removed) = (BTreeSet::new(), BTreeSet::new());
        for (_, _, deed) in self.model.deeds(doc).filter(|(_, _, deed)| deed.is_in(&shown.version)) {
            perhaps_added.extend(deed.added.iter().cloned());
            perhaps_removed.extend(deed.removed.iter().cloned());
            if !deed.is_unsure {
                added.extend(deed.added.iter().cloned());
                removed.extend(deed.removed.iter().cloned());
            }
        }
        self.stats.checks += 1;
        let pieces = shown.pieces();
        if let Some(piece) = added.iter().find(|piece| !perhaps_removed.contains(piece) && !pieces.contains(piece)) {
            let text = format!("document {doc} neither shows nor lists {piece}, which nobody deleted who saw it");
            self.violation(OracleId::O14, None, text);
        }
        if let Some(piece) = removed.iter().find(|piece| pieces.contains(piece)) {
            let text = format!("document {doc} shows {piece}, which somebody deleted who saw it");
            self.violation(OracleId::O14, None, text);
        }
        if let Some(piece) = pieces.iter().find(|piece| !perhaps_added.contains(piece)) {
            self.violation(OracleId::O14, None, format!("document {doc} shows {piece}, which nobody wrote"));
        }
    }

    fn check_gone(&mut self, doc: u64, shown: &Shown, gone: bool) {
        if self.model.deeds(doc).any(|(.., deed)| deed.is_unsure) {
            return;
        }
        let mut past = Version::new();
        let mut deletions = 0;
        for saw in self
            .model
            .deeds(doc)
            .filter(|(.., deed)| deed.is_in(&shown.version))
            .filter_map(|(.., deed)| deed.deletes.as_ref())
        {
            deletions += 1;
            for (peer, end) in saw {
                let seen = past.entry(*peer).or_default();
                *seen = (*seen).max(*end);
            }
        }
        let should =
            deletions > 0 && shown.version.iter().all(|(peer, end)| past.get(peer).is_some_and(|seen| seen >= end));
        self.stats.checks += 1;
        if deletions > 0 && !should {
            self.mark(Mark::CameBack);
        }
        if gone && !should {
            let text =
                format!("document {doc} is deleted, though somebody wrote who saw no deletion, or nobody deleted it");
            self.violation(OracleId::O14, None, text);
        }
        if should && !gone {
            let text = format!("document {doc} is not deleted, though all that is in it was seen by who did");
            self.violation(OracleId::O14, None, text);
        }
        if self.model.deeds(doc).filter(|(.., deed)| deed.makes && deed.is_in(&shown.version)).count() > 1 {
            self.mark(Mark::MadeApart);
        }
    }
}
