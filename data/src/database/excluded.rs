//! Lists the entries of a document that are excluded with a branch of a forked log, and republishes them on request.
//! Specified in `spec/exclusion.md`.

use super::context::{Context, Task, Wake};
use super::request::{Answer, Name, RequestError, Revision, RevisionKind};
use cosmicsync_protocol::endpoint::ReadResult;
use cosmicsync_protocol::ids::{DocRef, EntryRef, PartNo};
use cosmicsync_protocol::storage::Table;
use cosmicsync_protocol::storage::rows::entry_key;

/// Largest number of entries per read; an entry may have half a mebibyte.
const ENTRIES_MAX: usize = 16;

/// Lists excluded entries, and republishes them.
#[derive(Debug)]
pub(super) struct Excluded {
    partition: PartNo,
    name: Name,
    publish: bool,
    /// The document, while it waits for the republished changes.
    publishing: Option<DocRef>,
    left: Vec<EntryRef>,
    asked: Vec<EntryRef>,
    found: Vec<Revision>,
}

impl Excluded {
    pub(super) const fn new(partition: PartNo, name: Name, publish: bool) -> Self {
        Self { partition, name, publish, publishing: None, left: Vec::new(), asked: Vec::new(), found: Vec::new() }
    }

    /// Reads the next entries. Once all have come, republishes them or answers.
    fn go_on(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, RequestError> {
        self.asked = self.left.split_off(self.left.len().saturating_sub(ENTRIES_MAX));
        if !self.asked.is_empty() {
            cx.read(self.asked.iter().map(|at| (Table::Entry, entry_key(*at))).collect());
            return Ok(None);
        }
        if !self.publish || self.found.is_empty() {
            return Ok(Some(self.answer()));
        }
        let doc = cx.named(self.partition, &self.name)?;
        self.publishing = Some(doc);
        cx.watch();
        cx.endpoint.publish_excluded(cx.now, doc);
        Ok(None)
    }

    fn answer(&mut self) -> Answer {
        let mut found = core::mem::take(&mut self.found);
        found.sort_by_key(|one| (core::cmp::Reverse(one.wall_ms), one.log, core::cmp::Reverse(one.seq)));
        Answer::Excluded(found)
    }
}

impl Task for Excluded {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        match wake {
            Wake::Start => cx.open(cx.named(self.partition, &self.name)?),
            Wake::Opened(doc) => {
                self.left = cx.endpoint.excluded_entries(doc);
                if self.left.is_empty() && cx.endpoint.view(doc).is_none() {
                    return Err(RequestError::NotFound);
                }
                return self.go_on(cx);
            }
            Wake::Read(ReadResult::Values(values)) => {
                for (at, row) in core::mem::take(&mut self.asked).into_iter().zip(values) {
                    let wall_ms = row.and_then(|row| cx.endpoint.entry_wall_ms(at, &row)).unwrap_or(0);
                    let Some(log) = cx.endpoint.log_id(at.log) else { continue };
                    let mine = cx.endpoint.is_own_log(at.log);
                    let kind = RevisionKind::Excluded;
                    self.found.push(Revision { log, seq: at.seq, wall_ms, mine, kind, version: None });
                }
                return self.go_on(cx);
            }
            Wake::Again => {
                if self.publishing.take_if(|doc| !cx.endpoint.is_publishing(*doc)).is_some() {
                    // The republished changes go to the store before this write.
                    cx.write(Vec::new());
                }
            }
            Wake::Committed => return Ok(Some(self.answer())),
            Wake::Lost => return Err(RequestError::Lost),
            Wake::Read(ReadResult::Failed(error)) => return Err(error.into()),
            Wake::Read(ReadResult::Rows { .. } | ReadResult::Made) => {}
        }
        Ok(None)
    }
}
