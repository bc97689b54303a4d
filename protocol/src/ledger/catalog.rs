//! The view of a session on the ledger: durable state of the spaces that its peer shares.
//!
//! It never shows staged state, or a space that is not shared (`spec/sync.md`, section 1).

use super::Ledger;
use crate::codec::Reader;
use crate::ids::{DeviceId, Incarnation, LogId, LogNo, SpaceNo};
use crate::log::{Lane, LogCard};
use crate::logs::registry::{Log, SCATTERED_MAX, Summary, padded};
use crate::logs::short;
use crate::sync::trie::{self, Trie};
use crate::sync::{Bodies, Catalog, Class, Cursor, Follow, LeafItem, LogView, NodeView, Scope, Tip};

/// The ledger as one session sees it.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) peer: DeviceId,
    pub(crate) spaces: &'a [SpaceNo],
}

impl View<'_> {
    fn summary(&self, space: SpaceNo) -> Option<&Summary> {
        self.ledger.logs.registry.summary(space)
    }

    /// Returns whether entries of a log are missing that this replica's policy wants.
    fn lacks_wanted(&self, space: SpaceNo, no: LogNo) -> bool {
        let log = self.ledger.logs.registry.log(no);
        let Some(tip) = &log.durable.tip else { return false };
        let from = match self.bodies(space, Some(no)) {
            Bodies::All => 0,
            Bodies::HeadOnly => return false,
            Bodies::Newest(entries) => (tip.seq + 1).saturating_sub(entries),
        };
        from <= tip.seq && !log.durable.held.contains_all(from..=tip.seq)
    }

    fn trie(&self, space: SpaceNo, scope: Scope) -> Option<&Trie> {
        let summary = self.summary(space)?;
        match scope {
            Scope::Space => Some(&summary.space),
            Scope::Partition(token) => summary.partitions.get(&token),
        }
    }

    fn leaf_item(&self, space: SpaceNo, scope: Scope, id: &LogId) -> Option<LeafItem> {
        match scope {
            Scope::Space => {
                let mut token = [0; 16];
                token.copy_from_slice(&id.0[..16]);
                let root = self.summary(space)?.partitions.get(&token)?.root();
                Some(LeafItem::Partition { token, root })
            }
            Scope::Partition(_) => {
                let main = self.ledger.logs.registry.by_id(id)?;
                let (seq, whole) = match self.ledger.logs.registry.leaves(main).last() {
                    Some(longest) => (longest.seq, self.ledger.logs.registry.item(main)?),
                    None => self.ledger.logs.registry.log(main).durable.tip.map(|tip| (tip.seq, tip.h))?,
                };
                Some(LeafItem::Log { id: *id, seq, h: short(&whole) })
            }
        }
    }
}

impl Catalog for View<'_> {
    fn incarnation(&self) -> Incarnation {
        self.ledger.incarnation
    }

    fn spaces(&self) -> Vec<SpaceNo> {
        self.spaces.to_vec()
    }

    fn space_token(&self, space: SpaceNo) -> [u8; 16] {
        self.ledger.space(space).token
    }

    fn follow(&self, space: SpaceNo) -> Follow {
        match self.ledger.spaces.bodies(space) {
            Bodies::All => Follow::All,
            Bodies::HeadOnly | Bodies::Newest(_) => Follow::Heads,
        }
    }

    fn root(&self, space: SpaceNo) -> [u8; 16] {
        self.summary(space).map_or(trie::EMPTY_ROOT, |summary| summary.space.root())
    }

    fn position(&self, space: SpaceNo) -> u64 {
        self.summary(space).map_or(0, Summary::position)
    }

    fn cursor(&self, space: SpaceNo) -> Option<Cursor> {
        self.ledger.cursors.get(self.peer, space)
    }

    fn changed_since(&self, space: SpaceNo, position: u64, max: usize) -> Vec<(u64, LogNo)> {
        let main = |(position, log)| (position, self.ledger.logs.registry.main_of(log));
        self.summary(space).map_or(Vec::new(), |summary| summary.changed_since(position).take(max).map(main).collect())
    }

    fn lagging(&self, space: SpaceNo, after: Option<LogNo>, max: usize) -> Vec<LogNo> {
        let Some(summary) = self.summary(space) else { return Vec::new() };
        let behind = summary.behind.iter().copied().filter(|no| after.is_none_or(|after| *no > after));
        behind.filter(|no| self.lacks_wanted(space, *no)).take(max).collect()
    }

    fn log(&self, log: LogNo) -> LogView {
        let log = self.ledger.logs.registry.log(self.ledger.logs.registry.main_of(log));
        let class = match (log.control, log.lane) {
            (true, _) => Class::Control,
            (false, Lane::Live) => Class::Live,
            (false, Lane::Bulk) => Class::Backfill,
        };
        LogView {
            id: log.id,
            space: log.space,
            class,
            card: log.card_bytes().clone(),
            tip: log.durable.tip.as_ref().map(|tip| Tip { seq: tip.seq, h: tip.h, signature: tip.signature }),
            entries_to: log.durable.held.iter().next_back().map_or(0, |range| range.end() + 1),
            is_peers: log.owner().is_some_and(|owner| owner.device == self.peer),
            leaves: self.ledger.logs.registry.leaves(log.no).iter().map(|leaf| (leaf.seq, leaf.h)).collect(),
        }
    }

    fn first_lacking(&self, log: LogNo, from: u64) -> u64 {
        self.ledger.logs.registry.log(log).durable.held.first_gap_from(from).unwrap_or(u64::MAX)
    }

    fn gap(&self, log: LogNo) -> Option<u64> {
        self.ledger.logs.registry.histories(self.ledger.logs.registry.main_of(log)).filter_map(Log::gap).min()
    }

    fn first_held(&self, log: LogNo, from: u64) -> Option<u64> {
        self.ledger.logs.registry.log(log).durable.held.first_from(from)
    }

    fn hash_after(&self, log: LogNo, seq: u64) -> Option<[u8; 32]> {
        self.ledger.logs.registry.log(log).durable.hash_after(seq)
    }

    fn log_by_id(&self, id: &LogId) -> Option<LogNo> {
        self.ledger.logs.registry.by_id(id)
    }

    fn log_of_card(&self, card: &[u8]) -> Option<LogId> {
        let mut reader = Reader::new(card);
        let card = LogCard::decode(&mut reader).ok()?;
        reader.finish().is_ok().then(|| card.log_id())
    }

    fn node(&self, space: SpaceNo, scope: Scope, prefix: &[u8]) -> NodeView {
        match self.trie(space, scope).map(|trie| trie.node(prefix)) {
            None => NodeView::Leaf(Vec::new()),
            Some(trie::NodeView::Inner(children)) => NodeView::Inner(children),
            Some(trie::NodeView::Leaf(items)) => {
                NodeView::Leaf(items.iter().filter_map(|(id, _)| self.leaf_item(space, scope, id)).collect())
            }
        }
    }

    fn items(&self, space: SpaceNo, scope: Scope, prefix: &[u8], after: Option<&[u8]>, max: usize) -> Vec<LeafItem> {
        let after = after.map(|key| match scope {
            Scope::Space => key.first_chunk().map_or(LogId([0xff; 32]), |token| LogId(padded(*token))),
            Scope::Partition(_) => key.try_into().map_or(LogId([0xff; 32]), LogId),
        });
        let mut ids = Vec::new();
        if let Some(trie) = self.trie(space, scope) {
            collect(trie, prefix, after.as_ref(), max, &mut ids);
        }
        ids.iter().filter_map(|id| self.leaf_item(space, scope, id)).collect()
    }

    fn bodies(&self, space: SpaceNo, log: Option<LogNo>) -> Bodies {
        match log {
            // Several histories can be told apart only if all entries are held.
            Some(log) if self.ledger.logs.is_suspect(log) => Bodies::All,
            // Only its author could leave out this much of a log: links to others continue without it.
            Some(log) if self.ledger.logs.registry.log(log).durable.held.len() >= SCATTERED_MAX => Bodies::HeadOnly,
            Some(log) if self.ledger.logs.registry.log(log).control => Bodies::All,
            Some(_) if planted!("policy.ignored") => Bodies::All,
            Some(log) => match self.ledger.spaces.bodies(space) {
                Bodies::Newest(_) if planted!("newest.none") => Bodies::HeadOnly,
                Bodies::Newest(newest) => match self.ledger.logs.registry.newest_in(log, newest) {
                    0 => Bodies::HeadOnly,
                    left => Bodies::Newest(left),
                },
                other @ (Bodies::All | Bodies::HeadOnly) => other,
            },
            None => self.ledger.spaces.bodies(space),
        }
    }
}

/// Collects ids under a prefix, ascending, greater than `after`, at most `max`. Recurses as deep as the trie,
/// four bits per level.
fn collect(trie: &Trie, prefix: &[u8], after: Option<&LogId>, max: usize, ids: &mut Vec<LogId>) {
    if ids.len() >= max || after.is_some_and(|after| is_before(prefix, after)) {
        return;
    }
    match trie.node(prefix) {
        trie::NodeView::Leaf(items) => {
            let rest = items.into_iter().map(|(id, _)| id).filter(|id| after.is_none_or(|after| id > after));
            ids.extend(rest.take(max - ids.len()));
        }
        trie::NodeView::Inner(children) => {
            for nibble in (0u8..16).filter(|nibble| children[usize::from(*nibble)].is_some()) {
                let mut below = prefix.to_vec();
                below.push(nibble);
                collect(trie, &below, after, max, ids);
            }
        }
    }
}

/// Returns whether all ids under a prefix come before `id`.
fn is_before(prefix: &[u8], id: &LogId) -> bool {
    let nibble = |at: usize| (id.0[at / 2] >> (if at.is_multiple_of(2) { 4 } else { 0 })) & 15;
    prefix.iter().enumerate().find_map(|(at, step)| (*step != nibble(at)).then(|| *step < nibble(at))).unwrap_or(false)
}
