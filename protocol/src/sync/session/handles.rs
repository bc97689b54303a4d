//! Short names for logs on one link: each side numbers those that it introduces.
//!
//! A log whose card goes to the peer needs no introduction of its own: the run with the card names the handle, and
//! the log's id follows from the card. Until that run is sent, nothing else may use the handle.

use super::{Session, SessionError};
use crate::ids::LogId;
use crate::log::card::restored_card;
use crate::sync::{Catalog, SpaceNo};
use crate::wire::message::LogRef;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// The two handle tables of a link.
#[derive(Debug)]
pub(super) struct Handles {
    mine: Vec<(SpaceNo, LogId)>,
    mine_by_id: BTreeMap<LogId, u32>,
    /// Handles of this side that a run with the log's card will introduce.
    opening: BTreeMap<LogId, u32>,
    /// Logs by the peer's handles. `None` for a log in a space that isn't shared.
    theirs: BTreeMap<u32, Option<(SpaceNo, LogId)>>,
    theirs_by_id: BTreeMap<LogId, u32>,
    /// Introductions that were not sent to the peer yet.
    due: VecDeque<(u32, SpaceNo, LogId)>,
    max: usize,
    is_full: bool,
}

/// Result of introducing a log.
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
            opening: BTreeMap::new(),
            theirs: BTreeMap::new(),
            theirs_by_id: BTreeMap::new(),
            due: VecDeque::new(),
            max,
            is_full: false,
        }
    }

    /// Returns the reference to a log; the peer's handle is preferred, since it needs no introduction.
    pub(super) fn reference(&self, id: &LogId) -> Option<LogRef> {
        let theirs = self.theirs_by_id.get(id).map(|handle| LogRef::Yours(*handle));
        theirs.or_else(|| self.mine_by_id.get(id).map(|handle| LogRef::Mine(*handle)))
    }

    pub(super) fn introduce(&mut self, space: SpaceNo, id: LogId) -> Introduced {
        if self.reference(&id).is_some() {
            return Introduced::Yes;
        }
        let handle = match self.opening.remove(&id) {
            Some(handle) => handle,
            None => match self.number(space, id) {
                Ok(handle) => handle,
                Err(full) => return full,
            },
        };
        self.mine_by_id.insert(id, handle);
        self.due.push_back((handle, space, id));
        Introduced::Yes
    }

    /// Numbers a log that a run with its card will introduce, unless it can be named already.
    pub(super) fn open(&mut self, space: SpaceNo, id: LogId) -> Introduced {
        if self.reference(&id).is_some() || self.opening.contains_key(&id) {
            return Introduced::Yes;
        }
        match self.number(space, id) {
            Ok(handle) => {
                self.opening.insert(id, handle);
                Introduced::Yes
            }
            Err(full) => full,
        }
    }

    /// Returns the reference to a log in a run with its card, and whether the run introduces the log.
    pub(super) fn opening(&self, id: &LogId) -> Option<(LogRef, bool)> {
        let known = self.reference(id).map(|log| (log, false));
        known.or_else(|| self.opening.get(id).map(|handle| (LogRef::Mine(*handle), true)))
    }

    /// Notes that a run with the log's card was sent.
    pub(super) fn opened(&mut self, id: &LogId) {
        if let Some(handle) = self.opening.remove(id) {
            self.mine_by_id.insert(*id, handle);
        }
    }

    fn number(&mut self, space: SpaceNo, id: LogId) -> Result<u32, Introduced> {
        if self.mine.len() >= self.max {
            let was_full = core::mem::replace(&mut self.is_full, true);
            return Err(if was_full { Introduced::No } else { Introduced::JustFull });
        }
        self.mine.push((space, id));
        Ok(self.mine.len() as u32 - 1)
    }

    /// Returns the introductions that are due next: at most `max`, all of one space, with the handle of the first.
    pub(super) fn take_due(&mut self, max: usize) -> Option<(SpaceNo, u32, Vec<LogId>)> {
        let (first, space, _) = *self.due.front()?;
        let follows = |(handle, due): &(u32, &(u32, SpaceNo, LogId))| (due.0, due.1) == (*handle, space);
        let count = (first..).zip(self.due.iter().take(max)).take_while(follows).count();
        Some((space, first, self.due.drain(..count).map(|(_, _, id)| id).collect()))
    }
}

impl Session {
    pub(super) fn on_logs(
        &mut self,
        catalog: &dyn Catalog,
        index: u32,
        first: u32,
        ids: Vec<LogId>,
    ) -> Result<(), SessionError> {
        let space = self.their_space(index)?;
        (first..)
            .zip(ids)
            .try_for_each(|(handle, id)| self.on_introduced(catalog, handle, space.map(|space| (space, id))))
    }

    /// Stores the log of a peer's handle. `None` for a log in a space that isn't shared.
    fn on_introduced(
        &mut self,
        catalog: &dyn Catalog,
        handle: u32,
        log: Option<(SpaceNo, LogId)>,
    ) -> Result<(), SessionError> {
        if handle as usize >= self.limits.handles_max {
            return Err(SessionError::TooMuch("logs on one link"));
        }
        // A log may be introduced while a run that introduces it too is on its way.
        if let Some(known) = self.handles.theirs.get(&handle) {
            let agrees = known.zip(log).is_none_or(|(known, log)| known == log);
            return if agrees { Ok(()) } else { Err(SessionError::Unexpected) };
        }
        if let Some((space, id)) = log {
            let seen = self.streams.get(&id).map(|stream| stream.space);
            let stored = self.view(catalog, &id).map(|(_, view)| view.space);
            if seen.or(stored).is_some_and(|known| known != space) {
                return Err(SessionError::WrongSpace);
            }
            self.handles.theirs_by_id.insert(id, handle);
        }
        self.handles.theirs.insert(handle, log);
        Ok(())
    }

    /// Takes a card that introduces its log under a handle of the peer.
    pub(super) fn on_opened(
        &mut self,
        catalog: &dyn Catalog,
        log: LogRef,
        index: u32,
        card: &[u8],
    ) -> Result<(), SessionError> {
        let LogRef::Mine(handle) = log else { return Err(SessionError::Unexpected) };
        let log = match self.their_space(index)? {
            Some(space) => {
                let card = restored_card(card, &catalog.space_token(space));
                Some((space, catalog.log_of_card(&card).ok_or(SessionError::BadCard)?))
            }
            None => None,
        };
        self.on_introduced(catalog, handle, log)
    }

    /// Returns the log that a peer's message names; `None` if it is in a space that isn't shared.
    pub(super) fn resolve(&self, log: LogRef) -> Result<Option<(SpaceNo, LogId)>, SessionError> {
        let entry = match log {
            LogRef::Mine(handle) => self.handles.theirs.get(&handle).copied(),
            LogRef::Yours(handle) => self.handles.mine.get(handle as usize).copied().map(Some),
        };
        entry.ok_or(SessionError::UnknownHandle)
    }
}

/// Restores a card that came for a log of a space, with the space's token.
pub(super) fn whole_card(catalog: &dyn Catalog, space: SpaceNo, card: Option<Bytes>) -> Option<Bytes> {
    card.map(|card| restored_card(&card, &catalog.space_token(space)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: SpaceNo = SpaceNo(3);
    const ID: LogId = LogId([1; 32]);

    #[test]
    fn a_log_introduced_by_its_card_has_no_handle_before() {
        let mut handles = Handles::new(9);
        assert!(matches!(handles.open(SPACE, ID), Introduced::Yes));
        assert_eq!((handles.reference(&ID), handles.opening(&ID)), (None, Some((LogRef::Mine(0), true))));
        assert_eq!(handles.take_due(9), None);
        handles.opened(&ID);
        assert_eq!(
            (handles.reference(&ID), handles.opening(&ID)),
            (Some(LogRef::Mine(0)), Some((LogRef::Mine(0), false)))
        );
    }

    #[test]
    fn one_that_has_to_be_named_earlier_keeps_its_handle() {
        let mut handles = Handles::new(9);
        let others = [LogId([2; 32]), LogId([3; 32]), LogId([4; 32])];
        handles.introduce(SPACE, others[0]);
        handles.open(SPACE, ID);
        handles.introduce(SPACE, others[1]);
        handles.introduce(SPACE, others[2]);
        handles.introduce(SPACE, ID);
        handles.opened(&ID);
        assert_eq!(handles.reference(&ID), Some(LogRef::Mine(1)));
        let due: Vec<_> = core::iter::from_fn(|| handles.take_due(9)).collect();
        let expected = [(SPACE, 0, vec![others[0]]), (SPACE, 2, vec![others[1], others[2]]), (SPACE, 1, vec![ID])];
        assert_eq!(due, expected);
    }
}
