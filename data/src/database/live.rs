//! Live queries: an answer that is kept up with what changes.
//!
//! Whoever asks for more is told once something in the answer changed, and of several changes meanwhile their sum: a slow
//! reader makes nothing pile up. An answer with a limit holds some documents beyond it, so that one that leaves is replaced
//! without reading; only when these run out the query is answered again.

use super::ask::{LIVE_BYTES_MAX, LiveBatch, LiveEvent, LiveId, Query, QueryError, Want};
use super::context::{Context, Task, Wake};
use super::fetch::{Fetch, Fetched};
use super::find::{Find, matching};
use super::request::{Answer, Found, RequestError};
use super::sink::{size_of, sort_place, subject};
use super::source::first_tuple;
use crate::collection::Declared;
use crate::index::project::project;
use crate::query::plan::{Access, IndexPart, Order, Plan};
use crate::query::{Selector, Sort, Validity};
use bytes::Bytes;
use cosmicsync_protocol::crdt::VersionId;
use cosmicsync_protocol::documents::Snapshot;
use cosmicsync_protocol::endpoint::ReadResult;
use cosmicsync_protocol::ids::DocId;
use cosmicsync_protocol::ledger::rows::FeedRow;
use cosmicsync_protocol::ledger::{DocRef, PartNo};
use cosmicsync_protocol::storage::{Read, Row, Scan, Table};
use std::collections::{BTreeMap, BTreeSet};

/// Changes that are looked through for whoever opens a query again; where there are more, it is told all of it.
const RESUMED_MAX: usize = 16_384;
/// Bytes of a row of a change.
const FEED_ROW_BYTES: usize = 29;
/// Live queries that wait to be asked for more, at most.
const LIVE_MAX: usize = 1024;

/// How documents of a live query are ordered.
#[derive(Debug)]
enum Ordered {
    /// By what they are sorted by.
    Sort(Sort),
    /// As an index brings them.
    Index(IndexPart),
}

impl Ordered {
    /// Bytes that sort as documents do.
    fn place(&self, found: &Found) -> Option<Vec<u8>> {
        match self {
            Self::Sort(sort) => Some(sort_place(sort, &subject(found)?)),
            Self::Index(part) => {
                let mut place = [&first_tuple(part, found.value.as_ref()?)?, found.doc.as_ref()].concat();
                if part.reverse {
                    place.iter_mut().for_each(|byte| *byte = !*byte);
                    // What is longer than its equal beginning came first, and comes last now.
                    place.push(0xff);
                }
                Some(place)
            }
        }
    }
}

/// A live query.
#[derive(Debug)]
pub(super) struct Live {
    /// The query, narrowed by the rule `list` of its actor.
    query: Query,
    /// The selector before it was narrowed: rules may change.
    asked: Selector,
    /// The schema, where documents are compared with it.
    declared: Option<Declared>,
    order: Ordered,
    places: BTreeMap<DocId, Vec<u8>>,
    window: BTreeMap<Vec<u8>, Found>,
    /// Bytes of values in it.
    bytes: usize,
    /// Nothing that matches lies behind the window.
    complete: bool,
    /// How many documents it holds.
    held: Option<usize>,
    /// The last change that was taken in.
    cursor: u64,
    /// Documents that changed in memory while nobody asked for more. That has no number of its own: what is stored of them
    /// may have been read later than its number.
    waiting: BTreeSet<DocRef>,
    /// What was told of the documents in the answer.
    told: BTreeMap<DocId, Told>,
}

/// What was told of a document.
#[derive(Debug, Clone)]
struct Told {
    place: Vec<u8>,
    version: VersionId,
    validity: Option<Validity>,
    key: Option<String>,
}

impl Told {
    fn of(place: Vec<u8>, found: &Found) -> Self {
        Self { place, version: found.version, validity: found.validity, key: found.key.clone() }
    }

    /// Whether whoever was told this knows all of a document.
    fn shows(&self, place: &[u8], found: &Found) -> bool {
        self.place == place && self.version == found.version && self.validity == found.validity
    }
}

impl Live {
    fn limit(&self) -> usize {
        self.query.limit.unwrap_or(usize::MAX)
    }

    /// How many documents an answer holds, those beyond its limit with it.
    fn held(query: &Query, slack: usize) -> Option<usize> {
        query.limit.map(|limit| limit.saturating_add(slack.max(limit / 2)))
    }

    /// Notes that a document changed.
    pub(super) fn note(&mut self, doc: DocRef, max: usize) {
        if self.waiting.len() <= max {
            self.waiting.insert(doc);
        }
    }

    /// Takes the document as it stands. Returns false once documents are missing at the end.
    fn take(&mut self, doc: DocId, snapshot: Option<Snapshot>) -> bool {
        if let Some(place) = self.places.remove(&doc) {
            self.bytes -= self.window.remove(&place).map_or(0, |found| size_of(&found));
        }
        if let Some(found) = snapshot.and_then(|snapshot| matching(&self.query, self.declared.as_ref(), doc, snapshot))
            && let Some(place) = self.order.place(&found)
        {
            let last = self.window.last_key_value().map(|(place, _)| place);
            if self.complete || last.is_some_and(|last| place < *last) {
                self.hold(place, found);
            }
        }
        if let Some(held) = self.held {
            while self.window.len() > held {
                if let Some((_, found)) = self.window.pop_last() {
                    self.bytes -= size_of(&found);
                    self.places.remove(&found.doc);
                    self.complete = false;
                }
            }
        }
        self.complete || self.window.len() >= self.limit() || planted!("live.not-refilled")
    }

    fn hold(&mut self, place: Vec<u8>, found: Found) {
        self.bytes += size_of(&found);
        self.places.insert(found.doc, place.clone());
        self.window.insert(place, found);
    }

    /// Refuses to hold more than may be.
    fn check_size(&self) -> Result<(), QueryError> {
        if self.bytes > LIVE_BYTES_MAX { Err(QueryError::LiveTooLarge) } else { Ok(()) }
    }

    /// What changed in the answer since it was told last, where these documents may have. Notes that it is told.
    fn tell(&mut self, changed: &BTreeSet<DocId>) -> Vec<LiveEvent> {
        let mut events = Vec::new();
        let limit = self.limit();
        let docs: BTreeSet<DocId> = if self.query.limit.is_some() {
            let shown = self.window.values().take(limit).map(|found| found.doc);
            self.told.keys().copied().chain(shown).collect()
        } else {
            changed.clone()
        };
        let end = self.window.keys().nth(limit).cloned();
        for doc in docs {
            let place = self.places.get(&doc).cloned().filter(|place| end.as_ref().is_none_or(|end| place < end));
            let Some(place) = place else {
                if let Some(Told { key, .. }) = self.told.remove(&doc) {
                    events.push((None, LiveEvent::Removed { doc, key }));
                }
                continue;
            };
            let Some(found) = self.window.get(&place).cloned() else { continue };
            let told = Told::of(place.clone(), &found);
            let after = self.window.range(..place.clone()).next_back().map(|(_, found)| found.doc);
            let event = match self.told.insert(doc, told) {
                None => LiveEvent::Added { found, after },
                Some(before) if before.shows(&place, &found) => continue,
                Some(before) if before.place == place || planted!("live.move-untold") => LiveEvent::Changed { found },
                Some(_) => LiveEvent::Moved { found, after },
            };
            events.push((Some(place), event));
        }
        // What goes first, then the rest in order: each stands behind one that is there already.
        events.sort_by(|(a, _), (b, _)| a.cmp(b));
        events.into_iter().map(|(_, event)| event).collect()
    }

    fn batch(&self, id: LiveId, reset: bool, events: Vec<LiveEvent>) -> Answer {
        Answer::Live(LiveBatch { id, cursor: self.cursor, reset, events })
    }
}

/// Opens a live query, or waits until its answer changes.
#[derive(Debug)]
pub(super) struct Watching {
    id: Option<LiveId>,
    query: Query,
    live: Option<Box<Live>>,
    stage: Stage,
    changed: BTreeSet<DocId>,
    /// The change behind which the query is answered.
    cursor: u64,
    /// The change up to which whoever opens it knows the answer.
    since: Option<u64>,
    /// A document changed while others were read.
    woken: bool,
    /// What was to be told was lost: all of the answer is told next.
    resets: bool,
}

#[derive(Debug)]
enum Stage {
    Start,
    /// The newest change is looked up.
    Numbering,
    /// How the query is answered is found out.
    Planning(Box<Find>),
    /// It is answered.
    Filling(Box<Find>, Box<Plan>, Vec<Found>, usize),
    /// Changes behind this one are read, for whoever knows the answer up to it.
    Resuming(u64),
    /// Changes are read.
    Following,
    /// Changed documents are read; whether none is missing at the end so far.
    Fetching(Fetch<()>, bool),
    /// Nothing changed.
    Waiting,
    /// What is told, and whether it is all of the answer, waits for so many commits: a crash must not undo it.
    Settling(Vec<LiveEvent>, bool, usize),
}

impl Watching {
    /// Opens a live query. Whoever knows its answer up to a change is told the rest; with a limit, all of it.
    pub(super) fn open(query: Query, since: Option<u64>) -> Self {
        let since = since.filter(|_| query.limit.is_none());
        Self {
            id: None,
            query,
            live: None,
            stage: Stage::Start,
            changed: BTreeSet::new(),
            cursor: 0,
            since,
            woken: false,
            resets: false,
        }
    }

    pub(super) fn next(id: LiveId) -> Self {
        Self { id: Some(id), ..Self::open(Query::all(PartNo(0), String::new()), None) }
    }

    fn number(&mut self, cx: &mut Context<'_>) {
        let scan = Scan::of(Table::Feed, Bytes::new(), Bytes::new(), usize::MAX).limit(1).descending();
        // In its turn: what is durable and not reported yet is not known to be missing in indexes.
        cx.scan(scan);
        self.stage = Stage::Numbering;
    }

    /// Answers the query, behind a change.
    fn plan(&mut self, cx: &mut Context<'_>, rows: &[Row]) -> Result<Option<Answer>, RequestError> {
        let cursor = rows.first().and_then(|(key, row)| FeedRow::decode(key, row).ok()).map_or(0, |row| row.number);
        self.cursor = cursor;
        self.fill(cx)
    }

    fn fill(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, RequestError> {
        let query = Box::new(Query { bookmark: None, ..self.query.clone() });
        let mut find = Box::new(Find::new(query, Want::Plan));
        let answer = find.run(cx, Wake::Start)?;
        self.stage = Stage::Planning(find);
        self.planned(cx, answer)
    }

    fn planned(&mut self, cx: &mut Context<'_>, answer: Option<Answer>) -> Result<Option<Answer>, RequestError> {
        let Some(Answer::Plan(explained)) = answer else { return Ok(None) };
        let in_order = explained.plan.order == Order::AsTheyCome;
        // What is sorted in memory is held whole, so that nothing need be sorted again.
        let limit = if in_order { Live::held(&self.query, cx.desk.sizes.slack) } else { None };
        let query = Box::new(Query { limit, bookmark: None, ..self.query.clone() });
        let mut find = Box::new(Find::new(query, Want::Docs));
        let answer = find.run(cx, Wake::Start)?;
        self.stage = Stage::Filling(find, Box::new(explained.plan), Vec::new(), 0);
        self.filled(cx, answer)
    }

    fn filled(&mut self, cx: &mut Context<'_>, mut answer: Option<Answer>) -> Result<Option<Answer>, RequestError> {
        let bookmark = loop {
            let Stage::Filling(find, _, docs, bytes) = &mut self.stage else { return Ok(None) };
            let Some(Answer::Matches(page)) = answer.take() else { return Ok(None) };
            *bytes += page.docs.iter().map(size_of).sum::<usize>();
            if *bytes > LIVE_BYTES_MAX {
                return Err(QueryError::LiveTooLarge.into());
            }
            docs.extend(page.docs);
            let held = Live::held(&self.query, cx.desk.sizes.slack);
            let Some(bookmark) = page.bookmark else { break None };
            if held.is_some_and(|held| docs.len() >= held) {
                break Some(bookmark);
            }
            let limit = held.map(|held| held.saturating_sub(docs.len()));
            let query = Query { limit, bookmark: Some(bookmark), ..self.query.clone() };
            **find = Find::new(Box::new(query), Want::Docs);
            answer = find.run(cx, Wake::Start)?;
        };
        let stage = core::mem::replace(&mut self.stage, Stage::Start);
        let Stage::Filling(find, plan, docs, _) = stage else { return Ok(None) };
        let order = match (plan.order, plan.access) {
            // Whoever goes on with it knows its order, which must not depend on what indexes there are by then.
            _ if self.query.limit.is_none() => Ordered::Sort(self.query.sort.clone()),
            // The query was answered by another plan if what was read meanwhile changed what is known of the index.
            (Order::AsTheyCome, Access::Index(part)) if !cx.desk.indexes.holds(&part) => return self.fill(cx),
            (Order::AsTheyCome, Access::Index(part)) => Ordered::Index(part),
            _ => Ordered::Sort(self.query.sort.clone()),
        };
        let told = self.live.take().map(|live| live.told).unwrap_or_default();
        let mut live = Box::new(Live {
            query: Query { selector: find.selector().clone(), ..self.query.clone() },
            asked: self.query.selector.clone(),
            declared: find.declared().cloned(),
            order,
            places: BTreeMap::new(),
            window: BTreeMap::new(),
            bytes: 0,
            complete: bookmark.is_none(),
            held: Live::held(&self.query, cx.desk.sizes.slack),
            cursor: self.cursor,
            waiting: BTreeSet::new(),
            told,
        });
        for found in docs {
            if let Some(place) = live.order.place(&found) {
                live.hold(place, found);
            }
        }
        self.changed.extend(live.told.keys().chain(live.places.keys()).copied());
        self.live = Some(live);
        if self.id.is_none() {
            // Of documents that are not listed nothing is told, not even that they changed.
            let since = self.since.filter(|since| *since <= self.cursor && cx.actor().is_none());
            let Some(since) = since else {
                return Ok(self.answer(cx, true));
            };
            // Documents may have been read as they were after changes that came meanwhile.
            let (from, to) = (FeedRow::key(since + 1), Bytes::new());
            cx.scan_of(Read::Durable, Scan::of(Table::Feed, from, to, usize::MAX).limit(RESUMED_MAX + 1));
            self.stage = Stage::Resuming(since);
            return Ok(None);
        }
        self.follow(cx);
        Ok(None)
    }

    /// Tells what changed since a change, of which these are the numbers behind it.
    fn resume(&mut self, cx: &mut Context<'_>, since: u64, rows: &[Row]) -> Option<Answer> {
        let rows: Vec<FeedRow> = rows.iter().filter_map(|(key, row)| FeedRow::decode(key, row).ok()).collect();
        let is_whole = match rows.first() {
            None => since == self.cursor,
            Some(first) => first.number == since + 1 && rows.len() <= RESUMED_MAX,
        };
        let Some(live) = self.live.as_mut().filter(|_| is_whole) else { return self.answer(cx, true) };
        let here = rows.iter().filter(|row| row.doc.partition == self.query.partition);
        // So may those with edits that are not durable.
        let open = cx.unsafe_docs(self.query.partition);
        let changed: BTreeSet<DocId> = here.map(|row| row.doc.doc).chain(open).collect();
        for (place, found) in live.window.iter().filter(|(_, found)| !changed.contains(&found.doc)) {
            let told = Told::of(place.clone(), found);
            live.told.insert(found.doc, told);
        }
        // What changed and is not in the answer may have been.
        for doc in changed.iter().filter(|doc| !live.places.contains_key(*doc)) {
            let (place, version) = (Vec::new(), VersionId([0; 16]));
            live.told.insert(*doc, Told { place, version, validity: None, key: None });
        }
        self.changed = changed;
        self.answer(cx, false)
    }

    fn follow(&mut self, cx: &mut Context<'_>) {
        let Some(live) = &self.live else { return };
        let from = FeedRow::key(live.cursor + 1);
        let max = cx.desk.sizes.followed;
        let scan = Scan::of(Table::Feed, from, Bytes::new(), (max + 1) * 2 * FEED_ROW_BYTES).limit(max + 1);
        cx.scan_of(Read::Durable, scan);
        self.stage = Stage::Following;
    }

    fn take_changes(&mut self, cx: &mut Context<'_>, rows: &[Row]) -> Result<Option<Answer>, RequestError> {
        let Some(live) = &mut self.live else { return Ok(None) };
        let rows: Vec<FeedRow> = rows.iter().filter_map(|(key, row)| FeedRow::decode(key, row).ok()).collect();
        let gap = rows.first().is_some_and(|row| row.number > live.cursor + 1);
        let mut docs = core::mem::take(&mut live.waiting);
        if !planted!("live.cursor-ahead") {
            docs.extend(cx.take_changed());
        }
        if gap || rows.len().max(docs.len()) > cx.desk.sizes.followed {
            self.number(cx);
            return Ok(None);
        }
        if let Some(last) = rows.last() {
            live.cursor = last.number;
        }
        docs.extend(rows.iter().map(|row| row.doc));
        docs.retain(|doc| doc.partition == self.query.partition);
        let described = cx.description_doc(self.query.partition, &self.query.collection)?;
        let asks = self.query.asks_validity() || cx.actor().is_some() && !planted!("rules.live-kept");
        if asks && described.is_some_and(|described| docs.contains(&described)) {
            // Documents that did not change may be valid, or not, by another schema, and be listed, or not, by other rules.
            self.number(cx);
            return Ok(None);
        }
        let mut fetch = Fetch::of(Read::Durable);
        docs.into_iter().for_each(|doc| fetch.push(doc, ()));
        fetch.read(cx);
        self.stage = Stage::Fetching(fetch, true);
        self.take_docs(cx)
    }

    fn take_docs(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, RequestError> {
        let (Stage::Fetching(fetch, is_whole), Some(live)) = (&mut self.stage, &mut self.live) else { return Ok(None) };
        loop {
            match fetch.next() {
                Fetched::Doc(doc, (), snapshot) => {
                    if let (Ordered::Index(part), Some(snapshot)) = (&live.order, &snapshot) {
                        // The index may not bring documents in the order that it was chosen for.
                        cx.desk.indexes.note_shape(part.no, &project(&part.fields, &snapshot.value));
                        *is_whole &= cx.desk.indexes.holds(part);
                    }
                    *is_whole &= live.take(doc.doc, snapshot);
                    self.changed.insert(doc.doc);
                }
                Fetched::Wait => return Ok(None),
                Fetched::Empty => break,
            }
        }
        live.check_size()?;
        if !*is_whole {
            self.cursor = live.cursor;
            return self.fill(cx);
        }
        let changed = core::mem::take(&mut self.changed);
        let events = live.tell(&changed);
        if events.is_empty() {
            if core::mem::take(&mut self.woken) {
                self.follow(cx);
            } else {
                self.stage = Stage::Waiting;
            }
            return Ok(None);
        }
        Ok(self.settle(cx, false, events))
    }

    fn answer(&mut self, cx: &mut Context<'_>, reset: bool) -> Option<Answer> {
        let changed = core::mem::take(&mut self.changed);
        let events = self.live.as_mut().map(|live| live.tell(&changed)).unwrap_or_default();
        self.settle(cx, reset, events)
    }

    /// Tells it once it is durable: whoever goes on behind its cursor after a crash must not know what that undid.
    fn settle(&mut self, cx: &mut Context<'_>, reset: bool, events: Vec<LiveEvent>) -> Option<Answer> {
        let reset = core::mem::take(&mut self.resets) || reset;
        let partition = self.query.partition;
        let docs: BTreeSet<DocId> = events.iter().map(LiveEvent::doc).collect();
        let waits = docs.into_iter().filter(|doc| cx.wait_for(DocRef { partition, doc: *doc })).count();
        if waits > 0 {
            self.stage = Stage::Settling(events, reset, waits);
            return None;
        }
        Some(self.told(cx, reset, events))
    }

    /// A commit that was waited for is durable.
    fn settled(&mut self, cx: &mut Context<'_>) -> Option<Answer> {
        let Stage::Settling(events, reset, left) = &mut self.stage else { return None };
        *left -= 1;
        if *left > 0 {
            return None;
        }
        let (events, reset) = (core::mem::take(events), *reset);
        Some(self.told(cx, reset, events))
    }

    fn told(&mut self, cx: &mut Context<'_>, reset: bool, events: Vec<LiveEvent>) -> Answer {
        let id = *self.id.get_or_insert_with(|| cx.desk.new_live());
        let Some(mut live) = self.live.take() else { return Answer::Failed(QueryError::NotLive.into()) };
        // What changed while it was answered is looked at again.
        live.waiting.extend(cx.take_changed());
        let answer = live.batch(id, reset, events);
        if cx.desk.live.len() >= LIVE_MAX {
            // The one that was opened first goes.
            cx.desk.live.pop_first();
        }
        cx.desk.live.insert(id, live);
        answer
    }

    fn step(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        // What is read now may be from before this change.
        self.woken |= matches!(wake, Wake::Again) && !matches!(self.stage, Stage::Waiting);
        match (&mut self.stage, wake) {
            (Stage::Start, _) => {
                cx.follow_changes();
                match self.id {
                    None => self.number(cx),
                    Some(id) => {
                        let live = cx.desk.live.remove(&id).ok_or(QueryError::NotLive)?;
                        self.query = Query { selector: live.asked.clone(), ..live.query.clone() };
                        self.live = Some(live);
                        self.follow(cx);
                    }
                }
                Ok(None)
            }
            (Stage::Numbering, Wake::Read(ReadResult::Rows { rows, .. })) => self.plan(cx, &rows),
            (Stage::Planning(find), wake) => {
                let answer = find.run(cx, wake)?;
                self.planned(cx, answer)
            }
            (Stage::Filling(find, ..), wake) => {
                let answer = find.run(cx, wake)?;
                self.filled(cx, answer)
            }
            (Stage::Resuming(since), Wake::Read(ReadResult::Rows { rows, .. })) => {
                let since = *since;
                Ok(self.resume(cx, since, &rows))
            }
            (Stage::Following, Wake::Read(ReadResult::Rows { rows, .. })) => self.take_changes(cx, &rows),
            (Stage::Fetching(fetch, _), wake) => {
                fetch.wake(cx, wake)?;
                self.take_docs(cx)
            }
            (Stage::Settling(..), Wake::Committed) => Ok(self.settled(cx)),
            (Stage::Settling(..), Wake::Lost) => {
                (self.live, self.resets) = (None, true);
                self.number(cx);
                Ok(None)
            }
            (Stage::Waiting, Wake::Again) => {
                self.follow(cx);
                Ok(None)
            }
            (_, Wake::Read(ReadResult::Failed(error))) => Err(error.into()),
            _ => Ok(None),
        }
    }
}

impl Task for Watching {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        let answer = self.step(cx, wake)?;
        cx.rest(matches!(self.stage, Stage::Waiting))?;
        Ok(answer)
    }
}

/// Ends a live query.
#[derive(Debug)]
pub(super) struct Ending(pub(super) LiveId);

impl Task for Ending {
    fn run(&mut self, cx: &mut Context<'_>, _: Wake) -> Result<Option<Answer>, RequestError> {
        cx.desk.live.remove(&self.0);
        Ok(Some(Answer::Done))
    }
}
