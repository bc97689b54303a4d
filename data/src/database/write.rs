//! Changing one document: put, patch, change, delete.

use super::context::{Context, Task, Wake, check_name};
use super::request::{Answer, Cut, Name, RequestError};
use crate::collection::CollectionMeta;
use crate::patch;
use cosmicsync_protocol::document::{Change, TextPaths, Value};
use cosmicsync_protocol::ids::LogId;
use cosmicsync_protocol::ledger::{DocRef, PartNo};
use cosmicsync_protocol::shelf::{Edit, Hold};
use std::collections::BTreeMap;

/// The change that a write makes of the document.
#[derive(Debug)]
pub(super) enum Kind {
    /// It becomes this value.
    Put { collection: String, key: Option<String>, value: Value },
    /// It takes a merge patch.
    Patch(Value),
    /// It takes changes.
    Change(Vec<Change>),
    /// It is deleted.
    Delete,
}

/// The progress of a write.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// The document, and then the description of its collection, are being opened.
    Opening,
    /// The edit is made; its commit is not durable yet.
    Committing { created: bool },
}

/// A change of one document.
#[derive(Debug)]
pub(super) struct Write {
    partition: PartNo,
    /// `None` for a new document without a key.
    name: Option<Name>,
    kind: Kind,
    /// The paths that the request says are texts; a put makes them such even where it changes nothing else.
    texts: TextPaths,
    /// The paths that the description of the collection says are texts.
    declared: TextPaths,
    seen: Option<Cut>,
    durable: bool,
    doc: Option<DocRef>,
    /// The number of logs of `seen` let in so far.
    let_in: Option<usize>,
    stage: Stage,
}

impl Write {
    pub(super) fn new(partition: PartNo, name: Name, kind: Kind) -> Self {
        Self {
            partition,
            name: Some(name),
            kind,
            texts: TextPaths::none(),
            declared: TextPaths::none(),
            seen: None,
            durable: true,
            doc: None,
            let_in: None,
            stage: Stage::Opening,
        }
    }

    pub(super) fn put(
        partition: PartNo,
        collection: String,
        key: Option<String>,
        value: Value,
        texts: TextPaths,
    ) -> Self {
        let name = key.clone().map(|key| Name::Key { collection: collection.clone(), key });
        let placeholder = Name::Id(cosmicsync_protocol::ids::DocId::default());
        let write = Self::new(partition, placeholder, Kind::Put { collection, key, value });
        Self { name, texts, ..write }
    }

    pub(super) fn change(
        partition: PartNo,
        name: Name,
        changes: Vec<Change>,
        seen: Option<Cut>,
        durable: bool,
    ) -> Self {
        Self { seen, durable, ..Self::new(partition, name, Kind::Change(changes)) }
    }

    fn start(&mut self, cx: &mut Context<'_>) -> Result<(), RequestError> {
        if let Kind::Put { value, .. } | Kind::Patch(value) = &self.kind
            && value.as_map().is_none()
        {
            return Err(RequestError::NotObject);
        }
        if let Kind::Put { collection, .. } = &self.kind {
            check_name("the collection", collection)?;
        }
        cx.space(self.partition)?;
        let doc = match &self.name {
            Some(name) => cx.named(self.partition, name)?,
            None => DocRef { partition: self.partition, doc: cx.endpoint.mint_doc_id(cx.now) },
        };
        self.doc = Some(doc);
        cx.open(doc);
        Ok(())
    }

    /// Goes on as far as what is open allows.
    fn go_on(&mut self, cx: &mut Context<'_>, doc: DocRef) -> Result<Option<Answer>, RequestError> {
        if !cx.endpoint.is_open(doc) || !self.has_arrived(cx, doc) {
            return Ok(None);
        }
        let collection = match &self.kind {
            Kind::Put { collection, .. } => Some(collection.clone()),
            Kind::Patch(_) | Kind::Change(_) => cx.endpoint.view(doc).and_then(|found| found.meta.collection),
            Kind::Delete => None,
        };
        let mut description = None;
        if let Some(name) = collection.filter(|name| check_name("the collection", name).is_ok())
            && let Some(at) = cx.description_doc(self.partition, &name)?
        {
            match cx.description(at) {
                Some(meta) => self.declared = meta.text_paths,
                None if !cx.endpoint.is_open(at) => {
                    cx.open(at);
                    return Ok(None);
                }
                None if cx.endpoint.view(at).is_none() => {
                    let meta = CollectionMeta { text_paths: self.texts.clone(), ..CollectionMeta::new(&name) };
                    description = Some((at, meta));
                }
                None => {}
            }
        }
        self.edit(cx, doc, description)
    }

    fn edit(
        &mut self,
        cx: &mut Context<'_>,
        doc: DocRef,
        description: Option<(DocRef, CollectionMeta)>,
    ) -> Result<Option<Answer>, RequestError> {
        let mut created = false;
        let mut edits = match &self.kind {
            Kind::Put { collection, key, value } => {
                let (edits, made) = cx.put_edits(doc, collection, key.as_deref(), value, &self.texts)?;
                created = made;
                edits
            }
            Kind::Patch(patch) => {
                let found = cx.whole(doc)?;
                apply(doc, patch::merge_patch(&found.value, patch).map_err(|_| RequestError::NotObject)?)
            }
            Kind::Change(changes) => cx.whole(doc).map(|_| apply(doc, changes.clone()))?,
            Kind::Delete => cx.whole(doc).map(|_| vec![(doc, Edit::SetDeleted(true))])?,
        };
        if let (Kind::Put { .. }, Some((at, meta))) = (&self.kind, description) {
            cx.open(at);
            edits.insert(0, (at, cx.describe(at, &meta)?));
        }
        self.stage = Stage::Committing { created };
        let waits = if edits.is_empty() {
            self.durable && cx.wait_for(doc)
        } else {
            self.texts.extend(&self.declared);
            cx.edit(&edits, &self.texts, self.durable, self.durable)?;
            self.durable
        };
        Ok((!waits).then(|| written(cx, doc, created)))
    }

    /// Lets in what the edit is to build on, if the document is held, and says whether it is there.
    fn has_arrived(&mut self, cx: &mut Context<'_>, doc: DocRef) -> bool {
        let Some(cut) = &self.seen else { return true };
        let known: Hold = cut.iter().filter_map(|(log, seq)| Some((cx.endpoint.log_no(log)?, *seq))).collect();
        if cx.desk.held.contains(&doc) && self.let_in != Some(known.len()) {
            self.let_in = Some(known.len());
            cx.endpoint.hold(cx.now, doc, Some(known));
        }
        let here = covers(&cx.cut(doc), cut);
        if !here {
            cx.watch();
        }
        here
    }
}

impl Task for Write {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        match (self.stage, wake, self.doc) {
            (Stage::Opening, Wake::Start, _) => self.start(cx).map(|()| None),
            (Stage::Opening, Wake::Opened(_) | Wake::Again, Some(doc)) => self.go_on(cx, doc),
            (Stage::Committing { created }, Wake::Committed, Some(doc)) => Ok(Some(written(cx, doc, created))),
            (Stage::Committing { .. }, Wake::Lost, _) => Err(RequestError::Lost),
            _ => Ok(None),
        }
    }
}

fn apply(doc: DocRef, changes: Vec<Change>) -> Vec<(DocRef, Edit)> {
    if changes.is_empty() { Vec::new() } else { vec![(doc, Edit::Apply(changes))] }
}

fn written(cx: &Context<'_>, doc: DocRef, created: bool) -> Answer {
    Answer::Written { doc: doc.doc, created, cut: cx.cut(doc) }
}

/// Returns whether all of a cut lies within another.
fn covers(seen: &BTreeMap<LogId, u64>, cut: &Cut) -> bool {
    cut.iter().all(|(log, seq)| seen.get(log).is_some_and(|seen| seen >= seq))
}
