//! The database: documents in collections over an [`Endpoint`], sans-IO like it.
//!
//! A [`Database`] wraps the endpoint: inputs pass through it, and each [`Request`] is a small state machine that goes
//! on when the endpoint tells of what it waits for. A bounded number is under way at a time; the others wait in order.
//! It adds no storage format beyond the rows of imports and the descriptions of collections, never opens a link, and
//! leaves users, spaces and partitions to the endpoint's own commands. Specified in `spec/documents.md`, section 10.

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
mod list;
mod live;
mod read;
pub mod request;
mod rules_ops;
pub mod schema_ops;
mod sink;
mod sizes;
mod source;
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
use request::{Action, Answer, Changed, Condition, Name, Request, RequestError, Target, Ticket};
pub use sizes::Sizes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Requests under way at a time, besides those that wait for a change.
const TASKS_MAX: usize = 1024;

/// Documents in collections. See the module's head.
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
    /// Takes over a recovered endpoint.
    pub fn new(endpoint: Endpoint) -> Self {
        Self::with_sizes(endpoint, Sizes::default())
    }

    /// Takes over a recovered endpoint; takes in so much at a time.
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

    /// The endpoint, for what is known of spaces, logs and links.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The endpoint, for commands: users, spaces, partitions, invites, dialling, shutting down. Its inputs and outputs
    /// must go through the database.
    pub const fn endpoint_mut(&mut self) -> &mut Endpoint {
        &mut self.endpoint
    }

    /// A connection was made: dialled by this side for a purpose, or accepted (`None`). Returns its number.
    pub fn handle_link_up(&mut self, now: Now, dial: Option<Dial>) -> LinkId {
        let link = self.endpoint.handle_link_up(now, dial);
        self.run(now);
        link
    }

    /// Bytes came on a link, cut anywhere.
    pub fn handle_bytes(&mut self, now: Now, link: LinkId, bytes: &[u8]) {
        self.endpoint.handle_bytes(now, link, bytes);
        self.run(now);
    }

    /// A connection ended, by whichever side.
    pub fn handle_link_lost(&mut self, now: Now, link: LinkId) {
        self.endpoint.handle_link_lost(now, link);
        self.run(now);
    }

    /// A store request completed.
    pub fn handle_stored(&mut self, now: Now, done: StoreDone) {
        self.endpoint.handle_stored(now, done);
        self.desk.wake_watching();
        self.run(now);
    }

    /// A deadline passed. Early or late calls do no harm.
    pub fn handle_timeout(&mut self, now: Now) {
        self.endpoint.handle_timeout(now);
        self.run(now);
    }

    /// Asks for something. [`Self::poll_answer`] answers once, under the returned ticket.
    pub fn request(&mut self, now: Now, request: Request) -> Ticket {
        self.request_as(now, None, request)
    }

    /// Asks for something on behalf of somebody to whom not everything is allowed.
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

    /// Has the indexes follow what changes from now on, before anybody asks for one.
    pub fn follow_indexes(&mut self, now: Now) {
        let ticket = indexer::INDEXER;
        Context { endpoint: &mut self.endpoint, desk: &mut self.desk, now, ticket }.start_indexes();
        self.run(now);
    }

    /// Gives a request up: no answer follows. What it wrote already stays written.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.waiting.retain(|(waiting, _)| *waiting != ticket);
        self.desk.actors.remove(&ticket);
        self.answers.retain(|(answered, _)| *answered != ticket);
        if self.tasks.remove(&ticket).is_some() {
            self.let_go(ticket);
            self.run(self.now);
        }
    }

    /// The next answer.
    pub fn poll_answer(&mut self) -> Option<(Ticket, Answer)> {
        self.answers.pop_front()
    }

    /// Appends bytes that a link should send, about one transport message; returns whether there were any.
    pub fn poll_transmit(&mut self, now: Now, link: LinkId, out: &mut Vec<u8>) -> bool {
        self.endpoint.poll_transmit(now, link, out)
    }

    /// The next request for the store.
    pub fn poll_store(&mut self) -> Option<StoreRequest> {
        self.endpoint.poll_store()
    }

    /// When [`Self::handle_timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.endpoint.poll_timeout()
    }

    /// The next event of the endpoint that is none of the database's own business.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.run(self.now);
        self.events.pop_front()
    }

    /// The next document that changed. Changes of one document that were not polled yet are told once; of very many
    /// documents only the latest are told.
    pub fn poll_changed(&mut self) -> Option<Changed> {
        let (doc, here) = self.desk.pop_changed()?;
        let space = self.endpoint.space_of(doc.partition)?;
        Some(Changed { partition: doc.partition, space, doc: doc.doc, here })
    }

    /// Runs the requests that can go on, until none can.
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
            // What cannot go on although nothing failed is begun again.
            if ticket == indexer::INDEXER && answer.is_some() {
                *task = Box::<indexer::Indexer>::default();
                self.desk.indexer_idle = true;
                continue;
            }
            if let Some(answer) = answer {
                self.tasks.remove(&ticket);
                self.let_go(ticket);
                self.answers.push_back((ticket, answer));
            }
        }
    }

    /// Has the indexes take in what they are owed and can be read by now. Returns whether there is any.
    fn pay_indexes(&mut self) -> bool {
        if !self.desk.indexer_idle {
            return false;
        }
        let owed: Vec<_> = self.desk.indexes.owed().filter(|doc| self.endpoint.is_current(*doc)).collect();
        owed.iter().for_each(|doc| self.desk.indexes.note(*doc));
        self.desk.wake_indexer();
        // Where no index is left nothing is owed.
        !self.desk.indexer_idle
    }

    /// Frees what a request held that ended.
    fn let_go(&mut self, ticket: Ticket) {
        let mut cx = Context { endpoint: &mut self.endpoint, desk: &mut self.desk, now: self.now, ticket };
        cx.let_go();
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

    /// The endpoint acknowledges nothing any more, so no request will ever go on.
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
