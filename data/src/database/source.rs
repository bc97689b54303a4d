//! Sources of a query's documents: names, parts of indexes, or a whole collection. A source never tests the selector.

use super::ask::Cost;
use super::context::{Context, Wake};
use super::fetch::{Fetch, Fetched};
use super::request::{Place, RequestError};
use super::walk::{Walk, Walked};
use crate::index::project::{project, term_parts};
use crate::query::plan::IndexPart;
use bytes::Bytes;
use cosmicsync_protocol::crdt::Value;
use cosmicsync_protocol::documents::Snapshot;
use cosmicsync_protocol::endpoint::ReadResult;
use cosmicsync_protocol::ids::{DocId, DocRef, PartNo};
use cosmicsync_protocol::storage::{Join, Read, Row, Scan, Table};
use std::collections::BTreeSet;

/// Size of index rows per read, in bytes.
const ROWS_BYTES_MAX: usize = 256 * 1024;
/// Size of the document id at the end of the keys of rows and values, in bytes.
const DOC_BYTES: usize = 16;

/// The next step of a source.
#[derive(Debug)]
pub(super) enum Next {
    /// A document and its place in the order of the source.
    Doc(Vec<u8>, DocId, Snapshot),
    /// Nothing until the next wake.
    Wait,
    /// The end.
    End,
}

/// Documents in some order.
#[derive(Debug)]
pub(super) enum Source {
    /// Documents by name, one by one.
    Named(Fetch<()>),
    /// A part of one index.
    Index(Box<IndexSource>),
    /// Parts of several indexes, one after the other; each document comes once.
    Union { parts: Vec<IndexSource>, seen: BTreeSet<DocId> },
    /// A whole collection, ordered by id.
    Scan(Walk),
}

impl Source {
    pub(super) fn wake(&mut self, cx: &mut Context<'_>, wake: Wake, cost: &mut Cost) -> Result<(), RequestError> {
        match self {
            Self::Named(fetch) => fetch.wake(cx, wake),
            Self::Index(source) => source.wake(cx, wake, cost),
            Self::Union { parts, .. } => match parts.first_mut() {
                Some(source) => source.wake(cx, wake, cost),
                None => Ok(()),
            },
            Self::Scan(walk) => walk.wake(cx, wake),
        }
    }

    /// Returns whether all indexes of the source still exist.
    pub(super) fn is_there(&self, cx: &Context<'_>) -> bool {
        let is_there = |source: &IndexSource| cx.desk.indexes.all.contains_key(&source.part.no);
        match self {
            Self::Index(source) => is_there(source),
            Self::Union { parts, .. } => parts.iter().all(is_there),
            Self::Named(_) | Self::Scan(_) => true,
        }
    }

    pub(super) fn next(&mut self, cx: &mut Context<'_>) -> Next {
        match self {
            Self::Named(fetch) => loop {
                match fetch.next() {
                    Fetched::Doc(doc, (), Some(snapshot)) => return Next::Doc(Vec::new(), doc.doc, snapshot),
                    Fetched::Doc(..) => {}
                    Fetched::Wait => return Next::Wait,
                    Fetched::Empty => return Next::End,
                }
            },
            Self::Index(source) => source.next(cx),
            Self::Union { parts, seen } => loop {
                let Some(source) = parts.first_mut() else { return Next::End };
                match source.next(cx) {
                    Next::Doc(place, doc, snapshot) => {
                        if seen.insert(doc) || planted!("query.union-twice") {
                            return Next::Doc(place, doc, snapshot);
                        }
                    }
                    Next::Wait => return Next::Wait,
                    Next::End => drop(parts.remove(0)),
                }
            },
            Self::Scan(walk) => match walk.next(cx) {
                Walked::Doc(place, snapshot) => Next::Doc(place.doc.as_ref().to_vec(), place.doc, snapshot),
                Walked::Wait => Next::Wait,
                Walked::End => Next::End,
            },
        }
    }
}

/// Reads a part of an index, in the order of the index.
#[derive(Debug)]
pub(super) struct IndexSource {
    partition: PartNo,
    part: IndexPart,
    /// The place after which to begin.
    after: Option<Vec<u8>>,
    /// Documents that the index has not caught up with; its rows about these are ignored.
    behind: BTreeSet<DocId>,
    /// Number of the next range, in the direction of reading.
    range: usize,
    scan: Option<Scan>,
    scanning: bool,
    rows_max: usize,
    fetch: Fetch<Vec<u8>>,
    /// Documents that came while more of the index was to be read: one that changes meanwhile may stand further on, too.
    seen: BTreeSet<DocId>,
}

impl IndexSource {
    pub(super) fn new(
        cx: &Context<'_>,
        partition: PartNo,
        part: IndexPart,
        after: Option<Vec<u8>>,
        behind: BTreeSet<DocId>,
        limit: Option<usize>,
    ) -> Self {
        let most = cx.desk.sizes.rows;
        let rows_max = limit.map_or(most, |limit| limit.saturating_add(1).min(most));
        let fetch = Fetch::of(Read::Durable);
        let (range, scan, scanning, seen) = (0, None, false, BTreeSet::new());
        Self { partition, part, after, behind, range, scan, scanning, rows_max, fetch, seen }
    }

    /// Returns the place of a document with this value in this part of the index, if it has one.
    pub(super) fn place(&self, doc: DocId, value: &Value) -> Option<Vec<u8>> {
        let place = [&first_tuple(&self.part, value)?, doc.as_ref()].concat();
        let is_behind = |after: &Vec<u8>| if self.part.reverse { place < *after } else { place > *after };
        self.after.as_ref().is_none_or(is_behind).then_some(place)
    }

    pub(super) const fn part(&self) -> &IndexPart {
        &self.part
    }

    pub(super) const fn is_reverse(&self) -> bool {
        self.part.reverse
    }

    fn wake(&mut self, cx: &mut Context<'_>, wake: Wake, cost: &mut Cost) -> Result<(), RequestError> {
        if let Wake::Read(ReadResult::Rows { rows, more }) = wake {
            cost.keys += rows.len() as u64;
            self.take_rows(cx, &rows, more);
            return Ok(());
        }
        self.fetch.wake(cx, wake)
    }

    fn next(&mut self, cx: &mut Context<'_>) -> Next {
        loop {
            match self.fetch.next() {
                Fetched::Doc(doc, tuple, Some(snapshot)) if !snapshot.meta.deleted => {
                    // It comes at the first of its tuples that the part has, and not where it stood before.
                    let is_here = first_tuple(&self.part, &snapshot.value).as_ref() == Some(&tuple);
                    if is_here && self.is_first(doc.doc) {
                        return Next::Doc([&tuple, doc.doc.as_ref()].concat(), doc.doc, snapshot);
                    }
                }
                Fetched::Doc(..) => {}
                Fetched::Wait => return Next::Wait,
                Fetched::Empty => break,
            }
        }
        if self.scanning {
            return Next::Wait;
        }
        while self.scan.is_none() {
            let ranges = &self.part.ranges;
            let at = if self.part.reverse { ranges.len().checked_sub(self.range + 1) } else { Some(self.range) };
            let Some(range) = at.and_then(|at| ranges.get(at)) else { return Next::End };
            self.range += 1;
            self.scan = self.scan_of(&range.from.clone(), &range.to.clone());
        }
        if let Some(scan) = &self.scan {
            cx.scan_of(Read::Durable, scan.clone());
            self.scanning = true;
        }
        Next::Wait
    }

    /// Returns whether a document comes for the first time.
    fn is_first(&mut self, doc: DocId) -> bool {
        let is_all_read = self.scan.is_none() && self.range == self.part.ranges.len();
        if is_all_read { !self.seen.contains(&doc) } else { self.seen.insert(doc) }
    }

    /// The scan of a range, from behind where the reading begins; `None` if nothing of it lies there.
    fn scan_of(&self, from: &[u8], to: &[u8]) -> Option<Scan> {
        let no = self.part.no.to_be_bytes();
        let mut from = [&no, from].concat();
        let mut to = if to.is_empty() { (self.part.no + 1).to_be_bytes().to_vec() } else { [&no, to].concat() };
        if let Some(after) = &self.after {
            let after = [&no, after.as_slice()].concat();
            if self.part.reverse {
                to = to.min(after);
            } else {
                let behind: &[u8] = if planted!("page.bookmark-inclusive") { &[] } else { &[0] };
                from = from.max([after.as_slice(), behind].concat());
            }
        }
        let prefix = Bytes::copy_from_slice(&self.partition.0.to_be_bytes());
        let scan = Scan::of(Table::Term, Bytes::from(from), Bytes::from(to), ROWS_BYTES_MAX)
            .limit(self.rows_max)
            // Rows and values come together, from one state of the store.
            .joined(Join { table: Table::Value, prefix, tail: DOC_BYTES });
        let scan = if self.part.reverse { scan.descending() } else { scan };
        (scan.from < scan.to).then_some(scan)
    }

    fn take_rows(&mut self, cx: &mut Context<'_>, rows: &[Row], more: bool) {
        self.scanning = false;
        self.rows_max = cx.desk.sizes.rows;
        let last = rows.last().map(|(key, _)| key).filter(|_| more);
        let rows_max = self.rows_max;
        self.scan = self
            .scan
            .take()
            .zip(last)
            .map(|(scan, last)| cosmicsync_protocol::storage::rows::scan_on(&scan, last).limit(rows_max));
        for (key, value) in rows {
            let Some((tuple, doc)) = term_parts(key) else { continue };
            if !self.behind.contains(&doc) || planted!("query.behind-kept") {
                self.fetch.push_read(cx, DocRef { partition: self.partition, doc }, tuple.to_vec(), value);
            }
        }
        self.fetch.open_closed(cx);
    }
}

/// Returns the tuple at which a part of an index returns a value.
pub(super) fn first_tuple(part: &IndexPart, value: &Value) -> Option<Vec<u8>> {
    let tuples = project(&part.fields, value).tuples;
    let mut tuples = tuples.into_iter().map(|(tuple, _)| tuple);
    let is_within = |tuple: &Vec<u8>| part.ranges.iter().any(|range| range.contains(tuple));
    if part.reverse { tuples.rfind(is_within) } else { tuples.find(is_within) }
}

/// Returns the place in a collection after which a walk begins.
pub(super) fn place_of(collection: [u8; 16], after: &[u8]) -> Option<Place> {
    Some(Place { collection, doc: DocId(after.try_into().ok()?) })
}
