//! Work of users on documents. Documents are opened when an action needs them, as a runtime does for its users.

use super::content::{BODY, DRAFT, ITEMS, Room, item, tokens_of};
use super::members::Pieces;
use super::{World, partition_name, partition_of};
use crate::coverage::{Mark, Point};
use crate::oracle::{Deed, State, ends};
use crate::plan::Act;
use crate::random::purpose;
use crate::trace::Detail;
use cosmicsync_protocol::crdt::{Change, Meta, Step, Value};
use cosmicsync_protocol::documents::{Bulk, Edit, Erasable};
use cosmicsync_protocol::endpoint::NewDoc;
use cosmicsync_protocol::ids::{DocId, DocRef};
use cosmicsync_protocol::sync::SpaceNo;

/// The collection of all documents.
pub(crate) const COLLECTION: &str = "notes";
/// First number of imported documents, times the action's id.
const IMPORTED: u64 = 1_000_000;
/// Number under which an edit's effect on members is recorded, together with its first token.
const DEED: u64 = (1 << 20) - 1;
/// Most actions that wait for their documents on one peer.
const WAITING_MAX: usize = 256;

/// Characters that people type: combining and joining ones, pairs of surrogates, right to left, and of no width.
const SIGNS: [char; 16] = [
    'a',
    'z',
    '\u{e9}',
    '\u{301}',
    '\u{200d}',
    '\u{4e2d}',
    '\u{1f600}',
    '\u{1f469}',
    '\u{1f1e9}',
    '\u{1f1ea}',
    '\u{feff}',
    '\u{5d0}',
    '\u{df}',
    '"',
    '\n',
    '\u{20000}',
];

/// A document that a user opened.
#[derive(Debug, Clone)]
pub(crate) struct OpenDoc {
    pub(crate) doc: DocRef,
    pub(crate) opened: bool,
    pub(crate) held: bool,
}

/// A prepared write: edits, and their tokens.
#[derive(Default)]
struct Draft {
    edits: Vec<(DocRef, Edit)>,
    tokens: Vec<(u64, u64)>,
    urgent: bool,
    /// The document whose members are changed, or which is deleted.
    deed: Option<(u64, u64)>,
}

/// Returns the id of a numbered document.
pub(crate) fn doc_id(number: u64) -> DocId {
    let mut id = [7; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    DocId(id)
}

/// Returns the number of a document.
pub(crate) fn number_of(doc: DocId) -> u64 {
    doc.0.first_chunk().map_or(0, |number| u64::from_be_bytes(*number))
}

fn at(key: &str) -> Vec<Step> {
    vec![Step::from(key)]
}

impl World<'_> {
    /// Carries out an action of the plan. Phase two takes none.
    pub(super) fn act(&mut self, action: usize) {
        if self.is_healing() {
            return;
        }
        let act = &self.plan.actions[action].act;
        self.tracer.acted(self.now_us, self.plan.actions[action].id);
        if act.is_fault() {
            self.stats.faults += 1;
            self.note_hit(act);
            self.fault(action);
        } else if let Some(peer) = act.peers().first() {
            self.work(*peer, action);
        } else {
            self.fault(action);
        }
    }

    fn work(&mut self, peer: usize, action: usize) {
        if self.nodes[peer].alive.is_none() || self.nodes[peer].paused_until > self.now_us {
            self.stats.missed += 1;
            return;
        }
        self.check_idle(peer);
        if !self.try_work(peer, action)
            && let Some(alive) = self.nodes[peer].alive.as_deref_mut()
            && alive.waiting.len() < WAITING_MAX
        {
            alive.waiting.push(action);
        }
        self.turn(peer);
    }

    /// Tries waiting actions again, if something came that they may have waited for. Returns whether the core was
    /// called.
    pub(super) fn retry_work(&mut self, peer: usize) -> bool {
        let Some(alive) = self.nodes[peer].alive.as_deref_mut() else { return false };
        if !core::mem::take(&mut alive.retry) || alive.waiting.is_empty() {
            return false;
        }
        let waiting = core::mem::take(&mut alive.waiting);
        let left: Vec<usize> = waiting.into_iter().filter(|action| !self.try_work(peer, *action)).collect();
        if let Some(alive) = self.nodes[peer].alive.as_deref_mut() {
            alive.waiting = left;
        }
        true
    }

    /// Tries an action. Returns whether it is finished, successful or not.
    #[expect(clippy::wildcard_enum_match_arm, reason = "each function looks at its own kinds of actions")]
    fn try_work(&mut self, peer: usize, action: usize) -> bool {
        let plan = self.plan;
        let act = &plan.actions[action].act;
        match act {
            Act::Snapshot { .. } => {
                self.nodes[peer].snapshot = Some(self.copy(peer));
                true
            }
            Act::Bodies { bodies, .. } => {
                self.nodes[peer].bodies = *bodies;
                self.restore_bodies(peer);
                true
            }
            Act::Import { docs, bytes, .. } => self.import(peer, action, *docs, *bytes),
            Act::Open { doc, .. } => self.open(peer, u64::from(*doc)).is_some(),
            Act::Close { doc, .. } => {
                self.close_doc(peer, u64::from(*doc));
                true
            }
            Act::Hold { doc, on, .. } => self.hold(peer, u64::from(*doc), *on),
            Act::Ask { what, .. } => self.try_ask(peer, action, what),
            _ => {
                let Some(draft) = self.draft(peer, action) else { return false };
                self.write(peer, draft);
                true
            }
        }
    }

    /// Returns a peer's reference to a document; `None` if the peer does not know its partition yet.
    pub(crate) fn doc_ref(&self, peer: usize, number: u64) -> Option<DocRef> {
        let alive = self.nodes[peer].alive.as_deref()?;
        let name = partition_name(partition_of(self.plan.partitions, number));
        let partition = alive.endpoint.partition(SpaceNo(0), &name)?;
        Some(DocRef { partition, doc: doc_id(number) })
    }

    /// Opens a document. `None` until it is open.
    fn open(&mut self, peer: usize, number: u64) -> Option<DocRef> {
        let doc = self.doc_ref(peer, number)?;
        let alive = self.nodes[peer].alive.as_deref_mut()?;
        if let Some(open) = alive.docs.get(&number) {
            return open.opened.then_some(doc);
        }
        alive.docs.insert(number, OpenDoc { doc, opened: false, held: false });
        self.call(peer, |alive, now| alive.endpoint.open(now, doc));
        None
    }

    fn close_doc(&mut self, peer: usize, number: u64) {
        let Some(alive) = self.nodes[peer].alive.as_deref_mut() else { return };
        if let Some(open) = alive.docs.remove(&number) {
            self.model.forget(peer, number);
            self.call(peer, |alive, now| alive.endpoint.close(now, open.doc));
        }
    }

    fn hold(&mut self, peer: usize, number: u64, on: bool) -> bool {
        let Some(doc) = self.open(peer, number) else { return false };
        self.call(peer, |alive, now| {
            let hold = on.then(|| alive.endpoint.seen(doc));
            alive.endpoint.hold(now, doc, hold);
            if let Some(open) = alive.docs.get_mut(&number) {
                open.held = on;
            }
        });
        true
    }

    /// Returns the content of an open document; `None` if it does not exist.
    fn state(&mut self, peer: usize, doc: DocRef) -> Option<State> {
        self.call(peer, |alive, _| {
            let snapshot = alive.endpoint.view(doc)?;
            let replica = alive.endpoint.replica(doc)?;
            let (version, by) = (replica.version().clone(), replica.peer());
            Some(State { value: snapshot.value, deleted: snapshot.meta.deleted, version, by })
        })?
    }

    /// Returns the value of an open document; `None` if it does not exist.
    fn value(&mut self, peer: usize, doc: DocRef) -> Option<Value> {
        Some(self.call(peer, |alive, _| alive.endpoint.view(doc))??.value)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "each function looks at its own kinds of actions")]
    fn draft(&mut self, peer: usize, action: usize) -> Option<Draft> {
        let plan = self.plan;
        let id = u64::from(plan.actions[action].id);
        let key = |part: u64| [purpose::PLACE, id, part];
        let one = |edit: (DocRef, Edit)| Draft { edits: vec![edit], ..Draft::default() };
        match &plan.actions[action].act {
            Act::Create { doc: number, items, .. } => {
                let number = u64::from(*number);
                let doc = self.open(peer, number)?;
                let token = id << 20;
                let space = SpaceNo(0);
                let collection = self.call(peer, |alive, _| alive.endpoint.collection_id(space, COLLECTION))??;
                let edit = Edit::Create { collection, meta: meta(), value: self.note(token, 0, *items) };
                Some(Draft { tokens: vec![(number, token)], urgent: true, ..one((doc, edit)) })
            }
            Act::Insert { doc: number, urgent, bytes, .. } => {
                let number = u64::from(*number);
                let doc = self.open(peer, number)?;
                let edit = self.insert(peer, doc, id << 20, *bytes)?;
                Some(Draft { tokens: vec![(number, id << 20)], urgent: *urgent, ..one((doc, edit)) })
            }
            Act::Item { doc: number, .. } => {
                let number = u64::from(*number);
                let doc = self.open(peer, number)?;
                let edit = self.add_item(peer, doc, id << 20)?;
                Some(Draft { tokens: vec![(number, id << 20)], ..one((doc, edit)) })
            }
            Act::Both { docs, .. } => {
                let docs = docs.map(u64::from);
                let [first, second] = docs.map(|number| self.open(peer, number));
                let (first, second) = (first?, second?);
                let edits = vec![
                    (first, self.insert(peer, first, id << 20, 0)?),
                    (second, self.insert(peer, second, (id << 20) + 1, 0)?),
                ];
                let tokens = vec![(docs[0], id << 20), (docs[1], (id << 20) + 1)];
                Some(Draft { edits, tokens, ..Draft::default() })
            }
            Act::Scribble { doc, delete, insert, whole, .. } => {
                let doc = self.open(peer, u64::from(*doc))?;
                let value = self.value(peer, doc)?;
                let len = value.entry(DRAFT).and_then(Value::as_text).map_or(0, |text| text.chars().count());
                let from = self.keyed.below(&key(0), len as u64 + 1) as usize;
                let delete = (*delete as usize).min(len - from);
                let insert = self.padding(id, *insert);
                let change = if *whole {
                    self.mark(Mark::Rewritten);
                    let text = value.entry(DRAFT).and_then(Value::as_text).unwrap_or_default();
                    let (head, tail) = (text.chars().take(from), text.chars().skip(from + delete));
                    let text: String = head.chain(insert.chars()).chain(tail).collect();
                    Change::Set { path: at(DRAFT), value: Value::from(text) }
                } else {
                    Change::Splice { path: at(DRAFT), at: from, delete, insert }
                };
                Some(one((doc, Edit::Apply(vec![change]))))
            }
            Act::Set { doc, field, value, remove, .. } => {
                let doc = self.open(peer, u64::from(*doc))?;
                let field = format!("field-{field}");
                let change = if *remove && self.value(peer, doc)?.entry(&field).is_some() {
                    self.mark(Mark::FieldRemoved);
                    Change::Remove { path: at(&field) }
                } else {
                    self.value(peer, doc)?;
                    Change::Set { path: at(&field), value: Value::from(*value) }
                };
                Some(one((doc, Edit::Apply(vec![change]))))
            }
            Act::Delete { doc: number, deleted, .. } => {
                let number = u64::from(*number);
                let doc = self.open(peer, number)?;
                self.value(peer, doc)?;
                let deed = Some((number, (id << 20) + DEED));
                Some(Draft { urgent: true, deed, ..one((doc, Edit::SetDeleted(*deleted))) })
            }
            Act::Make { doc: number, .. } => {
                let number = u64::from(*number);
                let doc = self.open(peer, number)?;
                if self.value(peer, doc).is_some() {
                    return Some(Draft::default());
                }
                let (token, space) = (id << 20, SpaceNo(0));
                let collection = self.call(peer, |alive, _| alive.endpoint.collection_id(space, COLLECTION))??;
                let members = self.new_members(id).into_iter().map(|(key, value)| (key.to_owned(), value));
                let note = self.note(token, 0, false);
                let value = Value::Map(
                    note.as_map().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).chain(members).collect(),
                );
                let edit = Edit::Create { collection, meta: meta(), value };
                let deed = Some((number, token + DEED));
                Some(Draft { tokens: vec![(number, token)], urgent: true, deed, ..one((doc, edit)) })
            }
            Act::Member { doc: number, path, how, .. } => {
                let number = u64::from(*number);
                let doc = self.open(peer, number)?;
                let value = self.value(peer, doc)?;
                let Some(change) = self.change_member(id, number, &value, path, *how) else {
                    return Some(Draft::default());
                };
                let deed = Some((number, (id << 20) + DEED));
                Some(Draft { deed, ..one((doc, Edit::Apply(vec![change]))) })
            }
            _ => None,
        }
    }

    fn room(&mut self, peer: usize, doc: DocRef) -> Option<Room> {
        let mut room = Room::default();
        room.find(&self.value(peer, doc)?, &[]);
        Some(room)
    }

    /// Inserts a token between others, in the document's text or an item's.
    fn insert(&mut self, peer: usize, doc: DocRef, token: u64, bytes: u32) -> Option<Edit> {
        let mut room = self.room(peer, doc)?;
        let text = self.keyed.below(&[purpose::PLACE, token, 1], room.texts.len() as u64) as usize;
        let (path, text) = room.texts.swap_remove(text);
        let places: Vec<usize> = core::iter::once(0)
            .chain((1..).zip(text.chars()).filter(|(_, c)| *c == '>').map(|(next, _)| next))
            .collect();
        let place = self.keyed.below(&[purpose::PLACE, token], places.len() as u64) as usize;
        let insert = self.word(token, bytes);
        Some(Edit::Apply(vec![Change::Splice { path, at: places[place], delete: 0, insert }]))
    }

    /// Adds an item with a token to a list, or a token to a text if there is no list.
    fn add_item(&mut self, peer: usize, doc: DocRef, token: u64) -> Option<Edit> {
        let mut room = self.room(peer, doc)?;
        if room.lists.is_empty() {
            return self.insert(peer, doc, token, 0);
        }
        let draw = |part, bound: usize| self.keyed.below(&[purpose::PLACE, token, part], bound as u64) as usize;
        let (path, len) = room.lists.swap_remove(draw(1, room.lists.len()));
        let (index, alone) = (draw(2, len + 1), draw(3, 3) == 0);
        let values = vec![item(&path, self.word(token, 0), alone)];
        Some(Edit::Apply(vec![Change::Insert { path, index, values }]))
    }

    fn note(&self, token: u64, bytes: u32, items: bool) -> Value {
        let texts =
            [("title", "SECRET-title".to_owned()), (BODY, self.word(token, bytes)), (DRAFT, "a draft ".to_owned())];
        let items = items.then(|| (ITEMS, Value::List(Vec::new())));
        texts.map(|(key, text)| (key, Value::from(text))).into_iter().chain(items).collect()
    }

    /// Returns a token as it is typed.
    fn word(&self, token: u64, bytes: u32) -> String {
        format!("<SECRET-{token}:{}>", self.padding(token, bytes))
    }

    /// Returns letters that do not compress well.
    fn padding(&self, key: u64, letters: u32) -> String {
        if self.plan.core.unicode {
            let letter = |at| SIGNS[self.keyed.below(&[purpose::PADDING, key, at], SIGNS.len() as u64) as usize];
            return (0..u64::from(letters)).map(letter).collect();
        }
        let letter = |at| char::from(b'a' + self.keyed.below(&[purpose::PADDING, key, at], 26) as u8);
        (0..u64::from(letters)).map(letter).collect()
    }

    fn write(&mut self, peer: usize, draft: Draft) {
        let Draft { edits, tokens, urgent, deed } = draft;
        if edits.is_empty() {
            return;
        }
        let states: Vec<Option<State>> = edits.iter().map(|(doc, _)| self.state(peer, *doc)).collect();
        let mut deps = Vec::new();
        for ((number, token), (doc, edit)) in tokens.iter().zip(&edits) {
            let before = match edit {
                Edit::Create { .. } => None,
                Edit::Apply(_) | Edit::SetDeleted(_) | Edit::Undo { .. } => self.value(peer, *doc),
            };
            deps.push((*number, *token, before.as_ref().map(tokens_of).unwrap_or_default()));
        }
        let before = deed.map(|_| self.pieces(peer, edits[0].0)).unwrap_or_default();
        let taken = self.call(peer, |alive, now| {
            let texts = alive.texts.clone();
            alive.endpoint.edit(now, &edits, &texts, urgent)
        });
        match taken {
            Some(Ok(commit)) => {
                self.stats.edits += 1;
                self.point(peer, Point::EditTaken, None, &commit.0.to_le_bytes());
                let creates = matches!(edits.first(), Some((_, Edit::Create { .. })));
                self.taken(peer, commit.0, deps, creates, urgent);
                for ((doc, edit), before) in edits.iter().zip(&states) {
                    let (number, after) = (number_of(doc.doc), self.state(peer, *doc));
                    self.check_effect(peer, number, edit, before.as_ref(), after.as_ref());
                    self.note_announced(peer, number, after.map(|state| state.version).unwrap_or_default());
                }
                if let Some(deed) = deed {
                    self.done(peer, commit.0, deed, &edits[0], &before);
                }
            }
            Some(Err(error)) => {
                self.point(peer, Point::EditRefused, None, error.to_string().as_bytes());
                self.detail(|| Detail { note: error.to_string(), ..Detail::default() });
            }
            None => {}
        }
    }

    /// Has some peer edit a document that it has open. Returns whether one did.
    pub(super) fn edit_anything(&mut self) -> bool {
        let peers = (0..self.nodes.len()).filter(|peer| self.core[*peer]);
        let open = peers.filter_map(|peer| {
            let docs = &self.nodes[peer].alive.as_deref()?.docs;
            Some((peer, docs.values().find(|open| open.opened)?.doc))
        });
        for (peer, doc) in open.collect::<Vec<_>>() {
            if self.value(peer, doc).is_some() {
                let change = Change::Set { path: at("field-0"), value: Value::from(-1) };
                let edits = vec![(doc, Edit::Apply(vec![change]))];
                self.write(peer, Draft { edits, urgent: true, ..Draft::default() });
                self.turn(peer);
                return true;
            }
        }
        false
    }

    fn taken(&mut self, peer: usize, commit: u64, tokens: Vec<(u64, u64, Vec<u64>)>, creates: bool, urgent: bool) {
        self.note_taken(peer, commit, urgent);
        if self.model.note_edit(peer, tokens.iter().map(|(doc, ..)| *doc)) {
            self.mark(Mark::Concurrent);
        }
        if let Some(alive) = self.nodes[peer].alive.as_deref_mut() {
            alive.edits.insert(commit, tokens.iter().map(|(_, token, _)| *token).collect());
        }
        self.model.taken(tokens, creates);
    }

    /// Records an edit that changed members or the whole document.
    fn done(
        &mut self,
        peer: usize,
        commit: u64,
        (number, token): (u64, u64),
        (doc, edit): &(DocRef, Edit),
        before: &Pieces,
    ) {
        let after = self.pieces(peer, *doc);
        self.check_replaced(peer, number, before, &after);
        let written = self.call(peer, |alive, _| {
            let replica = alive.endpoint.replica(*doc)?;
            Some((replica.peer(), replica.version().clone()))
        });
        let Some(Some((by, version))) = written else { return };
        let deed = Deed {
            by,
            end: version.get(&by).copied().unwrap_or(0),
            added: after.all.difference(&before.all).cloned().collect(),
            removed: before.all.difference(&after.all).cloned().collect(),
            is_unsure: false,
            makes: matches!(edit, Edit::Create { .. }),
            deletes: (*edit == Edit::SetDeleted(true)).then_some(version),
        };
        self.model.done(token, number, deed);
        if let Some(alive) = self.nodes[peer].alive.as_deref_mut() {
            alive.edits.entry(commit).or_default().push(token);
        }
    }

    fn import(&mut self, peer: usize, action: usize, docs: u32, bytes: u32) -> bool {
        let id = u64::from(self.plan.actions[action].id);
        let step = u64::from(self.plan.partitions + 1);
        let number = |nth: u64| id * IMPORTED + nth * step;
        let Some(partition) = self.doc_ref(peer, number(0)).map(|doc| doc.partition) else { return false };
        let count = u64::from(docs);
        let new =
            |nth| NewDoc { doc: doc_id(number(nth)), meta: meta(), value: self.note((id << 20) + nth, bytes, false) };
        let new: Vec<NewDoc> = (0..count).map(new).collect();
        let written = self.call(peer, |alive, now| {
            let endpoint = &mut alive.endpoint;
            let collection = endpoint.collection_id(SpaceNo(0), COLLECTION)?;
            let log = endpoint.bulk_open(now, partition).ok()?;
            let texts = alive.texts.clone();
            let erasable = if count % 2 == 0 { Erasable::Together } else { Erasable::Alone };
            let unknown = (count % 3 > 0).then(|| endpoint.moment());
            let dictionary = b"SECRET-title a draft";
            let bulk = Bulk { collection, docs: &new, texts: &texts, dictionary, erasable, unknown };
            let commit = endpoint.bulk_append(now, log, &bulk, Vec::new());
            endpoint.bulk_close(now, log);
            commit.ok()
        });
        if let Some(Some(commit)) = written {
            self.stats.edits += 1;
            self.point(peer, Point::EditTaken, None, &commit.0.to_le_bytes());
            let tokens = (0..count).map(|nth| (number(nth), (id << 20) + nth, Vec::new())).collect();
            self.taken(peer, commit.0, tokens, true, true);
        } else {
            self.point(peer, Point::EditRefused, None, b"import");
        }
        true
    }

    /// Handles the opening of a document. Returns whether the core was called.
    pub(super) fn opened(&mut self, peer: usize, doc: DocRef) -> bool {
        let number = number_of(doc.doc);
        let Some(alive) = self.nodes[peer].alive.as_deref_mut() else { return false };
        alive.retry = true;
        if let Some(open) = alive.docs.get_mut(&number) {
            open.opened = true;
        }
        self.watch(peer, number);
        false
    }

    /// Handles the change of a document. Returns whether the core was called.
    pub(super) fn changed(&mut self, peer: usize, doc: DocRef) -> bool {
        if let Some(alive) = self.nodes[peer].alive.as_deref_mut() {
            alive.retry = true;
        }
        self.watch(peer, number_of(doc.doc));
        false
    }

    /// Handles the report that an edit is durable.
    pub(super) fn acked(&mut self, peer: usize, commit: u64) {
        let life = self.nodes[peer].life;
        self.check_verdict(peer, commit);
        self.check_in_time(peer, commit);
        let Some(alive) = self.nodes[peer].alive.as_deref_mut() else { return };
        let Some(tokens) = alive.edits.remove(&commit) else { return };
        let within = ends(alive);
        self.stats.acked += 1;
        self.point(peer, Point::EditAcked, None, &commit.to_le_bytes());
        self.model.acked((peer, life), &tokens, &within);
        self.check_safe(peer, &tokens);
    }

    /// Handles the report that an edit is lost.
    pub(super) fn edit_failed(&mut self, peer: usize, commit: u64) {
        self.check_verdict(peer, commit);
        let tokens = self.nodes[peer].alive.as_deref_mut().and_then(|alive| alive.edits.remove(&commit));
        if tokens.is_some() {
            self.point(peer, Point::EditFailed, None, &commit.to_le_bytes());
        }
    }
}

fn meta() -> Meta {
    Meta { collection: Some(COLLECTION.to_owned()), ..Meta::default() }
}
