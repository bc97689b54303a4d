//! Watches of documents. Changes are read from the store by their numbers, so a watch can continue where it stopped. A
//! slow watcher delays nothing and misses nothing.

use super::docs::doc_id;
use super::handle::unexpected;
use super::spaces::{data_partitions, find_space};
use super::{Acting, blame};
use crate::clock::wall_ms;
use crate::driver::{Core, Watcher};
use crate::service::{Change, Changes, DocRef, ErrorCode, Item, Progress, Reason, Reply, ServiceError, SpaceRef, Text};
use cosmicsync_data::collection::COLLECTIONS;
use cosmicsync_data::database::request::{Answer, Name, Request, RequestError};
use cosmicsync_data::json;
use cosmicsync_protocol::crdt::VersionId;
use cosmicsync_protocol::documents::Snapshot;
use cosmicsync_protocol::ids::{DocId, DocRef as LedgerDoc, Incarnation, PartNo};
use cosmicsync_protocol::storage::rows::FeedRow;
use cosmicsync_protocol::sync::SpaceNo;
use futures_util::future::try_join_all;
use std::collections::BTreeMap;
use tokio::sync::mpsc;
use tokio::time::Duration;

/// Number of changes per read. Of several changes of one document among them, only the last is reported.
const TOGETHER: usize = 256;
/// Number of documents read concurrently.
const LOOKS: usize = 16;
/// Largest number of changes of a document that are skipped before one is reported.
const PASSED_MAX: u32 = 8;
/// Largest number of documents to look ahead for; beyond it, a version may be reported twice.
const AHEAD_MAX: usize = 65_536;

impl Acting<'_> {
    pub(super) async fn doc_watch(
        &self,
        space: SpaceRef,
        collection: Option<String>,
        doc: Option<DocRef>,
        since: Option<String>,
        items: &mpsc::Sender<Item>,
    ) -> Result<Reply, ServiceError> {
        let handle = self.handle()?;
        let (woken, doc, space, life, next) = handle
            .with(move |core| {
                core.available()?;
                let space = find_space(core, &space)?.no;
                let doc = doc.map(|doc| doc_id(core, space, &doc)).transpose()?;
                let (watcher, woken) = Watcher::new(space, doc);
                core.watchers.push(watcher);
                let (life, next) = core.db.endpoint().next_change();
                Ok::<_, ServiceError>((woken, doc, space, life, next))
            })
            .await??;
        let mut after = match since {
            Some(cursor) => number_of(&cursor, life, next)?,
            None => next - 1,
        };
        let watching = Progress { done: 0, total: None, unit: "changes".to_owned(), note: "watching".to_owned() };
        drop(items.send(Item::Progress(watching)).await);
        let wanted = Wanted { space, collection, doc };
        let mut ahead = Ahead::default();
        loop {
            let Some(page) = self.changes_behind(&wanted, after, TOGETHER).await? else {
                tokio::select! {
                    biased;
                    () = woken.notified() => continue,
                    () = items.closed() => return Ok(Reply::Done {}),
                    ended = self.ended() => return Err(ended.err().unwrap_or_else(crate::driver::stopping)),
                }
            };
            after = page.last;
            ahead.pass(after);
            for rows in page.rows.chunks(LOOKS) {
                for change in self.changed(&wanted, rows, life, &mut ahead).await? {
                    if items.send(Item::Change(change)).await.is_err() {
                        return Ok(Reply::Done {});
                    }
                }
            }
        }
    }

    pub(super) async fn changes(&self, asked: Changes, items: &mpsc::Sender<Item>) -> Result<Reply, ServiceError> {
        let Changes { space, collection, since, limit, wait_ms } = asked;
        let (woken, space, life, next) = self
            .handle()?
            .with(move |core| {
                core.available()?;
                let space = find_space(core, &space)?.no;
                let (watcher, woken) = Watcher::new(space, None);
                if wait_ms > 0 {
                    core.watchers.retain(Watcher::is_watched);
                    core.watchers.push(watcher);
                }
                let (life, next) = core.db.endpoint().next_change();
                Ok::<_, ServiceError>((woken, space, life, next))
            })
            .await??;
        let mut after = since.map_or(Ok(next - 1), |cursor| number_of(&cursor, life, next))?;
        let wanted = Wanted { space, collection, doc: None };
        let mut ahead = Ahead::default();
        let mut left = usize::try_from(limit).unwrap_or(usize::MAX);
        let patience = crate::tasks::sleep(Duration::from_millis(wait_ms));
        tokio::pin!(patience);
        let mut told = false;
        while left > 0 {
            let Some(page) = self.changes_behind(&wanted, after, left.min(TOGETHER)).await? else {
                if told || wait_ms == 0 {
                    return Ok(Reply::Changes { cursor: cursor(life, after), more: false });
                }
                tokio::select! {
                    biased;
                    () = woken.notified() => continue,
                    () = &mut patience => return Ok(Reply::Changes { cursor: cursor(life, after), more: false }),
                    ended = self.ended() => return Err(ended.err().unwrap_or_else(crate::driver::stopping)),
                }
            };
            after = page.last;
            ahead.pass(after);
            for rows in page.rows.chunks(LOOKS) {
                for change in self.changed(&wanted, rows, life, &mut ahead).await? {
                    (told, left) = (true, left - 1);
                    // Items without a receiver are dropped.
                    drop(items.send(Item::Change(change)).await);
                }
            }
        }
        Ok(Reply::Changes { cursor: cursor(life, after), more: limit > 0 })
    }

    /// Returns the next wanted changes after a number; `None` if there are no more changes at all.
    async fn changes_behind(&self, wanted: &Wanted, after: u64, limit: usize) -> Result<Option<Page>, ServiceError> {
        let handle = self.handle()?;
        let Answer::Changes(rows) = handle.ask(move |_| Ok(Request::Changes { after, limit })).await? else {
            return Err(unexpected());
        };
        let rows = rows.ok_or_else(forgotten)?;
        let Some(last) = rows.last().map(|row| row.number) else { return Ok(None) };
        // Partitions may have been created meanwhile.
        let space = wanted.space;
        let partitions = handle.with(move |core| data_partitions(core, space)).await?;
        let is_wanted = |row: &&FeedRow| {
            partitions.iter().any(|(_, partition)| *partition == row.doc.partition)
                && wanted.doc.is_none_or(|doc| doc == row.doc.doc)
        };
        let newest: BTreeMap<_, FeedRow> = rows.iter().filter(is_wanted).map(|row| (row.doc, *row)).collect();
        let mut newest: Vec<FeedRow> = newest.into_values().collect();
        newest.sort_by_key(|row| row.number);
        Ok(Some(Page { last, rows: newest }))
    }

    /// Returns changed documents for a watcher. Leaves out documents without a visible state, those of other
    /// collections, and those that changed again, so that each version is reported once.
    async fn changed(
        &self,
        wanted: &Wanted,
        rows: &[FeedRow],
        life: Incarnation,
        ahead: &mut Ahead,
    ) -> Result<Vec<Change>, ServiceError> {
        // The reads run concurrently, so that the core is waited for only once.
        let found = try_join_all(rows.iter().map(|row| self.look(row))).await?;
        self.read_ahead(ahead).await?;
        let found = rows.iter().zip(found).filter_map(|(row, snapshot)| Some((row, snapshot?)));
        let told = found.filter(|(row, snapshot)| ahead.tells(row, snapshot.version));
        let changes = told.map(|(row, snapshot)| change_of(row, snapshot, life));
        let is_of = |name: &String| {
            name != COLLECTIONS && wanted.collection.as_ref().is_none_or(|collection| collection == name)
        };
        Ok(changes.filter(|change| is_of(&change.collection)).collect())
    }

    /// Reads a document's present state; `None` if it is not visible.
    async fn look(&self, row: &FeedRow) -> Result<Option<Snapshot>, ServiceError> {
        let (partition, doc): (PartNo, _) = (row.doc.partition, row.doc.doc);
        let answer = self.handle()?.answer(move |_| Ok(Request::Look { partition, name: Name::Id(doc) })).await?;
        match answer {
            Answer::Snapshot(snapshot) => Ok(snapshot),
            // A document that the actor may not list is left out.
            Answer::Failed(
                RequestError::NotFound | RequestError::Forbidden { .. } | RequestError::OutOfReach { .. },
            ) if self.is_limited() => Ok(None),
            Answer::Failed(error) => Err(blame::request_error(&error)),
            _ => Err(unexpected()),
        }
    }

    /// Finds documents that changed again up to now. The result also serves the next pages.
    async fn read_ahead(&self, ahead: &mut Ahead) -> Result<(), ServiceError> {
        let handle = self.handle()?;
        let (_, next) = handle.with(|core| core.db.endpoint().next_change()).await?;
        while ahead.last + 1 < next && ahead.newest.len() < AHEAD_MAX {
            let after = ahead.last;
            let request = move |_: &mut Core| Ok(Request::Changes { after, limit: TOGETHER });
            let Answer::Changes(rows) = handle.ask(request).await? else { return Err(unexpected()) };
            let rows = rows.unwrap_or_default();
            let Some(last) = rows.last() else { break };
            ahead.last = last.number;
            ahead.newest.extend(rows.iter().map(|row| (row.doc, row.number)));
        }
        Ok(())
    }
}

fn change_of(row: &FeedRow, snapshot: Snapshot, life: Incarnation) -> Change {
    Change {
        doc: Text(row.doc.doc),
        collection: snapshot.meta.collection.unwrap_or_default(),
        key: snapshot.meta.key,
        value: (!snapshot.meta.deleted).then(|| json::to_json(&snapshot.value)),
        version: Text(snapshot.version),
        local: row.here,
        at: wall_ms(),
        cursor: cursor(life, row.number),
    }
}

/// The changes that a watcher wants.
struct Wanted {
    space: SpaceNo,
    collection: Option<String>,
    doc: Option<DocId>,
}

/// The newest change of each document, read ahead of the reports.
#[derive(Default)]
struct Ahead {
    /// Number of the last change that was read ahead.
    last: u64,
    newest: BTreeMap<LedgerDoc, u64>,
    passed: BTreeMap<LedgerDoc, Passed>,
}

/// A document with skipped changes.
#[derive(Default)]
struct Passed {
    /// Number of changes skipped since the last report.
    count: u32,
    /// The version that was reported despite later changes.
    told: Option<VersionId>,
}

impl Ahead {
    /// Discards entries that are no longer ahead, once the changes up to a number are reported.
    fn pass(&mut self, after: u64) {
        self.last = self.last.max(after);
        if self.newest.len() >= AHEAD_MAX {
            self.newest.retain(|_, number| *number > after);
            self.passed.clear();
        }
    }

    /// Returns whether a change is reported. A change of a document that changed again is skipped, so that each version
    /// is reported once. A document that changes all the time is still reported now and then.
    fn tells(&mut self, row: &FeedRow, version: VersionId) -> bool {
        if self.newest.get(&row.doc).is_none_or(|newest| *newest <= row.number) {
            let passed = self.passed.remove(&row.doc);
            return passed.is_none_or(|passed| passed.told != Some(version));
        }
        let passed = self.passed.entry(row.doc).or_default();
        passed.count += 1;
        if passed.count < PASSED_MAX || passed.told == Some(version) {
            return false;
        }
        *passed = Passed { count: 0, told: Some(version) };
        true
    }
}

/// A batch of changes, in order.
struct Page {
    /// Number of the last change, wanted or not.
    last: u64,
    /// The changes that may be wanted: the last one of each document.
    rows: Vec<FeedRow>,
}

/// Returns the cursor of a change: the store's incarnation and the change's number.
pub(super) fn cursor(life: Incarnation, number: u64) -> String {
    let life: String = life.0.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{life}.{number}")
}

/// Returns the change number of a cursor.
pub(super) fn number_of(text: &str, life: Incarnation, next: u64) -> Result<u64, ServiceError> {
    let number = text.split_once('.').and_then(|(_, number)| number.parse::<u64>().ok());
    let Some(number) = number else {
        let message = format!("'{text}' is not a cursor: pass the cursor of a change that a watch printed");
        return Err(ServiceError::new(ErrorCode::Usage, message).next("cosmicsync doc watch -o json"));
    };
    if cursor(life, number) != text || number >= next {
        let message = "the cursor is of another store, or of one before a restore";
        let error = ServiceError::new(ErrorCode::NotFound, message).because(Reason::Forgotten);
        return Err(error.next("cosmicsync doc list"));
    }
    Ok(number)
}

fn forgotten() -> ServiceError {
    let message = "changes since that cursor are not kept any more: read the documents, then watch without --since";
    ServiceError::new(ErrorCode::NotFound, message).because(Reason::Forgotten).next("cosmicsync doc list")
}
