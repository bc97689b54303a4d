//! Reading one document, and holding one back.

use super::context::{Context, Task, Wake};
use super::request::{Answer, Found, Name, RequestError};
use cosmicsync_protocol::endpoint::ReadResult;
use cosmicsync_protocol::ids::DocId;
use cosmicsync_protocol::ledger::rows::doc_key;
use cosmicsync_protocol::ledger::{DocRef, PartNo};
use cosmicsync_protocol::shelf::{Snapshot, decode_snapshot};
use cosmicsync_protocol::storage::Table;

/// Returns what is told of a document; `None` if it is deleted.
pub(super) fn found(doc: DocId, snapshot: Snapshot, value: bool) -> Option<Found> {
    let Snapshot { meta, value: content, version } = snapshot;
    let found = Found { doc, collection: meta.collection, key: meta.key, value: value.then_some(content), version };
    (!meta.deleted).then_some(found)
}

/// Reads a document: from memory, else from its stored value, else from its history.
#[derive(Debug)]
pub(super) struct Get {
    partition: PartNo,
    name: Name,
    doc: Option<DocRef>,
}

impl Get {
    pub(super) const fn new(partition: PartNo, name: Name) -> Self {
        Self { partition, name, doc: None }
    }
}

impl Task for Get {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        let doc = match self.doc {
            Some(doc) => doc,
            None => *self.doc.insert(cx.named(self.partition, &self.name)?),
        };
        let told = |snapshot| Ok(Some(Answer::Document(found(doc.doc, snapshot, true))));
        if cx.endpoint.is_open(doc) {
            return cx.endpoint.view(doc).map_or(Ok(Some(Answer::Document(None))), told);
        }
        match wake {
            Wake::Start => cx.read(vec![(Table::Value, doc_key(doc))]),
            Wake::Read(ReadResult::Failed(error)) => return Err(error.into()),
            Wake::Read(ReadResult::Values(values)) => {
                let row = values.into_iter().next().flatten();
                match row.and_then(|row| decode_snapshot(&row).ok()) {
                    Some(snapshot) => return told(snapshot),
                    None => cx.open(doc),
                }
            }
            Wake::Read(_) | Wake::Opened(_) | Wake::Committed | Wake::Lost | Wake::Again => {}
        }
        Ok(None)
    }
}

/// Holds a document back, or lets everything in again.
#[derive(Debug)]
pub(super) struct Holding {
    partition: PartNo,
    name: Name,
    hold: bool,
}

impl Holding {
    pub(super) const fn new(partition: PartNo, name: Name, hold: bool) -> Self {
        Self { partition, name, hold }
    }
}

impl Task for Holding {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        let doc = match wake {
            Wake::Start => {
                cx.open(cx.named(self.partition, &self.name)?);
                return Ok(None);
            }
            Wake::Opened(doc) => doc,
            Wake::Read(_) | Wake::Committed | Wake::Lost | Wake::Again => return Ok(None),
        };
        if self.hold && cx.desk.held.insert(doc) {
            // A pin of its own, that outlives this request.
            cx.endpoint.open(cx.now, doc);
            let seen = cx.endpoint.seen(doc);
            cx.endpoint.hold(cx.now, doc, Some(seen));
        } else if !self.hold && cx.desk.held.remove(&doc) {
            cx.endpoint.hold(cx.now, doc, None);
            cx.endpoint.close(cx.now, doc);
        }
        Ok(Some(Answer::Done))
    }
}
