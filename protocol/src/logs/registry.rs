//! The registry of logs: the known logs, their progress, and the order in which they grew.
//!
//! A log's [`Progress`] exists twice: *staged*, as the commits under way will make it, and *durable*, as the
//! store has confirmed it. Everything announced to a peer, every root and every position derives from the
//! durable one.

mod row;

use super::progress::{Edge, Progress};
use crate::codec::{CodecError, Reader};
use crate::config::Steps;
use crate::ids::{DeviceId, EntryRef, LogId, LogNo, PartNo, SpaceNo};
use crate::log::card::{CardPlace, Lane, LogCard};
use crate::log::head::Head;
use crate::storage::rows::{delete, entry_key, head_row};
use crate::storage::{Op, Table};
use crate::sync::trie::{self, ItemHash, Trie};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Most ranges of entries that the row of a log may name. Well before this, entries that touch none of them
/// end the link.
pub(crate) const RANGES_MAX: usize = 4096;
/// Number of ranges from which on no more entries of a log are requested: each range costs memory, and bytes
/// of the log's row whenever the log grows.
pub(crate) const SCATTERED_MAX: usize = 256;

/// Most successors of a log that are visited: each costs a step whenever the wanted entries of a log are
/// determined.
const FOLLOWED_MAX: usize = 1024;

/// The writer of a log and its partition, from the owner box of the log's card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) device: DeviceId,
    pub(crate) partition: PartNo,
}

/// The point at which a further history of a log leaves an earlier known one. Its rows may begin before that
/// point: at the start of the run that brought it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Branch {
    /// The log's first known history.
    pub(crate) main: LogNo,
    /// The history that holds the shared earlier entries.
    pub(crate) parent: LogNo,
    /// The first entry that differs.
    pub(crate) base: u64,
}

/// Result of checking a log's card: it decides whether entries of the log may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Undecided: the epoch's key, the device or the partition has not arrived.
    Unknown,
    /// The card was admitted, and its owner box names this owner.
    Owned(Owner),
    /// The card was not admitted or its owner box is invalid: entries are kept and never read.
    Refused,
}

/// State of a log with several histories, or of one history of it.
#[derive(Debug, Default)]
pub(crate) struct Fork {
    /// For a further history of a log: the point at which it leaves the one known before.
    pub(crate) branch: Option<Branch>,
    /// For a log's first history: its further ones. A log that has any is forked.
    pub(crate) branches: Vec<LogNo>,
    /// True if rows of another history's entries are stored behind its end, since a partial replica took them
    /// in before it knew. This history continues under a further number.
    pub(crate) torn: bool,
    /// First excluded entry: the point at which a history that is not kept leaves the kept one.
    pub(crate) cut: Option<u64>,
    /// The chain hashes from entry `base` on (0 for a first history), once they were collected.
    pub(crate) trace: Option<Vec<[u8; 32]>>,
}

/// One log, or a further history of one.
///
/// A space has one for each process that ever wrote there, so a closed log is kept small: one allocation for
/// its card, and nothing else unless it is forked, scattered or growing.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) no: LogNo,
    pub(crate) id: LogId,
    card_bytes: Bytes,
    pub(crate) space: SpaceNo,
    pub(crate) control: bool,
    pub(crate) lane: Lane,
    /// True if this process opened the log and may append to it.
    pub(crate) mine: bool,
    /// True if no more entries will come from the writer, as far as is known here.
    pub(crate) closed: bool,
    /// True if another card of the same device and partition names this log's end.
    pub(crate) named: bool,
    pub(crate) standing: Standing,
    /// Number of entries that this process appended to the log.
    pub(crate) wrote: u64,
    /// The log whose card names this one as an earlier log of its device; if several do, the nearest.
    pub(crate) next: Option<LogNo>,
    fork: Option<Box<Fork>>,
    staged: Option<Box<Progress>>,
    pub(crate) durable: Progress,
}

impl Log {
    fn new(no: LogNo, id: LogId, card: &LogCard, card_bytes: Bytes, space: SpaceNo, control: bool) -> Self {
        Self {
            no,
            id,
            card_bytes,
            space,
            control,
            lane: card.place.lane,
            mine: false,
            closed: false,
            named: false,
            standing: Standing::Unknown,
            wrote: 0,
            next: None,
            fork: None,
            staged: None,
            durable: Progress::default(),
        }
    }

    /// Returns the card as it came.
    pub(crate) const fn card_bytes(&self) -> &Bytes {
        &self.card_bytes
    }

    /// Returns the card, decoded. It was checked before the log was numbered.
    pub(crate) fn card(&self) -> LogCard {
        LogCard::decode(&mut Reader::new(&self.card_bytes)).expect("a known log has a card that decodes")
    }

    /// Returns the public part of the card.
    pub(crate) fn place(&self) -> CardPlace {
        CardPlace::read(&mut Reader::new(&self.card_bytes)).expect("a known log has a card that decodes")
    }

    /// Returns the writer and the partition, once they are known.
    pub(crate) const fn owner(&self) -> Option<Owner> {
        match self.standing {
            Standing::Owned(owner) => Some(owner),
            Standing::Unknown | Standing::Refused => None,
        }
    }

    /// Returns the progress that the commits under way will make durable.
    pub(crate) fn staged(&self) -> &Progress {
        self.staged.as_deref().unwrap_or(&self.durable)
    }

    /// Returns the same, to be changed.
    pub(crate) fn staged_mut(&mut self) -> &mut Progress {
        self.staged.get_or_insert_with(|| Box::new(self.durable.clone()))
    }

    /// Returns the point at which this history leaves the one known before; `None` for a log's first history.
    pub(crate) fn branch(&self) -> Option<Branch> {
        self.fork.as_ref().and_then(|fork| fork.branch)
    }

    /// Returns a log's further histories, in the order in which they were found.
    pub(crate) fn branches(&self) -> &[LogNo] {
        self.fork.as_ref().map_or(&[], |fork| &fork.branches)
    }

    /// Returns whether rows of another history are stored behind its end.
    pub(crate) fn is_torn(&self) -> bool {
        self.fork.as_ref().is_some_and(|fork| fork.torn)
    }

    /// Returns the first excluded entry.
    pub(crate) fn cut(&self) -> Option<u64> {
        self.fork.as_ref().and_then(|fork| fork.cut)
    }

    /// Returns the chain hashes that were collected.
    pub(crate) fn trace(&self) -> Option<&Vec<[u8; 32]>> {
        self.fork.as_ref().and_then(|fork| fork.trace.as_ref())
    }

    /// Returns the state of its histories, to be changed.
    pub(crate) fn fork_mut(&mut self) -> &mut Fork {
        self.fork.get_or_insert_default()
    }

    /// Returns the first entry that is durably missing while a later one of the same history is held.
    pub(crate) fn gap(&self) -> Option<u64> {
        let held = &self.durable.held;
        let last = *held.iter().next_back()?.end();
        held.first_gap_from(self.branch().map_or(0, |branch| branch.base)).filter(|gap| *gap < last)
    }

    /// Stages the head of a run that was just appended or accepted, and the rows that store it.
    ///
    /// An inner head is removed when a later one of the same segment comes. Heads at segment ends stay, so
    /// that any stretch of a log can be served with a head that proves it.
    pub(crate) fn stage_run(
        &mut self,
        start: u64,
        h_prev: [u8; 32],
        bytes: u64,
        head: Head,
        steps: &Steps,
        ops: &mut Vec<Op>,
    ) {
        let no = self.no;
        let staged = self.staged_mut();
        let next = staged.tip.as_ref().map_or(0, |tip| tip.seq + 1);
        let (from, total) = (staged.segment.0, staged.segment.1 + bytes);
        let full = start != next
            || reached!(SegmentEntries, head.seq + 1 - from >= steps.segment_entries)
            || reached!(SegmentBytes, total >= steps.segment_bytes);
        if start == next && next > from {
            ops.push(delete(Table::Head, entry_key(EntryRef { log: no, seq: next - 1 })));
        }
        staged.segment = if full { (head.seq + 1, 0) } else { (from, total) };
        ops.push(head_row(no, &head));
        staged.held.insert(start..=head.seq);
        if let Some(before) = start.checked_sub(1) {
            staged.edges.entry(before).or_insert(Edge { h: h_prev, signature: None });
        }
        staged.edges.insert(head.seq, Edge::of(&head));
        self.stage_tip(head);
        self.staged_mut().trim_edges();
    }

    /// Stages entries that fill a gap, without the head of their run: the head may belong to another history.
    pub(crate) fn stage_fill(&mut self, start: u64, h_prev: [u8; 32], last: u64) {
        let staged = self.staged_mut();
        staged.held.insert(start..=last);
        if let Some(before) = start.checked_sub(1) {
            staged.edges.entry(before).or_insert(Edge { h: h_prev, signature: None });
        }
        staged.trim_edges();
    }

    /// Stages a head alone: the replica knows the end of the log, not its entries.
    pub(crate) fn stage_tip(&mut self, head: Head) {
        if self.staged().tip.as_ref().is_none_or(|tip| tip.seq < head.seq) {
            let staged = self.staged_mut();
            let before = staged.tip.replace(head);
            staged.edges.extend(before.map(|tip| (tip.seq, Edge::of(&tip))));
            staged.trim_edges();
        }
    }

    /// Returns whether entries from `first` to `last` touch or overlap held ones.
    pub(crate) fn touches(&self, first: u64, last: u64) -> bool {
        let around = first.saturating_sub(1)..=last.saturating_add(1);
        self.staged().held.first_gap_in(around.clone()) != Some(around)
    }

    /// Returns the seq of the next entry.
    pub(crate) fn next_seq(&self) -> u64 {
        self.staged().tip.as_ref().map_or(0, |tip| tip.seq + 1)
    }
}

/// State that peers compare: one trie of logs for each partition, one trie of partitions for the space, and
/// the journal.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) partitions: BTreeMap<[u8; 16], Trie>,
    pub(crate) space: Trie,
    /// Logs with at least one missing entry.
    pub(crate) behind: BTreeSet<LogNo>,
    /// Position -> the log that grew there; each log only at its newest position.
    journal: BTreeMap<u64, LogNo>,
    /// The last position that was assigned, durable or not.
    next_position: u64,
}

impl Summary {
    const fn new(leaf_max: usize) -> Self {
        Self {
            partitions: BTreeMap::new(),
            space: Trie::with_leaf_max(leaf_max),
            behind: BTreeSet::new(),
            journal: BTreeMap::new(),
            next_position: 0,
        }
    }

    /// Returns the end of the durable journal.
    pub(crate) fn position(&self) -> u64 {
        self.journal.last_key_value().map_or(0, |(position, _)| *position)
    }

    /// Returns the logs that grew after `position`, in the order of their growth.
    pub(crate) fn changed_since(&self, position: u64) -> impl Iterator<Item = (u64, LogNo)> {
        self.journal.range(position.saturating_add(1)..).map(|(position, log)| (*position, *log))
    }

    pub(crate) fn assign_position(&mut self) -> u64 {
        self.next_position += 1;
        self.next_position
    }

    /// Updates a log's place in the journal, and its mark for missing entries.
    fn note(&mut self, log: &Log, before: u64) {
        let now = log.durable.position;
        if before != now {
            self.journal.remove(&before);
            self.journal.insert(now, log.no);
        }
        self.next_position = self.next_position.max(now);
        let Some(tip) = &log.durable.tip else { return };
        if log.branch().is_some() || log.durable.held.contains_all(0..=tip.seq) {
            self.behind.remove(&log.no);
        } else {
            self.behind.insert(log.no);
        }
    }

    fn publish(&mut self, log: &Log, before: u64, item: Option<ItemHash>, leaf_max: usize) {
        self.note(log, before);
        let Some(item) = item.filter(|_| log.durable.tip.is_some()) else { return };
        let token = log.place().partition_token;
        let trie = self.partitions.entry(token).or_insert_with(|| Trie::with_leaf_max(leaf_max));
        trie.set(log.id, item);
        let root = trie.root();
        self.space.set(LogId(padded(token)), padded(root));
    }
}

/// Logs and their items in a trie.
type Items = Vec<(LogId, ItemHash)>;

/// Pads a partition's token or root to the width of keys in the space's trie.
pub(crate) fn padded(token: [u8; 16]) -> [u8; 32] {
    let mut id = [0; 32];
    id[..16].copy_from_slice(&token);
    id
}

/// All logs of all spaces.
#[derive(Debug)]
pub(crate) struct Registry {
    logs: Vec<Log>,
    by_id: BTreeMap<LogId, LogNo>,
    summaries: BTreeMap<SpaceNo, Summary>,
    /// Most items of a leaf of the tries.
    leaf_max: usize,
}

impl Registry {
    pub(crate) const fn new(leaf_max: usize) -> Self {
        Self { logs: Vec::new(), by_id: BTreeMap::new(), summaries: BTreeMap::new(), leaf_max }
    }

    pub(crate) fn log(&self, no: LogNo) -> &Log {
        &self.logs[no.0 as usize]
    }

    pub(crate) fn log_mut(&mut self, no: LogNo) -> &mut Log {
        &mut self.logs[no.0 as usize]
    }

    pub(crate) fn by_id(&self, id: &LogId) -> Option<LogNo> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Log> {
        self.logs.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.logs.len()
    }

    pub(crate) fn summary(&self, space: SpaceNo) -> Option<&Summary> {
        self.summaries.get(&space)
    }

    /// Rebuilds the summaries from all logs that were read from the store: all at once, which is far cheaper
    /// than one by one.
    pub(crate) fn rebuild_summaries(&mut self) {
        let mut items: BTreeMap<(SpaceNo, [u8; 16]), Items> = BTreeMap::new();
        for log in &self.logs {
            self.summaries.entry(log.space).or_insert_with(|| Summary::new(self.leaf_max)).note(log, 0);
            if let Some(item) = self.item(log.no).filter(|_| log.branch().is_none()) {
                items.entry((log.space, log.place().partition_token)).or_default().push((log.id, item));
            }
        }
        for ((space, token), items) in items {
            let summary = self.summaries.entry(space).or_insert_with(|| Summary::new(self.leaf_max));
            let mut trie = Trie::with_leaf_max(self.leaf_max);
            trie.fill(items);
            summary.space.set(LogId(padded(token)), padded(trie.root()));
            summary.partitions.insert(token, trie);
        }
    }

    /// Adds a log that was read from the store; numbers come in order.
    pub(crate) fn restore(&mut self, log: Log) -> Result<(), CodecError> {
        let no = log.no;
        let main = log.branch().map(|branch| branch.main);
        if no.0 as usize != self.logs.len() || self.by_id.get(&log.id).copied() != main {
            return Err(CodecError::OutOfRange("log number"));
        }
        self.logs.push(log);
        match main {
            Some(main) => self.log_mut(main).fork_mut().branches.push(no),
            None => drop(self.by_id.insert(self.log(no).id, no)),
        }
        Ok(())
    }

    /// Adds a new log; its row follows with its first run.
    pub(crate) fn add(&mut self, card: &LogCard, card_bytes: Bytes, space: SpaceNo, control: bool) -> LogNo {
        let no = LogNo(self.logs.len() as u32);
        let log = Log::new(no, card.log_id(), card, card_bytes, space, control);
        self.by_id.insert(log.id, no);
        self.logs.push(log);
        no
    }

    /// Assigns the place at the end of the journal to a log that grows.
    pub(crate) fn assign_position(&mut self, no: LogNo) {
        let log = &mut self.logs[no.0 as usize];
        let leaf_max = self.leaf_max;
        let summary = self.summaries.entry(log.space).or_insert_with(|| Summary::new(leaf_max));
        let position = summary.assign_position();
        log.staged_mut().position = position;
    }

    /// Makes a staged progress the durable one.
    pub(crate) fn publish(&mut self, no: LogNo, progress: Progress) {
        let log = &mut self.logs[no.0 as usize];
        let before = log.durable.position;
        log.durable = progress;
        log.staged.take_if(|staged| **staged == log.durable);
        self.update_summary(no, before);
    }

    /// Updates the space's summary from a log's durable state.
    fn update_summary(&mut self, no: LogNo, before: u64) {
        let item = self.item(self.main_of(no));
        let log = &self.logs[no.0 as usize];
        let leaf_max = self.leaf_max;
        self.summaries.entry(log.space).or_insert_with(|| Summary::new(leaf_max)).publish(log, before, item, leaf_max);
    }

    /// Adds a further history of a log; its row follows with its first run.
    pub(crate) fn add_branch(&mut self, branch: Branch) -> LogNo {
        let no = LogNo(self.logs.len() as u32);
        let main = self.log(branch.main);
        let mut log = Log::new(no, main.id, &main.card(), main.card_bytes.clone(), main.space, main.control);
        (log.closed, log.standing) = (true, main.standing);
        *log.fork_mut() = Fork { branch: Some(branch), trace: Some(Vec::new()), ..Fork::default() };
        self.logs.push(log);
        self.log_mut(branch.main).fork_mut().branches.push(no);
        no
    }

    /// Returns the first history of the log that this one belongs to.
    pub(crate) fn main_of(&self, no: LogNo) -> LogNo {
        self.log(no).branch().map_or(no, |branch| branch.main)
    }

    /// Returns the successors of a log on its device, in order, as far as known and at most [`FOLLOWED_MAX`].
    pub(crate) fn after(&self, no: LogNo) -> impl Iterator<Item = LogNo> {
        core::iter::successors(self.log(no).next, |no| self.log(*no).next).take(FOLLOWED_MAX)
    }

    /// Returns the number of a log's newest entries that are among the `newest` of its device in the
    /// partition. Entries of its successors take precedence.
    pub(crate) fn newest_in(&self, no: LogNo, newest: u64) -> u64 {
        let mut left = newest.saturating_sub(u64::from(planted!("newest.one-less")));
        let mut after = self.after(no);
        while left > 0
            && let Some(next) = after.next()
        {
            left = left.saturating_sub(self.log(next).next_seq());
        }
        left
    }

    /// Returns all histories of a log, the first one first.
    pub(crate) fn histories(&self, main: LogNo) -> impl Iterator<Item = &Log> {
        core::iter::once(main).chain(self.log(main).branches().iter().copied()).map(|no| self.log(no))
    }

    /// Returns whether a further history continues at the end of this one, before entry `end`. Such a history
    /// is not a branch of its own.
    pub(crate) fn is_outgrown(&self, no: LogNo, end: u64) -> bool {
        let goes_on = |branch: Branch| branch.parent == no && branch.base == end;
        self.histories(self.main_of(no)).any(|log| log.branch().is_some_and(goes_on))
    }

    /// Returns whether an entry is held under this number, not only as a copy of a row under another one.
    pub(crate) fn is_held(&self, at: EntryRef) -> bool {
        self.log(at.log).staged().held.contains(at.seq)
    }

    /// Returns the history whose rows hold an entry of this one: itself, or one that it shares the entry
    /// with.
    pub(crate) fn owner_of(&self, mut at: EntryRef) -> EntryRef {
        while let Some(branch) = self.log(at.log).branch().filter(|branch| at.seq < branch.base) {
            at.log = branch.parent;
        }
        at
    }

    /// Returns the chain hash after an entry, if it was collected.
    pub(crate) fn hash(&self, no: LogNo, seq: u64) -> Option<[u8; 32]> {
        let at = self.owner_of(EntryRef { log: no, seq });
        let log = self.log(at.log);
        let from = log.branch().map_or(0, |branch| branch.base);
        log.trace()?.get(usize::try_from(seq - from).ok()?).copied()
    }

    /// Returns the durable ends of all histories of a forked log, in order; empty for any other log.
    pub(crate) fn leaves(&self, main: LogNo) -> Vec<Head> {
        let leaf = |log: &Log| log.durable.tip.filter(|tip| !self.is_outgrown(log.no, tip.seq + 1));
        let mut leaves: Vec<Head> = self.histories(main).filter_map(leaf).collect();
        leaves.sort_by_key(|leaf| (leaf.seq, leaf.h));
        leaves.dedup_by_key(|leaf| (leaf.seq, leaf.h));
        if leaves.len() > 1 { leaves } else { Vec::new() }
    }

    /// Returns the item of a log in the trie.
    pub(crate) fn item(&self, main: LogNo) -> Option<ItemHash> {
        let log = self.log(main);
        let leaves = self.leaves(main);
        if leaves.is_empty() {
            let tip = log.durable.tip.as_ref()?;
            return Some(trie::item(&log.id, tip.seq, &tip.h));
        }
        let leaves: Vec<_> = leaves.iter().map(|leaf| (leaf.seq, leaf.h)).collect();
        Some(trie::forked_item(&log.id, &leaves))
    }
}
