//! Reading documents in a given order, in bounded memory.
//!
//! What is in memory is looked at there, stored values are read in batches, and documents without one are opened, a few at
//! a time. Where those are many, as after a sync that nobody looked at yet, the values of the whole partition are made
//! first: by entry, which is far less work than by document.

use super::context::{Context, Wake};
use super::request::RequestError;
use cosmicsync_protocol::documents::{Snapshot, decode_snapshot};
use cosmicsync_protocol::endpoint::ReadResult;
use cosmicsync_protocol::ledger::DocRef;
use cosmicsync_protocol::ledger::rows::doc_key;
use cosmicsync_protocol::storage::{Read, Table};
use std::collections::VecDeque;

/// Documents that are opened at a time.
const OPENING_MAX: usize = 32;
/// Documents that are opened before all values of the partition are made.
const OPENED_MAX: usize = 128;

/// A document that comes next, and what its owner says of it.
#[derive(Debug)]
struct Slot<T> {
    doc: DocRef,
    about: T,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It is to be read.
    New,
    /// Its stored value is asked for.
    Asked,
    /// It has no stored value.
    Closed,
    Opening,
    Read(Option<Snapshot>),
}

/// The next step of reading.
#[derive(Debug)]
pub(super) enum Fetched<T> {
    /// A document, also one that is deleted; `None` if nothing of it is here.
    Doc(DocRef, T, Option<Snapshot>),
    /// Nothing before the next wake.
    Wait,
    /// All are read.
    Empty,
}

/// How far the making of values has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Making {
    /// It was not asked for.
    #[default]
    Not,
    UnderWay,
    Done,
}

/// Documents of one partition that are read in order, each with a note of its owner.
#[derive(Debug)]
pub(super) struct Fetch<T> {
    slots: VecDeque<Slot<T>>,
    opening: usize,
    /// Documents that were or are to be opened.
    opened: usize,
    making: Making,
    /// Of which state stored values are.
    of: Read,
}

impl<T> Default for Fetch<T> {
    fn default() -> Self {
        Self::of(Read::Ordered)
    }
}

impl<T> Fetch<T> {
    /// Nothing yet; stored values will be those of this state.
    pub(super) const fn of(of: Read) -> Self {
        Self { slots: VecDeque::new(), opening: 0, opened: 0, making: Making::Not, of }
    }

    /// Adds a document; [`Self::read`] follows.
    pub(super) fn push(&mut self, doc: DocRef, about: T) {
        self.slots.push_back(Slot { doc, about, state: State::New });
    }

    /// Adds a document of which the stored value was read, empty if there is none; [`Self::open_closed`] follows.
    pub(super) fn push_read(&mut self, cx: &mut Context<'_>, doc: DocRef, about: T, row: &[u8]) {
        let state = match decode_snapshot(row) {
            _ if cx.endpoint.is_open(doc) => State::Read(cx.endpoint.view(doc)),
            Ok(snapshot) => State::Read(Some(snapshot)),
            Err(_) => State::Closed,
        };
        self.slots.push_back(Slot { doc, about, state });
    }

    /// Begins to read what was added.
    pub(super) fn read(&mut self, cx: &mut Context<'_>) {
        // One read at a time: its values come in the order of the slots that wait for them.
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

    /// Takes what the request was woken for, if it is about this.
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

    /// The next document.
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

    /// Sees to those that have no stored value: they are opened while they are few.
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
