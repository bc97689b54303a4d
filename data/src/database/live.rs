//! Live queries: an answer that is updated as documents change.
//!
//! A request for the next batch is answered once the answer has changed, with the sum of all changes meanwhile. A slow
//! reader therefore causes no backlog. An answer with a limit holds some documents beyond the limit, so that a document
//! that leaves is replaced without a read. Only when these run out, the query is answered again. This module never
//! orders or matches documents itself. Specified in `spec/query.md`.

use super::ask::{LIVE_BYTES_MAX, LiveBatch, LiveEvent, LiveId, Query, QueryError, Want};
use super::context::{Context, Task, Wake};
use super::fetch::{Fetch, Fetched};
use super::find::{Find, matching};
use super::lag::Lags;
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
use cosmicsync_protocol::ids::{DocId, DocRef, PartNo};
use cosmicsync_protocol::storage::rows::FeedRow;
use cosmicsync_protocol::storage::{Read, Row, Scan, Table};
use std::collections::{BTreeMap, BTreeSet};

/// Largest number of changes read to resume a live query; beyond it, the client gets the whole answer.
const RESUMED_MAX: usize = 16_384;
/// Largest number of live queries without a pending request.
const LIVE_MAX: usize = 1024;

/// Order of a live query's documents.
#[derive(Debug)]
enum Ordered {
    /// The query's sort.
    Sort(Sort),
    /// The order of an index.
    Index(IndexPart),
}

impl Ordered {
    /// Returns bytes that sort like the documents.
    fn place(&self, found: &Found) -> Option<Vec<u8>> {
        match self {
            Self::Sort(sort) => Some(sort_place(sort, &subject(found)?)),
            Self::Index(part) => {
                let mut place = [&first_tuple(part, found.value.as_ref()?)?, found.doc.as_ref()].concat();
                if part.reverse {
                    place.iter_mut().for_each(|byte| *byte = !*byte);
                    // Inverted, a longer tuple must sort before its prefix; the last byte ensures this.
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
    /// The query, with its selector narrowed by the actor's rule `list`.
    query: Query,
    /// The selector as requested; the rules that narrow it may change.
    asked: Selector,
    /// The schema, if the query compares documents with it.
    declared: Option<Declared>,
    order: Ordered,
    places: BTreeMap<DocId, Vec<u8>>,
    window: BTreeMap<Vec<u8>, Found>,
    /// Size of the values in `window`, in bytes.
    bytes: usize,
    /// True if no matching document lies beyond the window.
    complete: bool,
    /// Largest number of documents in the window.
    held: Option<usize>,
    /// Number of the last change that the answer includes.
    cursor: u64,
    /// Documents that changed in memory while no request was pending. Such a change has no number yet, and its stored
    /// value may have been read after its number was.
    waiting: BTreeSet<DocRef>,
    /// Changes up to `cursor` that the answer lacks.
    lags: Lags,
    /// The reported state of each document in the answer.
    told: BTreeMap<DocId, Told>,
}

/// The reported state of a document.
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

    /// Returns whether the client's state of a document is up to date.
    fn shows(&self, place: &[u8], found: &Found) -> bool {
        self.place == place && self.version == found.version && self.validity == found.validity
    }
}

impl Live {
    fn limit(&self) -> usize {
        self.query.limit.unwrap_or(usize::MAX)
    }

    /// Returns the number of documents that an answer with a limit holds, including its reserve beyond the limit.
    fn held(query: &Query, slack: usize) -> Option<usize> {
        query.limit.map(|limit| limit.saturating_add(slack.max(limit / 2)))
    }

    /// Records that a document changed.
    pub(super) fn note(&mut self, doc: DocRef, max: usize) {
        if self.waiting.len() <= max {
            self.waiting.insert(doc);
        }
    }

    /// Updates the window with a document's present state. Returns false if the window has too few documents at its
    /// end.
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

    /// Fails if the held values are too large.
    fn check_size(&self) -> Result<(), QueryError> {
        if self.bytes > LIVE_BYTES_MAX { Err(QueryError::LiveTooLarge) } else { Ok(()) }
    }

    /// Returns the events since the last batch, given the documents that may have changed, and records them as
    /// reported.
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
        // Removals come first, then the rest in order, so that each event refers to a document already in the answer.
        events.sort_by(|(a, _), (b, _)| a.cmp(b));
        events.into_iter().map(|(_, event)| event).collect()
    }

    fn batch(&self, id: LiveId, reset: bool, events: Vec<LiveEvent>) -> Answer {
        Answer::Live(LiveBatch { id, cursor: self.lags.cursor(self.cursor), reset, events })
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
    /// Number of the change as of which the query is answered.
    cursor: u64,
    /// Changes up to `cursor` that were not in memory when the query was asked.
    lags: Lags,
    /// Number of the change up to which the client already has the answer.
    since: Option<u64>,
    /// True if a document changed while others were being read.
    woken: bool,
    /// True if events were lost: the next answer is the whole one.
    resets: bool,
}

#[derive(Debug)]
enum Stage {
    Start,
    /// Reads the number of the newest change.
    Numbering,
    /// Plans the query.
    Planning(Box<Find>),
    /// Runs the query.
    Filling(Box<Find>, Box<Plan>, Vec<Found>, usize),
    /// Reads the changes after this one, to resume a client's answer.
    Resuming(u64),
    /// Reads changes.
    Following,
    /// Reads changed documents; false once the window has too few documents at its end.
    Fetching(Fetch<()>, bool),
    /// Waits for a change.
    Waiting,
    /// Events, true if they are the whole answer, and the number of commits to wait for: a crash must not undo a
    /// reported event.
    Settling(Vec<LiveEvent>, bool, usize),
}

impl Watching {
    /// Opens a live query. A client that has the answer up to a change gets the later changes; with a limit, the whole
    /// answer.
    pub(super) fn open(query: Query, since: Option<u64>) -> Self {
        let since = since.filter(|_| query.limit.is_none());
        Self {
            id: None,
            query,
            live: None,
            stage: Stage::Start,
            changed: BTreeSet::new(),
            cursor: 0,
            lags: Lags::default(),
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
        // After pending requests: the indexes do not count durable changes that are not reported yet as missing.
        cx.scan(scan);
        self.stage = Stage::Numbering;
    }

    /// Plans the query as of the newest change.
    fn plan(&mut self, cx: &mut Context<'_>, rows: &[Row]) -> Result<Option<Answer>, RequestError> {
        let cursor = rows.first().and_then(|(key, row)| FeedRow::decode(key, row).ok()).map_or(0, |row| row.number);
        self.cursor = cursor;
        let known = self.live.as_ref().map(|live| live.cursor).or(self.since);
        let known = known.filter(|known| *known <= cursor).unwrap_or_default();
        self.lags.join(Lags::of(cx.endpoint, self.query.partition, known));
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
        // A query sorted in memory is held whole, so that it need not be sorted again.
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
            // A client that resumes knows the order, which must not depend on the indexes of that time.
            _ if self.query.limit.is_none() => Ordered::Sort(self.query.sort.clone()),
            // The query was answered by another plan if what was read meanwhile changed what is known of the index.
            (Order::AsTheyCome, Access::Index(part)) if !cx.desk.indexes.holds(&part) => return self.fill(cx),
            (Order::AsTheyCome, Access::Index(part)) => Ordered::Index(part),
            _ => Ordered::Sort(self.query.sort.clone()),
        };
        let (told, mut lags) = self.live.take().map(|live| (live.told, live.lags)).unwrap_or_default();
        lags.join(core::mem::take(&mut self.lags));
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
            lags,
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
            // An actor gets the whole answer: changes of documents that it may not list must stay hidden.
            let since = self.since.filter(|since| *since <= self.cursor && cx.actor().is_none());
            let Some(since) = since else {
                return Ok(self.answer(cx, true));
            };
            // Documents may have been read as of later changes.
            let (from, to) = (FeedRow::key(since + 1), Bytes::new());
            cx.scan_of(Read::Durable, Scan::of(Table::Feed, from, to, usize::MAX).limit(RESUMED_MAX + 1));
            self.stage = Stage::Resuming(since);
            return Ok(None);
        }
        self.follow(cx);
        Ok(None)
    }

    /// Answers with the changes since `since`; `rows` are the numbered changes after it.
    fn resume(&mut self, cx: &mut Context<'_>, since: u64, rows: &[Row]) -> Option<Answer> {
        let rows: Vec<FeedRow> = rows.iter().filter_map(|(key, row)| FeedRow::decode(key, row).ok()).collect();
        let is_whole = match rows.first() {
            None => since == self.cursor,
            Some(first) => first.number == since + 1 && rows.len() <= RESUMED_MAX,
        };
        let Some(live) = self.live.as_mut().filter(|_| is_whole) else { return self.answer(cx, true) };
        let here = rows.iter().filter(|row| row.doc.partition == self.query.partition);
        // Documents with edits that are not durable may have changed too.
        let open = cx.unsafe_docs(self.query.partition);
        let changed: BTreeSet<DocId> = here.map(|row| row.doc.doc).chain(open).collect();
        for (place, found) in live.window.iter().filter(|(_, found)| !changed.contains(&found.doc)) {
            let told = Told::of(place.clone(), found);
            live.told.insert(found.doc, told);
        }
        // A changed document that is not in the answer may have been in it.
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
        let scan = Scan::of(Table::Feed, from, Bytes::new(), (max + 1) * 2 * FeedRow::BYTES).limit(max + 1);
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
        live.lags.settle(cx.endpoint, &docs);
        let lacking = rows.iter().filter(|row| docs.contains(&row.doc) && !cx.endpoint.is_current(row.doc));
        lacking.for_each(|row| live.lags.note(row.doc, row.number));
        let described = cx.description_doc(self.query.partition, &self.query.collection)?;
        let asks = self.query.asks_validity() || cx.actor().is_some() && !planted!("rules.live-kept");
        if asks && described.is_some_and(|described| docs.contains(&described)) {
            // With another schema or other rules, unchanged documents may join or leave the answer.
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
                        // The index may no longer return documents in the order that the plan assumed.
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

    /// Answers with events once they are durable: a client that resumes at their cursor after a crash must not know
    /// changes that the crash undid.
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

    /// Counts a commit that became durable.
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
        // Documents that changed during the query are processed again.
        live.waiting.extend(cx.take_changed());
        // Above the limit, only some of the documents are known.
        if live.waiting.len() <= cx.desk.sizes.followed {
            live.lags.settle(cx.endpoint, &live.waiting);
        }
        let answer = live.batch(id, reset, events);
        if cx.desk.live.len() >= LIVE_MAX {
            // The live query that was opened first ends.
            cx.desk.live.pop_first();
        }
        cx.desk.live.insert(id, live);
        answer
    }

    fn step(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        // A read in progress may be older than this change.
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
