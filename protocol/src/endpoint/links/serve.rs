//! Serving: entries that a peer wants, from memory if they are recent, from the store otherwise.
//!
//! Stored entries were verified before, so they are never verified again here (`spec/sync.md`, section 3).

use super::{Links, Open, State};
use crate::ids::{EntryRef, LinkId, LogNo};
use crate::ledger::{Ledger, ServePart, Work};
use crate::storage::rows::{entry_key, entry_seq, head_signature, log_key, split_entry};
use crate::storage::{Row, Scan, Table};
use crate::wire::message::{GoneReason, Run};
use bytes::Bytes;

/// Bytes that are read beyond the run, so that it contains the end of a segment: the segment's last entry may
/// have any size.
const OVERREAD_BYTES: usize = 768 * 1024;
/// Bytes of heads that are read with a stretch of entries: far more than the segments in it need.
const HEADS_BYTES_MAX: usize = 128 * 1024;

/// A stretch of a log on its way from the store.
#[derive(Debug)]
pub(super) struct Serving {
    from: u64,
    bytes_max: usize,
    entries: Option<Vec<Row>>,
    heads: Option<Vec<Row>>,
}

impl Open {
    pub(super) fn serve(&mut self, ledger: &mut Ledger, link: LinkId, log: LogNo, from: u64, bytes_max: usize) {
        if let Some(run) = recent_run(ledger, log, from, bytes_max) {
            self.with(ledger, |session, view| session.handle_entries(view, log, run));
            return;
        }
        self.read(ledger, link, log, (from, bytes_max), [ServePart::Entries, ServePart::Heads]);
    }

    /// Reads a run of one history, starting with the first entry at or after `from` that is held under its
    /// number.
    pub(super) fn serve_branch(&mut self, ledger: &mut Ledger, link: LinkId, log: LogNo, from: u64, bytes_max: usize) {
        let from = ledger.logs.registry.log(log).durable.held.first_from(from).unwrap_or(from);
        match recent_run(ledger, log, from, bytes_max) {
            Some(run) => self.with(ledger, |session, view| session.handle_branch(view, Some(run))),
            None => {
                self.read(ledger, link, log, (from, bytes_max), [ServePart::BranchEntries, ServePart::BranchHeads]);
            }
        }
    }

    fn read(
        &mut self,
        ledger: &mut Ledger,
        link: LinkId,
        log: LogNo,
        (from, bytes_max): (u64, usize),
        [entries_part, heads_part]: [ServePart; 2],
    ) {
        let (from_key, to_key) = (entry_key(EntryRef { log, seq: from }), log_key(LogNo(log.0 + 1)));
        let scan = |table, bytes_max| Scan::of(table, from_key.clone(), to_key.clone(), bytes_max);
        let entries = scan(Table::Entry, bytes_max + OVERREAD_BYTES);
        ledger.store.scan(entries, Work::Serve { link, log, part: entries_part });
        ledger.store.scan(scan(Table::Head, HEADS_BYTES_MAX), Work::Serve { link, log, part: heads_part });
        let serving = Serving { from, bytes_max, entries: None, heads: None };
        self.serving.insert((log, entries_part.is_branch()), serving);
    }

    fn served(&mut self, ledger: &Ledger, log: LogNo, part: ServePart, rows: Vec<Row>) {
        let at = (log, part.is_branch());
        let Some(serving) = self.serving.get_mut(&at) else { return };
        match part {
            ServePart::Entries | ServePart::BranchEntries => serving.entries = Some(rows),
            ServePart::Heads | ServePart::BranchHeads => serving.heads = Some(rows),
        }
        if serving.entries.is_none() || serving.heads.is_none() {
            return;
        }
        let Some(serving) = self.serving.remove(&at) else { return };
        let run = stored_run(ledger, log, &serving);
        if part.is_branch() {
            self.with(ledger, |session, view| session.handle_branch(view, run));
            return;
        }
        self.with(ledger, |session, view| match run {
            Some(run) => session.handle_entries(view, log, run),
            None => {
                let to = next_held(ledger, log, serving.from);
                session.handle_missing(view, log, to, GoneReason::Pruned);
            }
        });
    }
}

impl Links {
    pub(in crate::endpoint) fn handle_serve(
        &mut self,
        ledger: &Ledger,
        link: LinkId,
        log: LogNo,
        part: ServePart,
        rows: Vec<Row>,
    ) {
        if let Some(State::Open(open)) = self.links.get_mut(&link).map(|link| &mut link.state) {
            open.served(ledger, log, part, rows);
        }
    }
}

/// Returns the start of the next range of held entries after `from`.
fn next_held(ledger: &Ledger, log: LogNo, from: u64) -> u64 {
    let held = &ledger.logs.registry.log(log).durable.held;
    held.iter()
        .map(|range| *range.start())
        .find(|start| *start > from)
        .unwrap_or_else(|| ledger.logs.registry.log(log).durable.tip.as_ref().map_or(from, |tip| tip.seq + 1))
}

/// Returns a run that ends at the tip, if all of it is in memory.
fn recent_run(ledger: &Ledger, log: LogNo, from: u64, bytes_max: usize) -> Option<Run> {
    let tip = ledger.logs.registry.log(log).durable.tip.as_ref()?;
    let mut entries = Vec::new();
    let mut bytes = 0;
    let mut h_prev = None;
    for seq in from..=tip.seq {
        let held = ledger.logs.entry_cache.get(EntryRef { log, seq })?;
        bytes += held.bytes.len();
        if bytes > bytes_max && seq > from {
            return None;
        }
        h_prev.get_or_insert(held.h_prev);
        entries.push(held.bytes.clone());
    }
    Some(Run { start: from, h_prev: run_h_prev(from, h_prev?), entries, signature: tip.signature })
}

/// Returns a run that ends at the last head within the limit, or at the first one beyond.
fn stored_run(ledger: &Ledger, log: LogNo, serving: &Serving) -> Option<Run> {
    let tip = ledger.logs.registry.log(log).durable.tip.as_ref()?;
    let mut heads: Vec<(u64, [u8; 64])> = Vec::new();
    for (key, row) in serving.heads.iter().flatten() {
        heads.push((entry_seq(key).ok()?, head_signature(row)?));
    }
    heads.push((tip.seq, tip.signature));
    let mut entries: Vec<Bytes> = Vec::new();
    let mut h_prev = None;
    let mut best = None;
    let mut bytes = 0;
    for (seq, (key, row)) in (serving.from..=tip.seq).zip(serving.entries.iter().flatten()) {
        if entry_seq(key).ok()? != seq {
            break;
        }
        let (before, entry) = split_entry(row)?;
        bytes += entry.len();
        if reached!(RunBytes, bytes > serving.bytes_max) && best.is_some() {
            break;
        }
        h_prev.get_or_insert(before);
        entries.push(entry);
        if let Some((_, signature)) = heads.iter().find(|(at, _)| *at == seq) {
            best = Some((entries.len(), *signature));
        }
    }
    let (count, signature) = best?;
    entries.truncate(count);
    Some(Run { start: serving.from, h_prev: run_h_prev(serving.from, h_prev?), entries, signature })
}

/// Returns the hash before a run. At a log's start the card takes its place.
fn run_h_prev(start: u64, h_prev: [u8; 32]) -> [u8; 32] {
    if start == 0 { [0; 32] } else { h_prev }
}
