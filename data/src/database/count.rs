//! Counts documents without reading them.
//!
//! The number of listed documents is kept with the listing. A document that may be deleted or absent has a row of its
//! own. Only those of unknown state are opened. A count after a place reads the listing. Specified in
//! `spec/storage.md`.

use super::context::{Context, Task, Wake};
use super::request::{Answer, Place, RequestError};
use super::sizes::OPENING_MAX;
use crate::collection::COLLECTIONS;
use cosmicsync_protocol::endpoint::ReadResult;
use cosmicsync_protocol::ids::{CollectionId, DocId, DocRef, PartNo};
use cosmicsync_protocol::storage::rows::{
    Doubt, counts_scan, doubts_scan, key, listing_key, listing_parts, scan_on, scan_prefix, tally_id,
};
use cosmicsync_protocol::storage::{GET_ROWS_MAX, Row, Scan, Table};
use std::collections::{BTreeSet, VecDeque};

/// Size of the rows per read, in bytes.
const SCAN_BYTES_MAX: usize = 256 * 1024;
/// Largest number of doubtful documents to open; for more of them, their values are built instead.
const OPENED_MAX: usize = 128;

/// Counts documents of a partition.
#[derive(Debug)]
pub(super) struct Count {
    partition: PartNo,
    name: Option<String>,
    /// The collection to count; `None` counts all except the descriptions.
    only: Option<CollectionId>,
    descriptions: CollectionId,
    /// The place after which to count.
    after: Option<Place>,
    collections: Vec<CollectionId>,
    listed: u64,
    deleted: u64,
    doubted: VecDeque<DocRef>,
    opening: BTreeSet<DocRef>,
    /// Documents without any content here: either listed or waiting to be listed.
    absent: Vec<DocRef>,
    made: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Counts(Scan),
    /// Counts rows of the listing, after a place.
    Listing(Scan),
    Doubts(Scan),
    Opening,
    Listed,
}

impl Count {
    pub(super) fn new(partition: PartNo, collection: Option<String>, after: Option<Place>) -> Self {
        Self {
            partition,
            name: collection,
            only: None,
            descriptions: CollectionId::default(),
            after,
            collections: Vec::new(),
            listed: 0,
            deleted: 0,
            doubted: VecDeque::new(),
            opening: BTreeSet::new(),
            absent: Vec::new(),
            made: false,
            stage: Stage::Counts(counts_scan(partition, SCAN_BYTES_MAX)),
        }
    }

    fn take_rows(&mut self, cx: &mut Context<'_>, rows: &[Row], more: bool) -> Option<Answer> {
        let last = rows.last().map(|(key, _)| key).filter(|_| more);
        match &mut self.stage {
            Stage::Counts(scan) => {
                let next = last.map(|last| scan_on(scan, last));
                for (row_key, number) in rows {
                    let Some(id) = tally_id(row_key).ok().map(CollectionId).filter(|id| self.is_counted(id)) else {
                        continue;
                    };
                    self.collections.push(id);
                    if self.after.is_none() {
                        self.listed += number.first_chunk().map_or(0, |number| u64::from_be_bytes(*number));
                    }
                }
                self.stage = match (next, &self.after) {
                    (Some(next), _) => Stage::Counts(next),
                    (None, None) => self.doubts(),
                    (None, Some(after)) => {
                        let prefix =
                            key(&[&self.partition.0.to_be_bytes(), self.only.as_ref().map_or(&[], AsRef::as_ref)]);
                        let scan = scan_prefix(Table::Doc, &prefix, SCAN_BYTES_MAX);
                        let doc = DocRef { partition: self.partition, doc: after.doc };
                        let from = scan_on(&scan, &listing_key(doc, &CollectionId(after.collection))).from;
                        Stage::Listing(Scan { from: from.max(scan.from.clone()), ..scan })
                    }
                };
                self.scan(cx);
            }
            Stage::Listing(scan) => {
                let next = last.map(|last| scan_on(scan, last));
                let listed = rows.iter().filter_map(|(key, _)| listing_parts(key).ok());
                self.listed += listed.filter(|(collection, _)| self.is_counted(collection)).count() as u64;
                self.stage = next.map_or_else(|| self.doubts(), Stage::Listing);
                self.scan(cx);
            }
            Stage::Doubts(scan) => {
                let next = last.map(|last| scan_on(scan, last));
                for (key, row) in rows {
                    let Ok(id) = tally_id(key) else { continue };
                    let doc = DocRef { partition: self.partition, doc: DocId(id) };
                    match Doubt::decode(row) {
                        // An open document may have come back a moment ago.
                        _ if cx.endpoint.is_open(doc) => self.look(cx, doc),
                        Ok(Doubt::Deleted(of)) => self.deleted += u64::from(self.is_behind(&of, doc)),
                        _ => self.doubted.push_back(doc),
                    }
                }
                if let Some(next) = next {
                    self.stage = Stage::Doubts(next);
                    self.scan(cx);
                } else if !self.made && self.doubted.len() > OPENED_MAX {
                    self.made = true;
                    (self.deleted, self.doubted, self.absent) = (0, VecDeque::new(), Vec::new());
                    self.stage = self.doubts();
                    cx.make_values(self.partition);
                } else {
                    self.stage = Stage::Opening;
                    return self.open_more(cx);
                }
            }
            Stage::Opening | Stage::Listed => {}
        }
        None
    }

    fn doubts(&self) -> Stage {
        Stage::Doubts(doubts_scan(self.partition, SCAN_BYTES_MAX))
    }

    fn is_counted(&self, collection: &CollectionId) -> bool {
        self.only.map_or(*collection != self.descriptions, |only| *collection == only)
    }

    /// Returns whether a document of a collection is among the documents to count.
    fn is_behind(&self, collection: &CollectionId, doc: DocRef) -> bool {
        let behind = self.after.as_ref().is_none_or(|after| (collection.0, doc.doc) > (after.collection, after.doc));
        behind && self.is_counted(collection)
    }

    fn scan(&self, cx: &mut Context<'_>) {
        if let Stage::Counts(scan) | Stage::Listing(scan) | Stage::Doubts(scan) = &self.stage {
            cx.scan(scan.clone());
        }
    }

    fn open_more(&mut self, cx: &mut Context<'_>) -> Option<Answer> {
        while self.opening.len() < OPENING_MAX {
            let Some(doc) = self.doubted.pop_front() else { break };
            self.opening.insert(doc);
            cx.open(doc);
        }
        if self.opening.is_empty() { self.look_up(cx) } else { None }
    }

    /// Looks up the absent documents in the listing, as many as one read allows; answers once none is left.
    fn look_up(&mut self, cx: &mut Context<'_>) -> Option<Answer> {
        self.stage = Stage::Listed;
        let at_a_time = GET_ROWS_MAX.checked_div(self.collections.len()).unwrap_or(0).max(1);
        let rest = self.absent.split_off(at_a_time.min(self.absent.len()));
        let absent = core::mem::replace(&mut self.absent, rest);
        let mut keys = Vec::new();
        for doc in absent {
            let counted = self.collections.iter().take(GET_ROWS_MAX).filter(|of| self.is_behind(of, doc));
            keys.extend(counted.map(|collection| (Table::Doc, listing_key(doc, collection))));
        }
        if keys.is_empty() && self.absent.is_empty() {
            return Some(Answer::Count(self.listed.saturating_sub(self.deleted)));
        }
        cx.read(keys);
        None
    }

    /// Examines an open document.
    fn look(&mut self, cx: &mut Context<'_>, doc: DocRef) {
        match cx.endpoint.view(doc) {
            None => self.absent.push(doc),
            Some(found) => {
                let of = cx.collection_id(self.partition, found.meta.collection.as_deref().unwrap_or_default());
                self.deleted += u64::from(found.meta.deleted && of.is_ok_and(|of| self.is_behind(&of, doc)));
            }
        }
    }
}

impl Task for Count {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        match wake {
            Wake::Start => {
                self.descriptions = cx.collection_id(self.partition, COLLECTIONS)?;
                self.only = self.name.as_ref().map(|name| cx.collection_id(self.partition, name)).transpose()?;
                self.scan(cx);
            }
            Wake::Read(ReadResult::Rows { rows, more }) => return Ok(self.take_rows(cx, &rows, more)),
            Wake::Read(ReadResult::Made) => self.scan(cx),
            Wake::Read(ReadResult::Failed(error)) => return Err(error.into()),
            Wake::Opened(doc) => {
                if self.opening.remove(&doc) {
                    self.look(cx, doc);
                    cx.close(doc);
                }
                return Ok(self.open_more(cx));
            }
            Wake::Read(ReadResult::Values(values)) => {
                self.deleted += values.iter().filter(|row| row.is_some()).count() as u64;
                return Ok(self.look_up(cx));
            }
            Wake::Committed | Wake::Lost | Wake::Again => {}
        }
        Ok(None)
    }
}
