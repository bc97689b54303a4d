//! Reads many documents in the order of their listing, in bounded memory.

use super::context::{Context, Wake};
use super::fetch::{Fetch, Fetched};
use super::request::{Place, RequestError};
use cosmicsync_protocol::documents::Snapshot;
use cosmicsync_protocol::endpoint::ReadResult;
use cosmicsync_protocol::ids::{CollectionId, DocRef, PartNo};
use cosmicsync_protocol::storage::rows::{LISTING_BYTES, listing_key, listing_parts, scan_on, scan_prefix};
use cosmicsync_protocol::storage::{Row, Scan, Table};

/// Number of documents whose values are read at a time.
const BATCH_MAX: usize = 128;

/// The next step of a walk.
#[derive(Debug)]
pub(super) enum Walked {
    /// A document that is not deleted.
    Doc(Place, Snapshot),
    /// Nothing until the next wake.
    Wait,
    /// The end.
    End,
}

/// A walk through the listing of a partition.
#[derive(Debug)]
pub(super) struct Walk {
    partition: PartNo,
    skip: Option<CollectionId>,
    /// The next rows to read; `None` at the end.
    scan: Option<Scan>,
    scanning: bool,
    fetch: Fetch<CollectionId>,
}

impl Walk {
    /// Returns a walk through one collection, or through all but `skip`, after `after`; `limit` is the expected number
    /// of documents.
    pub(super) fn new(
        partition: PartNo,
        only: Option<CollectionId>,
        skip: Option<CollectionId>,
        after: Option<&Place>,
        limit: usize,
    ) -> Self {
        let mut prefix = partition.0.to_be_bytes().to_vec();
        prefix.extend(only.iter().flat_map(|id| id.0));
        let rows = limit.clamp(1, BATCH_MAX);
        let mut scan = scan_prefix(Table::Doc, &prefix, rows * LISTING_BYTES);
        if let Some(place) = after {
            let doc = DocRef { partition, doc: place.doc };
            let from = scan_on(&scan, &listing_key(doc, &CollectionId(place.collection)));
            scan.from = scan.from.max(from.from);
        }
        Self { partition, skip, scan: Some(scan), scanning: false, fetch: Fetch::default() }
    }

    /// Handles a wake of the request.
    pub(super) fn wake(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<(), RequestError> {
        if let Wake::Read(ReadResult::Rows { rows, more }) = wake {
            self.take_rows(cx, &rows, more);
            return Ok(());
        }
        self.fetch.wake(cx, wake)
    }

    /// Returns the next document.
    pub(super) fn next(&mut self, cx: &mut Context<'_>) -> Walked {
        loop {
            match self.fetch.next() {
                Fetched::Doc(doc, collection, Some(snapshot)) if !snapshot.meta.deleted => {
                    return Walked::Doc(Place { collection: collection.0, doc: doc.doc }, snapshot);
                }
                Fetched::Doc(..) => {}
                Fetched::Wait => return Walked::Wait,
                Fetched::Empty => break,
            }
        }
        let Some(scan) = &self.scan else { return Walked::End };
        if !self.scanning {
            self.scanning = true;
            cx.scan(scan.clone());
        }
        Walked::Wait
    }

    fn take_rows(&mut self, cx: &mut Context<'_>, rows: &[Row], more: bool) {
        self.scanning = false;
        let last = rows.last().map(|(key, _)| key).filter(|_| more);
        self.scan = self.scan.take().zip(last).map(|(scan, last)| scan_on(&scan, last));
        let listed = rows.iter().filter_map(|(key, _)| listing_parts(key).ok());
        for (collection, doc) in listed.filter(|(collection, _)| self.skip != Some(*collection)) {
            self.fetch.push(DocRef { partition: self.partition, doc }, collection);
        }
        self.fetch.read(cx);
    }
}
