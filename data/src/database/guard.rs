//! Requests of whoever is not allowed everything.
//!
//! Writes, queries and live queries ask the rules themselves, where they look at documents. Reading by name is guarded here:
//! the answer is let out only if the document, as it stands at that moment, may be seen. All else is refused.

use super::context::{Context, Task, Wake};
use super::request::{Answer, Name, Request, RequestError};
use super::task_of;
use crate::collection::CollectionMeta;
use crate::query::{Selector, Subject};
use crate::rules::Deed;
use cosmicsync_protocol::ledger::{DocRef, PartNo};
use cosmicsync_protocol::shelf::Snapshot;

/// Returns the task of a request that somebody asks to whom not everything is allowed.
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
        // Numbers of changes and ids: whoever tells of them reads each document.
        | Request::Changes { .. } => return task_of(request),
        Request::Collections { partition } => {
            let partition = *partition;
            return Box::new(Listing { partition, inner: task_of(request), only_schemas: false });
        }
        // Rules stand in the descriptions: these are read for it.
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
    Box::new(Reading { partition, name, deed, doc: None, description: None, inner: Some(request), task: None })
}

/// Refuses.
#[derive(Debug)]
struct Refused;

impl Task for Refused {
    fn run(&mut self, _: &mut Context<'_>, _: Wake) -> Result<Option<Answer>, RequestError> {
        Err(RequestError::AdminOnly)
    }
}

/// Lists the collections of which something may be listed or seen.
#[derive(Debug)]
struct Listing {
    partition: PartNo,
    inner: Box<dyn Task>,
    /// Whether it tells names and schemas alone.
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

/// Reads a document by its name, or something of it.
#[derive(Debug)]
struct Reading {
    partition: PartNo,
    name: Name,
    deed: Deed,
    doc: Option<DocRef>,
    description: Option<DocRef>,
    /// What is asked, until the document and the description of its collection are open.
    inner: Option<Request>,
    task: Option<Box<dyn Task>>,
}

impl Reading {
    /// Opens what the rules look at. Returns whether it is open.
    fn is_open(&mut self, cx: &mut Context<'_>) -> Result<bool, RequestError> {
        let doc = match self.doc {
            Some(doc) => doc,
            None => *self.doc.insert(cx.named(self.partition, &self.name)?),
        };
        cx.open(doc);
        if !cx.endpoint.is_open(doc) {
            return Ok(false);
        }
        let Some(collection) = cx.endpoint.view(doc).and_then(|found| found.meta.collection) else { return Ok(true) };
        self.description = cx.description_doc(self.partition, &collection)?;
        let Some(description) = self.description else { return Ok(true) };
        cx.open(description);
        Ok(cx.endpoint.is_open(description))
    }

    /// Lets an answer out, if the document may be seen as it stands now.
    fn let_out(&self, cx: &mut Context<'_>, answer: Answer) -> Result<Answer, RequestError> {
        let Some(doc) = self.doc else { return Err(RequestError::NotFound) };
        let Some(found) = cx.endpoint.view(doc) else { return Ok(answer) };
        let collection = found.meta.collection.clone().unwrap_or_default();
        let meta = self.description.and_then(|description| cx.description(description));
        let rules = meta.as_ref().and_then(|meta| meta.rules.as_ref());
        let rule = cx.rule(self.partition, &collection, self.deed, rules)?;
        if rule.is_none_or(|rule| allows(&rule, doc, &found)) { Ok(answer) } else { Err(RequestError::NotFound) }
    }
}

impl Task for Reading {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        let answer = if let Some(task) = &mut self.task {
            task.run(cx, wake)?
        } else if self.is_open(cx)? {
            let Some(request) = self.inner.take() else { return Ok(None) };
            self.task.insert(task_of(request)).run(cx, Wake::Start)?
        } else {
            None
        };
        answer.map(|answer| self.let_out(cx, answer)).transpose()
    }
}

/// Whether a rule matches a document.
pub(super) fn allows(rule: &Selector, doc: DocRef, found: &Snapshot) -> bool {
    let key = found.meta.key.as_deref();
    rule.matches(&Subject { key, version: Some(found.version), ..Subject::new(&found.value, doc.doc) })
}
