//! Watching documents: whoever is slow sees the newest state of each, never a queue without bound.

use cosmicsync_data::database::request::Changed;
use cosmicsync_protocol::ids::DocId;
use cosmicsync_protocol::ledger::PartNo;
use cosmicsync_protocol::sync::SpaceNo;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::Notify;

/// Documents that changed and were not looked at since, each once, in the order of their first change.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    queue: Mutex<Queue>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    order: VecDeque<(PartNo, DocId)>,
    /// Whether the last change was made here.
    docs: BTreeMap<(PartNo, DocId), bool>,
}

impl Pending {
    /// Takes the next document: where, which, and whether this store changed it last.
    pub(crate) async fn next(&self) -> (PartNo, DocId, bool) {
        loop {
            if let Some(found) = self.take() {
                return found;
            }
            self.notify.notified().await;
        }
    }

    fn take(&self) -> Option<(PartNo, DocId, bool)> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let at = queue.order.pop_front()?;
        let here = queue.docs.remove(&at).unwrap_or_default();
        Some((at.0, at.1, here))
    }

    fn put(&self, at: (PartNo, DocId), here: bool) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.docs.insert(at, here).is_none() {
            queue.order.push_back(at);
        }
        drop(queue);
        self.notify.notify_one();
    }
}

/// The core's end of a watch.
#[derive(Debug)]
pub(crate) struct Watcher {
    space: SpaceNo,
    doc: Option<DocId>,
    pending: Weak<Pending>,
}

impl Watcher {
    /// Makes both ends of a watch of a space, or of one document in it.
    pub(crate) fn new(space: SpaceNo, doc: Option<DocId>) -> (Self, Arc<Pending>) {
        let pending = Arc::new(Pending::default());
        (Self { space, doc, pending: Arc::downgrade(&pending) }, pending)
    }

    /// A document changed. False once nobody watches any more.
    pub(crate) fn handle_changed(&self, changed: &Changed) -> bool {
        let Some(pending) = self.pending.upgrade() else { return false };
        if changed.space == self.space && self.doc.is_none_or(|doc| doc == changed.doc) {
            pending.put((changed.partition, changed.doc), changed.here);
        }
        true
    }
}
