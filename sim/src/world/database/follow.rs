//! Live queries that a peer's users follow, over the lives of its processes.

use super::bound::actor;
use super::content::{Place, Values};
use super::question::Question;
use super::{Asked, DOCS, World};
use crate::coverage::Mark;
use crate::report::OracleId;
use cosmicsync_data::database::ask::{LiveBatch, LiveEvent, LiveId};
use cosmicsync_data::database::request::{Found, Request, Ticket};
use cosmicsync_protocol::ids::DocId;

/// Live queries of one peer at a time.
const FOLLOWED_MAX: usize = 4;

/// A live query, and its answer as it was told.
#[derive(Debug, Clone)]
pub(in crate::world) struct Follow {
    number: u32,
    pub(super) place: Place,
    pub(super) question: Question,
    /// The change up to which the answer was told, and the answer. It outlives the process.
    pub(super) told: Option<(u64, Vec<Found>)>,
    pub(super) ticket: Option<Ticket>,
    /// It went on from what was told by a process before: documents may come that are there, and go that are not.
    resumed: bool,
    /// It is followed by one whom rules bind.
    pub(super) is_bound: bool,
}

impl World<'_> {
    /// Opens a live query. Returns whether the collection is known.
    pub(super) fn follow(
        &mut self,
        peer: usize,
        action: usize,
        place: Place,
        is_bound: bool,
        values: &mut Values,
    ) -> bool {
        let number = self.plan.actions[action].id;
        if self.find_place(peer, place).is_none() {
            return false;
        }
        if self.nodes[peer].follows.len() < FOLLOWED_MAX {
            let question = Question::draw_followed(values, DOCS.into());
            let follow = Follow { number, place, question, told: None, ticket: None, resumed: false, is_bound };
            self.nodes[peer].follows.push(follow);
            self.open_follow(peer, number);
        }
        true
    }

    /// A process starts: live queries are opened again, from where they were.
    pub(super) fn follow_again(&mut self, peer: usize) {
        for number in self.nodes[peer].follows.iter().map(|follow| follow.number).collect::<Vec<_>>() {
            self.open_follow(peer, number);
        }
    }

    /// A store is replaced: its changes have other numbers.
    pub(in crate::world) fn forget_changes(&mut self, peer: usize) {
        for follow in &mut self.nodes[peer].follows {
            follow.told = None;
        }
    }

    fn open_follow(&mut self, peer: usize, number: u32) {
        let Some(at) = self.nodes[peer].follows.iter().position(|follow| follow.number == number) else { return };
        let follow = &self.nodes[peer].follows[at];
        let (place, since) = (follow.place, follow.told.as_ref().map(|(cursor, _)| *cursor));
        let Some(partition) = self.find_place(peer, place) else {
            self.nodes[peer].follows.remove(at);
            return;
        };
        let query = Box::new(self.nodes[peer].follows[at].question.query(partition, place.collection));
        let actor = self.nodes[peer].follows[at].is_bound.then(actor);
        let ticket = self.ask_as(peer, actor, Asked::Live(number), Request::Live { query, since });
        if let Some(follow) = self.nodes[peer].follows.iter_mut().find(|follow| follow.number == number) {
            (follow.ticket, follow.resumed) = (ticket, since.is_some());
        }
        self.mark(Mark::LiveOpened);
    }

    /// A live query tells what changed.
    pub(super) fn followed(&mut self, peer: usize, number: u32, batch: LiveBatch) {
        let id = batch.id;
        let Some(follow) = self.nodes[peer].follows.iter_mut().find(|follow| follow.number == number) else { return };
        let mut marks = vec![Mark::LiveTold];
        follow.resumed &= !batch.reset;
        if follow.resumed {
            marks.push(Mark::LiveResumed);
        }
        let moves = |event: &LiveEvent| matches!(event, LiveEvent::Moved { .. });
        if batch.events.iter().any(moves) {
            marks.push(Mark::LiveMoved);
        }
        let wrong = follow.take(batch, follow.resumed);
        marks.into_iter().for_each(|mark| self.mark(mark));
        self.stats.checks += 1;
        if let Some(wrong) = wrong {
            self.violation(OracleId::O17, Some(peer), wrong);
        }
        self.follow_on(peer, number, id);
    }

    fn follow_on(&mut self, peer: usize, number: u32, id: LiveId) {
        let of = self.nodes[peer].follows.iter().find(|follow| follow.number == number);
        let actor = of.is_some_and(|follow| follow.is_bound).then(actor);
        let ticket = self.ask_as(peer, actor, Asked::Live(number), Request::LiveNext { id });
        if let Some(follow) = self.nodes[peer].follows.iter_mut().find(|follow| follow.number == number) {
            follow.ticket = ticket;
        }
    }

    /// A live query failed.
    pub(super) fn not_followed(&mut self, peer: usize, number: u32) {
        if let Some(follow) = self.nodes[peer].follows.iter_mut().find(|follow| follow.number == number) {
            follow.ticket = None;
        }
    }

    /// Ends the live query that was opened first.
    pub(super) fn unfollow(&mut self, peer: usize) -> bool {
        if !self.nodes[peer].follows.is_empty() {
            let follow = self.nodes[peer].follows.remove(0);
            self.call(peer, |alive, _| {
                let (Some(database), Some(ticket)) = (alive.endpoint.database(), follow.ticket) else { return };
                database.cancel(ticket);
                alive.desk.open.remove(&ticket);
            });
        }
        true
    }
}

impl Follow {
    /// Returns whether the live query has this number and a client whom rules bind.
    pub(super) const fn is_bound_as(&self, number: u32) -> bool {
        self.number == number && self.is_bound
    }

    /// Takes what it is told. Returns what is wrong with it.
    fn take(&mut self, batch: LiveBatch, is_resumed: bool) -> Option<String> {
        let before = self.told.take().map(|(_, answer)| answer);
        let mut answer = if batch.reset { Vec::new() } else { before.unwrap_or_default() };
        let mut wrong = None;
        let mut note = |text: &str| wrong = wrong.take().or_else(|| Some(format!("a live query tells of {text}")));
        for event in batch.events {
            let place = |answer: &[Found], doc: DocId| answer.iter().position(|found| found.doc == doc);
            match event {
                LiveEvent::Removed { doc, .. } => match place(&answer, doc) {
                    Some(at) => drop(answer.remove(at)),
                    None if is_resumed => {}
                    None => note("a document that goes and was not there"),
                },
                LiveEvent::Changed { found } => match place(&answer, found.doc) {
                    Some(at) => answer[at] = found,
                    None => note("a document that changes and was not there"),
                },
                LiveEvent::Added { found, after } => {
                    if let Some(at) = place(&answer, found.doc) {
                        answer.remove(at);
                        if !is_resumed {
                            note("a document that comes and was there");
                        }
                    }
                    insert(&mut answer, found, after).unwrap_or_else(&mut note);
                }
                LiveEvent::Moved { found, after } => {
                    match place(&answer, found.doc) {
                        Some(at) => drop(answer.remove(at)),
                        None => note("a document that moves and was not there"),
                    }
                    insert(&mut answer, found, after).unwrap_or_else(&mut note);
                }
            }
        }
        self.told = Some((batch.cursor, answer));
        wrong
    }
}

fn insert(answer: &mut Vec<Found>, found: Found, after: Option<DocId>) -> Result<(), &'static str> {
    let at = match after {
        None => Some(0),
        Some(after) => answer.iter().position(|known| known.doc == after).map(|at| at + 1),
    };
    answer.insert(at.unwrap_or(answer.len()), found);
    at.map(drop).ok_or("a place behind a document that is not there")
}
