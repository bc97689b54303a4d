//! Reads one document, reads numbered changes, and holds or releases a document.

use super::context::{Context, Task, Wake};
use super::request::{Answer, Found, Name, RequestError};
use bytes::Bytes;
use cosmicsync_protocol::crdt::Meta;
use cosmicsync_protocol::documents::{Snapshot, decode_snapshot};
use cosmicsync_protocol::endpoint::ReadResult;
use cosmicsync_protocol::ids::{DocId, DocRef, PartNo};
use cosmicsync_protocol::storage::rows::{FeedRow, doc_key, scan_on};
use cosmicsync_protocol::storage::{Scan, Table};

/// Returns a document in the form of an answer; `None` if it is deleted.
pub(super) fn found(doc: DocId, snapshot: Snapshot, value: bool) -> Option<Found> {
    let Snapshot { meta, value: content, version } = snapshot;
    let deleted = meta.deleted;
    let Meta { collection, key, .. } = meta;
    let found = Found { doc, collection, key, value: value.then_some(content), version, validity: None };
    (!deleted).then_some(found)
}

/// Reads a document: from memory, else from its stored value, else from its history.
#[derive(Debug)]
pub(super) struct Get {
    partition: PartNo,
    name: Name,
    /// True to read only durable state, also of a deleted document: a watcher must never see a change that a crash
    /// undoes.
    settled: bool,
    doc: Option<DocRef>,
    /// It waits until the document in memory is all that is stored of it.
    is_waiting: bool,
    /// The snapshot that is answered once it is durable.
    held: Option<Snapshot>,
}

impl Get {
    pub(super) const fn new(partition: PartNo, name: Name, settled: bool) -> Self {
        Self { partition, name, settled, doc: None, is_waiting: false, held: None }
    }

    fn told(&self, doc: DocRef, snapshot: Option<Snapshot>) -> Answer {
        if self.settled {
            return Answer::Snapshot(snapshot);
        }
        Answer::Document(snapshot.and_then(|snapshot| found(doc.doc, snapshot, true)))
    }
}

impl Task for Get {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        let doc = match self.doc {
            Some(doc) => doc,
            None => *self.doc.insert(cx.named(self.partition, &self.name)?),
        };
        if self.held.is_some() {
            return match wake {
                Wake::Committed => Ok(Some(Answer::Snapshot(self.held.take()))),
                Wake::Lost => Err(RequestError::Lost),
                Wake::Start | Wake::Read(_) | Wake::Opened(_) | Wake::Again => Ok(None),
            };
        }
        if cx.endpoint.is_open(doc) {
            // A client that knows of a change must not be shown the state before it: nothing would be reported after.
            let lags = !cx.endpoint.is_current(doc) && !cx.desk.held.contains(&doc);
            if self.settled && lags && !planted!("feed.look-behind") {
                if !core::mem::replace(&mut self.is_waiting, true) {
                    cx.watch();
                    cx.open(doc);
                }
                return Ok(None);
            }
            let snapshot = cx.endpoint.view(doc);
            if self.settled && snapshot.is_some() && !planted!("feed.look-unsettled") && cx.wait_for(doc) {
                self.held = snapshot;
                return Ok(None);
            }
            return Ok(Some(self.told(doc, snapshot)));
        }
        match wake {
            Wake::Start => cx.read(vec![(Table::Value, doc_key(doc))]),
            Wake::Read(ReadResult::Failed(error)) => return Err(error.into()),
            Wake::Read(ReadResult::Values(values)) => {
                let row = values.into_iter().next().flatten();
                match row.and_then(|row| decode_snapshot(&row).ok()) {
                    Some(snapshot) => return Ok(Some(self.told(doc, Some(snapshot)))),
                    None => cx.open(doc),
                }
            }
            Wake::Read(_) | Wake::Opened(_) | Wake::Committed | Wake::Lost | Wake::Again => {}
        }
        Ok(None)
    }
}

/// Largest number of changes per read.
const CHANGES_MAX: usize = 4096;

/// Reads numbered changes.
#[derive(Debug)]
pub(super) struct Changes {
    after: u64,
    limit: usize,
    rows: Vec<FeedRow>,
    scan: Option<Scan>,
}

impl Changes {
    pub(super) const fn new(after: u64, limit: usize) -> Self {
        Self { after, limit, rows: Vec::new(), scan: None }
    }
}

impl Task for Changes {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        match wake {
            Wake::Start => {
                if planted!("feed.passed-over") && self.after % 5 == 4 {
                    self.after += 1;
                }
                let known = if planted!("feed.answered-twice") { 0 } else { 1 };
                let from = FeedRow::key(self.after.saturating_add(known));
                let bytes_max = self.limit.min(CHANGES_MAX) * FeedRow::BYTES;
                let scan = Scan::of(Table::Feed, from, Bytes::new(), bytes_max);
                cx.scan(scan.clone());
                self.scan = Some(scan);
            }
            Wake::Read(ReadResult::Rows { rows, more }) => {
                self.rows.extend(rows.iter().filter_map(|(key, row)| FeedRow::decode(key, row).ok()));
                if let (true, Some((last, _)), Some(scan)) =
                    (more && self.rows.len() < self.limit, rows.last(), &self.scan)
                {
                    cx.scan(scan_on(scan, last));
                    return Ok(None);
                }
                self.rows.truncate(self.limit);
                // Numbers have gaps only where the oldest changes were discarded.
                let is_whole = self.rows.first().is_none_or(|row| row.number <= self.after.saturating_add(1));
                return Ok(Some(Answer::Changes(is_whole.then(|| core::mem::take(&mut self.rows)))));
            }
            Wake::Read(ReadResult::Failed(error)) => return Err(error.into()),
            Wake::Read(_) | Wake::Opened(_) | Wake::Committed | Wake::Lost | Wake::Again => {}
        }
        Ok(None)
    }
}

/// Holds or releases a document.
#[derive(Debug)]
pub(super) struct Holding {
    partition: PartNo,
    name: Name,
    hold: bool,
}

impl Holding {
    pub(super) const fn new(partition: PartNo, name: Name, hold: bool) -> Self {
        Self { partition, name, hold }
    }
}

impl Task for Holding {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        let doc = match wake {
            Wake::Start => {
                cx.open(cx.named(self.partition, &self.name)?);
                return Ok(None);
            }
            Wake::Opened(doc) => doc,
            Wake::Read(_) | Wake::Committed | Wake::Lost | Wake::Again => return Ok(None),
        };
        if self.hold && cx.desk.held.insert(doc) {
            // This pin outlives the request.
            cx.endpoint.open(cx.now, doc);
            let seen = cx.endpoint.seen(doc);
            cx.endpoint.hold(cx.now, doc, Some(seen));
        } else if !self.hold && cx.desk.held.remove(&doc) {
            cx.endpoint.hold(cx.now, doc, None);
            cx.endpoint.close(cx.now, doc);
        }
        Ok(Some(Answer::Done))
    }
}
