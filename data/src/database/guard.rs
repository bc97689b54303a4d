//! Requests of actors.
//!
//! Writes, queries and live queries check the rules when they process documents. Reads by name are checked here when
//! they are answered, against the document's state at that moment. Every other request is refused. Specified in
//! `spec/rules.md`.

use super::context::{Context, Task, Wake};
use super::request::{Answer, Name, Request, RequestError};
use super::task_of;
use crate::collection::CollectionMeta;
use crate::query::{Selector, Subject};
use crate::rules::Deed;
use cosmicsync_protocol::documents::Snapshot;
use cosmicsync_protocol::ids::{DocRef, PartNo};

/// Returns the task that carries out an actor's request.
pub(super) fn guarded(request: Request) -> Box<dyn Task> {
    let (partition, name, deed) = match &request {
        Request::Write { .. }
        | Request::WriteOne { .. }
        | Request::Put { .. }
        | Request::Patch { .. }
        | Request::Change { .. }
        | Request::Delete { .. }
        | Request::Find { .. }
        | Request::Live { .. }
        | Request::LiveNext { .. }
        | Request::LiveEnd { .. }
        // These return numbers of changes and ids only; the caller reads each document separately, under the rules.
        | Request::Changes { .. } => return task_of(request),
        Request::Collections { partition } => {
            let partition = *partition;
            return Box::new(Listing { partition, inner: task_of(request), only_schemas: false });
        }
        // Rules are part of the descriptions, so the descriptions are read.
        Request::Schemas { partition } => {
            let partition = *partition;
            let inner = task_of(Request::Collections { partition });
            return Box::new(Listing { partition, inner, only_schemas: true });
        }
        Request::Get { partition, name }
        | Request::At { partition, name, .. }
        | Request::Diff { partition, name, .. }
        | Request::Conflicts { partition, name }
        | Request::History { partition, name, .. } => (*partition, name.clone(), Deed::View),
        Request::Look { partition, name } => (*partition, name.clone(), Deed::List),
        Request::Hold { .. }
        | Request::Page { .. }
        | Request::Excluded { .. }
        | Request::Explain { .. }
        | Request::ImportOpen { .. }
        | Request::ImportRows { .. }
        | Request::ImportClose { .. }
        | Request::Count { .. }
        | Request::IndexChange { .. }
        | Request::IndexList { .. }
        | Request::IndexCheck { .. }
        | Request::Schema { .. }
        | Request::Rules { .. }
        | Request::Digest { .. } => return Box::new(Refused),
    };
    Box::new(Reading {
        partition,
        name,
        deed,
        doc: None,
        collection: None,
        description: None,
        inner: Some(request),
        task: None,
    })
}

/// Refuses a request.
#[derive(Debug)]
struct Refused;

impl Task for Refused {
    fn run(&mut self, _: &mut Context<'_>, _: Wake) -> Result<Option<Answer>, RequestError> {
        Err(RequestError::AdminOnly)
    }
}

/// Lists the collections that the actor may list or read.
#[derive(Debug)]
struct Listing {
    partition: PartNo,
    inner: Box<dyn Task>,
    /// True if the answer has only names and schemas.
    only_schemas: bool,
}

impl Task for Listing {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        let Some(Answer::Collections(mut metas)) = self.inner.run(cx, wake)? else { return Ok(None) };
        let is_open =
            |meta: &CollectionMeta, deed| cx.rule(self.partition, &meta.name, deed, meta.rules.as_ref()).is_ok();
        metas.retain(|meta| is_open(meta, Deed::List) || is_open(meta, Deed::View));
        if !self.only_schemas {
            return Ok(Some(Answer::Collections(metas)));
        }
        let schema = |meta: &CollectionMeta| Some(meta.schema.as_ref()?.schema.as_ref()?.text().to_owned());
        Ok(Some(Answer::Schemas(metas.into_iter().map(|meta| (meta.name.clone(), schema(&meta))).collect())))
    }
}

/// Reads a document by name, or something about it.
#[derive(Debug)]
struct Reading {
    partition: PartNo,
    name: Name,
    deed: Deed,
    doc: Option<DocRef>,
    /// The document's collection, if it is known.
    collection: Option<String>,
    description: Option<DocRef>,
    /// The request, until the document and its collection's description are open.
    inner: Option<Request>,
    task: Option<Box<dyn Task>>,
}

impl Reading {
    /// Opens the description of the collection after the document, then starts the request. Each is opened once:
    /// opening an open document wakes this task again, so a second opening would never end.
    fn opened(&mut self, cx: &mut Context<'_>, opened: DocRef) -> Result<Option<Answer>, RequestError> {
        if self.doc == Some(opened) && self.description.is_none() {
            self.collection = match &self.name {
                Name::Key { collection, .. } => Some(collection.clone()),
                Name::Id(_) => cx.endpoint.view(opened).and_then(|found| found.meta.collection),
            };
            if let Some(collection) = &self.collection {
                self.description = cx.description_doc(self.partition, collection)?;
            }
            if let Some(description) = self.description.filter(|description| *description != opened) {
                cx.open(description);
                return Ok(None);
            }
        } else if self.description != Some(opened) {
            return Ok(None);
        }
        let Some(request) = self.inner.take() else { return Ok(None) };
        let begun = self.task.insert(task_of(request)).run(cx, Wake::Start);
        Ok(begun.unwrap_or_else(|error| Some(Answer::Failed(error))))
    }

    /// Returns the answer if the rule matches the document's present state. A document that the rule does not match is
    /// answered as absent. A locked collection is refused whether or not the document exists.
    fn let_out(&self, cx: &mut Context<'_>, answer: Answer) -> Result<Answer, RequestError> {
        let (Some(doc), Some(collection)) = (self.doc, &self.collection) else { return Ok(nothing(answer)) };
        let meta = self.description.and_then(|description| cx.description(description));
        let rules = meta.as_ref().and_then(|meta| meta.rules.as_ref());
        let rule = cx.rule(self.partition, collection, self.deed, rules)?;
        let Some(found) = cx.endpoint.view(doc) else { return Ok(answer) };
        // The answer may hold another version than the present one.
        let told = if let Answer::Snapshot(Some(told)) = &answer { told } else { &found };
        if rule.as_ref().is_some_and(|rule| !allows(rule, doc, told)) {
            return Ok(nothing(answer));
        }
        // The rule of a collection says nothing about a document of another one.
        let is_of = found.meta.collection.as_ref() == Some(collection);
        if is_of && rule.is_none_or(|rule| allows(&rule, doc, &found)) { Ok(answer) } else { Ok(nothing(answer)) }
    }
}

/// Returns the same kind of answer for a document that does not exist.
fn nothing(answer: Answer) -> Answer {
    if planted!("rules.hidden-said") {
        Answer::Failed(RequestError::NotFound)
    } else if matches!(answer, Answer::Document(_)) {
        Answer::Document(None)
    } else if matches!(answer, Answer::Snapshot(_)) {
        Answer::Snapshot(None)
    } else {
        Answer::Failed(RequestError::NotFound)
    }
}

impl Task for Reading {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        let answer = match (&mut self.task, wake) {
            // An error reveals something about the document, too.
            (Some(task), wake) => task.run(cx, wake).unwrap_or_else(|error| Some(Answer::Failed(error))),
            (None, Wake::Start) => {
                let doc = cx.named(self.partition, &self.name)?;
                self.doc = Some(doc);
                cx.open(doc);
                None
            }
            (None, Wake::Opened(doc)) => self.opened(cx, doc)?,
            (None, Wake::Read(_) | Wake::Committed | Wake::Lost | Wake::Again) => None,
        };
        answer.map(|answer| self.let_out(cx, answer)).transpose()
    }
}

/// Returns whether a rule matches a document.
pub(super) fn allows(rule: &Selector, doc: DocRef, found: &Snapshot) -> bool {
    let key = found.meta.key.as_deref();
    rule.matches(&Subject { key, version: Some(found.version), ..Subject::new(&found.value, doc.doc) })
}
