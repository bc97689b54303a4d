//! Sets and removes the schema of a collection, and compares documents with a schema. Specified in `spec/schemas.md`.

use super::context::{Context, Task, Wake, check_collection};
use super::request::{Answer, RequestError};
use super::walk::{Walk, Walked};
use crate::collection::{COLLECTIONS, CollectionMeta, Declared, SCHEMA};
use crate::schema::{Containers, Schema, Violation};
use cosmicsync_protocol::crdt::{TextPaths, Value};
use cosmicsync_protocol::endpoint::ReadResult;
use cosmicsync_protocol::ids::{DocId, DocRef, PartNo};
use std::sync::Arc;

/// Largest number of documents that a report lists.
pub const INVALID_MAX: usize = 100;

/// A change, or check, of a collection's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaChange {
    /// Sets this schema.
    Set {
        /// The schema.
        schema: Arc<Schema>,
        /// True to set the schema even if documents do not match it.
        force: bool,
        /// True to compare documents only, without a write.
        dry_run: bool,
    },
    /// Removes the schema.
    Drop,
    /// Compares the documents with the present schema.
    Check,
}

/// Result of comparing a collection's documents with its schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaReport {
    /// The schema's number; `None` if the collection has no schema any more.
    pub number: Option<u64>,
    /// Number of documents compared.
    pub docs: u64,
    /// Number of documents that do not match the schema.
    pub invalid: u64,
    /// The first documents that do not match, at most [`INVALID_MAX`].
    pub examples: Vec<Invalid>,
}

/// A document that does not match its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Its id.
    pub doc: DocId,
    /// Its key, if it has one.
    pub key: Option<String>,
    /// The ways in which the document does not match.
    pub violations: Vec<Violation>,
}

/// Changes or checks a schema.
#[derive(Debug)]
pub(super) struct Changing {
    partition: PartNo,
    collection: String,
    change: SchemaChange,
    doc: Option<DocRef>,
    stage: Stage,
    report: SchemaReport,
}

#[derive(Debug)]
enum Stage {
    /// Opens the description.
    Opening,
    /// Compares the documents.
    Walking(Box<Walk>, Arc<Schema>),
    Committing,
}

impl Changing {
    pub(super) fn new(partition: PartNo, collection: String, change: SchemaChange) -> Self {
        let report = SchemaReport::default();
        Self { partition, collection, change, doc: None, stage: Stage::Opening, report }
    }

    /// Returns the stored description.
    fn stored(&self, cx: &mut Context<'_>) -> Option<Value> {
        let found = self.doc.and_then(|doc| cx.endpoint.view(doc));
        found.filter(|found| !found.meta.deleted).map(|found| found.value)
    }

    fn begin(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, RequestError> {
        let declared = self.stored(cx).as_ref().and_then(Declared::of);
        self.report.number = declared.as_ref().map(|declared| declared.number);
        let schema = match &self.change {
            SchemaChange::Drop if declared.is_none() => return Err(RequestError::NoSchema),
            SchemaChange::Drop => return self.declare(cx),
            SchemaChange::Set { schema, .. } => Arc::clone(schema),
            SchemaChange::Check => declared.and_then(|declared| declared.schema).ok_or(RequestError::NoSchema)?,
        };
        let id = cx.collection_id(self.partition, &self.collection)?;
        let walk = Box::new(Walk::new(self.partition, Some(id), None, None, usize::MAX));
        self.stage = Stage::Walking(walk, schema);
        self.walk(cx)
    }

    fn walk(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, RequestError> {
        let Stage::Walking(walk, schema) = &mut self.stage else { return Ok(None) };
        loop {
            match walk.next(cx) {
                Walked::Doc(place, snapshot) => {
                    self.report.docs += 1;
                    let key = snapshot.meta.key;
                    if schema.is_valid(&snapshot.value, key.as_deref()) {
                        continue;
                    }
                    self.report.invalid += 1;
                    if self.report.examples.len() < INVALID_MAX {
                        let violations = schema.violations(&snapshot.value, key.as_deref());
                        self.report.examples.push(Invalid { doc: place.doc, key, violations });
                    }
                }
                Walked::Wait => return Ok(None),
                Walked::End => break,
            }
        }
        match self.change {
            SchemaChange::Set { dry_run: false, force, .. } if force || self.report.invalid == 0 => self.declare(cx),
            SchemaChange::Set { dry_run: false, .. } => {
                Err(RequestError::DocumentsViolate(Box::new(self.take_report())))
            }
            SchemaChange::Set { .. } | SchemaChange::Check | SchemaChange::Drop => Ok(Some(self.told())),
        }
    }

    fn take_report(&mut self) -> SchemaReport {
        core::mem::take(&mut self.report)
    }

    fn told(&mut self) -> Answer {
        Answer::Schema(Box::new(self.take_report()))
    }

    /// Writes the schema into the description.
    fn declare(&mut self, cx: &mut Context<'_>) -> Result<Option<Answer>, RequestError> {
        let Some(doc) = self.doc else { return Ok(None) };
        let stored = self.stored(cx);
        let declared = stored.as_ref().and_then(Declared::of);
        let stored = stored.unwrap_or_else(|| CollectionMeta::new(&self.collection).to_value());
        let Value::Map(mut members) = stored else { return Err(RequestError::NotObject) };
        match &self.change {
            SchemaChange::Set { schema, .. } => {
                let known = declared.as_ref().and_then(|declared| declared.schema.as_ref());
                if known == Some(schema) {
                    // The description may have been written a moment ago, and may not be durable yet.
                    if cx.wait_for(doc) {
                        self.stage = Stage::Committing;
                        return Ok(None);
                    }
                    return Ok(Some(self.told()));
                }
                if let Some(path) = known.filter(|_| self.report.docs > 0).and_then(|known| changed(known, schema)) {
                    return Err(RequestError::ContainerChange(path));
                }
                let number = declared.map_or(1, |declared| declared.number.saturating_add(1));
                self.report.number = Some(number);
                let member = Declared { number, schema: Some(Arc::clone(schema)) }.to_value();
                members.extend(member.map(|member| (SCHEMA.to_owned(), member)));
            }
            SchemaChange::Drop => {
                self.report.number = None;
                members.remove(SCHEMA);
            }
            SchemaChange::Check => return Ok(Some(self.told())),
        }
        let (edits, _) =
            cx.put_edits(doc, COLLECTIONS, Some(&self.collection), &Value::Map(members), &TextPaths::none())?;
        self.stage = Stage::Committing;
        cx.edit(&edits, &TextPaths::none(), true, true, Vec::new())?;
        Ok(None)
    }
}

/// Returns a path at which members would merge in another way than before, if there is one.
fn changed(before: &Schema, after: &Schema) -> Option<String> {
    let paths = |containers: &Containers| {
        let all = [&containers.texts, &containers.counters];
        all.map(|paths| paths.dotted().collect::<Vec<String>>())
    };
    let (before, after) = (paths(before.containers()), paths(after.containers()));
    let mut gone =
        before.iter().zip(&after).flat_map(|(before, after)| before.iter().filter(|path| !after.contains(path)));
    gone.next().cloned()
}

impl Task for Changing {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        match (&mut self.stage, wake) {
            (Stage::Opening, Wake::Start) => {
                check_collection(&self.collection)?;
                let doc = cx.description_doc(self.partition, &self.collection)?;
                let doc = doc.ok_or(RequestError::BadName("the collection's name"))?;
                self.doc = Some(doc);
                cx.open(doc);
                Ok(None)
            }
            (Stage::Opening, Wake::Opened(_)) => self.begin(cx),
            (Stage::Walking(walk, _), wake) => {
                walk.wake(cx, wake)?;
                self.walk(cx)
            }
            (Stage::Committing, Wake::Committed) => Ok(Some(self.told())),
            (Stage::Committing, Wake::Lost) => Err(RequestError::Lost),
            (_, Wake::Read(ReadResult::Failed(error))) => Err(error.into()),
            _ => Ok(None),
        }
    }
}
