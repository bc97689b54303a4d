//! Watching documents: changes come from the store, by their numbers, so a watcher goes on where it was, and one that is
//! slow makes nothing wait and misses nothing.

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
use cosmicsync_protocol::ids::{DocId, Incarnation};
use cosmicsync_protocol::ledger::rows::FeedRow;
use cosmicsync_protocol::ledger::{DocRef as LedgerDoc, PartNo};
use cosmicsync_protocol::sync::SpaceNo;
use futures_util::future::try_join_all;
use std::collections::BTreeMap;
use tokio::sync::mpsc;
use tokio::time::Duration;

/// Changes that are read at a time. Of several of one document among them the last is told.
const TOGETHER: usize = 256;
/// Documents that are read together.
const LOOKS: usize = 16;
/// So many changes of a document are passed over at most before one is told.
const PASSED_MAX: u32 = 8;
/// Documents that are looked for ahead, at most. Beyond, a version may be told twice.
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
                let doc = doc.map(|doc| doc_id(core, space, &doc));
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
        let patience = tokio::time::sleep(Duration::from_millis(wait_ms));
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
                    // Whoever is gone wants no items.
                    drop(items.send(Item::Change(change)).await);
                }
            }
        }
        Ok(Reply::Changes { cursor: cursor(life, after), more: limit > 0 })
    }

    /// The next changes behind a number that are wanted. `None` if there is none of any kind.
    async fn changes_behind(&self, wanted: &Wanted, after: u64, limit: usize) -> Result<Option<Page>, ServiceError> {
        let handle = self.handle()?;
        let Answer::Changes(rows) = handle.ask(move |_| Ok(Request::Changes { after, limit })).await? else {
            return Err(unexpected());
        };
        let rows = rows.ok_or_else(forgotten)?;
        let Some(last) = rows.last().map(|row| row.number) else { return Ok(None) };
        // Partitions may have been made meanwhile.
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

    /// Changed documents as a watcher sees them, but for those of which there is nothing to see yet, those of another
    /// collection, and those that changed again, which is told later: each version is told once.
    async fn changed(
        &self,
        wanted: &Wanted,
        rows: &[FeedRow],
        life: Incarnation,
        ahead: &mut Ahead,
    ) -> Result<Vec<Change>, ServiceError> {
        // Together, so that the core is waited for once.
        let found = try_join_all(rows.iter().map(|row| self.look(row))).await?;
        self.look_ahead(ahead).await?;
        let found = rows.iter().zip(found).filter_map(|(row, snapshot)| Some((row, snapshot?)));
        let told = found.filter(|(row, snapshot)| ahead.tells(row, snapshot.version));
        let changes = told.map(|(row, snapshot)| change_of(row, snapshot, life));
        let is_of = |name: &String| {
            name != COLLECTIONS && wanted.collection.as_ref().is_none_or(|collection| collection == name)
        };
        Ok(changes.filter(|change| is_of(&change.collection)).collect())
    }

    /// Reads a document as it is now. `None` if there is nothing to see.
    async fn look(&self, row: &FeedRow) -> Result<Option<Snapshot>, ServiceError> {
        let (partition, doc): (PartNo, _) = (row.doc.partition, row.doc.doc);
        let answer = self.handle()?.answer(move |_| Ok(Request::Look { partition, name: Name::Id(doc) })).await?;
        match answer {
            Answer::Snapshot(snapshot) => Ok(snapshot),
            // Nothing is told of what may not be listed.
            Answer::Failed(RequestError::NotFound | RequestError::Forbidden { .. }) if self.is_limited() => Ok(None),
            Answer::Failed(error) => Err(blame::request_error(&error)),
            _ => Err(unexpected()),
        }
    }

    /// Finds the documents that changed again, up to now. What was found serves the pages that follow.
    async fn look_ahead(&self, ahead: &mut Ahead) -> Result<(), ServiceError> {
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

/// Which changes somebody wants.
struct Wanted {
    space: SpaceNo,
    collection: Option<String>,
    doc: Option<DocId>,
}

/// The newest changes of documents, as far as they were looked at before they are told.
#[derive(Default)]
struct Ahead {
    /// The number of the last change that was looked at.
    last: u64,
    newest: BTreeMap<LedgerDoc, u64>,
    passed: BTreeMap<LedgerDoc, Passed>,
}

/// A document whose changes were passed over.
#[derive(Default)]
struct Passed {
    /// How often, since one was told.
    count: u32,
    /// The version that was told all the same.
    told: Option<VersionId>,
}

impl Ahead {
    /// Forgets what is not ahead any more once the changes up to a number are told.
    fn pass(&mut self, after: u64) {
        self.last = self.last.max(after);
        if self.newest.len() >= AHEAD_MAX {
            self.newest.retain(|_, number| *number > after);
            self.passed.clear();
        }
    }

    /// Whether a change is told. One whose document has changed again is passed over, so that each version is told once; but
    /// of a document that changes all the time something is told now and then.
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

/// Some changes, in their order.
struct Page {
    /// The number of the last one, wanted or not.
    last: u64,
    /// Those that may be wanted: the last one of each document.
    rows: Vec<FeedRow>,
}

/// Names a change: the life of the store that numbered it, and its number.
pub(super) fn cursor(life: Incarnation, number: u64) -> String {
    let life: String = life.0.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{life}.{number}")
}

/// The number that a cursor names.
pub(super) fn number_of(text: &str, life: Incarnation, next: u64) -> Result<u64, ServiceError> {
    let number = text.split_once('.').and_then(|(_, number)| number.parse::<u64>().ok());
    let Some(number) = number else {
        let message = format!("'{text}' is no cursor: pass the cursor of a change that a watch printed");
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
