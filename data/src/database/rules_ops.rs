//! Sets and removes the rules of a collection. Specified in `spec/rules.md`.

use super::context::{Context, Task, Wake, check_collection};
use super::request::{Answer, RequestError};
use crate::collection::{COLLECTIONS, CollectionMeta};
use crate::rules::{RULES, Rules};
use cosmicsync_protocol::crdt::{TextPaths, Value};
use cosmicsync_protocol::ids::{DocRef, PartNo};

/// Sets or removes rules.
#[derive(Debug)]
pub(super) struct Setting {
    partition: PartNo,
    collection: String,
    rules: Option<Rules>,
    is_waiting: bool,
}

impl Setting {
    pub(super) const fn new(partition: PartNo, collection: String, rules: Option<Rules>) -> Self {
        Self { partition, collection, rules, is_waiting: false }
    }

    fn set(&mut self, cx: &mut Context<'_>, doc: DocRef) -> Result<Option<Answer>, RequestError> {
        let stored = cx.endpoint.view(doc).filter(|found| !found.meta.deleted).map(|found| found.value);
        let is_there = stored.is_some();
        let stored = stored.unwrap_or_else(|| CollectionMeta::new(&self.collection).to_value());
        let Value::Map(mut members) = stored else { return Err(RequestError::NotObject) };
        match &self.rules {
            Some(rules) => members.insert(RULES.to_owned(), rules.member()),
            None if !is_there => return Err(RequestError::NotFound),
            None => members.remove(RULES),
        };
        let (value, texts) = (Value::Map(members), TextPaths::none());
        let (edits, _) = cx.put_edits(doc, COLLECTIONS, Some(&self.collection), &value, &texts)?;
        if edits.is_empty() && !cx.wait_for(doc) {
            return Ok(Some(Answer::Done));
        }
        self.is_waiting = true;
        if !edits.is_empty() {
            cx.edit(&edits, &texts, true, true, Vec::new())?;
        }
        Ok(None)
    }
}

impl Task for Setting {
    fn run(&mut self, cx: &mut Context<'_>, wake: Wake) -> Result<Option<Answer>, RequestError> {
        match wake {
            Wake::Start => {
                check_collection(&self.collection)?;
                let doc = cx.description_doc(self.partition, &self.collection)?;
                cx.open(doc.ok_or(RequestError::BadName("the collection's name"))?);
                Ok(None)
            }
            Wake::Opened(doc) if !self.is_waiting => self.set(cx, doc),
            Wake::Committed => Ok(Some(Answer::Done)),
            Wake::Lost => Err(RequestError::Lost),
            Wake::Opened(_) | Wake::Read(_) | Wake::Again => Ok(None),
        }
    }
}
