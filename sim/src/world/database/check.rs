//! The oracles of databases at rest: indexes, answers and live queries against the documents.

use super::bound::Bounds;
use super::content::{Place, Values, is_valid};
use super::finding::wrong_answer;
use super::question::Question;
use super::{Asked, DOCS, Docs, World};
use crate::coverage::Mark;
use crate::random::purpose;
use crate::report::OracleId;
use cosmicsync_data::collection::COLLECTIONS;
use cosmicsync_data::database::ask::{IndexInfo, IndexState, Query, Want};
use cosmicsync_data::database::request::{Answer, CollectionDigest, Found, Request};
use cosmicsync_data::query::parse;
use cosmicsync_data::query::plan::{Access, Order, Plan};
use cosmicsync_protocol::ids::{DocId, PartNo};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Requests of a store that are carried out before it counts as never at rest.
const RESTS_MAX: u32 = 100_000;
/// Questions that are asked of each collection.
const QUESTIONS: u64 = 3;

/// Indexes of a peer, and the count and digest of its collections, for each partition.
type Said = (Vec<(Place, Vec<IndexInfo>)>, BTreeMap<u32, Vec<CollectionDigest>>);

/// The names and fields of the indexes of each collection.
type Defined = Vec<(Place, Vec<(String, Vec<String>)>)>;

impl World<'_> {
    /// Has a peer's store carry out all that waits, in an order that is drawn, and time stand still meanwhile. Returns
    /// whether the process still runs.
    pub(super) fn rest(&mut self, peer: usize) -> bool {
        let life = self.nodes[peer].life;
        for _ in 0..RESTS_MAX {
            self.turn(peer);
            if self.nodes[peer].life != life {
                return false;
            }
            let Some(alive) = self.nodes[peer].alive.as_deref_mut() else { return false };
            let count = alive.reads.len() as u64;
            let nth =
                self.keyed.below(&[purpose::READ, peer as u64, u64::from(life), alive.desk.rested], count) as usize;
            let read = alive.reads.keys().nth(nth).copied();
            let both = [purpose::STORE, peer as u64, u64::from(life), alive.desk.rested];
            alive.desk.rested += 1;
            match (read, alive.store.pending() > 0) {
                (None, false) => return true,
                (Some(id), waits) if !waits || self.keyed.once_in(&both, 2) => self.read_beside(peer, life, id),
                (_, _) => self.stored(peer, life),
            }
        }
        self.violation(OracleId::O18, Some(peer), "a database never comes to rest".to_owned());
        false
    }

    /// Asks, and waits for the answer at rest; none if the process ended.
    pub(super) fn probe(&mut self, peer: usize, request: Request) -> Option<Answer> {
        let ticket = self.ask(peer, Asked::Probe, request.clone())?;
        if !self.rest(peer) {
            return None;
        }
        let answer = self.nodes[peer].alive.as_deref_mut()?.desk.told.remove(&ticket);
        if answer.is_none() {
            let text: String = format!("{request:?}").chars().take(200).collect();
            self.violation(OracleId::O18, Some(peer), format!("no answer comes to {text}"));
        }
        answer.filter(|answer| !matches!(answer, Answer::Failed(_)))
    }

    /// O15 to O21 of a peer at rest. Returns what it says of itself, if its process goes on.
    pub(in crate::world) fn check_database(&mut self, peer: usize, tag: u64) -> Option<Said> {
        self.release_docs(peer);
        loop {
            self.call(peer, |alive, now| alive.endpoint.flush(now));
            if !self.rest(peer) {
                return None;
            }
            // What was asked a moment ago may be gathered only now.
            if self.nodes[peer].alive.as_deref()?.endpoint.stats().gathered == 0 {
                break;
            }
        }
        let alive = self.nodes[peer].alive.as_deref_mut()?;
        alive.desk.gathered.clear();
        let waits = alive.desk.open.values().find(|asked| !matches!(asked, Asked::Live(_)));
        let waits = waits.map(|asked| format!("{asked:?}").chars().take(80).collect::<String>());
        self.stats.checks += 1;
        if let Some(waits) = waits {
            self.violation(OracleId::O18, Some(peer), format!("at rest there is no answer to {waits}"));
            return None;
        }
        let mut said = Said::default();
        let mut all: BTreeMap<u32, Rc<Docs>> = BTreeMap::new();
        for place in Place::all(self.plan.partitions) {
            let Some(partition) = self.find_place(peer, place) else { continue };
            let store = self.nodes[peer].durable();
            let docs = self.documents(peer, store, partition)?;
            all.insert(place.partition, Rc::clone(&docs));
            let indexes = self.check_indexes(peer, place, partition)?;
            let of = tag * u64::from(Place::count(self.plan.partitions)) + u64::from(place.partition) * 2;
            self.check_questions(peer, place, partition, &docs, &indexes, of + u64::from(place.collection == "dogs"))?;
            self.check_validity(peer, place, partition, &docs)?;
            self.check_bound(peer, place, partition, &docs, of)?;
            said.0.push((place, indexes));
            let Answer::Digest(digests) = self.probe(peer, Request::Digest { partition })? else { return None };
            said.1.insert(place.partition, digests);
        }
        self.check_follows(peer, &all)?;
        self.check_feed(peer, &all)?;
        if self.nodes[peer].was_partial {
            self.mark(Mark::PartialChecked);
        }
        if self.model.forks {
            self.mark(Mark::ForksChecked);
        }
        Some(said)
    }

    /// O15: at rest each index is built, holds what the documents say and is behind nothing.
    fn check_indexes(&mut self, peer: usize, place: Place, partition: PartNo) -> Option<Vec<IndexInfo>> {
        let collection = place.collection.to_owned();
        let list = Request::IndexList { partition, collection: collection.clone() };
        // The first request adopts the definitions; the second is answered once the indexes are built.
        self.probe(peer, list.clone())?;
        let Answer::Indexes(indexes) = self.probe(peer, list)? else { return None };
        for IndexInfo { name, state, lists, .. } in &indexes {
            self.stats.checks += 1;
            if *state != IndexState::Ready {
                let text = format!("at rest the index {name} of {collection} is {state:?}");
                self.violation(OracleId::O15, Some(peer), text);
                return None;
            }
            self.mark(Mark::IndexBuilt);
            if *lists {
                self.mark(Mark::IndexOfLists);
            }
            let request = Request::IndexCheck { partition, collection: collection.clone(), name: name.clone() };
            let Answer::Checked(found) = self.probe(peer, request)? else { return None };
            if (found.missing, found.extra) != (0, 0) {
                let (missing, extra, docs) = (found.missing, found.extra, found.docs);
                let text = format!(
                    "the index {name} of {collection} lacks {missing} rows and has {extra} too many, of {docs} documents"
                );
                self.violation(OracleId::O15, Some(peer), text);
            }
        }
        let query = Box::new(Query::all(partition, collection));
        let Answer::Plan(explained) = self.probe(peer, Request::Find { query, want: Want::Plan })? else { return None };
        // Where no index is, none is behind.
        if explained.behind > 0 && !indexes.is_empty() {
            let text = format!("at rest indexes are behind for {} documents", explained.behind);
            self.violation(OracleId::O15, Some(peer), text);
        }
        Some(indexes)
    }

    /// O16: a query brings what the documents say, by whatever index, at once and in pages.
    fn check_questions(
        &mut self,
        peer: usize,
        place: Place,
        partition: PartNo,
        docs: &Docs,
        indexes: &[IndexInfo],
        tag: u64,
    ) -> Option<()> {
        let mut values = Values::of(self.keyed, self.keyed.draw(&[purpose::ASK, peer as u64, tag]));
        for _ in 0..QUESTIONS {
            let question = Question::draw(&mut values, DOCS.into());
            let page = 1 + values.below(5) as usize;
            self.check_question(peer, place, partition, docs, &question, page)?;
            if !indexes.is_empty() {
                let mut question = question;
                question.index = Some(indexes[values.below(indexes.len() as u64) as usize].name.clone());
                self.check_question(peer, place, partition, docs, &question, page)?;
            }
        }
        Some(())
    }

    /// O19: documents that are not as the schema says are those that a query for them brings.
    fn check_validity(&mut self, peer: usize, place: Place, partition: PartNo, docs: &Docs) -> Option<()> {
        let there = || docs.iter().filter(|(_, found)| !found.meta.deleted);
        let mut described = there().filter(|(_, found)| {
            found.meta.collection.as_deref() == Some(COLLECTIONS) && found.meta.key.as_deref() == Some(place.collection)
        });
        let declared = described.next().and_then(|(_, found)| found.value.entry("schema")?.as_text());
        let expected: BTreeSet<DocId> = there()
            .filter(|(_, found)| found.meta.collection.as_deref() == Some(place.collection))
            .filter(|(_, found)| declared.and_then(|text| is_valid(text, &found.value)) == Some(false))
            .map(|(doc, _)| *doc)
            .collect();
        let selector = parse::parse(br#"{"$valid":false}"#).expect("a selector");
        let query = Query { selector, ..Query::all(partition, place.collection.to_owned()) };
        let found = self.pages(peer, &query, usize::MAX)?;
        let told: BTreeSet<DocId> = found.iter().map(|found| found.doc).collect();
        self.stats.checks += 1;
        if declared.is_some() {
            self.mark(Mark::SchemaChecked);
        }
        if !expected.is_empty() {
            self.mark(Mark::InvalidFound);
        }
        if told != expected {
            let (told, expected) = (told.len(), expected.len());
            let text = format!("{told} documents of {} are told not to be valid, and {expected} are", place.collection);
            self.violation(OracleId::O19, Some(peer), text);
        }
        Some(())
    }

    fn check_question(
        &mut self,
        peer: usize,
        place: Place,
        partition: PartNo,
        docs: &Docs,
        question: &Question,
        page: usize,
    ) -> Option<()> {
        let query = question.query(partition, place.collection);
        let ask = |query: &Query, want| Request::Find { query: Box::new(query.clone()), want };
        let Answer::Plan(explained) = self.probe(peer, ask(&query, Want::Plan))? else { return None };
        self.mark_plan(&explained.plan);
        let whole = self.pages(peer, &query, usize::MAX)?;
        let pages = self.pages(peer, &Query { limit: Some(page), ..query.clone() }, page)?;
        let Answer::Count(count) = self.probe(peer, ask(&query, Want::Count))? else { return None };
        self.stats.checks += 3;
        let none = BTreeSet::new();
        let wrong = wrong_answer(question, place, docs, &none, &whole, true);
        let wrong = wrong.or_else(|| {
            let wrong = wrong_answer(question, place, docs, &none, &pages, true)?;
            Some(format!("in pages of {page} {wrong}"))
        });
        let wrong = wrong.or_else(|| (count != whole.len() as u64).then(|| format!("{count} are counted")));
        if let Some(wrong) = wrong {
            let name = format!("{:?}", explained.plan.access);
            let plan: String = name.chars().take_while(|letter| letter.is_alphanumeric()).collect();
            let text = format!("{wrong}, asked for {question} of {}, answered by {plan}", place.collection);
            self.violation(OracleId::O16, Some(peer), text);
        }
        Some(())
    }

    /// All pages of an answer.
    fn pages(&mut self, peer: usize, query: &Query, page: usize) -> Option<Vec<Found>> {
        let mut all: Vec<Found> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut bookmark = None;
        loop {
            let query = Box::new(Query { bookmark, ..query.clone() });
            let Answer::Matches(matches) = self.probe(peer, Request::Find { query, want: Want::Docs })? else {
                return None;
            };
            if matches.docs.len() > page {
                self.violation(OracleId::O16, Some(peer), format!("a page of {page} has {}", matches.docs.len()));
                return None;
            }
            // Pages that repeat never end: stop at the first repetition, which the comparison then reports.
            let repeats = matches.docs.iter().any(|found| !seen.insert(found.doc));
            all.extend(matches.docs);
            bookmark = matches.bookmark;
            if bookmark.is_none() || repeats {
                return Some(all);
            }
            self.mark(Mark::PageTurned);
        }
    }

    /// O17: the answer that a live query told is the answer that the query has.
    fn check_follows(&mut self, peer: usize, all: &BTreeMap<u32, Rc<Docs>>) -> Option<()> {
        for follow in self.nodes[peer].follows.clone() {
            let place = follow.place;
            let (Some(partition), Some(docs)) = (self.find_place(peer, place), all.get(&place.partition)) else {
                continue;
            };
            self.stats.checks += 1;
            let mut question = follow.question.clone();
            if follow.is_bound {
                // Where nothing may be listed it is refused, and not opened again.
                let Some(narrow) = Bounds::of(docs, place).narrow(&question) else { continue };
                if follow.ticket.is_none() {
                    continue;
                }
                self.mark(Mark::BoundFollowed);
                question = narrow;
            }
            let question = &question;
            let oracle = if follow.is_bound { OracleId::O21 } else { OracleId::O17 };
            let Some((_, told)) = &follow.told else {
                self.violation(OracleId::O17, Some(peer), "at rest a live query told nothing".to_owned());
                continue;
            };
            let none = BTreeSet::new();
            let is_whole = question.limit.is_none_or(|limit| told.len() < limit);
            let mut wrong = wrong_answer(question, place, docs, &none, told, is_whole);
            let again = self.pages(peer, &question.query(partition, place.collection), usize::MAX);
            let again =
                if question.limit.is_none() { again? } else { self.first_page(peer, partition, question, place)? };
            if wrong.is_none() && !question.are_alike(told, &again) {
                wrong = Some("the query asked again has another answer".to_owned());
            }
            if let Some(wrong) = wrong {
                let text = format!("{wrong}, followed {question} of {}", place.collection);
                self.violation(oracle, Some(peer), text);
            }
        }
        Some(())
    }

    fn first_page(&mut self, peer: usize, partition: PartNo, question: &Question, place: Place) -> Option<Vec<Found>> {
        let query = Box::new(question.query(partition, place.collection));
        let answer = self.probe(peer, Request::Find { query, want: Want::Docs })?;
        if let Answer::Matches(matches) = answer { Some(matches.docs) } else { None }
    }

    fn mark_plan(&mut self, plan: &Plan) {
        self.mark(match &plan.access {
            Access::Named(_) => Mark::PlanGet,
            Access::Index(part) if part.reverse => Mark::PlanReverse,
            Access::Index(_) => Mark::PlanIndex,
            Access::Union(_) => Mark::PlanUnion,
            Access::Scan => Mark::PlanScan,
        });
        let in_order = plan.order == Order::AsTheyCome;
        self.mark(if in_order { Mark::PlanInOrder } else { Mark::PlanSorts });
    }

    /// The run has converged: databases are compared with their documents, and with each other.
    pub(crate) fn finish_databases(&mut self) {
        if !self.plan.databases {
            return;
        }
        let core: Vec<usize> = (0..self.nodes.len()).filter(|peer| self.core[*peer]).collect();
        let mut first: BTreeMap<u32, (Vec<CollectionDigest>, Rc<Docs>)> = BTreeMap::new();
        let mut defined: Option<Defined> = None;
        for peer in core {
            let Some((indexes, digests)) = self.check_database(peer, u64::from(u32::MAX)) else { continue };
            if self.nodes[peer].partial {
                continue;
            }
            let names = |of: Vec<IndexInfo>| of.into_iter().map(|index| (index.name, index.fields)).collect();
            let indexes: Vec<_> = indexes.into_iter().map(|(place, of)| (place, names(of))).collect();
            self.stats.checks += 1;
            if *defined.get_or_insert_with(|| indexes.clone()) != indexes {
                self.violation(OracleId::O1, Some(peer), "other indexes are defined than elsewhere".to_owned());
            }
            for (number, digest) in digests {
                let place = Place { partition: number, collection: "" };
                let Some(partition) = self.find_place(peer, place) else { continue };
                let store = self.nodes[peer].durable();
                let Some(docs) = self.documents(peer, store, partition) else { continue };
                let (known, others) = first.entry(number).or_insert_with(|| (digest.clone(), docs.clone()));
                let wrong = [("digests", *known != digest), ("documents", *others != docs)];
                for (what, _) in wrong.into_iter().filter(|(_, differ)| *differ) {
                    let text = format!("{what} of partition {number} are others than elsewhere");
                    self.violation(OracleId::O1, Some(peer), text);
                }
            }
        }
    }
}
