//! Answers queries: plans once, reads in pages, and evaluates the selector on the documents themselves.
//!
//! An index is some commits behind the durable state. The documents that it has not caught up with are known and few;
//! they are read one by one, and the index's rows about them are ignored. Therefore an answer includes everything that
//! was acknowledged when the query was made. Specified in `spec/query.md`.

use super::ask::{Cost, Explained, MEASURES_MAX, Matches, PAGE_MAX, Query, QueryError, Want};
use super::bookmark::Bookmark;
use super::context::{Context, Defined, Task, Wake, check_name};
use super::fetch::{Fetch, Fetched};
use super::request::{Answer, Found, RequestError};
use super::sink::{Match, Sink, groups_of, needs_index, subject};
use super::source::{IndexSource, Next, Source, place_of};
use super::walk::Walk;
use crate::collection::Declared;
use crate::index::define;
use crate::index::project::project;
use crate::query::Selector;
use crate::query::plan::{Access, IndexPart, Named, Order, Plan, plan};
use crate::rules::Deed;
use cosmicsync_protocol::documents::Snapshot;
use cosmicsync_protocol::endpoint::ReadResult;
use cosmicsync_protocol::ids::{CollectionId, DocId, DocRef};
use cosmicsync_protocol::storage::Read;
use std::collections::BTreeSet;

/// Answers a query.
#[derive(Debug)]
pub(super) struct Find {
    query: Box<Query>,
    want: Want,
    stage: Stage,
    collection: CollectionId,
    /// The schema, if the query compares documents with it.
    declared: Option<Declared>,
    cost: Cost,
}

#[derive(Debug)]
enum Stage {
    /// Reads the collection's description.
    Describing(Fetch<()>),
    /// Waits until this store's indexes have been loaded.
    Loading(Defined),
    /// Waits until the indexes have nearly caught up.
    Waiting,
    /// Reads the documents that indexes have not caught up with.
    Direct(Box<Reading>, Fetch<()>),
    Reading(Box<Reading>),
}

/// The source and the sink of a running query.
#[derive(Debug)]
struct Reading {
    source: Source,
    sink: Sink,
    /// Matching documents from outside the source, in reverse order: the next one is last.
    direct: Vec<Match>,
    /// The place of the last document that the source returned, whether or not it matches.
    last: Vec<u8>,
    /// The part of an index that orders the answer.
    part: Option<IndexPart>,
}

impl Find {
    pub(super) fn new(query: Box<Query>, want: Want) -> Self {
        let stage = Stage::Describing(Fetch::of(Read::Durable));
        Self { query, want, stage, collection: CollectionId::default(), declared: None, cost: Cost::default() }
    }

    fn start(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, RequestError> {
        check_name("the collection's name", &self.query.collection)?;
        self.collection = cx.collection_id(self.query.partition, &self.query.collection)?;
        cx.start_indexes();
        if let Some(doc) = cx.description_doc(self.query.partition, &self.query.collection)?
            && let Stage::Describing(fetch) = &mut self.stage
        {
            fetch.push(doc, ());
            fetch.read(cx);
        }
        self.describe(cx)
    }

    /// Continues once the description is read.
    fn describe(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, RequestError> {
        let Stage::Describing(fetch) = &mut self.stage else { return Ok(None) };
        let defined = match fetch.next() {
            Fetched::Doc(_, (), snapshot) => Defined::of(snapshot.as_ref()),
            Fetched::Wait => return Ok(None),
            Fetched::Empty => Defined::default(),
        };
        self.described(cx, defined)
    }

    /// Adopts the description's definitions, and waits until the indexes have nearly caught up.
    fn described(&mut self, cx: &mut Context<'_>, defined: Defined) -> Result<Option<Answer>, RequestError> {
        cx.watch();
        if !cx.desk.indexes.loaded {
            self.stage = Stage::Loading(defined);
            return Ok(None);
        }
        self.stage = Stage::Waiting;
        let Query { partition, collection, .. } = self.query.as_ref();
        if let Some(rule) = cx
            .rule(*partition, collection, Deed::List, defined.rules.as_ref())?
            .filter(|_| !(self.want == Want::Count && planted!("rules.count-all")))
        {
            let asked = core::mem::replace(&mut self.query.selector, Selector::All(Vec::new()));
            self.query.selector = Selector::all([asked, rule]);
        }
        if self.query.asks_validity() || self.want.asks_validity() {
            self.declared = defined.schema;
        }
        adopt(cx, self.query.partition, self.collection, &defined.indexes);
        self.plan(cx)
    }

    /// Starts the query again. No read may be in progress.
    fn plan_again(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, RequestError> {
        self.stage = Stage::Waiting;
        cx.watch();
        self.plan(cx)
    }

    fn plan(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, RequestError> {
        let Query { partition, selector, sort, use_index, .. } = self.query.as_ref();
        let mut candidates = cx.desk.indexes.candidates(*partition, self.collection);
        let bookmark = self.query.bookmark.as_deref().map(Bookmark::parse).transpose()?;
        if let Some(no) = bookmark.as_ref().and_then(|bookmark| bookmark.index) {
            // The next page keeps the order of the first one.
            candidates.retain(|candidate| candidate.no == no);
        }
        let mut plan = plan(selector, sort, &candidates, use_index.as_deref()).ok_or_else(|| {
            let name = use_index.clone().unwrap_or_default();
            match candidates.iter().any(|candidate| candidate.name == name) {
                true => QueryError::IndexBuilding(name),
                false => QueryError::NoIndex(name),
            }
        })?;
        let is_sorted = bookmark.as_ref().is_some_and(|bookmark| bookmark.index.is_none());
        if is_sorted && matches!(plan.access, Access::Index(_)) {
            plan.order = Order::Memory;
        }
        let reads_index = matches!(plan.access, Access::Index(_) | Access::Union(_));
        let behind_max = cx.desk.sizes.behind;
        let behind: Option<BTreeSet<DocId>> =
            cx.desk.indexes.behind(*partition).map(|docs| docs.map(|doc| doc.doc).take(behind_max + 1).collect());
        if self.want == Want::Plan {
            let behind = behind.map_or(0, |docs| docs.len());
            return Ok(Some(Answer::Plan(Box::new(Explained { plan, behind }))));
        }
        let behind = match behind {
            _ if !reads_index => BTreeSet::new(),
            Some(docs) if docs.len() <= behind_max => docs,
            _ => return Ok(None),
        };
        cx.unwatch();
        let reading = Box::new(self.begin(cx, &plan, bookmark, behind.clone())?);
        let mut fetch = Fetch::of(Read::Durable);
        behind.into_iter().for_each(|doc| fetch.push(DocRef { partition: self.query.partition, doc }, ()));
        fetch.read(cx);
        self.stage = Stage::Direct(reading, fetch);
        self.read_direct(cx)
    }

    fn begin(
        &self,
        cx: &mut Context<'_>,
        plan: &Plan,
        bookmark: Option<Bookmark>,
        behind: BTreeSet<DocId>,
    ) -> Result<Reading, RequestError> {
        let Query { partition, sort, limit, .. } = self.query.as_ref();
        let in_order = plan.order == Order::AsTheyCome;
        let part = match &plan.access {
            Access::Index(part) if in_order => Some(part.clone()),
            Access::Named(_) | Access::Index(_) | Access::Union(_) | Access::Scan => None,
        };
        bookmark.as_ref().map_or(Ok(()), |bookmark| bookmark.check(&self.query, part.as_ref()))?;
        let after = bookmark.map(|bookmark| bookmark.place);
        let sink = match &self.want {
            Want::Count | Want::Plan => Sink::Count(0),
            Want::Groups { by, measures } => {
                if measures.len() > MEASURES_MAX {
                    return Err(QueryError::TooManyMeasures(measures.len()).into());
                }
                Sink::Groups { by: by.clone(), measures: measures.clone(), groups: Default::default(), bytes: 0 }
            }
            Want::Docs if in_order => {
                let limit = limit.unwrap_or(PAGE_MAX).min(PAGE_MAX);
                Sink::Page { limit, page: Vec::new(), bytes: 0 }
            }
            Want::Docs if after.is_none() && limit.is_some_and(|limit| limit > PAGE_MAX) => {
                return Err(needs_index(sort).into());
            }
            Want::Docs => {
                // The next page has a bounded size, whatever ordered the first one.
                let page = after.as_ref().map(|_| limit.unwrap_or(PAGE_MAX).min(PAGE_MAX));
                let (limit, after) = (page.or(*limit), after.clone());
                Sink::Sorted { limit, after, kept: Default::default(), bytes: 0, more: false }
            }
        };
        let after = after.filter(|_| in_order);
        let limit = limit.filter(|_| in_order && self.want == Want::Docs);
        let source = match &plan.access {
            Access::Named(names) => Source::Named(self.named(cx, names)?),
            Access::Index(part) => {
                let part = part.clone();
                Source::Index(Box::new(IndexSource::new(cx, *partition, part, after, behind, limit)))
            }
            Access::Union(parts) => {
                let part = |part| IndexSource::new(cx, *partition, part, None, behind.clone(), None);
                Source::Union { parts: parts.iter().cloned().map(part).collect(), seen: BTreeSet::new() }
            }
            Access::Scan => {
                let after = after.map(|after| place_of(self.collection.0, &after).ok_or(QueryError::Bookmark));
                let limit = limit.unwrap_or(usize::MAX);
                Source::Scan(Walk::new(*partition, Some(self.collection), None, after.transpose()?.as_ref(), limit))
            }
        };
        Ok(Reading { source, sink, direct: Vec::new(), last: Vec::new(), part })
    }

    /// Starts to read documents by name.
    fn named(&self, cx: &mut Context<'_>, names: &[Named]) -> Result<Fetch<()>, RequestError> {
        let mut fetch = Fetch::of(Read::Durable);
        let mut docs = BTreeSet::new();
        for name in names {
            let doc = match name {
                Named::Key(key) => cx.keyed(self.query.partition, &self.query.collection, key).ok(),
                Named::Id(id) => id.parse().ok().map(|doc| DocRef { partition: self.query.partition, doc }),
            };
            docs.extend(doc);
        }
        docs.into_iter().for_each(|doc| fetch.push(doc, ()));
        fetch.read(cx);
        Ok(fetch)
    }

    fn read_direct(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, RequestError> {
        let Stage::Direct(reading, fetch) = &mut self.stage else { return Ok(None) };
        loop {
            match fetch.next() {
                Fetched::Doc(doc, (), Some(snapshot)) => {
                    self.cost.docs += 1;
                    let Some(found) = matching(&self.query, self.declared.as_ref(), doc.doc, snapshot) else {
                        continue;
                    };
                    let Some(value) = &found.value else { continue };
                    let place = match &reading.source {
                        Source::Index(source) => {
                            let projected = project(&source.part().fields, value);
                            cx.desk.indexes.note_shape(source.part().no, &projected);
                            source.place(doc.doc, value)
                        }
                        Source::Named(_) | Source::Union { .. } | Source::Scan(_) => Some(Vec::new()),
                    };
                    if let Some(place) = place {
                        reading.direct.push(Match { place, found });
                    }
                }
                Fetched::Doc(..) => {}
                Fetched::Wait => return Ok(None),
                Fetched::Empty => break,
            }
        }
        if matches!(&reading.source, Source::Index(source) if !cx.desk.indexes.holds(source.part())) {
            // The index may no longer have the order or the bounds that the plan assumed.
            return self.plan_again(cx);
        }
        reading.direct.sort_by(|a, b| b.place.cmp(&a.place));
        if matches!(&reading.source, Source::Index(source) if source.is_reverse()) {
            reading.direct.reverse();
        }
        let Stage::Direct(reading, _) = core::mem::replace(&mut self.stage, Stage::Waiting) else { return Ok(None) };
        self.stage = Stage::Reading(reading);
        self.read(cx)
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, RequestError> {
        let Stage::Reading(reading) = &mut self.stage else { return Ok(None) };
        let mut wants_more = true;
        let mut ended_early = false;
        while wants_more {
            match reading.source.next(cx) {
                Next::Doc(place, doc, snapshot) => {
                    self.cost.docs += 1;
                    reading.last.clone_from(&place);
                    if let Some(found) = matching(&self.query, self.declared.as_ref(), doc, snapshot) {
                        wants_more = reading.take_direct(&self.query, Some(&place))?
                            && reading.sink.push(Match { place, found }, &self.query.sort)?;
                    }
                    if matches!(reading.source, Source::Scan(_)) && self.want == Want::Docs {
                        self.cost.no_index = true;
                        if self.cost.docs >= cx.desk.scanned_max {
                            ended_early = true;
                            break;
                        }
                    }
                }
                Next::Wait => return Ok(None),
                Next::End => {
                    wants_more = reading.take_direct(&self.query, None)?;
                    break;
                }
            }
        }
        self.answer(!wants_more, ended_early).map(Some)
    }

    fn answer(&mut self, is_full: bool, ended_early: bool) -> Result<Answer, RequestError> {
        let cost = self.cost;
        let Stage::Reading(reading) = core::mem::replace(&mut self.stage, Stage::Waiting) else {
            return Ok(Answer::Done);
        };
        let Reading { sink, part, last, .. } = *reading;
        let bookmark = |place: &[u8]| Bookmark::new(&self.query, part.as_ref(), place).to_string();
        Ok(match sink {
            Sink::Page { limit, mut page, .. } => {
                page.truncate(limit);
                // A page that ended early continues after the last document read, even if none matched.
                let last = if is_full { page.last().map(|last| bookmark(&last.place)) } else { Some(bookmark(&last)) };
                let docs = page.into_iter().map(|it| it.found).collect();
                Answer::Matches(Matches { docs, bookmark: last.filter(|_| is_full || ended_early), cost })
            }
            Sink::Sorted { .. } if ended_early => return Err(QueryError::ScanLimit.into()),
            Sink::Sorted { kept, more, .. } => {
                let last = kept.last_key_value().map(|(place, _)| bookmark(place));
                let docs = kept.into_values().collect();
                Answer::Matches(Matches { docs, bookmark: last.filter(|_| more), cost })
            }
            Sink::Count(count) => Answer::Count(count),
            Sink::Groups { groups, measures, .. } => Answer::Groups(groups_of(groups, &measures)),
        })
    }
}

impl Reading {
    /// Passes the documents from outside the source to the sink, up to a place or all. Returns whether to continue.
    fn take_direct(&mut self, query: &Query, before: Option<&[u8]>) -> Result<bool, RequestError> {
        let reverse = matches!(&self.source, Source::Index(source) if source.is_reverse());
        while let Some(it) = self.direct.last() {
            let comes = before.is_none_or(|place| if reverse { *it.place > *place } else { *it.place < *place });
            if !comes {
                break;
            }
            let Some(it) = self.direct.pop() else { break };
            if !self.sink.push(it, &query.sort)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Find {
    /// Returns the selector of the query, narrowed by the rule `list` of its actor.
    pub(super) const fn selector(&self) -> &Selector {
        &self.query.selector
    }

    pub(super) const fn declared(&self) -> Option<&Declared> {
        self.declared.as_ref()
    }
}

impl Task for Find {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        if matches!(wake, Wake::Start) {
            return self.start(cx);
        }
        match &mut self.stage {
            Stage::Describing(fetch) => {
                fetch.wake(cx, wake)?;
                self.describe(cx)
            }
            Stage::Loading(defined) => {
                let defined = core::mem::take(defined);
                self.described(cx, defined)
            }
            Stage::Waiting => self.plan(cx),
            Stage::Direct(_, fetch) => {
                fetch.wake(cx, wake)?;
                self.read_direct(cx)
            }
            Stage::Reading(reading) => {
                if matches!(wake, Wake::Read(ReadResult::Rows { .. })) && !reading.source.is_there(cx) {
                    // The rows of an index that was dropped meanwhile may be gone, so the query starts again.
                    return self.plan_again(cx);
                }
                reading.source.wake(cx, wake, &mut self.cost)?;
                self.read(cx)
            }
        }
    }
}

/// Aligns the indexes of a collection with its definitions.
pub(super) fn adopt(
    cx: &mut Context<'_>,
    partition: cosmicsync_protocol::ids::PartNo,
    collection: CollectionId,
    defined: &define::Indexes,
) {
    let next_change = cx.endpoint.next_change().1;
    if cx.desk.indexes.adopt(partition, collection, defined, next_change) {
        cx.desk.wake_indexer();
    }
}

/// Returns a document if it matches the query.
pub(super) fn matching(query: &Query, declared: Option<&Declared>, doc: DocId, snapshot: Snapshot) -> Option<Found> {
    let Snapshot { meta, value, version } = snapshot;
    if meta.deleted || meta.collection.as_deref() != Some(query.collection.as_str()) {
        return None;
    }
    let validity = declared.map(|declared| declared.validity(&value, meta.key.as_deref()));
    let found = Found { doc, collection: meta.collection, key: meta.key, value: Some(value), version, validity };
    let is_meant = subject(&found).is_some_and(|subject| match (&query.selector, planted!("query.residual-skipped")) {
        (Selector::All(parts), true) => parts.iter().take(1).all(|part| part.matches(&subject)),
        (selector, _) => selector.matches(&subject),
    });
    is_meant.then_some(found)
}
