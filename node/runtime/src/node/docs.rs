//! Commands about documents.

use super::handle::unexpected;
use super::spaces::{data_partitions, find_partition};
use super::{Acting, blame};
use crate::driver::Core;
use crate::service::{
    Cut, DocPut, DocRef, DocSplice, DocView, ErrorCode, Position, Reason, Reply, ServiceError, SpaceRef, Text, Written,
    quoted,
};
use cosmicsync_data::database::request::{Answer, Found, Name, Request, RequestError};
use cosmicsync_data::json;
use cosmicsync_protocol::crdt::{Change as Edit, ChangeError, Step, TextPaths, Value};
use cosmicsync_protocol::documents::EditError;
use cosmicsync_protocol::ids::{DocId, PartNo};
use cosmicsync_protocol::spaces::SpaceError;
use cosmicsync_protocol::sync::SpaceNo;
use std::sync::PoisonError;

impl Acting<'_> {
    pub(super) async fn doc_put(&self, put: DocPut) -> Result<Reply, ServiceError> {
        self.check_room()?;
        let DocPut { space, collection, key, value, text } = put;
        let (value, mut texts) = json::unwrap_texts(value_of(&value)?);
        texts.extend(&text.iter().collect::<TextPaths>());
        let (named, keyed) = (collection.clone(), key.clone());
        let answer = self.handle()?.ask(move |core| {
            let partition = partition(core, &space)?;
            Ok(Request::Put { partition, collection: named, key: keyed, value, texts })
        });
        written(answer.await?, collection, key)
    }

    pub(super) async fn doc_patch(
        &self,
        space: SpaceRef,
        doc: DocRef,
        patch: serde_json::Value,
    ) -> Result<Reply, ServiceError> {
        self.check_room()?;
        let patch = value_of(&patch)?;
        self.write(space, doc, move |partition, name| Request::Patch { partition, name, patch }).await
    }

    pub(super) async fn doc_delete(&self, space: SpaceRef, doc: DocRef) -> Result<Reply, ServiceError> {
        self.write(space, doc, |partition, name| Request::Delete { partition, name }).await
    }

    pub(super) async fn doc_splice(&self, splice: DocSplice) -> Result<Reply, ServiceError> {
        self.check_room()?;
        let DocSplice { space, doc, path, patches, seen } = splice;
        let way: Vec<Step> = steps(&path)?;
        let (count, mut changes) = (patches.len(), Vec::new());
        for patch in patches {
            let place = |number: u64| {
                usize::try_from(number).map_err(|_| ServiceError::new(ErrorCode::Usage, "a position is too large"))
            };
            let (at, delete) = (place(patch.0)?, place(patch.1)?);
            changes.push(Edit::Splice { path: way.clone(), at, delete, insert: patch.2 });
        }
        let seen = seen.map(|cut| cut.0.into_iter().map(|at| (at.log.0, at.seq)).collect());
        let (collection, key) = self.named(&space, &doc).await?;
        let (of, asked) = (space.clone(), doc.clone());
        let answer = self.handle()?.answer(move |core| {
            let partition = partition(core, &of)?;
            Ok(Request::Change { partition, name: name(asked), changes, seen, durable: true })
        });
        match answer.await? {
            Answer::Failed(RequestError::NotFound) => Err(self.no_document(space, &doc).await),
            Answer::Failed(RequestError::Edit(EditError::Change(error))) => {
                let text = self.find(space, doc.clone()).await.ok().and_then(|found| text_at(found.value?, &way));
                Err(splice_error(&error, &Splice { doc: &doc, path: &path, text: text.as_deref(), patches: count }))
            }
            answer => written(answer, collection, key),
        }
    }

    pub(super) async fn doc_hold(&self, space: SpaceRef, doc: DocRef, hold: bool) -> Result<Reply, ServiceError> {
        let answer = self.handle()?.ask(move |core| {
            let partition = partition(core, &space)?;
            Ok(Request::Hold { partition, name: name(doc), hold })
        });
        answer.await.map(|_| Reply::Done {})
    }

    pub(super) async fn doc_get(&self, space: SpaceRef, doc: DocRef) -> Result<Reply, ServiceError> {
        self.find(space, doc).await.map(|found| Reply::Document(view(found)))
    }

    /// Returns the number of documents in a space; counts them again only after a change.
    pub(super) async fn count_documents(&self, space: SpaceNo) -> Result<u64, ServiceError> {
        let handle = self.handle()?;
        let (partitions, changes) = handle.with(move |core| (data_partitions(core, space), core.changes)).await?;
        let known = self.documents.lock().unwrap_or_else(PoisonError::into_inner).get(&space).copied();
        if let Some((_, count)) = known.filter(|(at, _)| *at == changes) {
            return Ok(count);
        }
        let mut count = 0;
        for (_, partition) in partitions {
            let Answer::Count(found) =
                handle.ask(move |_| Ok(Request::Count { partition, collection: None, after: None })).await?
            else {
                return Err(unexpected());
            };
            count += found;
        }
        self.documents.lock().unwrap_or_else(PoisonError::into_inner).insert(space, (changes, count));
        Ok(count)
    }

    /// Reads a document that must exist.
    async fn find(&self, space: SpaceRef, doc: DocRef) -> Result<Found, ServiceError> {
        let (of, asked) = (space.clone(), doc.clone());
        let answer = self.handle()?.ask(move |core| {
            let partition = partition(core, &of)?;
            Ok(Request::Get { partition, name: name(asked) })
        });
        match answer.await? {
            Answer::Document(Some(found)) => Ok(found),
            Answer::Document(None) => Err(self.no_document(space, &doc).await),
            _ => Err(unexpected()),
        }
    }

    /// Returns the collection and key of a document that must exist.
    async fn named(&self, space: &SpaceRef, doc: &DocRef) -> Result<(String, Option<String>), ServiceError> {
        match doc {
            DocRef::Key { collection, key } => Ok((collection.clone(), Some(key.clone()))),
            DocRef::Id(_) => {
                let found = self.find(space.clone(), doc.clone()).await?;
                Ok((found.collection.unwrap_or_default(), found.key))
            }
        }
    }

    /// Returns the collection and key of a document. One that is deleted or not here yet has only its id.
    pub(super) async fn known(&self, space: &SpaceRef, doc: &DocRef) -> Result<(String, Option<String>), ServiceError> {
        match self.named(space, doc).await {
            Err(error) if error.code == ErrorCode::NotFound => Ok((String::new(), None)),
            known => known,
        }
    }

    /// Returns the error for a document that does not exist: it was deleted, or never existed.
    pub(super) async fn no_document(&self, space: SpaceRef, doc: &DocRef) -> ServiceError {
        let deleted = match self.explained(space, doc.clone()).await {
            // An actor with limits is not told that a hidden document was deleted.
            _ if self.is_limited() => false,
            Ok(explained) => explained.deleted,
            Err(error) => return error,
        };
        let named = quoted(&doc.to_string());
        let (message, next) = match doc {
            _ if deleted => (format!("{doc} was deleted"), format!("cosmicsync doc history {named}")),
            DocRef::Key { collection, .. } => {
                (format!("there is no document {doc}"), format!("cosmicsync doc list {}", quoted(collection)))
            }
            DocRef::Id(_) => (format!("there is no document {doc}"), "cosmicsync doc list".to_owned()),
        };
        let reason = if deleted { Reason::Gone } else { Reason::NoDocument };
        ServiceError::new(ErrorCode::NotFound, message).because(reason).next(next)
    }

    /// Writes to a document that must exist.
    async fn write(
        &self,
        space: SpaceRef,
        doc: DocRef,
        request: impl FnOnce(PartNo, Name) -> Request + Send + 'static,
    ) -> Result<Reply, ServiceError> {
        let (collection, key) = self.named(&space, &doc).await?;
        let (of, asked) = (space.clone(), doc.clone());
        let answer = self.handle()?.answer(move |core| Ok(request(partition(core, &of)?, name(asked))));
        match answer.await? {
            Answer::Failed(RequestError::NotFound) => Err(self.no_document(space, &doc).await),
            answer => written(answer, collection, key),
        }
    }
}

/// Returns the partition of a space reference.
pub(super) fn partition(core: &Core, space: &SpaceRef) -> Result<PartNo, ServiceError> {
    find_partition(core, space).map(|(_, partition)| partition)
}

/// Returns the id of a document in a space.
pub(super) fn doc_id(core: &Core, space: SpaceNo, doc: &DocRef) -> Result<DocId, ServiceError> {
    let endpoint = core.db.endpoint();
    let found = match doc {
        DocRef::Id(id) => Some(*id),
        DocRef::Key { collection, key } => endpoint
            .collection_id(space, collection)
            .and_then(|collection| endpoint.doc_id_for_key(space, &collection, key)),
    };
    found.ok_or_else(|| blame::space_error(&SpaceError::UnknownSpace))
}

pub(super) fn name(doc: DocRef) -> Name {
    match doc {
        DocRef::Id(id) => Name::Id(id),
        DocRef::Key { collection, key } => Name::Key { collection, key },
    }
}

/// Returns the document reference of a request's name.
pub(super) fn doc_of(name: Name) -> DocRef {
    match name {
        Name::Id(id) => DocRef::Id(id),
        Name::Key { collection, key } => DocRef::Key { collection, key },
    }
}

/// Refused edits of a text.
struct Splice<'a> {
    doc: &'a DocRef,
    path: &'a str,
    /// The text, if the value is one.
    text: Option<&'a str>,
    patches: usize,
}

/// Returns the error that tells which edit does not fit, and why.
fn splice_error(error: &ChangeError, splice: &Splice<'_>) -> ServiceError {
    let Splice { doc, path, text, patches } = splice;
    let name = quoted(&doc.to_string());
    let get = format!("cosmicsync doc get {name}");
    let which = |number: &usize| {
        if *patches > 1 { format!("edit {} of {patches}", number + 1) } else { "the edit".to_owned() }
    };
    let (message, next) = match error {
        ChangeError::NoSuchPath(_) => (format!("{doc} has no '{path}'"), get),
        ChangeError::WrongKind(_) => {
            let message = format!("'{path}' of {doc} is not a collaborative text: store it again with --text");
            // Storing the same value again only declares the text; a path into a list applies to all its items.
            let of_items = |step: &str| if step.parse::<usize>().is_ok() { "*".to_owned() } else { step.to_owned() };
            let texts: Vec<String> = path.split('.').map(of_items).collect();
            let again = format!(r#"cosmicsync doc put {name} "$({get})" --text {}"#, quoted(&texts.join(".")));
            (message, again)
        }
        ChangeError::PastEnd(number) => {
            let length = text.map(|text| format!(", which has {} characters", text.chars().count()));
            let length = length.unwrap_or_default();
            (format!("{} reaches past the end of '{path}' of {doc}{length}", which(number)), get)
        }
        ChangeError::RootNotMap
        | ChangeError::Root
        | ChangeError::TooDeep
        | ChangeError::NotFinite
        | ChangeError::TooLarge
        | ChangeError::Full
        | ChangeError::Refused
        | ChangeError::Broken(_) => return blame::request_error(&RequestError::Edit(EditError::Change(*error))),
    };
    ServiceError::new(ErrorCode::Refused, message).next(next)
}

/// Returns the text at a path.
fn text_at(value: Value, path: &[Step]) -> Option<String> {
    let found = path.iter().try_fold(value, |value, step| match (value, step) {
        (Value::Map(members), Step::Key(key)) => {
            members.into_iter().find(|(name, _)| name == key).map(|(_, value)| value)
        }
        (Value::List(items), Step::Index(at)) => items.into_iter().nth(*at),
        (_, Step::Key(_) | Step::Index(_)) => None,
    })?;
    if let Value::Text(text) = found { Some(text) } else { None }
}

pub(super) fn value_of(json: &serde_json::Value) -> Result<Value, ServiceError> {
    json::from_json(json).map_err(|error| ServiceError::new(ErrorCode::Usage, error.to_string()))
}

/// Returns the steps of a dotted path; an integer is an index of a list.
pub(super) fn steps(path: &str) -> Result<Vec<Step>, ServiceError> {
    if path.is_empty() || path.split('.').any(str::is_empty) {
        let error = ServiceError::new(ErrorCode::Usage, format!("'{path}' is not a path: write member.member"));
        return Err(error.because(Reason::BadPatch));
    }
    Ok(path.split('.').map(|part| part.parse().map_or_else(|_| Step::Key(part.to_owned()), Step::Index)).collect())
}

pub(super) fn view(found: Found) -> DocView {
    let value = found.value.as_ref().map(json::to_json);
    let version = Some(Text(found.version));
    let valid = found.validity.map(|validity| json::to_json(&validity.to_value()));
    let collection = found.collection.unwrap_or_default();
    DocView { doc: Text(found.doc), collection, key: found.key, version, valid, value }
}

fn written(answer: Answer, collection: String, key: Option<String>) -> Result<Reply, ServiceError> {
    let (doc, created, version, cut) = match answer {
        Answer::Written { doc, created, version, cut } => (doc, created, version, cut),
        Answer::Failed(error) => return Err(blame::request_error(&error)),
        _ => return Err(unexpected()),
    };
    let cut = Cut(cut.into_iter().map(|(log, seq)| Position { log: Text(log), seq }).collect());
    Ok(Reply::Written(Written { doc: Text(doc), collection, key, created, version: version.map(Text), cut }))
}
