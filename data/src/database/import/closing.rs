//! The end of an import: its collection is described, and its progress says that it ended.

use super::super::context::{Context, Task, Wake};
use super::super::request::{Answer, ImportId, RequestError};
use super::{CHECKPOINT_BYTES_MAX, Progress, Stage, place, take_turn};
use crate::collection::{COLLECTIONS, CollectionMeta};
use cosmicsync_protocol::crdt::{TextPaths, Value};
use cosmicsync_protocol::storage::Table;
use cosmicsync_protocol::storage::rows::{delete, put};
use std::collections::BTreeMap;

/// Ends an import.
#[derive(Debug)]
pub(in crate::database) struct Closing {
    import: ImportId,
    checkpoint: Vec<u8>,
    meta: CollectionMeta,
    /// Number of commits that are not durable yet.
    commits: usize,
    stage: Stage,
}

impl Closing {
    pub(in crate::database) const fn new(import: ImportId, checkpoint: Vec<u8>, meta: CollectionMeta) -> Self {
        Self { import, checkpoint, meta, commits: 0, stage: Stage::Waiting }
    }

    /// Opens the description, then writes everything.
    fn go_on(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, RequestError> {
        self.stage = Stage::Turn;
        let (partition, collection) = place(cx, self.import)?;
        self.meta.name.clone_from(&collection);
        if let Some(at) = cx.description_doc(partition, &collection)? {
            if !cx.endpoint.is_open(at) {
                cx.open(at);
                return Ok(None);
            }
            cx.open(at);
            if let Some(known) = cx.description(at) {
                self.meta.adopt(&known);
            }
            let edits = match cx.endpoint.view(at) {
                None => vec![(at, cx.describe(at, &self.meta)?)],
                Some(found) => {
                    let wanted = redescribed(&found.value, &self.meta);
                    cx.put_edits(at, COLLECTIONS, Some(&collection), &wanted, &TextPaths::none())?.0
                }
            };
            if !edits.is_empty() {
                cx.edit(&edits, &TextPaths::none(), true, true, Vec::new())?;
                self.commits += 1;
            }
        }
        cx.end_turn(self.import);
        if let Some(import) = cx.desk.imports.remove(&self.import) {
            if let Some(log) = import.progress.log {
                cx.endpoint.bulk_close(cx.now, log);
            }
            let checkpoint = core::mem::take(&mut self.checkpoint);
            let ended = Progress { log: None, rows: import.progress.rows, next_id: None, checkpoint };
            cx.write(vec![if ended.checkpoint.is_empty() {
                delete(Table::App, import.key)
            } else {
                put(Table::App, import.key, ended.encode())
            }]);
            self.commits += 1;
        }
        self.stage = Stage::Committing;
        Ok(None)
    }
}

impl Task for Closing {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        match (self.stage, wake) {
            (Stage::Waiting, _) if self.checkpoint.len() > CHECKPOINT_BYTES_MAX => {
                Err(RequestError::BadName("the checkpoint"))
            }
            (Stage::Waiting, _) => {
                if take_turn(cx, self.import)? {
                    self.go_on(cx)
                } else {
                    Ok(None)
                }
            }
            (Stage::Turn, Wake::Opened(_)) => self.go_on(cx),
            (_, Wake::Committed) => {
                self.commits -= 1;
                Ok((self.commits == 0).then_some(Answer::Done))
            }
            (_, Wake::Lost) => Err(RequestError::Lost),
            _ => Ok(None),
        }
    }
}

/// Returns the stored description with these fields replaced. Fields of a later version remain.
fn redescribed(stored: &Value, meta: &CollectionMeta) -> Value {
    let ours = ["format", "columns", "delimiter", "envelope", "text_paths", "id_column", "erasable"];
    let stored = stored.as_map().into_iter().flatten().filter(|(name, _)| !ours.contains(&name.as_str()));
    let mut fields: BTreeMap<String, Value> = stored.map(|(name, value)| (name.clone(), value.clone())).collect();
    if let Value::Map(new) = meta.to_value() {
        fields.extend(new);
    }
    Value::Map(fields)
}
