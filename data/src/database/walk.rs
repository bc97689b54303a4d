//! Reading many documents in the order of their listing, in bounded memory.
//!
//! Stored values are read in batches. Documents without one are opened in order, a few at a time. Where they are many, as
//! after a sync that nobody looked at yet, the values of the whole partition are made first: by entry, which is far less
//! work than by document.

use super::context::{Context, Wake};
use super::request::{Place, RequestError};
use cosmicsync_protocol::endpoint::ReadResult;
use cosmicsync_protocol::ids::CollectionId;
use cosmicsync_protocol::ledger::rows::{doc_key, listing_key, listing_parts, scan_on, scan_prefix};
use cosmicsync_protocol::ledger::{DocRef, PartNo};
use cosmicsync_protocol::shelf::{Snapshot, decode_snapshot};
use cosmicsync_protocol::storage::{Row, Scan, Table};
use std::collections::VecDeque;

/// Documents whose values are read at a time.
const BATCH_MAX: usize = 128;
/// Documents that are opened at a time.
const OPENING_MAX: usize = 32;
/// Documents that a walk opens before it has all values made.
const OPENED_MAX: usize = 128;
/// Bytes of a listing row.
const LISTING_BYTES: usize = 36;

/// A document that comes next.
#[derive(Debug)]
struct Slot {
    place: Place,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Its stored value is asked for.
    Asked,
    /// It has no stored value.
    Closed,
    Opening,
    Read(Option<Snapshot>),
}

/// The next step of a walk.
#[derive(Debug)]
pub(super) enum Walked {
    /// A document that is not deleted.
    Doc(Place, Snapshot),
    /// Nothing before the next wake.
    Wait,
    /// No more.
    End,
}

/// A walk through the listing of a partition.
#[derive(Debug)]
pub(super) struct Walk {
    partition: PartNo,
    skip: Option<CollectionId>,
    /// Which rows to read next; `None` at the end.
    scan: Option<Scan>,
    scanning: bool,
    slots: VecDeque<Slot>,
    opening: usize,
    /// Documents that were or are to be opened.
    opened: usize,
    making: Making,
}

/// How far the making of values has come that a walk asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Making {
    /// It was not asked for.
    Not,
    UnderWay,
    Done,
}

impl Walk {
    /// Walks through one collection, or all but `skip`, from behind `after`, where about `limit` documents are wanted.
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
            let from = scan_on(&scan, &listing_key(doc_ref(partition, place), &CollectionId(place.collection)));
            scan.from = scan.from.max(from.from);
        }
        let slots = VecDeque::new();
        Self { partition, skip, scan: Some(scan), scanning: false, slots, opening: 0, opened: 0, making: Making::Not }
    }

    /// Takes what the request was woken for.
    pub(super) fn wake(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<(), RequestError> {
        match wake {
            Wake::Read(ReadResult::Rows { rows, more }) => self.take_rows(cx, &rows, more),
            Wake::Read(ReadResult::Values(values)) => {
                let mut values = values.into_iter();
                for slot in self.slots.iter_mut().filter(|slot| matches!(slot.state, State::Asked)) {
                    let row = values.next().flatten();
                    let doc = doc_ref(self.partition, &slot.place);
                    slot.state = match row.and_then(|row| decode_snapshot(&row).ok()) {
                        _ if cx.endpoint.is_open(doc) => State::Read(cx.endpoint.view(doc)),
                        Some(snapshot) => State::Read(Some(snapshot)),
                        None => State::Closed,
                    };
                }
                self.read_closed(cx);
            }
            Wake::Read(ReadResult::Made) => {
                self.making = Making::Done;
                let closed = self.slots.iter_mut().filter(|slot| matches!(slot.state, State::Closed));
                let wanted: Vec<_> = closed
                    .map(|slot| {
                        slot.state = State::Asked;
                        (Table::Value, doc_key(doc_ref(self.partition, &slot.place)))
                    })
                    .collect();
                cx.read(wanted);
            }
            Wake::Read(ReadResult::Failed(error)) => return Err(error.into()),
            Wake::Opened(doc) => {
                let is_it = |slot: &&mut Slot| slot.place.doc == doc.doc && matches!(slot.state, State::Opening);
                for slot in self.slots.iter_mut().filter(is_it) {
                    slot.state = State::Read(cx.endpoint.view(doc));
                    self.opening -= 1;
                }
                cx.close(doc);
                self.open_more(cx);
            }
            Wake::Start | Wake::Committed | Wake::Lost | Wake::Again => {}
        }
        Ok(())
    }

    /// The next document.
    pub(super) fn next(&mut self, cx: &mut Context<'_>) -> Walked {
        loop {
            match self.slots.pop_front() {
                Some(Slot { place, state: State::Read(snapshot) }) => {
                    if let Some(snapshot) = snapshot.filter(|snapshot| !snapshot.meta.deleted) {
                        return Walked::Doc(place, snapshot);
                    }
                }
                Some(unread) => {
                    self.slots.push_front(unread);
                    return Walked::Wait;
                }
                None => break,
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
        let mut wanted = Vec::new();
        for (collection, id) in rows.iter().filter_map(|(key, _)| listing_parts(key).ok()) {
            if self.skip == Some(collection) {
                continue;
            }
            let doc = DocRef { partition: self.partition, doc: id };
            let state = if cx.endpoint.is_open(doc) {
                State::Read(cx.endpoint.view(doc))
            } else {
                wanted.push((Table::Value, doc_key(doc)));
                State::Asked
            };
            self.slots.push_back(Slot { place: Place { collection: collection.0, doc: id }, state });
        }
        if !wanted.is_empty() {
            cx.read(wanted);
        }
    }

    /// Sees to those that have no stored value: they are opened while they are few.
    fn read_closed(&mut self, cx: &mut Context<'_>) {
        self.opened += self.slots.iter().filter(|slot| matches!(slot.state, State::Closed)).count();
        if self.making == Making::Not && self.opened > OPENED_MAX {
            self.making = Making::UnderWay;
            cx.make_values(self.partition);
        } else {
            self.open_more(cx);
        }
    }

    fn open_more(&mut self, cx: &mut Context<'_>) {
        for slot in &mut self.slots {
            if self.opening >= OPENING_MAX {
                break;
            }
            if matches!(slot.state, State::Closed) {
                slot.state = State::Opening;
                self.opening += 1;
                cx.open(doc_ref(self.partition, &slot.place));
            }
        }
    }
}

const fn doc_ref(partition: PartNo, place: &Place) -> DocRef {
    DocRef { partition, doc: place.doc }
}
