//! Answers of databases.

use super::content::{Place, Values};
use super::{Asked, World};
use crate::coverage::{Mark, Point};
use crate::random::purpose;
use crate::report::OracleId;
use cosmicsync_data::collection::CollectionMeta;
use cosmicsync_data::database::ask::QueryError;
use cosmicsync_data::database::request::{Answer, Cut, Request, RequestError, Ticket};
use cosmicsync_protocol::ids::{DocRef, EntryRef, PartNo};
use cosmicsync_protocol::storage::Table;
use cosmicsync_protocol::storage::rows::entry_key;

impl World<'_> {
    /// Takes what a peer's database answers. Returns whether its core was called.
    pub(in crate::world) fn take_answers(&mut self, peer: usize) -> bool {
        if !self.plan.databases {
            return false;
        }
        let mut any = false;
        while let Some(Some((ticket, answer))) = self.call(peer, |alive, _| alive.endpoint.database()?.poll_answer()) {
            any = true;
            self.take_answer(peer, ticket, answer);
            if let Some(alive) = self.nodes[peer].alive.as_deref_mut().filter(|_| self.app.is_some()) {
                alive.retry = true;
            }
        }
        any
    }

    fn take_answer(&mut self, peer: usize, ticket: Ticket, answer: Answer) {
        let Some(alive) = self.nodes[peer].alive.as_deref_mut() else { return };
        let asked = alive.desk.open.remove(&ticket);
        self.stats.checks += 1;
        self.point(peer, Point::Answered, None, &ticket.0.to_le_bytes());
        let Some(asked) = asked else {
            let text = "a request is answered that was answered before, or never made".to_owned();
            return self.violation(OracleId::O18, Some(peer), text);
        };
        if let Answer::Failed(error) = &answer {
            self.mark(Mark::Refused);
            if !self.is_fair(peer, &asked, error) {
                let text = format!("a request is refused for no reason: {error}");
                self.violation(OracleId::O18, Some(peer), text);
            }
        }
        match (asked, answer) {
            (Asked::Probe | Asked::ProbeBound, answer) => {
                if let Some(alive) = self.nodes[peer].alive.as_deref_mut() {
                    alive.desk.told.insert(ticket, answer);
                }
            }
            (Asked::Write(docs, is_durable), Answer::Written { cut, .. } | Answer::Wrote { cut, .. }) => {
                self.stats.edits += 1;
                self.stats.acked += u64::from(is_durable);
                if is_durable {
                    self.check_written(peer, &docs, &cut);
                    self.echo(peer, ticket, docs[0].partition);
                }
            }
            (Asked::Import(place, rows), Answer::ImportOpened { import, .. }) => {
                let request = Request::ImportRows { import, rows, checkpoint: b"all".to_vec() };
                self.ask(peer, Asked::Rows(place, import), request);
            }
            (Asked::Rows(place, import), Answer::Imported { .. }) => {
                self.mark(Mark::ImportDone);
                let meta = CollectionMeta::new(place.collection);
                let request = Request::ImportClose { import, checkpoint: b"done".to_vec(), meta };
                self.ask(peer, Asked::Change, request);
            }
            (Asked::Changes(after, limit), Answer::Changes(rows)) => {
                self.take_changes(peer, after, limit, rows.as_deref());
            }
            (Asked::Look(look), Answer::Snapshot(told)) => self.check_look(peer, &look, told),
            (Asked::Find(finding), answer) => self.end_finding(peer, *finding, answer),
            (Asked::Live(follow), Answer::Live(batch)) => self.followed(peer, follow, batch),
            (Asked::Live(follow), Answer::Failed(_)) => self.not_followed(peer, follow),
            (Asked::Change, _)
            | (
                Asked::Write(..) | Asked::Import(..) | Asked::Rows(..) | Asked::Changes(..) | Asked::Look(_),
                Answer::Failed(_),
            ) => {}
            (asked, answer) => {
                let text = format!("{asked:?} is answered by {}", name_of(&answer));
                self.violation(OracleId::O18, Some(peer), text);
            }
        }
    }

    /// O2: an answer that says a write is durable is made once it is.
    fn check_written(&mut self, peer: usize, docs: &[DocRef], cut: &Cut) {
        let Some(alive) = self.nodes[peer].alive.as_deref() else { return };
        // What is written after it may be taken in as well, and is not durable.
        let mut writes = alive.desk.open.values().filter_map(Asked::written);
        if writes.any(|other| other.iter().any(|doc| docs.contains(doc)))
            || docs.iter().any(|doc| alive.desk.gathered.contains(doc))
        {
            return;
        }
        let cut = cut.iter().filter_map(|(log, seq)| Some((alive.endpoint.log_no(log)?, *seq)));
        let mut own = cut.filter(|(log, _)| alive.endpoint.is_own_log(*log));
        let rows = alive.store.rows();
        let is_lost = own.any(|(log, seq)| !rows.contains_key(&(Table::Entry, entry_key(EntryRef { log, seq }))));
        self.stats.checks += 1;
        if is_lost {
            self.violation(OracleId::O2, Some(peer), "a write is answered before it is durable".to_owned());
        }
    }

    /// Asks a query as soon as a write is safe: it must be in the answer.
    fn echo(&mut self, peer: usize, ticket: Ticket, partition: PartNo) {
        let key = [purpose::ASK, peer as u64, u64::from(self.nodes[peer].life), ticket.0];
        if self.is_healing() || !self.keyed.once_in(&key, 2) {
            return;
        }
        let mut values = Values::of(self.keyed, self.keyed.draw(&key));
        let places: Vec<Place> =
            Place::all(self.plan.partitions).filter(|place| self.find_place(peer, *place) == Some(partition)).collect();
        let place = values.pick(&places);
        self.begin_finding(peer, place, None, false, &mut values);
    }

    /// Returns whether a request may fail with this error.
    fn is_fair(&self, peer: usize, asked: &Asked, error: &RequestError) -> bool {
        // Whether rules allow it is asked where its answer is compared with the documents.
        let forbids = matches!(error, RequestError::Forbidden { .. });
        let follows = &self.nodes[peer].follows;
        let is_find = matches!(asked, Asked::Find(finding) if finding.is_bound);
        let is_live = matches!(asked, Asked::Live(number) if follows.iter().any(|follow| follow.is_bound_as(*number)));
        forbids && (is_find || is_live) || is_fair(asked, error)
    }
}

/// Returns whether a request of a client whom no rules bind may fail with this error.
fn is_fair(asked: &Asked, error: &RequestError) -> bool {
    if matches!(error, RequestError::Store(_) | RequestError::Lost) {
        return true;
    }
    match asked {
        Asked::Write(..) => matches!(
            error,
            RequestError::NotFound
                | RequestError::Incomplete(_)
                | RequestError::Edit(_)
                | RequestError::Space(_)
                | RequestError::Violates(_)
                | RequestError::At(..)
        ),
        // An index may not be there, or be another; a document of an import may not wholly be here.
        Asked::Change | Asked::Import(..) | Asked::Rows(..) | Asked::ProbeBound => true,
        Asked::Find(finding) => {
            finding.forces()
                && matches!(error, RequestError::Query(QueryError::NoIndex(_) | QueryError::IndexBuilding(_)))
        }
        Asked::Live(_) | Asked::Changes(..) | Asked::Look(_) | Asked::Probe => false,
    }
}

fn name_of(answer: &Answer) -> String {
    format!("{answer:?}").chars().take_while(|letter| letter.is_alphanumeric()).collect()
}
