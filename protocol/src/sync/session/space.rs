//! One space on one link: its opening, its settling, and the cursors that result (`spec/sync.md`, sections 2 and
//! 5).

use super::reconcile::Walk;
use super::{Action, Session, SessionError};
use crate::ids::{LogId, SpaceNo};
use crate::sync::{Catalog, Cursor, Follow};
use crate::wire::message::Message;
use std::collections::BTreeSet;

/// Content of one side's message that opened the space.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) position: u64,
    pub(super) cursor: Option<Cursor>,
    pub(super) root: [u8; 16],
    pub(super) follow: Follow,
}

/// A space that the peer opened.
#[derive(Debug)]
pub(super) enum TheirSpace {
    /// Open here too.
    Shared(SpaceNo),
    /// Not open here, with its token on this link. It may be shared later: the peer opens it only once.
    Other([u8; 16], Opened),
}

/// The peer's last message that it has announced everything.
#[derive(Debug, Clone, Copy)]
struct Settled {
    position: u64,
    root: [u8; 16],
    /// True if the peer had all of this side's data at that time, so that roots must be equal.
    is_comparable: bool,
}

/// The state of one space.
#[derive(Debug, Default)]
pub(super) struct Space {
    pub(super) index: u32,
    mine: Option<Opened>,
    theirs: Option<Opened>,
    /// Position in this side's journal after which changes are still to be announced.
    changes_from: Option<u64>,
    /// Logs that grew while nothing was known about the peer's copy.
    announce: BTreeSet<LogId>,
    pub(super) walk: Walk,
    /// Number of streams with something to send.
    pub(super) busy: usize,
    /// Number of streams with sent data that isn't durable at the peer.
    pub(super) unacked: usize,
    /// Number of logs with data still to come or to become durable here.
    pub(super) pending: usize,
    settled_sent: Option<u64>,
    /// The position at which `Settled` was sent once more because roots differed, and the peer's root.
    resettled: Option<(u64, [u8; 16])>,
    settled: Option<Settled>,
    /// The root in the peer's last `Settled`.
    their_root: Option<[u8; 16]>,
    cursor: Option<Cursor>,
}

impl Space {
    /// Returns whether both sides have opened it.
    pub(super) fn is_begun(&self) -> bool {
        self.mine.is_some() && self.theirs.is_some()
    }

    /// Returns whether all known data was announced and sent.
    pub(super) fn is_quiet(&self) -> bool {
        self.busy == 0 && self.changes_from.is_none() && self.announce.is_empty() && self.walk.is_over()
    }

    /// Returns whether the peer wants entries pushed.
    pub(super) fn peer_follows_all(&self) -> bool {
        self.theirs.as_ref().is_some_and(|theirs| theirs.follow == Follow::All)
    }

    /// Returns whether the peer's store held nothing of the space when the peer opened it.
    fn peer_was_empty(&self) -> bool {
        self.theirs.as_ref().is_some_and(|theirs| theirs.position == 0)
    }

    /// Marks the peer's last root as not comparable: this side has data that the peer didn't know.
    pub(super) fn cancel_comparison(&mut self) {
        if let Some(settled) = &mut self.settled {
            settled.is_comparable = false;
        }
    }

    pub(super) fn restart_settling(&mut self) {
        self.settled_sent = None;
    }

    /// Returns whether nothing is under way in either direction.
    pub(super) fn is_settled(&self) -> bool {
        self.is_quiet() && self.unacked == 0 && self.pending == 0
    }

    /// Returns whether roots differ though nothing is under way in either direction.
    fn is_in_doubt(&self, root: [u8; 16]) -> bool {
        self.is_settled() && self.their_root.is_some_and(|theirs| theirs != root)
    }
}

impl Session {
    /// Opens a space on this link, unless it is open already: for a space that became shared after the session
    /// began.
    pub fn open_space(&mut self, catalog: &dyn Catalog, space: SpaceNo) {
        if self.spaces.contains_key(&space) {
            return;
        }
        let token = self.blind(!self.link.initiator, catalog.space_token(space));
        self.tokens.insert(token, space);
        let mut state = Space::default();
        for theirs in &mut self.their_spaces {
            if let TheirSpace::Other(name, opened) = theirs
                && *name == token
            {
                state.theirs = Some(opened.clone());
                *theirs = TheirSpace::Shared(space);
                break;
            }
        }
        self.spaces.insert(space, state);
        self.opens_due.push_back(space);
    }

    /// Returns the space's token on this link for one direction: the peer can't echo this side's token as its own.
    fn blind(&self, by_initiator: bool, token: [u8; 16]) -> [u8; 16] {
        let mut input = [u8::from(by_initiator); 17];
        input[1..].copy_from_slice(&token);
        let hash = blake3::keyed_hash(&self.link.handshake_hash, &input);
        let mut blinded = [0; 16];
        blinded.copy_from_slice(&hash.as_bytes()[..16]);
        blinded
    }

    pub(super) fn their_space(&self, index: u32) -> Result<Option<SpaceNo>, SessionError> {
        match self.their_spaces.get(index as usize).ok_or(SessionError::UnknownHandle)? {
            TheirSpace::Shared(no) => Ok(Some(*no)),
            TheirSpace::Other(..) => Ok(None),
        }
    }

    pub(super) fn next_open(&mut self, catalog: &dyn Catalog) -> Option<Message> {
        let no = self.opens_due.pop_front()?;
        let token = self.blind(self.link.initiator, catalog.space_token(no));
        let cursor = catalog.cursor(no);
        let mine =
            Opened { position: catalog.position(no), cursor, root: catalog.root(no), follow: catalog.follow(no) };
        let Opened { position, root, follow, .. } = mine;
        let space = self.spaces.get_mut(&no)?;
        space.index = self.spaces_opened;
        space.cursor = cursor;
        space.mine = Some(mine);
        self.spaces_opened += 1;
        self.begin(catalog, no);
        Some(Message::SpaceOpen { token, position, cursor, root, follow })
    }

    pub(super) fn on_space_open(
        &mut self,
        catalog: &dyn Catalog,
        token: [u8; 16],
        theirs: Opened,
    ) -> Result<(), SessionError> {
        if self.their_spaces.len() >= self.limits.spaces_max {
            return Err(SessionError::TooMuch("spaces on one link"));
        }
        let no = self.tokens.get(&token).copied();
        let Some((no, space)) = no.and_then(|no| Some((no, self.spaces.get_mut(&no)?))) else {
            self.their_spaces.push(TheirSpace::Other(token, theirs));
            return Ok(());
        };
        if space.theirs.is_some() {
            return Err(SessionError::Unexpected);
        }
        space.theirs = Some(theirs);
        self.their_spaces.push(TheirSpace::Shared(no));
        self.begin(catalog, no);
        Ok(())
    }

    /// Chooses the way to find the differences, once both sides have opened a space. Both choose alike, since they
    /// see the same two messages.
    fn begin(&mut self, catalog: &dyn Catalog, no: SpaceNo) {
        let Some(space) = self.spaces.get_mut(&no) else { return };
        let (Some(mine), Some(theirs)) = (&space.mine, &space.theirs) else { return };
        let (my_position, peer_life) = (mine.position, self.link.peer_incarnation);
        if mine.root == theirs.root {
            // Growth after the `SpaceOpen` message is announced from the journal.
            space.changes_from = Some(if planted!("changes.from-start") { 0 } else { my_position });
            space.settled_sent = Some(my_position);
            let cursor = Cursor { incarnation: peer_life, position: theirs.position };
            self.save_cursor(no, cursor);
        } else {
            let read_by_them = read_to(theirs, catalog.incarnation(), my_position);
            let read_by_us = read_to(mine, peer_life, theirs.position);
            match (read_by_them, read_by_us) {
                (Some(position), Some(_)) if !planted!("walk.though-known") => space.changes_from = Some(position),
                _ => space.walk.begin(self.link.initiator),
            }
        }
        self.spaces_due.insert(no);
        let mut after = None;
        loop {
            let logs = catalog.lagging(no, after, self.limits.changes_max);
            logs.iter().for_each(|log| self.fetch_lagging(catalog, *log));
            after = logs.last().copied();
            if logs.len() < self.limits.changes_max {
                break;
            }
        }
    }

    fn save_cursor(&mut self, no: SpaceNo, cursor: Cursor) {
        if let Some(space) = self.spaces.get_mut(&no)
            && space.cursor != Some(cursor)
        {
            space.cursor = Some(cursor);
            self.actions.push_back(Action::SaveCursor { space: no, cursor });
        }
    }

    /// Notes that a log grew whose state at the peer is unknown.
    pub(super) fn announce_or_offer(&mut self, catalog: &dyn Catalog, no: SpaceNo, id: LogId, from: u64) {
        let Some(space) = self.spaces.get_mut(&no).filter(|space| space.is_begun()) else { return };
        if space.changes_from.is_some() {
            // The journal will name it.
        } else if space.walk.is_over() {
            self.offer(catalog, no, id, from);
        } else {
            space.cancel_comparison();
            space.announce.insert(id);
            self.spaces_due.insert(no);
        }
    }

    /// Looks up the next changes of a space. Logs whose state at the peer is known are sent, the others announced.
    pub(super) fn build_changes(&mut self, catalog: &dyn Catalog, no: SpaceNo) {
        let max = self.limits.changes_max;
        let Some(space) = self.spaces.get_mut(&no).filter(|space| space.is_begun()) else { return };
        let mut ids = Vec::new();
        if let Some(position) = space.changes_from {
            let page = catalog.changed_since(no, position, max);
            space.changes_from = page
                .last()
                .filter(|_| reached!(Changes, page.len() == max) && !planted!("changes.page-once"))
                .map(|(position, _)| *position);
            ids.extend(page.into_iter().map(|(_, log)| catalog.log(log).id));
        } else {
            while !reached!(Announced, ids.len() >= max)
                && let Some(id) = space.announce.pop_first()
            {
                ids.push(id);
            }
        }
        let (peer_was_empty, peer_follows_all) = (space.peer_was_empty(), space.peer_follows_all());
        let mut logs = Vec::new();
        for id in ids {
            let Some((log, view)) = self.view(catalog, &id) else { continue };
            if view.is_forked() {
                self.hint_fork(catalog, log);
                continue;
            }
            let known = self.streams.get(&id).and_then(|stream| stream.outbound.next);
            if let Some(next) = known.or(peer_was_empty.then_some(0)) {
                self.offer(catalog, no, id, next);
            } else if !peer_follows_all || view.entries_to < view.tip_to() {
                self.offer_head(catalog, no, id, false);
            } else if view.tip_to() > 0 && self.introduce(no, id) {
                logs.extend(self.handles.reference(&id).map(|log| (log, view.tip_to() - 1)));
                if let Ok(stream) = self.stream(no, id) {
                    stream.outbound.announced(view.tip_to());
                }
                self.account(&id);
            }
        }
        if !logs.is_empty() {
            self.built.push_back(Message::Changes { logs });
        }
    }

    pub(super) fn has_changes(&self, no: SpaceNo) -> bool {
        let announces = |space: &Space| space.changes_from.is_some() || !space.announce.is_empty();
        self.spaces.get(&no).is_some_and(|space| space.is_begun() && announces(space))
    }

    /// Returns a `Settled` if all is announced and the peer was not told so yet.
    pub(super) fn next_settled(&mut self, catalog: &dyn Catalog, no: SpaceNo) -> Option<Message> {
        let space = self.spaces.get_mut(&no).filter(|space| space.is_begun() && space.is_quiet())?;
        let (position, root) = (catalog.position(no), catalog.root(no));
        if space.settled_sent == Some(position) {
            // The last `Settled` may have come while the dialler was still busy: it is repeated, so that the
            // dialler can compare.
            let again = space.their_root.map(|theirs| (position, theirs));
            if self.link.initiator || space.resettled == again || !space.is_in_doubt(root) {
                return None;
            }
            space.resettled = again;
        }
        space.settled_sent = Some(position);
        Some(Message::Settled { space: space.index, position, root })
    }

    pub(super) fn on_settled(
        &mut self,
        catalog: &dyn Catalog,
        index: u32,
        position: u64,
        root: [u8; 16],
    ) -> Result<(), SessionError> {
        let Some(no) = self.their_space(index)? else { return Ok(()) };
        let Some(space) = self.spaces.get_mut(&no).filter(|space| space.is_begun()) else {
            return Err(SessionError::Unexpected);
        };
        let is_comparable = space.is_quiet() && space.unacked == 0;
        space.settled = Some(Settled { position, root, is_comparable });
        space.their_root = Some(root);
        self.spaces_due.insert(no);
        self.check_settled(catalog, no);
        Ok(())
    }

    /// Saves the cursor and compares roots, once all that the peer announced is durable.
    pub(super) fn check_settled(&mut self, catalog: &dyn Catalog, no: SpaceNo) {
        let Some(space) = self.spaces.get_mut(&no).filter(|space| space.pending == 0 || planted!("cursor.ahead"))
        else {
            return;
        };
        let Some(settled) = space.settled.take() else { return };
        let is_comparable =
            !planted!("cursor.ahead") && settled.is_comparable && space.is_quiet() && space.unacked == 0;
        let roots = [catalog.root(no), settled.root];
        if is_comparable && self.link.initiator && roots[0] != roots[1] {
            if space.walk.begin_again(self.limits.walks_max, roots) {
                space.restart_settling();
                self.spaces_due.insert(no);
            } else {
                self.actions.push_back(Action::Mismatch { space: no });
            }
        }
        let cursor = Cursor { incarnation: self.link.peer_incarnation, position: settled.position };
        self.save_cursor(no, cursor);
    }
}

/// Returns the position up to which the sender of `reader` has read a journal that ends at `position`; `None` if
/// unknown. An empty store has read nothing of any journal, and an empty journal has been read by any store.
fn read_to(reader: &Opened, incarnation: crate::ids::Incarnation, position: u64) -> Option<u64> {
    if reader.position == 0 || position == 0 {
        return Some(0);
    }
    let cursor = reader.cursor.filter(|cursor| cursor.incarnation == incarnation && cursor.position <= position);
    cursor.map(|cursor| cursor.position)
}
