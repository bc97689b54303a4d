//! Queries that are asked while other things are under way.
//!
//! A document that was the same when the query was asked and when it was answered, to a replica that is made of the
//! peer's store alone, must be in the answer exactly if it is meant; so a write that was safe before is in it. Of one that
//! changed meanwhile either is right.

use super::bound::{Bounds, actor, is_forbidden};
use super::content::{Place, Values};
use super::question::Question;
use super::{Asked, DOCS, Docs, World, index};
use crate::coverage::Mark;
use crate::oracle::Reader;
use crate::random::purpose;
use crate::report::OracleId;
use cosmicsync_data::collection::COLLECTIONS;
use cosmicsync_data::database::ask::{Matches, Want};
use cosmicsync_data::database::request::{Answer, Found, Request};
use cosmicsync_data::json;
use cosmicsync_protocol::crdt::{Value, VersionId};
use cosmicsync_protocol::documents::Snapshot;
use cosmicsync_protocol::ids::{DocId, DocRef, PartNo};
use cosmicsync_protocol::storage::Table;
use cosmicsync_protocol::testkit::store::MemStore;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Tables whose rows follow from those of others, or say nothing of documents.
const FOLLOWS: [Table; 5] = [Table::Term, Table::Keys, Table::Value, Table::Feed, Table::Tally];
/// Largest number of remembered stores.
const FOUND_MAX: usize = 64;

/// A query that was asked and not answered.
#[derive(Debug)]
pub(super) struct Finding {
    question: Question,
    place: Place,
    partition: PartNo,
    /// The documents as they were when it was asked.
    before: Rc<Docs>,
    /// Documents that changes of this peer were or are under way for.
    loose: BTreeSet<DocId>,
    /// It is asked by one whom rules bind.
    pub(super) is_bound: bool,
}

impl Finding {
    /// Returns whether the query names an index.
    pub(super) const fn forces(&self) -> bool {
        self.question.index.is_some()
    }
}

impl World<'_> {
    /// Asks a query. Returns whether the collection is known.
    pub(super) fn begin_finding(
        &mut self,
        peer: usize,
        place: Place,
        by: Option<u32>,
        is_bound: bool,
        values: &mut Values,
    ) -> bool {
        let Some(partition) = self.find_place(peer, place) else { return false };
        let mut question = Question::draw(values, DOCS.into());
        question.limit = values.once_in(3).then(|| 1 + values.below(4) as usize);
        let by = by.or_else(|| values.once_in(4).then(|| values.below(6) as u32)).filter(|_| !is_bound);
        question.index = by.map(|number| index(number).0.to_owned());
        let store = self.nodes[peer].durable();
        let Some(before) = self.documents(peer, store, partition) else { return true };
        let Some(alive) = self.nodes[peer].alive.as_deref() else { return true };
        let writes = alive.desk.open.values().filter_map(Asked::written);
        let mut loose: BTreeSet<DocId> = writes.flatten().chain(&alive.desk.gathered).map(|doc| doc.doc).collect();
        // Entries that came and are not indexed, or not imported into an open document, may be missed: nothing
        // reported them.
        let lags = |doc: &&DocId| !alive.endpoint.is_current(DocRef { partition, doc: **doc });
        loose.extend(before.keys().filter(lags));
        // What is durable and not reported may be missed.
        if alive.store.has_unreported() {
            loose.extend(before.keys());
        }
        let query = Box::new(question.query(partition, place.collection));
        let finding = Finding { question, place, partition, before, loose, is_bound };
        let actor = is_bound.then(actor);
        self.ask_as(peer, actor, Asked::Find(Box::new(finding)), Request::Find { query, want: Want::Docs });
        true
    }

    /// The documents of a partition, as a fresh replica shows them that is made of a store.
    pub(super) fn documents(&mut self, peer: usize, store: MemStore, partition: PartNo) -> Option<Rc<Docs>> {
        let mut hasher = blake3::Hasher::new();
        for ((table, key), value) in store.rows().iter().filter(|((table, _), _)| !FOLLOWS.contains(table)) {
            hasher.update(table.name().as_bytes());
            hasher.update(&key.len().to_le_bytes());
            hasher.update(key);
            hasher.update(&value.len().to_le_bytes());
            hasher.update(value);
        }
        let key = (*hasher.finalize().as_bytes(), partition);
        if let Some(known) = self.found.0.get(&key) {
            return Some(Rc::clone(known));
        }
        let seed = self.keyed.seed(&[purpose::CHECK, peer as u64, self.stats.events]);
        let docs = Rc::new(Reader::new(store, &self.plan.core, seed)?.documents(partition));
        if self.found.0.len() >= FOUND_MAX {
            self.found.0.clear();
        }
        self.found.0.insert(key, Rc::clone(&docs));
        Some(docs)
    }

    /// Changes of documents begin: queries that are under way may see them or not.
    pub(super) fn loosen(&mut self, peer: usize, docs: &[DocRef]) {
        let Some(alive) = self.nodes[peer].alive.as_deref_mut() else { return };
        for asked in alive.desk.open.values_mut() {
            if let Asked::Find(finding) = asked {
                finding.loose.extend(docs.iter().map(|doc| doc.doc));
            }
        }
    }

    /// O16, for a query that is answered while other things are under way.
    pub(super) fn end_finding(&mut self, peer: usize, finding: Finding, answer: Answer) {
        let is_forbidden = is_forbidden(&answer);
        let matches = if let Answer::Matches(matches) = answer {
            matches
        } else if finding.is_bound && is_forbidden {
            Matches::default()
        } else {
            return;
        };
        let Finding { mut question, place, partition, before, loose, is_bound } = finding;
        let Some(alive) = self.nodes[peer].alive.as_deref() else { return };
        let stores = [alive.store.crash(0), alive.store.crash(usize::MAX)];
        let mut changed = loose;
        for store in stores {
            let Some(now) = self.documents(peer, store, partition) else { return };
            let ids: BTreeSet<DocId> = now.keys().chain(before.keys()).copied().collect();
            changed.extend(ids.into_iter().filter(|doc| now.get(doc) != before.get(doc)));
        }
        if !changed.is_empty() {
            self.mark(Mark::FoundBesideChanges);
        }
        if is_bound {
            let is_described = |known: &Snapshot| known.meta.collection.as_deref() == Some(COLLECTIONS);
            let mut described = before.iter().filter(|(_, known)| is_described(known)).map(|(doc, _)| *doc);
            // Other rules may hold by now.
            let is_new = |doc: &DocId| !before.contains_key(doc);
            if described.any(|doc| changed.contains(&doc)) || changed.iter().any(is_new) {
                return;
            }
            match Bounds::of(&before, place).narrow(&question) {
                Some(narrow) if !is_forbidden => question = narrow,
                None if is_forbidden => return,
                _ => {
                    let text = format!("rules are kept otherwise than they say, asked for {question}");
                    return self.violation(OracleId::O21, Some(peer), text);
                }
            }
        }
        let oracle = if is_bound { OracleId::O21 } else { OracleId::O16 };
        let wrong = wrong_answer(&question, place, &before, &changed, &matches.docs, matches.bookmark.is_none());
        self.stats.checks += 1;
        if let Some(wrong) = wrong {
            self.violation(oracle, Some(peer), format!("{wrong}, asked for {question} of {}", place.collection));
        }
    }
}

/// Returns the mistake of an answer, given the documents and those for which any answer is right.
pub(super) fn wrong_answer(
    question: &Question,
    place: Place,
    docs: &Docs,
    changed: &BTreeSet<DocId>,
    found: &[Found],
    is_whole: bool,
) -> Option<String> {
    let mut seen = BTreeSet::new();
    let mut last = None;
    for it in found {
        let (key, Some(value)) = (it.key.as_deref().unwrap_or_default(), it.value.as_ref()) else {
            return Some("a document without a value is found".to_owned());
        };
        if !seen.insert(it.doc) {
            return Some(format!("{key} is found twice"));
        }
        if !question.matches(Some(key), value) || it.collection.as_deref() != Some(place.collection) {
            return Some(format!("{key} is found and not asked for"));
        }
        if last.is_some_and(|last| question.compare(last, value).is_gt()) {
            return Some(format!("{key} comes too late in the order"));
        }
        let known = docs.get(&it.doc).filter(|known| !known.meta.deleted);
        if !changed.contains(&it.doc) && known.is_none_or(|known| known.value != *value || known.version != it.version)
        {
            let shown = |value: &Value, version: VersionId| format!("{} ({version})", json::to_string(value));
            let is = known.map_or("not there".to_owned(), |known| shown(&known.value, known.version));
            return Some(format!("{key} is {is} and is found as {}", shown(value, it.version)));
        }
        last = Some(value);
    }
    let limit = question.limit.unwrap_or(usize::MAX);
    if found.len() > limit {
        return Some("more is found than was asked for".to_owned());
    }
    for known in docs.iter().filter(|(doc, _)| !changed.contains(doc) && !seen.contains(doc)).map(|(_, known)| known) {
        let is_asked = !known.meta.deleted
            && known.meta.collection.as_deref() == Some(place.collection)
            && question.matches(known.meta.key.as_deref(), &known.value);
        // What comes behind the last of an answer that was to end there may be left out.
        let comes_later =
            last.is_some_and(|last| question.compare(last, &known.value).is_le()) || !question.is_sorted();
        let may_lack = !is_whole && comes_later;
        if is_asked && !may_lack {
            return Some(format!("{} is not found", known.meta.key.as_deref().unwrap_or_default()));
        }
    }
    None
}
