//! Lists the entries that a document comes from, and the parts that it lacks.

use super::context::{Context, Task, Wake};
use super::request::{Answer, Name, RequestError, Revision, RevisionKind};
use core::cmp::Reverse;
use cosmicsync_protocol::crdt::VersionId;
use cosmicsync_protocol::documents::EntryDeed;
use cosmicsync_protocol::endpoint::{LogInfo, ReadResult};
use cosmicsync_protocol::ids::{DocRef, EntryRef, PartNo};
use cosmicsync_protocol::storage::rows::{doc_key, index_place, scan_on, scan_prefix};
use cosmicsync_protocol::storage::{Row, Scan, Table};
use cosmicsync_protocol::sync::LogNo;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Size of the index rows per read, in bytes.
const INDEX_BYTES_MAX: usize = 256 * 1024;
/// Largest number of entries per read; an entry may have half a mebibyte.
const ENTRIES_MAX: usize = 16;

/// Lists the entries that changed a document.
#[derive(Debug)]
pub(super) struct History {
    partition: PartNo,
    name: Name,
    limit: usize,
    scan: Option<Scan>,
    /// The newest entries of each log.
    newest: BTreeMap<LogNo, VecDeque<u64>>,
    wanted: VecDeque<EntryRef>,
    asked: Vec<EntryRef>,
    /// Each revision with the logical time of its last operation.
    revisions: Vec<(u32, Revision)>,
    doc: Option<DocRef>,
    deeds: BTreeMap<EntryRef, EntryDeed>,
    /// The logical time and the version of each entry.
    versions: BTreeMap<EntryRef, (u32, Option<VersionId>)>,
    excluded: BTreeSet<EntryRef>,
    total: usize,
}

impl History {
    pub(super) const fn new(partition: PartNo, name: Name, limit: usize) -> Self {
        Self {
            partition,
            name,
            limit,
            scan: None,
            newest: BTreeMap::new(),
            wanted: VecDeque::new(),
            asked: Vec::new(),
            revisions: Vec::new(),
            doc: None,
            deeds: BTreeMap::new(),
            versions: BTreeMap::new(),
            excluded: BTreeSet::new(),
            total: 0,
        }
    }

    /// Takes rows of the index, which come ordered by log and position.
    fn take_rows(&mut self, rows: &[Row]) {
        for at in rows.iter().filter_map(|(key, _)| index_place(key).ok()) {
            let seqs = self.newest.entry(at.log).or_default();
            if seqs.back() != Some(&at.seq) {
                seqs.push_back(at.seq);
                self.total += 1;
            }
            if seqs.len() > self.limit {
                seqs.pop_front();
            }
        }
    }

    fn ask(&mut self, cx: &mut Context<'_>) -> Option<Answer> {
        let count = ENTRIES_MAX.min(self.wanted.len());
        self.asked = self.wanted.drain(..count).collect();
        if self.asked.is_empty() {
            let order =
                |(lamport, one): &(u32, Revision)| (Reverse(*lamport), Reverse(one.wall_ms), one.log, Reverse(one.seq));
            self.revisions.sort_by_key(order);
            self.revisions.truncate(self.limit);
            let revisions: Vec<Revision> =
                core::mem::take(&mut self.revisions).into_iter().map(|(_, one)| one).collect();
            let more = self.total.saturating_sub(revisions.len());
            return Some(Answer::History { revisions, more });
        }
        let keys = self.asked.iter().map(|at| (Table::Entry, cosmicsync_protocol::storage::rows::entry_key(*at)));
        let keys = keys.collect();
        cx.read(keys);
        None
    }
}

impl Task for History {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        match wake {
            Wake::Start => {
                let doc = cx.named(self.partition, &self.name)?;
                self.doc = Some(doc);
                cx.open(doc);
            }
            Wake::Opened(doc) => {
                self.deeds = cx.endpoint.deeds(doc).into_iter().map(|deed| (deed.at, deed)).collect();
                for (at, deed) in &self.deeds {
                    let Some(replica) = cx.endpoint.replica(doc) else { continue };
                    let (peer, _, end) = deed.ops;
                    let order = replica.lamport(peer, end.saturating_sub(1)).unwrap_or(0);
                    let version = replica.version_after(peer, end).ok().flatten().map(|seen| seen.id);
                    self.versions.insert(*at, (order, version));
                }
                self.excluded = cx.endpoint.excluded_entries(doc).into_iter().collect();
                let scan = scan_prefix(Table::Index, &doc_key(doc), INDEX_BYTES_MAX);
                cx.scan(scan.clone());
                self.scan = Some(scan);
            }
            Wake::Read(ReadResult::Rows { rows, more }) => {
                self.take_rows(&rows);
                if let (true, Some((last, _)), Some(scan)) = (more, rows.last(), &self.scan) {
                    let scan = scan_on(scan, last);
                    cx.scan(scan.clone());
                    self.scan = Some(scan);
                    return Ok(None);
                }
                if self.newest.is_empty() {
                    return Err(RequestError::NotFound);
                }
                let newest = core::mem::take(&mut self.newest).into_iter();
                self.wanted =
                    newest.flat_map(|(log, seqs)| seqs.into_iter().map(move |seq| EntryRef { log, seq })).collect();
                return Ok(self.ask(cx));
            }
            Wake::Read(ReadResult::Values(values)) => {
                for (at, row) in core::mem::take(&mut self.asked).into_iter().zip(values) {
                    let wall_ms = row.and_then(|row| cx.endpoint.entry_wall_ms(at, &row)).unwrap_or(0);
                    let Some(log) = cx.endpoint.log_id(at.log) else { continue };
                    let mine = cx.endpoint.is_own_log(at.log);
                    let kind = kind(self.deeds.get(&at), self.excluded.contains(&at));
                    let (order, version) = self.versions.get(&at).copied().unwrap_or((u32::MAX, None));
                    self.revisions.push((order, Revision { log, seq: at.seq, wall_ms, mine, kind, version }));
                }
                return Ok(self.ask(cx));
            }
            Wake::Read(ReadResult::Failed(error)) => return Err(error.into()),
            Wake::Read(ReadResult::Made) | Wake::Committed | Wake::Lost | Wake::Again => {}
        }
        Ok(None)
    }
}

/// Returns the kind of revision for an entry.
fn kind(deed: Option<&EntryDeed>, excluded: bool) -> RevisionKind {
    let Some(EntryDeed { deed, .. }) = deed else {
        return if excluded { RevisionKind::Excluded } else { RevisionKind::Missing };
    };
    match deed.deletes {
        Some(true) => RevisionKind::Deleted,
        _ if deed.begins => RevisionKind::Created,
        Some(false) => RevisionKind::Undeleted,
        None => RevisionKind::Edited,
    }
}

/// Lists the parts that a document lacks.
#[derive(Debug)]
pub(super) struct Explain {
    partition: PartNo,
    name: Name,
}

impl Explain {
    pub(super) const fn new(partition: PartNo, name: Name) -> Self {
        Self { partition, name }
    }

    /// Returns the first unread entry of each log that may concern the partition.
    fn unread(&self, cx: &Context<'_>) -> Result<Vec<EntryRef>, RequestError> {
        let space = cx.space(self.partition)?;
        let concerns = |log: &LogInfo| {
            log.space == space && log.partition.is_none_or(|part| part == self.partition) && log.read < log.entries
        };
        let logs = cx.endpoint.logs().filter(concerns);
        Ok(logs.map(|log| EntryRef { log: log.no, seq: log.read }).collect())
    }
}

impl Task for Explain {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        match wake {
            Wake::Start => cx.open(cx.named(self.partition, &self.name)?),
            Wake::Opened(doc) => {
                let snapshot = cx.endpoint.view(doc);
                let (exists, deleted) = (snapshot.is_some(), snapshot.is_some_and(|snapshot| snapshot.meta.deleted));
                let (missing, unread) = (cx.endpoint.missing(doc), self.unread(cx)?);
                return Ok(Some(Answer::Explained { exists, deleted, missing, unread }));
            }
            Wake::Read(_) | Wake::Committed | Wake::Lost | Wake::Again => {}
        }
        Ok(None)
    }
}
