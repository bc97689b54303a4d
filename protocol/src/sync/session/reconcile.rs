//! The repair walk: compares two tries from their roots, only where they differ.
//!
//! Each node that a side sends is answered in full, by nodes of the other side or by transfers. The answers are
//! counted, so that both sides know when the walk is over.

use super::{Session, SessionError};
use crate::ids::SpaceNo;
use crate::sync::{Catalog, LeafItem, NodeView, Scope};
use crate::wire::message::{LEAF_MAX, Message, NODES_MAX, Node};
use std::collections::VecDeque;

/// The state of the walks of one space.
#[derive(Debug, Default)]
pub(super) struct Walk {
    tasks: VecDeque<Task>,
    /// Number of sent nodes that the peer has not answered in full.
    open: u64,
    /// Number of the peer's nodes that were answered in full, not yet reported.
    answered: u64,
    /// True if the peer will start.
    is_awaited: bool,
    /// Number of walks that this side took part in.
    pub(super) taken: u64,
    /// Number of walks that were started again, and the two roots that caused them, this side's first.
    again: Option<(u32, [[u8; 16]; 2])>,
}

/// Next step of the walk, taken when the link has room.
#[derive(Debug)]
enum Task {
    /// Send this side's node.
    Send { scope: Scope, prefix: Vec<u8> },
    /// Compare all items under a path and past a key with those that the peer has of them, one page at a time.
    Compare { scope: Scope, prefix: Vec<u8>, after: Vec<u8>, theirs: Vec<LeafItem> },
    /// One node of the peer is answered.
    Answered,
}

impl Walk {
    pub(super) fn begin(&mut self, is_initiator: bool) {
        self.taken += 1;
        if is_initiator {
            self.tasks.push_back(Task::Send { scope: Scope::Space, prefix: Vec::new() });
        } else {
            self.is_awaited = true;
        }
    }

    /// Starts another walk, unless these roots, this side's first, have caused `max` walks already.
    pub(super) fn begin_again(&mut self, max: u32, roots: [[u8; 16]; 2]) -> bool {
        let started = self.again.filter(|(_, of)| *of == roots).map_or(0, |(started, _)| started);
        let may = started < max;
        if may {
            self.again = Some((started + 1, roots));
            self.taken += 1;
            self.tasks.push_back(Task::Send { scope: Scope::Space, prefix: Vec::new() });
        }
        may
    }

    pub(super) fn is_over(&self) -> bool {
        !self.is_awaited && self.tasks.is_empty() && self.open == 0 && self.answered == 0
    }

    pub(super) fn has_work(&self) -> bool {
        !self.tasks.is_empty() || self.answered > 0
    }

    fn send(&mut self, scope: Scope, prefix: Vec<u8>) {
        self.tasks.push_back(Task::Send { scope, prefix });
    }

    /// Hands over all items under a path: the peer has none of them.
    fn hand_over(&mut self, scope: Scope, prefix: Vec<u8>) {
        self.tasks.push_back(Task::Compare { scope, prefix, after: Vec::new(), theirs: Vec::new() });
    }
}

impl Session {
    pub(super) fn on_nodes(
        &mut self,
        catalog: &dyn Catalog,
        index: u32,
        answered: u64,
        nodes: Vec<Node>,
    ) -> Result<(), SessionError> {
        let Some(no) = self.their_space(index)? else { return Ok(()) };
        let Some(space) = self.spaces.get_mut(&no).filter(|space| space.is_begun()) else {
            return Err(SessionError::Unexpected);
        };
        space.walk.taken += u64::from(space.walk.is_over() && !nodes.is_empty());
        if space.walk.is_over() && !nodes.is_empty() {
            space.restart_settling();
        }
        space.walk.is_awaited = false;
        space.walk.open = space.walk.open.checked_sub(answered).ok_or(SessionError::Unexpected)?;
        for node in nodes {
            match node.view {
                NodeView::Inner(theirs) => self.compare_inner(catalog, no, node.scope, node.prefix, &theirs),
                NodeView::Leaf(items) => self.compare_page(catalog, no, node.scope, node.prefix, Vec::new(), items)?,
            }
            let Some(space) = self.spaces.get_mut(&no) else { continue };
            space.walk.tasks.push_back(Task::Answered);
            if space.walk.tasks.len() > self.limits.walk_tasks_max {
                return Err(SessionError::TooMuch("a repair walk"));
            }
        }
        self.spaces_due.insert(no);
        Ok(())
    }

    fn compare_inner(
        &mut self,
        catalog: &dyn Catalog,
        no: SpaceNo,
        scope: Scope,
        prefix: Vec<u8>,
        theirs: &[Option<[u8; 16]>; 16],
    ) {
        let Some(space) = self.spaces.get_mut(&no) else { return };
        let NodeView::Inner(mine) = catalog.node(no, scope, &prefix) else {
            space.walk.send(scope, prefix);
            return;
        };
        for (at, (mine, theirs)) in (0u8..).zip(mine.iter().zip(theirs)) {
            let child = || prefix.iter().copied().chain([at]).collect();
            match (mine, theirs) {
                (Some(_), None) => space.walk.hand_over(scope, child()),
                (mine, Some(_)) if mine != theirs => space.walk.send(scope, child()),
                _ => {}
            }
        }
    }

    /// Compares a page of this side's items, those under a path and past a key, with `theirs`: all that the peer has
    /// of these, in order. Further pages follow later.
    fn compare_page(
        &mut self,
        catalog: &dyn Catalog,
        no: SpaceNo,
        scope: Scope,
        prefix: Vec<u8>,
        after: Vec<u8>,
        theirs: Vec<LeafItem>,
    ) -> Result<(), SessionError> {
        let max = self.limits.walk_items_max;
        let mine = catalog.items(no, scope, &prefix, Some(after.as_slice()).filter(|after| !after.is_empty()), max);
        let mut theirs = theirs.into_iter().peekable();
        for item in &mine {
            while let Some(other) = theirs.next_if(|other| other.key() < item.key()) {
                self.request_item(catalog, no, &other)?;
            }
            match theirs.next_if(|other| other.key() == item.key()) {
                Some(other) => self.compare_items(catalog, no, item, &other)?,
                None => self.offer_item(catalog, no, item),
            }
        }
        match mine.last().filter(|_| reached!(WalkItems, mine.len() == max) && !planted!("walk.page-once")) {
            Some(last) => {
                let (after, theirs) = (last.key().to_vec(), theirs.collect());
                if let Some(space) = self.spaces.get_mut(&no) {
                    space.walk.tasks.push_front(Task::Compare { scope, prefix, after, theirs });
                }
            }
            None => theirs.try_for_each(|other| self.request_item(catalog, no, &other))?,
        }
        Ok(())
    }

    /// Handles an item that the peer has and this side lacks.
    fn request_item(&mut self, catalog: &dyn Catalog, no: SpaceNo, item: &LeafItem) -> Result<(), SessionError> {
        match item {
            LeafItem::Partition { token, .. } => {
                if let Some(space) = self.spaces.get_mut(&no) {
                    space.walk.send(Scope::Partition(*token), Vec::new());
                }
            }
            LeafItem::Log { id, seq, .. } => {
                self.introduce(no, *id);
                self.on_peer_has(catalog, no, *id, *seq)?;
            }
        }
        Ok(())
    }

    /// Handles an item that this side has and the peer lacks.
    fn offer_item(&mut self, catalog: &dyn Catalog, no: SpaceNo, item: &LeafItem) {
        match item {
            LeafItem::Partition { token, .. } => {
                if let Some(space) = self.spaces.get_mut(&no) {
                    space.walk.hand_over(Scope::Partition(*token), Vec::new());
                }
            }
            LeafItem::Log { id, .. } => {
                // Its cursor may claim more than the peer holds, for example if copies of a store share an
                // incarnation.
                if let Some(stream) = self.streams.get_mut(id) {
                    stream.outbound.peer_ends(0);
                }
                self.offer(catalog, no, *id, 0);
            }
        }
    }

    fn compare_items(
        &mut self,
        catalog: &dyn Catalog,
        no: SpaceNo,
        mine: &LeafItem,
        theirs: &LeafItem,
    ) -> Result<(), SessionError> {
        match (mine, theirs) {
            (LeafItem::Partition { root, .. }, LeafItem::Partition { token, root: other }) if root != other => {
                if let Some(space) = self.spaces.get_mut(&no) {
                    space.walk.send(Scope::Partition(*token), Vec::new());
                }
            }
            (LeafItem::Log { id, seq, h }, LeafItem::Log { seq: other_seq, h: other_h, .. }) => {
                if seq != other_seq {
                    self.introduce(no, *id);
                    self.on_peer_has(catalog, no, *id, *other_seq)?;
                } else if h != other_h
                    && let Some(log) = catalog.log_by_id(id)
                {
                    self.hint_fork(catalog, log);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Builds the next message of a space's walk, if there is something to send.
    pub(super) fn next_nodes(&mut self, catalog: &dyn Catalog, no: SpaceNo) -> Option<Message> {
        let mut nodes = Vec::new();
        let mut bytes = 0;
        while !reached!(WalkBytes, bytes >= self.limits.walk_bytes_max) && nodes.len() < NODES_MAX {
            let walk = &mut self.spaces.get_mut(&no)?.walk;
            match walk.tasks.pop_front() {
                Some(Task::Send { scope, prefix }) => {
                    let view = catalog.node(no, scope, &prefix);
                    bytes += 32 + LEAF_MAX * 40;
                    walk.open += 1;
                    nodes.push(Node { scope, prefix, view });
                }
                Some(Task::Compare { scope, prefix, after, theirs }) => {
                    // This fails only if the peer names one log in two spaces. It then gets no further pages.
                    let _ = self.compare_page(catalog, no, scope, prefix, after, theirs);
                }
                Some(Task::Answered) => walk.answered += 1,
                None => break,
            }
        }
        let space = self.spaces.get_mut(&no)?;
        let answered = core::mem::take(&mut space.walk.answered);
        let index = space.index;
        self.spaces_due.insert(no);
        (answered > 0 || !nodes.is_empty()).then_some(Message::Nodes { space: index, answered, nodes })
    }
}
