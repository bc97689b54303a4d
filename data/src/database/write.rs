//! Changes documents: one, or several of one partition, all or none. The rules and schemas of their collections are
//! checked before anything is written. Specified in `spec/documents.md`, section 10.

mod edits;

use super::context::{Context, Task, Wake, check_collection};
use super::guard::allows;
use super::idempotency::{self, Once};
use super::request::{Action, Answer, Condition, Cut, Intent, Name, RequestError, Target, Wrote};
use crate::collection::CollectionMeta;
use crate::rules::{Deed, Rules};
use crate::schema::Schema;
use cosmicsync_protocol::crdt::{Change, TextPaths, Value};
use cosmicsync_protocol::documents::{Edit, EditError, Hold, Snapshot};
use cosmicsync_protocol::endpoint::ReadResult;
use cosmicsync_protocol::ids::{DocRef, LogId, PartNo};
use cosmicsync_protocol::storage::Op;
use edits::{edits_of, outcome};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Largest number of documents in a transaction.
pub(super) const INTENTS_MAX: usize = 256;

/// Progress of a write.
#[derive(Debug)]
enum Stage {
    /// Documents, and then the descriptions of their collections, are being opened.
    Opening,
    /// Number of commits that are not durable yet, and the outcome to answer.
    Committing { left: usize, wrote: Vec<Wrote> },
}

/// A change of documents.
#[derive(Debug)]
pub(super) struct Write {
    partition: PartNo,
    intents: Vec<Intent>,
    /// The text paths, from the collections' descriptions and from the request.
    texts: TextPaths,
    /// The schemas of the collections that have one.
    schemas: BTreeMap<String, Arc<Schema>>,
    /// The rules of the collections that have rules, if the request has an actor.
    rules: BTreeMap<String, Rules>,
    seen: Option<Cut>,
    durable: bool,
    /// True if the answer is [`Answer::Written`], about one document.
    alone: bool,
    /// The idempotency key.
    once: Option<Once>,
    /// Number of reads in progress for the idempotency key.
    looking: usize,
    /// The outcome of the earlier request with the same key.
    before: Option<Vec<Wrote>>,
    /// Expired idempotency rows, to delete with this write.
    old: Vec<Op>,
    docs: Vec<DocRef>,
    /// Number of logs in `seen` whose entries were imported so far.
    let_in: Option<usize>,
    stage: Stage,
}

impl Write {
    pub(super) const fn new(partition: PartNo, intents: Vec<Intent>) -> Self {
        Self {
            partition,
            intents,
            texts: TextPaths::none(),
            schemas: BTreeMap::new(),
            rules: BTreeMap::new(),
            seen: None,
            durable: true,
            alone: false,
            once: None,
            looking: 0,
            before: None,
            old: Vec::new(),
            docs: Vec::new(),
            let_in: None,
            stage: Stage::Opening,
        }
    }

    /// Returns a change of one document.
    pub(super) fn one(partition: PartNo, target: Target, action: Action, condition: Condition) -> Self {
        Self { alone: true, ..Self::new(partition, vec![Intent { target, action, condition }]) }
    }

    pub(super) fn change(
        partition: PartNo,
        name: Name,
        changes: Vec<Change>,
        seen: Option<Cut>,
        durable: bool,
    ) -> Self {
        let write = Self::one(partition, Target::Named(name), Action::Change(changes), Condition::None);
        Self { seen, durable, ..write }
    }

    /// Sets the idempotency key.
    pub(super) fn once(self, once: Option<Once>) -> Self {
        Self { looking: if once.is_some() { 2 } else { 0 }, once, ..self }
    }

    fn start(&mut self, cx: &mut Context<'_>) -> Result<(), RequestError> {
        cx.space(self.partition)?;
        if self.intents.len() > INTENTS_MAX {
            return Err(RequestError::TooMany(INTENTS_MAX));
        }
        let mut seen = BTreeSet::new();
        for (at, intent) in self.intents.iter().enumerate() {
            let doc = intent_doc(cx, self.partition, intent).map_err(|error| self.at(at, error))?;
            if !seen.insert(doc) {
                return Err(self.at(at, EditError::Repeated.into()));
            }
            self.docs.push(doc);
        }
        if let Some(once) = &self.once {
            if cx.desk.under_way.values().any(|other| other.is_same_name(once)) {
                return Err(RequestError::OnceBusy);
            }
            cx.desk.under_way.insert(cx.ticket, *once);
            cx.read(once.rows(cx.now));
            cx.scan(idempotency::oldest());
        }
        self.docs.iter().for_each(|doc| cx.open(*doc));
        Ok(())
    }

    /// Adds the number of the write to an error of a transaction.
    fn at(&self, at: usize, error: RequestError) -> RequestError {
        if self.alone { error } else { RequestError::At(at, Box::new(error)) }
    }

    /// Advances as far as the open documents allow.
    fn go_on(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, RequestError> {
        // Documents that were open may be read again while others are opened.
        let closed: Vec<DocRef> = self.docs.iter().filter(|doc| !cx.endpoint.is_open(**doc)).copied().collect();
        closed.iter().for_each(|doc| cx.open(*doc));
        if self.looking > 0 || !closed.is_empty() || !self.has_arrived(cx) {
            return Ok(None);
        }
        if let Some(before) = self.before.take() {
            return Ok(Some(self.wrote(cx, before)));
        }
        let mut descriptions: BTreeMap<String, (DocRef, CollectionMeta)> = BTreeMap::new();
        let mut is_waiting = false;
        for (at, intent) in self.intents.iter().enumerate() {
            let Some(name) = collection_of(cx, intent, self.docs[at]) else { continue };
            if descriptions.contains_key(&name) || check_collection(&name).is_err() {
                continue;
            }
            let Some(described) = cx.description_doc(self.partition, &name)? else { continue };
            match cx.description(described) {
                Some(meta) => {
                    self.texts.extend(&meta.text_paths);
                    if let (Some(rules), true) = (meta.rules, cx.actor().is_some()) {
                        self.rules.insert(name.clone(), rules);
                    }
                    if let Some(schema) = meta.schema.and_then(|declared| declared.schema) {
                        self.texts.extend(&schema.containers().texts);
                        self.schemas.insert(name, schema);
                    }
                }
                None if !cx.endpoint.is_open(described) => {
                    cx.open(described);
                    is_waiting = true;
                }
                None if cx.endpoint.view(described).is_none() => {
                    let text_paths = intent.action.texts();
                    let meta = CollectionMeta { text_paths, ..CollectionMeta::new(&name) };
                    if matches!(intent.action, Action::Put { .. }) {
                        descriptions.insert(name, (described, meta));
                    }
                }
                None => {}
            }
        }
        if is_waiting || self.name_new(cx)? {
            return Ok(None);
        }
        self.edit(cx, descriptions)
    }

    /// Gives new documents the keys that a schema derives. Returns whether to wait for these documents.
    fn name_new(&mut self, cx: &mut Context<'_>) -> Result<bool, RequestError> {
        for at in 0..self.intents.len() {
            let Intent { target: Target::New { collection }, action: Action::Put { value, .. }, .. } =
                &self.intents[at]
            else {
                continue;
            };
            let Some(schema) = self.schemas.get(collection).filter(|schema| !schema.key().is_empty()) else { continue };
            let mut completed = value.clone();
            schema.complete(&mut completed);
            let key = schema
                .key_of(&completed)
                .ok_or_else(|| self.at(at, RequestError::Violates(schema.violations(&completed, None))))?;
            let doc = cx.keyed(self.partition, collection, &key).map_err(|error| self.at(at, error))?;
            if self.docs.contains(&doc) {
                return Err(self.at(at, EditError::Repeated.into()));
            }
            self.docs[at] = doc;
            self.intents[at] = Intent {
                target: Target::Named(Name::Key { collection: collection.clone(), key }),
                action: self.intents[at].action.clone(),
                // The document is new, whatever its key, so it never replaces another.
                condition: Condition::Absent,
            };
            cx.open(doc);
        }
        Ok(!self.docs.iter().all(|doc| cx.endpoint.is_open(*doc)))
    }

    /// Completes an intent as the schema requires, and checks the resulting value.
    fn checked(
        &self,
        cx: &mut Context<'_>,
        at: usize,
        edits: Vec<(DocRef, Edit)>,
    ) -> Result<Vec<(DocRef, Edit)>, RequestError> {
        let (intent, doc) = (&self.intents[at], self.docs[at]);
        let schema = collection_of(cx, intent, doc).and_then(|name| self.schemas.get(&name));
        let Some(schema) = schema.filter(|_| !edits.is_empty()) else { return Ok(edits) };
        let mut edits: Vec<Edit> = edits.into_iter().map(|(_, edit)| edit).collect();
        let found = cx.endpoint.view(doc);
        schema.finish(&mut edits, found.as_ref().map(|found| &found.value), cx.now.wall_ms);
        let violations = outcome(found, &edits).map(|made| schema.violations(&made.value, made.meta.key.as_deref()));
        let violations = violations.unwrap_or_default();
        if !violations.is_empty() {
            return Err(self.at(at, RequestError::Violates(violations)));
        }
        Ok(edits.into_iter().map(|edit| (doc, edit)).collect())
    }

    /// Refuses to write to an existing document if the rules do not allow it.
    fn permit_before(&self, cx: &mut Context<'_>, at: usize) -> Result<(), RequestError> {
        if cx.actor().is_none() {
            return Ok(());
        }
        let (intent, doc) = (&self.intents[at], self.docs[at]);
        // Undo takes back this device's last change, whichever actor made it.
        if matches!(intent.action, Action::Undo) {
            return Err(RequestError::AdminOnly);
        }
        let makes = matches!(intent.action, Action::Put { .. });
        let deed = match intent.action {
            Action::Delete => Deed::Delete,
            Action::Undelete => Deed::Create,
            Action::Put { .. }
            | Action::Patch(_)
            | Action::JsonPatch(_)
            | Action::Change(_)
            | Action::Insert { .. }
            | Action::Move { .. }
            | Action::Revert(_)
            | Action::Undo => Deed::Update,
        };
        let collection = collection_of(cx, intent, doc).ok_or(RequestError::NotFound)?;
        let rules = self.rules.get(&collection);
        if !makes {
            // A locked collection is refused whether or not the document exists.
            cx.rule(self.partition, &collection, deed, rules)?;
        }
        let Some(found) = cx.endpoint.view(doc).filter(|found| !found.meta.deleted) else { return Ok(()) };
        let deed = if deed == Deed::Create { Deed::Update } else { deed };
        self.permit(cx, at, deed, Some(&found)).map_err(|error| self.conceal(cx, at, error))
    }

    /// Returns the error about a document. If the actor may not see the document, the error is that of an absent one. A
    /// put reveals whether a key is taken.
    fn conceal(&self, cx: &mut Context<'_>, at: usize, error: RequestError) -> RequestError {
        let (intent, doc) = (&self.intents[at], self.docs[at]);
        if cx.actor().is_none() || matches!(intent.action, Action::Put { .. }) {
            return error;
        }
        let Some(collection) = collection_of(cx, intent, doc) else { return RequestError::NotFound };
        let view = cx.rule(self.partition, &collection, Deed::View, self.rules.get(&collection));
        let found = cx.endpoint.view(doc);
        let is_seen =
            view.is_ok_and(|rule| found.is_some_and(|found| rule.is_none_or(|rule| allows(&rule, doc, &found))));
        if is_seen { error } else { RequestError::NotFound }
    }

    /// Refuses edits whose result the rules do not allow.
    fn permit_after(&self, cx: &mut Context<'_>, at: usize, edits: &[(DocRef, Edit)]) -> Result<(), RequestError> {
        if cx.actor().is_none() || edits.is_empty() {
            return Ok(());
        }
        let found = cx.endpoint.view(self.docs[at]);
        let is_there = found.as_ref().is_some_and(|found| !found.meta.deleted);
        if is_there && matches!(self.intents[at].action, Action::Delete) {
            return Ok(());
        }
        let deed = if is_there { Deed::Update } else { Deed::Create };
        self.permit(cx, at, deed, outcome(found, edits.iter().map(|(_, edit)| edit)).as_ref())
    }

    /// Refuses a deed unless the rules allow it with a document in this state. An unknown state is refused.
    fn permit(
        &self,
        cx: &mut Context<'_>,
        at: usize,
        deed: Deed,
        found: Option<&Snapshot>,
    ) -> Result<(), RequestError> {
        let (intent, doc) = (&self.intents[at], self.docs[at]);
        let collection = collection_of(cx, intent, doc).ok_or(RequestError::NotFound)?;
        let Some(rule) = cx.rule(self.partition, &collection, deed, self.rules.get(&collection))? else {
            return Ok(());
        };
        match found {
            Some(found) if allows(&rule, doc, found) => Ok(()),
            Some(_) | None => Err(RequestError::Forbidden { deed, collection, locked: false }),
        }
    }

    fn edit(
        &mut self,
        cx: &mut Context<'_>,
        descriptions: BTreeMap<String, (DocRef, CollectionMeta)>,
    ) -> Result<Option<Answer>, RequestError> {
        let mut edits = Vec::new();
        let mut wrote = Vec::with_capacity(self.docs.len());
        for (at, (intent, doc)) in self.intents.iter().zip(&self.docs).enumerate() {
            let schema = collection_of(cx, intent, *doc).and_then(|name| self.schemas.get(&name));
            self.permit_before(cx, at).map_err(|error| self.at(at, error))?;
            let made = edits_of(cx, *doc, intent, schema);
            let made = made.map_err(|error| self.conceal(cx, at, error)).map_err(|error| self.at(at, error))?;
            self.texts.extend(&intent.action.texts());
            self.texts.extend(&made.texts);
            let made_edits = self.checked(cx, at, made.edits)?;
            let permitted = self.permit_after(cx, at, &made_edits);
            permitted.map_err(|error| self.conceal(cx, at, error)).map_err(|error| self.at(at, error))?;
            edits.extend(made_edits);
            wrote.push(Wrote { doc: doc.doc, created: made.created, version: None });
        }
        for (doc, meta) in descriptions.into_values() {
            cx.open(doc);
            edits.insert(0, (doc, cx.describe(doc, &meta)?));
        }
        let mut rows = core::mem::take(&mut self.old);
        rows.extend(self.once.iter().flat_map(|once| once.keep(cx.now, &wrote)));
        let left = self.make(cx, &edits, rows)?;
        if left == 0 || !self.durable {
            return Ok(Some(self.wrote(cx, wrote)));
        }
        self.stage = Stage::Committing { left, wrote };
        Ok(None)
    }

    /// Applies edits; returns the number of commits to wait for.
    fn make(&self, cx: &mut Context<'_>, edits: &[(DocRef, Edit)], rows: Vec<Op>) -> Result<usize, RequestError> {
        if edits.is_empty() {
            let waits = self.docs.iter().filter(|doc| self.durable && cx.wait_for(**doc)).count();
            if rows.is_empty() {
                return Ok(waits);
            }
            // The request changes nothing; its outcome is still recorded, so that a repetition changes nothing either.
            cx.write(rows);
            return Ok(waits + 1);
        }
        let commits = if self.docs.len() == 1 {
            cx.edit_in_pieces(edits, &self.texts, self.durable, self.durable, rows)?
        } else {
            cx.edit(edits, &self.texts, self.durable, self.durable, rows).map(|()| 1)?
        };
        Ok(if self.durable { commits } else { 0 })
    }

    /// For a held document: imports the entries that the edit builds on. Returns whether they are all here.
    fn has_arrived(&mut self, cx: &mut Context<'_>) -> bool {
        let (Some(cut), Some(doc)) = (&self.seen, self.docs.first().copied()) else { return true };
        let known: Hold = cut.iter().filter_map(|(log, seq)| Some((cx.endpoint.log_no(log)?, *seq))).collect();
        if cx.desk.held.contains(&doc) && self.let_in != Some(known.len()) {
            self.let_in = Some(known.len());
            cx.endpoint.hold(cx.now, doc, Some(known));
        }
        let here = covers(&cx.cut(doc), cut);
        if !here {
            cx.watch();
        }
        here
    }

    fn wrote(&self, cx: &mut Context<'_>, mut wrote: Vec<Wrote>) -> Answer {
        let mut cut = Cut::new();
        for (doc, wrote) in self.docs.iter().zip(&mut wrote) {
            wrote.version = cx.endpoint.replica(*doc).and_then(|replica| replica.version_id().ok());
            cut.extend(cx.cut(*doc));
        }
        match &wrote[..] {
            [one] if self.alone => Answer::Written { doc: one.doc, created: one.created, version: one.version, cut },
            _ => Answer::Wrote { docs: wrote, cut },
        }
    }
}

impl Task for Write {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        match (&mut self.stage, wake) {
            (Stage::Opening, Wake::Start) => {
                self.start(cx)?;
                Ok(self.docs.is_empty().then(|| self.wrote(cx, Vec::new())))
            }
            (Stage::Opening, Wake::Read(ReadResult::Values(rows))) => {
                self.looking -= 1;
                if let Some(once) = &self.once {
                    self.before = idempotency::before(once, rows)?;
                }
                self.go_on(cx)
            }
            (Stage::Opening, Wake::Read(ReadResult::Rows { rows, .. })) => {
                self.looking -= 1;
                self.old = idempotency::forget(cx.now, &rows);
                self.go_on(cx)
            }
            (_, Wake::Read(ReadResult::Failed(error))) => Err(error.into()),
            (Stage::Opening, Wake::Opened(_) | Wake::Again) => self.go_on(cx),
            (Stage::Committing { left, wrote }, Wake::Committed) => {
                *left -= 1;
                if *left > 0 {
                    return Ok(None);
                }
                let wrote = core::mem::take(wrote);
                Ok(Some(self.wrote(cx, wrote)))
            }
            (Stage::Committing { .. }, Wake::Lost) => Err(RequestError::Lost),
            _ => Ok(None),
        }
    }
}

fn intent_doc(cx: &mut Context<'_>, partition: PartNo, intent: &Intent) -> Result<DocRef, RequestError> {
    if let Action::Put { value, .. } | Action::Patch(value) = &intent.action
        && !matches!(value, Value::Map(_))
    {
        return Err(RequestError::NotObject);
    }
    match &intent.target {
        Target::Named(name) => {
            if let (Name::Key { collection, .. }, Action::Put { .. }) = (name, &intent.action) {
                check_collection(collection)?;
            }
            cx.named(partition, name)
        }
        Target::New { collection } => {
            check_collection(collection)?;
            Ok(DocRef { partition, doc: cx.endpoint.mint_doc_id(cx.now) })
        }
    }
}

/// Returns the collection whose description lists the texts.
fn collection_of(cx: &mut Context<'_>, intent: &Intent, doc: DocRef) -> Option<String> {
    match (&intent.target, &intent.action) {
        // Neither the schema nor the texts matter to it, but the rules do.
        (_, Action::Delete | Action::Undelete) if cx.actor().is_none() => None,
        (Target::New { collection } | Target::Named(Name::Key { collection, .. }), _) => Some(collection.clone()),
        (Target::Named(Name::Id(_)), _) => cx.endpoint.view(doc).and_then(|found| found.meta.collection),
    }
}

/// Returns whether all of a cut lies within another.
fn covers(seen: &BTreeMap<LogId, u64>, cut: &Cut) -> bool {
    cut.iter().all(|(log, seq)| seen.get(log).is_some_and(|seen| seen >= seq))
}
