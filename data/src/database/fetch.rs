//! Reads documents in a given order, in bounded memory.
//!
//! Open documents are read in memory, stored values are read in batches, and documents without a stored value are
//! opened, a few at a time. If many have no stored value, as after a first sync, the values of the whole partition are
//! built first. That reads each entry once, which is far less work than opening each document.

use super::context::{Context, Wake};
use super::request::RequestError;
use super::sizes::OPENING_MAX;
use cosmicsync_protocol::documents::{Snapshot, decode_snapshot};
use cosmicsync_protocol::endpoint::ReadResult;
use cosmicsync_protocol::ids::DocRef;
use cosmicsync_protocol::storage::rows::doc_key;
use cosmicsync_protocol::storage::{Read, Table};
use std::collections::VecDeque;

/// Largest number of documents to open before all values of the partition are built.
const OPENED_MAX: usize = 128;

/// A document in the queue, with the caller's note.
#[derive(Debug)]
struct Slot<T> {
    doc: DocRef,
    about: T,
    state: State,
}

#[derive(Debug)]
enum State {
    /// To be read.
    New,
    /// The stored value is being read.
    Asked,
    /// The document has no stored value.
    Closed,
    Opening,
    Read(Option<Snapshot>),
}

/// The next step of reading.
#[derive(Debug)]
pub(super) enum Fetched<T> {
    /// A document, also a deleted one; `None` if nothing of it is here.
    Doc(DocRef, T, Option<Snapshot>),
    /// Nothing until the next wake.
    Wait,
    /// All documents have been returned.
    Empty,
}

/// Progress of building values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Making {
    /// Not requested.
    #[default]
    Not,
    UnderWay,
    Done,
}

/// A queue of documents of one partition to read in order, each with a note of the caller.
#[derive(Debug)]
pub(super) struct Fetch<T> {
    slots: VecDeque<Slot<T>>,
    opening: usize,
    /// Number of documents that were or will be opened.
    opened: usize,
    making: Making,
    /// Consistency of the stored values.
    of: Read,
}

impl<T> Default for Fetch<T> {
    fn default() -> Self {
        Self::of(Read::Ordered)
    }
}

impl<T> Fetch<T> {
    /// Returns an empty queue that reads stored values at this consistency.
    pub(super) const fn of(of: Read) -> Self {
        Self { slots: VecDeque::new(), opening: 0, opened: 0, making: Making::Not, of }
    }

    /// Adds a document; the caller then calls [`Self::read`].
    pub(super) fn push(&mut self, doc: DocRef, about: T) {
        self.slots.push_back(Slot { doc, about, state: State::New });
    }

    /// Adds a document whose stored value was read, empty if it has none; the caller then calls [`Self::open_closed`].
    pub(super) fn push_read(&mut self, cx: &mut Context<'_>, doc: DocRef, about: T, row: &[u8]) {
        let state = match decode_snapshot(row) {
            _ if cx.endpoint.is_open(doc) => State::Read(cx.endpoint.view(doc)),
            Ok(snapshot) => State::Read(Some(snapshot)),
            Err(_) => State::Closed,
        };
        self.slots.push_back(Slot { doc, about, state });
    }

    /// Starts reading the added documents.
    pub(super) fn read(&mut self, cx: &mut Context<'_>) {
        // Only one read at a time, because its values are matched to the waiting documents in order.
        if self.slots.iter().any(|slot| matches!(slot.state, State::Asked)) {
            return;
        }
        let mut wanted = Vec::new();
        for slot in self.slots.iter_mut().filter(|slot| matches!(slot.state, State::New)) {
            slot.state = if cx.endpoint.is_open(slot.doc) {
                State::Read(cx.endpoint.view(slot.doc))
            } else {
                wanted.push((Table::Value, doc_key(slot.doc)));
                State::Asked
            };
        }
        if !wanted.is_empty() {
            cx.read_of(self.of, wanted);
        }
    }

    /// Handles a wake of the request, if it is about these documents.
    pub(super) fn wake(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<(), RequestError> {
        match wake {
            Wake::Read(ReadResult::Values(values)) => {
                let mut values = values.into_iter();
                for slot in self.slots.iter_mut().filter(|slot| matches!(slot.state, State::Asked)) {
                    let row = values.next().flatten();
                    slot.state = match row.and_then(|row| decode_snapshot(&row).ok()) {
                        _ if cx.endpoint.is_open(slot.doc) => State::Read(cx.endpoint.view(slot.doc)),
                        Some(snapshot) => State::Read(Some(snapshot)),
                        None => State::Closed,
                    };
                }
                self.open_closed(cx);
                self.read(cx);
            }
            Wake::Read(ReadResult::Made) => {
                self.making = Making::Done;
                for slot in self.slots.iter_mut().filter(|slot| matches!(slot.state, State::Closed)) {
                    slot.state = State::New;
                }
                self.read(cx);
            }
            Wake::Read(ReadResult::Failed(error)) => return Err(error.into()),
            Wake::Opened(doc) => {
                let is_it = |slot: &&mut Slot<T>| slot.doc == doc && matches!(slot.state, State::Opening);
                for slot in self.slots.iter_mut().filter(is_it) {
                    slot.state = State::Read(cx.endpoint.view(doc));
                    self.opening -= 1;
                }
                cx.close(doc);
                self.open_more(cx);
            }
            Wake::Read(ReadResult::Rows { .. }) | Wake::Start | Wake::Committed | Wake::Lost | Wake::Again => {}
        }
        Ok(())
    }

    /// Returns the next document.
    pub(super) fn next(&mut self) -> Fetched<T> {
        match self.slots.pop_front() {
            None => Fetched::Empty,
            Some(Slot { doc, about, state: State::Read(snapshot) }) => Fetched::Doc(doc, about, snapshot),
            Some(unread) => {
                self.slots.push_front(unread);
                Fetched::Wait
            }
        }
    }

    /// Opens documents without a stored value while they are few; otherwise builds the partition's values.
    pub(super) fn open_closed(&mut self, cx: &mut Context<'_>) {
        let closed = self.slots.iter().filter(|slot| matches!(slot.state, State::Closed));
        let mut closed = closed.map(|slot| slot.doc.partition);
        let Some(partition) = closed.next() else { return };
        self.opened += 1 + closed.count();
        if self.making == Making::Not && self.opened > OPENED_MAX {
            self.making = Making::UnderWay;
            cx.make_values(partition);
        } else if self.making != Making::UnderWay {
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
                cx.open(slot.doc);
            }
        }
    }
}
