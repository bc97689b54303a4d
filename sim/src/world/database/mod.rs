//! Databases on peers: what is asked of them, and what becomes of their answers.

mod answer;
mod app;
mod bound;
mod check;
mod content;
mod feed;
mod finding;
mod follow;
mod question;

pub(super) use feed::Feed;
pub(super) use follow::Follow;

use super::World;
use crate::coverage::{Mark, Point};
use crate::plan::{self, Ask};
use crate::random::purpose;
use bytes::Bytes;
use content::{Place, Values, index, key_of, texts};
use cosmicsync_data::collection::CollectionMeta;
use cosmicsync_data::database::ask::IndexChange;
use cosmicsync_data::database::request::{
    Action, Answer, Condition, ImportId, Intent, Name, Request, Row, Target, Ticket,
};
use cosmicsync_data::database::schema_ops::SchemaChange;
use cosmicsync_data::index::define::Fields;
use cosmicsync_data::rules::Actor;
use cosmicsync_data::schema::Schema;
use cosmicsync_protocol::crdt::{Change, Step};
use cosmicsync_protocol::ids::{DocId, DocRef, PartNo};
use cosmicsync_protocol::storage::Table;
use cosmicsync_protocol::sync::SpaceNo;
use cosmicsync_protocol::testkit::store::MemStore;
use finding::Finding;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

/// So many documents have numbers.
pub(crate) const DOCS: u32 = 12;

/// Requests that a process has not answered.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    open: BTreeMap<Ticket, Asked>,
    /// Answers that an oracle waits for.
    told: BTreeMap<Ticket, Answer>,
    held: BTreeSet<u32>,
    /// Documents with edits that may not be durable though their writes were answered.
    gathered: BTreeSet<DocRef>,
    /// Reads of its store that oracles had carried out.
    rested: u64,
}

/// Something that was asked.
#[derive(Debug)]
enum Asked {
    /// A write of documents, and whether its answer says that it is durable.
    Write(Vec<DocRef>, bool),
    /// The beginning of an import, and the rows that it will store.
    Import(Place, Vec<Row>),
    /// The storing of its rows.
    Rows(Place, ImportId),
    /// A change of indexes, or of what is held.
    Change,
    Find(Box<Finding>),
    /// Changes after a number, up to a limit.
    Changes(u64, usize),
    /// A document, read for a reported change.
    Look(Box<feed::Look>),
    /// More of the live query with this number.
    Live(u32),
    /// A request of an oracle.
    Probe,
    /// A request of an oracle in the name of a client whom rules bind. It may be refused.
    ProbeBound,
}

impl Asked {
    /// The documents that it writes, if it does.
    fn written(&self) -> Option<&[DocRef]> {
        if let Self::Write(docs, _) = self { Some(docs) } else { None }
    }
}

/// Documents of stores, by the rows that decide them: most commits change none of these.
#[derive(Debug, Default)]
pub(super) struct Found(BTreeMap<([u8; 32], PartNo), Rc<Docs>>);

impl World<'_> {
    /// The partition and the name of a collection; none if the peer does not know the partition yet.
    fn find_place(&self, peer: usize, place: Place) -> Option<PartNo> {
        let alive = self.nodes[peer].alive.as_deref()?;
        alive.endpoint.partition(SpaceNo(0), &super::partition_name(place.partition))
    }

    fn find_doc(&self, peer: usize, number: u32) -> Option<(DocRef, Place)> {
        let place = Place::of(self.plan.partitions, number);
        let partition = self.find_place(peer, place)?;
        let endpoint = &self.nodes[peer].alive.as_deref()?.endpoint;
        let collection = endpoint.collection_id(SpaceNo(0), place.collection)?;
        let doc = endpoint.doc_id_for_key(SpaceNo(0), &collection, &key_of(number))?;
        Some((DocRef { partition, doc }, place))
    }

    /// Carries out an action on a database. Returns whether it is done with.
    pub(super) fn try_ask(&mut self, peer: usize, action: usize, what: &Ask) -> bool {
        let id = u64::from(self.plan.actions[action].id);
        let mut values = Values::of(self.keyed, id);
        let place = |number: u32| Place::of(self.plan.partitions, number);
        match what {
            Ask::Put { doc }
            | Ask::Patch { doc }
            | Ask::Gather { doc }
            | Ask::Delete { doc }
            | Ask::Undelete { doc } => self.write_doc(peer, what, *doc, &mut values),
            Ask::Both { docs } => self.write_both(peer, *docs, &mut values),
            Ask::Hold { doc, on } => self.hold_doc(peer, *doc, *on),
            Ask::Import { place: at, docs } => self.import_docs(peer, place(*at), *docs, id, &mut values),
            Ask::Index { place: at, index, change } => self.change_index(peer, place(*at), *index, *change),
            Ask::Schema { place: at, schema } => self.change_schema(peer, place(*at), *schema),
            Ask::Rules { place: at, rules } => self.change_rules(peer, place(*at), *rules),
            Ask::Find { place: at, index } => self.begin_finding(peer, place(*at), *index, false, &mut values),
            Ask::FindBound { place: at } => self.begin_finding(peer, place(*at), None, true, &mut values),
            Ask::Follow { place: at } => self.follow(peer, action, place(*at), false, &mut values),
            Ask::FollowBound { place: at } => self.follow(peer, action, place(*at), true, &mut values),
            Ask::Feed { limit } => self.read_feed(peer, *limit as usize),
            Ask::Unfollow => self.unfollow(peer),
            Ask::Step => self.take_step(peer, id),
            Ask::Check => {
                self.check_database(peer, id);
                true
            }
        }
    }

    /// Asks something of a peer's database.
    fn ask(&mut self, peer: usize, asked: Asked, request: Request) -> Option<Ticket> {
        self.ask_as(peer, None, asked, request)
    }

    /// Asks something of a peer's database in somebody's name.
    fn ask_as(&mut self, peer: usize, actor: Option<Arc<Actor>>, asked: Asked, request: Request) -> Option<Ticket> {
        if let Asked::Write(docs, _) = &asked {
            self.loosen(peer, docs);
        }
        let ticket =
            self.call(peer, |alive, now| Some(alive.endpoint.database()?.request_as(now, actor, request)))??;
        self.point(peer, Point::Asked, None, &ticket.0.to_le_bytes());
        self.nodes[peer].alive.as_deref_mut()?.desk.open.insert(ticket, asked);
        Some(ticket)
    }

    fn write_doc(&mut self, peer: usize, what: &Ask, number: u32, values: &mut Values) -> bool {
        let Some((doc, place)) = self.find_doc(peer, number) else { return false };
        let (partition, collection) = (doc.partition, place.collection.to_owned());
        let name = Name::Key { collection: collection.clone(), key: key_of(number) };
        let undelete =
            || Intent { target: Target::Named(name.clone()), action: Action::Undelete, condition: Condition::None };
        let gather = |values: &mut Values| {
            let path = vec![Step::from(values.pick(&["a", "b"]))];
            vec![Change::Set { path, value: values.member(10) }]
        };
        let request = match what {
            Ask::Put { .. } => Request::Put {
                partition,
                collection,
                key: Some(key_of(number)),
                value: values.document(),
                texts: texts(),
            },
            Ask::Patch { .. } => Request::Patch { partition, name, patch: values.patch() },
            Ask::Gather { .. } => {
                if let Some(alive) = self.nodes[peer].alive.as_deref_mut() {
                    alive.desk.gathered.insert(doc);
                }
                Request::Change { partition, name, changes: gather(values), seen: None, durable: false }
            }
            Ask::Delete { .. } => Request::Delete { partition, name },
            Ask::Undelete { .. } => Request::WriteOne { partition, intent: undelete(), once: None },
            Ask::Both { .. }
            | Ask::Hold { .. }
            | Ask::Import { .. }
            | Ask::Index { .. }
            | Ask::Schema { .. }
            | Ask::Rules { .. }
            | Ask::Find { .. }
            | Ask::FindBound { .. }
            | Ask::Follow { .. }
            | Ask::FollowBound { .. }
            | Ask::Feed { .. }
            | Ask::Unfollow
            | Ask::Step
            | Ask::Check => return true,
        };
        let is_durable = !matches!(what, Ask::Gather { .. });
        self.ask(peer, Asked::Write(vec![doc], is_durable), request);
        true
    }

    fn write_both(&mut self, peer: usize, numbers: [u32; 2], values: &mut Values) -> bool {
        let [Some((first, one)), Some((second, other))] = numbers.map(|number| self.find_doc(peer, number)) else {
            return false;
        };
        let mut intent = |place: Place, number: u32| Intent {
            target: Target::Named(Name::Key { collection: place.collection.to_owned(), key: key_of(number) }),
            action: Action::Put { value: values.document(), texts: texts() },
            condition: Condition::None,
        };
        let intents = vec![intent(one, numbers[0]), intent(other, numbers[1])];
        let request = Request::Write { partition: first.partition, intents, once: None };
        self.ask(peer, Asked::Write(vec![first, second], true), request);
        true
    }

    fn hold_doc(&mut self, peer: usize, number: u32, on: bool) -> bool {
        let Some((doc, place)) = self.find_doc(peer, number) else { return false };
        let name = Name::Key { collection: place.collection.to_owned(), key: key_of(number) };
        if let Some(alive) = self.nodes[peer].alive.as_deref_mut() {
            alive.desk.held.insert(number);
            if on {
                alive.desk.gathered.insert(doc);
            }
        }
        self.loosen(peer, &[doc]);
        self.ask(peer, Asked::Change, Request::Hold { partition: doc.partition, name, hold: on });
        true
    }

    /// Lets everything in again that is held back.
    pub(super) fn release_docs(&mut self, peer: usize) {
        let Some(alive) = self.nodes[peer].alive.as_deref_mut() else { return };
        for number in core::mem::take(&mut alive.desk.held) {
            self.hold_doc(peer, number, false);
        }
        if let Some(alive) = self.nodes[peer].alive.as_deref_mut() {
            alive.desk.held.clear();
        }
    }

    fn import_docs(&mut self, peer: usize, place: Place, docs: u32, id: u64, values: &mut Values) -> bool {
        let Some(partition) = self.find_place(peer, place) else { return false };
        let row = |nth| Row { key: Some(format!("i{id}-{nth}")), value: values.document(), at: Default::default() };
        let rows = (0..docs).map(row).collect();
        let meta = CollectionMeta { text_paths: texts(), ..CollectionMeta::new(place.collection) };
        let request = Request::ImportOpen { partition, source: format!("file-{id}"), meta, resume: false };
        self.ask(peer, Asked::Import(place, rows), request);
        true
    }

    fn change_index(&mut self, peer: usize, place: Place, number: u32, change: plan::Change) -> bool {
        let Some(partition) = self.find_place(peer, place) else { return false };
        let (name, fields) = index(number);
        let name = name.to_owned();
        let change = match change {
            plan::Change::Create => {
                let fields = Fields::parse(fields.iter().copied()).expect("fields of an index");
                IndexChange::Create { name, fields }
            }
            plan::Change::Drop => IndexChange::Drop { name },
            plan::Change::Rebuild => IndexChange::Rebuild { name },
        };
        self.mark(Mark::IndexChanged);
        let collection = place.collection.to_owned();
        self.ask(peer, Asked::Change, Request::IndexChange { partition, collection, change });
        true
    }

    fn change_schema(&mut self, peer: usize, place: Place, number: u32) -> bool {
        let Some(partition) = self.find_place(peer, place) else { return false };
        let change = match content::schema(number) {
            Some(text) => {
                let schema = Schema::from_text(text).expect("a schema that is drawn is one");
                SchemaChange::Set { schema: Arc::new(schema), force: true, dry_run: false }
            }
            None => SchemaChange::Drop,
        };
        self.mark(Mark::SchemaChanged);
        let collection = place.collection.to_owned();
        self.ask(peer, Asked::Change, Request::Schema { partition, collection, change });
        true
    }

    fn change_rules(&mut self, peer: usize, place: Place, number: u32) -> bool {
        let Some(partition) = self.find_place(peer, place) else { return false };
        let (rules, collection) = (bound::rules(number), place.collection.to_owned());
        self.ask(peer, Asked::Change, Request::Rules { partition, collection, rules });
        true
    }

    /// Has a database that starts follow its indexes, as a runtime does; now and then only once it is asked.
    pub(super) fn start_database(&mut self, peer: usize) {
        let life = u64::from(self.nodes[peer].life);
        if !self.keyed.once_in(&[purpose::ASK, peer as u64, life], 4) {
            self.call(peer, |alive, now| alive.endpoint.database().map(|database| database.follow_indexes(now)));
        }
        self.follow_again(peer);
    }
}

/// The documents of a partition by id.
type Docs = BTreeMap<DocId, cosmicsync_protocol::documents::Snapshot>;

/// Returns whether a store holds an index that is not built yet.
pub(super) fn builds_index(store: &MemStore) -> bool {
    let rows = store.rows().range((Table::Keys, Bytes::from_static(&[1]))..(Table::Keys, Bytes::from_static(&[2])));
    rows.into_iter().any(|(_, row)| row.windows(8).any(|word| word == b"Building"))
}
