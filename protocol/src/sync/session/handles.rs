//! Short names for logs on one link: each side numbers those that it introduces.

use super::{Session, SessionError};
use crate::ids::LogId;
use crate::sync::{Catalog, SpaceNo};
use crate::wire::message::LogRef;
use std::collections::{BTreeMap, VecDeque};

/// The two handle tables of a link.
#[derive(Debug)]
pub(super) struct Handles {
    mine: Vec<(SpaceNo, LogId)>,
    mine_by_id: BTreeMap<LogId, u32>,
    theirs: Vec<Option<(SpaceNo, LogId)>>,
    theirs_by_id: BTreeMap<LogId, u32>,
    /// Introduced here, not yet told to the peer.
    due: VecDeque<(SpaceNo, LogId)>,
    max: usize,
    is_full: bool,
}

/// Whether a log can be named.
pub(super) enum Introduced {
    Yes,
    No,
    /// As `No`, for the first time.
    JustFull,
}

impl Handles {
    pub(super) fn new(max: usize) -> Self {
        Self {
            mine: Vec::new(),
            mine_by_id: BTreeMap::new(),
            theirs: Vec::new(),
            theirs_by_id: BTreeMap::new(),
            due: VecDeque::new(),
            max,
            is_full: false,
        }
    }

    /// How to name a log; the peer's handle is preferred, for it needs no introduction.
    pub(super) fn reference(&self, id: &LogId) -> Option<LogRef> {
        let theirs = self.theirs_by_id.get(id).map(|handle| LogRef::Yours(*handle));
        theirs.or_else(|| self.mine_by_id.get(id).map(|handle| LogRef::Mine(*handle)))
    }

    pub(super) fn introduce(&mut self, space: SpaceNo, id: LogId) -> Introduced {
        if self.reference(&id).is_some() {
            return Introduced::Yes;
        }
        if self.mine.len() >= self.max {
            return if core::mem::replace(&mut self.is_full, true) { Introduced::No } else { Introduced::JustFull };
        }
        self.mine_by_id.insert(id, self.mine.len() as u32);
        self.mine.push((space, id));
        self.due.push_back((space, id));
        Introduced::Yes
    }

    /// The introductions that must go next: at most `max`, all of one space.
    pub(super) fn take_due(&mut self, max: usize) -> Option<(SpaceNo, Vec<LogId>)> {
        let space = self.due.front()?.0;
        let count = self.due.iter().take(max).take_while(|(of, _)| *of == space).count();
        Some((space, self.due.drain(..count).map(|(_, id)| id).collect()))
    }
}

impl Session {
    pub(super) fn on_logs(&mut self, catalog: &dyn Catalog, index: u32, ids: Vec<LogId>) -> Result<(), SessionError> {
        let space = self.their_space(index)?;
        if self.handles.theirs.len() + ids.len() > self.limits.handles_max {
            return Err(SessionError::TooMuch("logs on one link"));
        }
        for id in ids {
            if let Some(space) = space {
                let seen = self.streams.get(&id).map(|stream| stream.space);
                let stored = self.view(catalog, &id).map(|(_, view)| view.space);
                if seen.or(stored).is_some_and(|known| known != space) {
                    return Err(SessionError::WrongSpace);
                }
                self.handles.theirs_by_id.insert(id, self.handles.theirs.len() as u32);
            }
            self.handles.theirs.push(space.map(|space| (space, id)));
        }
        Ok(())
    }

    /// Which log a peer's message names; `None` if it is in a space that isn't shared.
    pub(super) fn resolve(&self, log: LogRef) -> Result<Option<(SpaceNo, LogId)>, SessionError> {
        let entry = match log {
            LogRef::Mine(handle) => self.handles.theirs.get(handle as usize).copied(),
            LogRef::Yours(handle) => self.handles.mine.get(handle as usize).copied().map(Some),
        };
        entry.ok_or(SessionError::UnknownHandle)
    }
}
