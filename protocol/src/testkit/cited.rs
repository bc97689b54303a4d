//! Compares the dependencies of documents' updates, as the engine reports them, with the citations of their
//! headers.

use super::peer::Peer;
use crate::branch::At;
use crate::crdt::ChangeRecord;
use crate::ids::{DocId, EntryRef};
use crate::ledger::Ledger;
use crate::log::{Codec, EntryReader};
use crate::storage::Table;
use crate::storage::rows::entry_key;
use std::collections::{BTreeMap, BTreeSet};

/// An entry that changes documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cited {
    /// The entry.
    pub entry: EntryRef,
    /// The entries of other logs with the operations that the entry's updates directly build on: the last one for each
    /// update and log.
    pub builds_on: BTreeSet<At>,
    /// The entries that the entry's header cites.
    pub cites: BTreeSet<At>,
}

/// Reads documents of a peer's store afresh. Returns each entry that changes one of them.
///
/// # Panics
/// If a document cannot be read, or an update builds on an operation that no entry brought.
pub fn citations(peer: &Peer, docs: impl IntoIterator<Item = DocId>) -> Vec<Cited> {
    let mut reader = Peer::recover(peer.store.crash(0), 98);
    let mut builds_on: BTreeMap<EntryRef, BTreeSet<At>> = BTreeMap::new();
    for doc in docs {
        let open = reader.open(doc);
        let brought = reader.endpoint.documents().brought(open);
        let history = reader.endpoint.replica(open).map_or_else(Vec::new, |replica| replica.history().expect("whole"));
        let by = |peer: u64, counter: u32| {
            let ((of, _), found) = brought.range((peer, counter + 1)..).next().expect("an entry brought it");
            assert_eq!(*of, peer, "an entry brought it");
            *found
        };
        // Among the dependencies of an update in one log, the last one covers those before it.
        let mut newest: BTreeMap<(EntryRef, u64), u32> = BTreeMap::new();
        for ChangeRecord { peer, start, deps, .. } in history {
            let update = by(peer, start).0;
            builds_on.entry(update).or_default();
            for (other, at) in deps.into_iter().filter(|(other, _)| *other != peer) {
                let last = newest.entry((update, other)).or_default();
                *last = at.max(*last);
            }
        }
        for ((update, peer), at) in newest {
            let (entry, h) = by(peer, at);
            let log = reader.endpoint.ledger().logs.registry.log(entry.log).id;
            builds_on.entry(update).or_default().insert(At { log, seq: entry.seq, h });
        }
    }
    let cited = |(entry, builds_on)| Cited { entry, builds_on, cites: cites(&reader, entry) };
    builds_on.into_iter().map(cited).collect()
}

/// Returns the entries that a stored entry's header cites.
fn cites(peer: &Peer, at: EntryRef) -> BTreeSet<At> {
    let ledger: &Ledger = peer.endpoint.ledger();
    let row = &peer.store.rows()[&(Table::Entry, entry_key(at))];
    let held = ledger.logs.held_from_row(at, row).expect("a stored entry");
    let reader = EntryReader::new(&held.entry, ledger.logs.place(at, &held.h_prev));
    let epoch = &ledger.space(ledger.logs.registry.log(at.log).space).epochs[&reader.epoch()];
    let earlier = ledger.logs.named_by_card(at.log, &ledger.spaces).expect("a card of a log that was read");
    let header = reader.open_header(&epoch.header_key, &earlier, &mut Codec::new());
    let header = header.expect("a header of an entry that was read");
    header.deps.iter().map(|dep| At { log: header.logs[dep.log as usize], seq: dep.seq, h: dep.h }).collect()
}
