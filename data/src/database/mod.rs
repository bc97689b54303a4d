//! The database: documents in collections over an [`Endpoint`], sans-IO like the endpoint.
//!
//! A [`Database`] wraps the endpoint: all inputs pass through the database. Each [`Request`] is a small state machine
//! that advances when the endpoint reports the event that it waits for. A bounded number of requests runs concurrently;
//! the others wait in order. The database adds no storage format beyond the rows of imports and the descriptions of
//! collections. The database never opens a link, and hands commands about users and spaces to the endpoint
//! ([`Spaces`]). Specified in `spec/documents.md`, section 10.

pub mod ask;
mod bookmark;
mod context;
mod count;
mod error;
mod excluded;
mod explain;
mod fetch;
mod find;
mod guard;
pub mod idempotency;
mod import;
mod index_ops;
mod indexer;
mod indexes;
mod intent;
mod lag;
mod list;
mod live;
mod pending;
mod read;
pub mod request;
mod rules_ops;
pub mod schema_ops;
mod sink;
mod sizes;
mod source;
mod spaces;
mod versions;
mod walk;
mod write;

use crate::collection::COLLECTIONS;
use crate::rules::Actor;
use context::{Context, Desk, Task, Wake};
use cosmicsync_protocol::Endpoint;
use cosmicsync_protocol::endpoint::{Dial, Event, LinkId};
use cosmicsync_protocol::pump::Driven;
use cosmicsync_protocol::storage::{StoreDone, StoreError, StoreRequest};
use cosmicsync_protocol::time::{Deadline, Now};
pub use pending::Pending;
use request::{Action, Answer, Changed, Condition, Name, Request, RequestError, Target, Ticket};
pub use sizes::Sizes;
pub use spaces::Spaces;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Largest number of requests that run concurrently, besides those that wait for a change.
const TASKS_MAX: usize = 1024;

/// A database of documents in collections, over an endpoint. The module's page describes its parts.
#[derive(Debug)]
pub struct Database {
    endpoint: Endpoint,
    desk: Desk,
    tasks: BTreeMap<Ticket, Box<dyn Task>>,
    waiting: VecDeque<(Ticket, Request)>,
    answers: VecDeque<(Ticket, Answer)>,
    events: VecDeque<Event>,
    next_ticket: u64,
    failed: Option<StoreError>,
    now: Now,
}

impl Database {
    /// Wraps a recovered endpoint, with the default [`Sizes`].
    pub fn new(endpoint: Endpoint) -> Self {
        Self::with_sizes(endpoint, Sizes::default())
    }

    /// Wraps a recovered endpoint, with batch sizes of the caller.
    pub fn with_sizes(endpoint: Endpoint, sizes: Sizes) -> Self {
        Self {
            endpoint,
            desk: Desk::new(sizes),
            tasks: BTreeMap::from([(indexer::INDEXER, Box::<indexer::Indexer>::default() as Box<dyn Task>)]),
            waiting: VecDeque::new(),
            answers: VecDeque::new(),
            events: VecDeque::new(),
            next_ticket: 0,
            failed: None,
            now: Now::default(),
        }
    }

    /// Returns the endpoint, to read the state of spaces, logs and links.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Registers a connection, dialled by this side for a purpose or accepted (`None`). Returns the link's number.
    pub fn handle_link_up(&mut self, now: Now, dial: Option<Dial>) -> LinkId {
        let link = self.endpoint.handle_link_up(now, dial);
        self.run(now);
        link
    }

    /// Takes bytes that arrived on a link, split anywhere.
    pub fn handle_bytes(&mut self, now: Now, link: LinkId, bytes: &[u8]) {
        self.endpoint.handle_bytes(now, link, bytes);
        self.run(now);
    }

    /// Handles the end of a connection, whichever side ended it.
    pub fn handle_link_lost(&mut self, now: Now, link: LinkId) {
        self.endpoint.handle_link_lost(now, link);
        self.run(now);
    }

    /// Takes the completion of a store request.
    pub fn handle_stored(&mut self, now: Now, done: StoreDone) {
        self.endpoint.handle_stored(now, done);
        self.desk.wake_watching();
        self.run(now);
    }

    /// Handles a deadline that has passed. Early or late calls do no harm.
    pub fn handle_timeout(&mut self, now: Now) {
        self.endpoint.handle_timeout(now);
        self.run(now);
    }

    /// Submits a request. [`Self::poll_answer`] returns its one answer under the returned ticket.
    pub fn request(&mut self, now: Now, request: Request) -> Ticket {
        self.request_as(now, None, request)
    }

    /// Submits a request on behalf of an actor, whose rights are limited.
    pub fn request_as(&mut self, now: Now, actor: Option<Arc<Actor>>, request: Request) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        if let Some(actor) = actor.filter(|_| self.failed.is_none()) {
            self.desk.actors.insert(ticket, actor);
        }
        match &self.failed {
            Some(error) => self.answers.push_back((ticket, Answer::Failed(error.clone().into()))),
            None => self.waiting.push_back((ticket, request)),
        }
        self.run(now);
        ticket
    }

    /// Starts the indexes now, so that they follow all later changes even before a query uses one.
    pub fn follow_indexes(&mut self, now: Now) {
        let ticket = indexer::INDEXER;
        Context { endpoint: &mut self.endpoint, desk: &mut self.desk, now, ticket }.start_indexes();
        self.run(now);
    }

    /// Cancels a request: it gets no answer. Writes that it has made remain.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.waiting.retain(|(waiting, _)| *waiting != ticket);
        self.desk.actors.remove(&ticket);
        self.answers.retain(|(answered, _)| *answered != ticket);
        if self.tasks.remove(&ticket).is_some() {
            self.end_request(ticket);
            self.run(self.now);
        }
    }

    /// Returns the next answer.
    pub fn poll_answer(&mut self) -> Option<(Ticket, Answer)> {
        self.answers.pop_front()
    }

    /// Appends bytes to send on a link to `out`, about one transport message. Returns whether there were any.
    pub fn poll_transmit(&mut self, now: Now, link: LinkId, out: &mut Vec<u8>) -> bool {
        self.endpoint.poll_transmit(now, link, out)
    }

    /// Returns the next request for the store.
    pub fn poll_store(&mut self) -> Option<StoreRequest> {
        self.endpoint.poll_store()
    }

    /// Returns the next deadline, at which to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.endpoint.poll_timeout()
    }

    /// Returns the next event of the endpoint that the database does not handle itself.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.run(self.now);
        self.events.pop_front()
    }

    /// Returns the next changed document. Several changes of one document that nobody polled yet are reported once.
    /// Above a limit of waiting documents, the oldest are dropped.
    pub fn poll_changed(&mut self) -> Option<Changed> {
        let (doc, here) = self.desk.pop_changed()?;
        let space = self.endpoint.space_of(doc.partition)?;
        Some(Changed { partition: doc.partition, space, doc: doc.doc, here })
    }

    /// Runs all requests that can advance, until none can.
    fn run(&mut self, now: Now) {
        self.now = self.now.max(now);
        loop {
            while let Some(event) = self.endpoint.poll_event() {
                self.handle_event(event);
            }
            let (ticket, wake) = match self.desk.ready.pop_front() {
                Some(next) => next,
                None if self.tasks.len() - self.desk.resting.len() <= TASKS_MAX => match self.waiting.pop_front() {
                    Some((ticket, request)) => {
                        let is_guarded = self.desk.actors.contains_key(&ticket);
                        let task = if is_guarded { guard::guarded(request) } else { task_of(request) };
                        self.tasks.insert(ticket, task);
                        (ticket, Wake::Start)
                    }
                    None if self.pay_indexes() => continue,
                    None => break,
                },
                None => break,
            };
            let Some(task) = self.tasks.get_mut(&ticket) else { continue };
            if let Wake::Opened(doc) = wake
                && !self.endpoint.is_open(doc)
            {
                // It is read again already, and open once that is done.
                self.desk.await_opened(ticket, doc);
                continue;
            }
            let mut cx = Context { endpoint: &mut self.endpoint, desk: &mut self.desk, now: self.now, ticket };
            let answer = task.run(&mut cx, wake).unwrap_or_else(|error| Some(Answer::Failed(error)));
            // The indexer ends only if it cannot advance although nothing failed; it starts again.
            if ticket == indexer::INDEXER && answer.is_some() {
                *task = Box::<indexer::Indexer>::default();
                self.desk.indexer_idle = true;
                continue;
            }
            if let Some(answer) = answer {
                self.tasks.remove(&ticket);
                self.end_request(ticket);
                self.answers.push_back((ticket, answer));
            }
        }
    }

    /// Schedules the indexes' pending documents that are now wholly read. Returns whether the indexer got work.
    fn pay_indexes(&mut self) -> bool {
        if !self.desk.indexer_idle {
            return false;
        }
        let pending: Vec<_> = self.desk.indexes.pending().filter(|doc| self.endpoint.is_current(*doc)).collect();
        pending.iter().for_each(|doc| self.desk.indexes.note(*doc));
        self.desk.wake_indexer();
        // With no index left, no document is pending.
        !self.desk.indexer_idle
    }

    /// Frees the resources of an ended request.
    fn end_request(&mut self, ticket: Ticket) {
        let mut cx = Context { endpoint: &mut self.endpoint, desk: &mut self.desk, now: self.now, ticket };
        cx.release();
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Opened { doc, changed, .. } => {
                self.desk.opened(doc);
                if changed {
                    self.desk.changed(doc, false);
                }
            }
            Event::Changed { doc } => self.desk.changed(doc, false),
            // Told on, too: others may have written through the endpoint.
            Event::Committed { commits } => {
                self.desk.committed(&commits, true);
                self.events.push_back(Event::Committed { commits });
            }
            Event::EditsFailed { commits } => {
                self.desk.committed(&commits, false);
                self.events.push_back(Event::EditsFailed { commits });
            }
            Event::Read { id, result } => self.desk.read(id, result),
            Event::StoreFailed { error } => {
                self.fail(&error);
                self.events.push_back(Event::StoreFailed { error });
            }
            event @ (Event::PeerUp { .. }
            | Event::Twice { .. }
            | Event::Close { .. }
            | Event::Joined { .. }
            | Event::Admitted { .. }
            | Event::SpaceChanged { .. }
            | Event::Retired { .. }
            | Event::Forked { .. }
            | Event::Republished { .. }
            | Event::Mismatch { .. }) => self.events.push_back(event),
        }
    }

    /// Handles the failure of the endpoint: it acknowledges nothing more, so all requests fail.
    fn fail(&mut self, error: &StoreError) {
        self.failed = Some(error.clone());
        self.tasks.remove(&indexer::INDEXER);
        let tickets = self.tasks.keys().copied().chain(self.waiting.iter().map(|(ticket, _)| *ticket));
        let answers = tickets.map(|ticket| (ticket, Answer::Failed(RequestError::Store(error.clone()))));
        self.answers.extend(answers);
        self.tasks.clear();
        self.waiting.clear();
        self.desk.actors.clear();
        self.desk.ready.clear();
        self.desk.resting.clear();
    }
}

impl Driven for Database {
    fn handle_timeout(&mut self, now: Now) {
        Self::handle_timeout(self, now);
    }

    fn poll_store(&mut self) -> Option<StoreRequest> {
        Self::poll_store(self)
    }

    fn poll_transmit(&mut self, now: Now, link: LinkId, out: &mut Vec<u8>) -> bool {
        Self::poll_transmit(self, now, link, out)
    }

    fn poll_event(&mut self) -> Option<Event> {
        Self::poll_event(self)
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        Self::poll_timeout(self)
    }

    fn links(&self) -> Vec<LinkId> {
        self.endpoint.links()
    }
}

fn task_of(request: Request) -> Box<dyn Task> {
    match request {
        Request::Write { partition, intents, once } => Box::new(write::Write::new(partition, intents).once(once)),
        Request::WriteOne { partition, intent, once } => {
            let write = write::Write::one(partition, intent.target, intent.action, intent.condition);
            Box::new(write.once(once))
        }
        Request::Put { partition, collection, key, value, texts } => {
            let target = match key {
                Some(key) => Target::Named(Name::Key { collection, key }),
                None => Target::New { collection },
            };
            Box::new(write::Write::one(partition, target, Action::Put { value, texts }, Condition::None))
        }
        Request::Patch { partition, name, patch } => {
            Box::new(write::Write::one(partition, Target::Named(name), Action::Patch(patch), Condition::None))
        }
        Request::Change { partition, name, changes, seen, durable } => {
            Box::new(write::Write::change(partition, name, changes, seen, durable))
        }
        Request::Delete { partition, name } => {
            Box::new(write::Write::one(partition, Target::Named(name), Action::Delete, Condition::None))
        }
        Request::At { partition, name, version } => {
            Box::new(versions::Versions::new(partition, name, versions::Question::At(version)))
        }
        Request::Diff { partition, name, from, to } => {
            Box::new(versions::Versions::new(partition, name, versions::Question::Diff(from, to)))
        }
        Request::Conflicts { partition, name } => {
            Box::new(versions::Versions::new(partition, name, versions::Question::Conflicts))
        }
        Request::Hold { partition, name, hold } => Box::new(read::Holding::new(partition, name, hold)),
        Request::Get { partition, name } => Box::new(read::Get::new(partition, name, false)),
        Request::Look { partition, name } => Box::new(read::Get::new(partition, name, true)),
        Request::Changes { after, limit } => Box::new(read::Changes::new(after, limit)),
        Request::Page { partition, collection, after, limit, values } => {
            Box::new(list::Page::new(partition, collection, after, limit, values))
        }
        Request::Excluded { partition, name, publish } => Box::new(excluded::Excluded::new(partition, name, publish)),
        Request::History { partition, name, limit } => Box::new(explain::History::new(partition, name, limit)),
        Request::Explain { partition, name } => Box::new(explain::Explain::new(partition, name)),
        Request::ImportOpen { partition, source, meta, resume } => {
            Box::new(import::Opening::new(partition, source, meta, resume))
        }
        Request::ImportRows { import, rows, checkpoint } => Box::new(import::Rows::new(import, rows, checkpoint)),
        Request::ImportClose { import, checkpoint, meta } => Box::new(import::Closing::new(import, checkpoint, meta)),
        Request::Collections { partition } => Box::new(list::Described::collections(partition)),
        Request::Schemas { partition } => Box::new(list::Described::schemas(partition)),
        Request::Count { partition, collection, after } => Box::new(count::Count::new(partition, collection, after)),
        Request::Find { query, want } => Box::new(find::Find::new(query, want)),
        Request::Live { query, since } => Box::new(live::Watching::open(*query, since)),
        Request::LiveNext { id } => Box::new(live::Watching::next(id)),
        Request::LiveEnd { id } => Box::new(live::Ending(id)),
        Request::IndexChange { partition, collection, change } => {
            Box::new(index_ops::Changing::new(partition, collection, change))
        }
        Request::IndexList { partition, collection } => Box::new(index_ops::Listing::new(partition, collection)),
        Request::IndexCheck { partition, collection, name } => {
            Box::new(index_ops::Checking::new(partition, collection, name))
        }
        Request::Schema { partition, collection, change } => {
            Box::new(schema_ops::Changing::new(partition, collection, change))
        }
        Request::Rules { partition, collection, rules } => {
            Box::new(rules_ops::Setting::new(partition, collection, rules))
        }
        Request::Digest { partition } => Box::new(list::Digest::new(partition)),
    }
}

/// Returns whether a document of the reserved collection describes a collection.
fn is_described(collection: &str) -> bool {
    collection != COLLECTIONS
}

#[cfg(test)]
mod tests;
