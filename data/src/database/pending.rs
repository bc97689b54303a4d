//! The common requests as methods of [`Database`], with answers of one type each.

use super::Database;
use super::ask::{LiveBatch, LiveId, Matches, Query, Want};
use super::request::{Action, Answer, Condition, Found, Intent, Name, Request, RequestError, Target, Ticket, Wrote};
use cosmicsync_protocol::crdt::{TextPaths, Value};
use cosmicsync_protocol::ids::PartNo;
use cosmicsync_protocol::time::Now;

/// A request whose answer is a `T`; [`Database::take`] returns it.
#[derive(Debug)]
pub struct Pending<T> {
    ticket: Ticket,
    /// Returns the content of an answer, or an answer of another kind.
    read: fn(Answer) -> Result<T, Answer>,
}

impl<T> Pending<T> {
    /// Returns the ticket, for [`Database::cancel`].
    pub const fn ticket(&self) -> Ticket {
        self.ticket
    }
}

/// Defines the `read` of a [`Pending`]: the content of one kind of answer.
macro_rules! reads {
    ($pattern:pat => $content:expr) => {
        |answer| if let $pattern = answer { Ok($content) } else { Err(answer) }
    };
}

impl Database {
    /// Removes and returns the answer to a request, if it is there. [`Self::poll_answer`] returns the answers to all
    /// requests, also to these, in the order in which they came.
    ///
    /// # Panics
    /// The request was made to another database, and the answer here is of another kind.
    pub fn take<T>(&mut self, pending: &Pending<T>) -> Option<Result<T, RequestError>> {
        let at = self.answers.iter().position(|(ticket, _)| *ticket == pending.ticket)?;
        let (_, answer) = self.answers.remove(at)?;
        if let Answer::Failed(error) = answer {
            return Some(Err(error));
        }
        let content = (pending.read)(answer);
        Some(Ok(content.unwrap_or_else(|other| unreachable!("{other:?} is of another request"))))
    }

    fn pend<T>(&mut self, now: Now, request: Request, read: fn(Answer) -> Result<T, Answer>) -> Pending<T> {
        Pending { ticket: self.request(now, request), read }
    }

    /// Reads a document; `None` if it does not exist.
    pub fn get(&mut self, now: Now, partition: PartNo, name: Name) -> Pending<Option<Found>> {
        self.pend(now, Request::Get { partition, name }, reads!(Answer::Document(found) => found))
    }

    /// Stores a whole document: creates it, or makes the smallest change that leads to this value. Strings at `texts`
    /// merge character by character.
    pub fn put(&mut self, now: Now, partition: PartNo, name: Name, value: Value, texts: TextPaths) -> Pending<Wrote> {
        self.act(now, partition, name, Action::Put { value, texts })
    }

    /// Applies a merge patch (RFC 7396), a map.
    pub fn patch(&mut self, now: Now, partition: PartNo, name: Name, patch: Value) -> Pending<Wrote> {
        self.act(now, partition, name, Action::Patch(patch))
    }

    /// Deletes a document. Its history remains.
    pub fn delete(&mut self, now: Now, partition: PartNo, name: Name) -> Pending<Wrote> {
        self.act(now, partition, name, Action::Delete)
    }

    fn act(&mut self, now: Now, partition: PartNo, name: Name, action: Action) -> Pending<Wrote> {
        self.write(now, partition, Intent { target: Target::Named(name), action, condition: Condition::None })
    }

    /// Changes one document, with a condition. The answer comes once the change is durable.
    pub fn write(&mut self, now: Now, partition: PartNo, intent: Intent) -> Pending<Wrote> {
        let request = Request::WriteOne { partition, intent, once: None };
        self.pend(
            now,
            request,
            reads!(Answer::Written { doc, created, version, .. } => Wrote { doc, created, version }),
        )
    }

    /// Changes at most 256 documents, all or none; the outcomes come in the order of the intents, once all are durable.
    pub fn transact(&mut self, now: Now, partition: PartNo, intents: Vec<Intent>) -> Pending<Vec<Wrote>> {
        let request = Request::Write { partition, intents, once: None };
        self.pend(now, request, reads!(Answer::Wrote { docs, .. } => docs))
    }

    /// Finds documents: one page, whose bookmark continues.
    pub fn find(&mut self, now: Now, query: Query) -> Pending<Matches> {
        let request = Request::Find { query: Box::new(query), want: Want::Docs };
        self.pend(now, request, reads!(Answer::Matches(matches) => matches))
    }

    /// Counts the documents that match a query.
    pub fn count(&mut self, now: Now, query: Query) -> Pending<u64> {
        let request = Request::Find { query: Box::new(query), want: Want::Count };
        self.pend(now, request, reads!(Answer::Count(count) => count))
    }

    /// Opens a live query; the first batch is the whole answer.
    pub fn live(&mut self, now: Now, query: Query) -> Pending<LiveBatch> {
        let request = Request::Live { query: Box::new(query), since: None };
        self.pend(now, request, reads!(Answer::Live(batch) => batch))
    }

    /// Waits for the next changes of a live query. [`Request::LiveEnd`] ends it.
    pub fn live_next(&mut self, now: Now, id: LiveId) -> Pending<LiveBatch> {
        self.pend(now, Request::LiveNext { id }, reads!(Answer::Live(batch) => batch))
    }
}
