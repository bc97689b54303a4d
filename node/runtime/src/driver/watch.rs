//! Watches of documents: the core wakes a watcher; the watcher reads the changes and their order from the store.

use cosmicsync_data::database::request::Changed;
use cosmicsync_protocol::ids::DocId;
use cosmicsync_protocol::sync::SpaceNo;
use std::sync::{Arc, Weak};
use tokio::sync::Notify;

/// The core's end of a watch.
#[derive(Debug)]
pub(crate) struct Watcher {
    space: SpaceNo,
    doc: Option<DocId>,
    woken: Weak<Notify>,
}

impl Watcher {
    /// Returns both ends of a watch of a space, or of one document in it.
    pub(crate) fn new(space: SpaceNo, doc: Option<DocId>) -> (Self, Arc<Notify>) {
        let woken = Arc::new(Notify::new());
        (Self { space, doc, woken: Arc::downgrade(&woken) }, woken)
    }

    /// Returns whether the watch still has a receiver.
    pub(crate) fn is_watched(&self) -> bool {
        self.woken.strong_count() > 0
    }

    /// Wakes the watcher if the document concerns it. Returns false once the receiver is gone.
    pub(crate) fn handle_changed(&self, changed: &Changed) -> bool {
        let Some(woken) = self.woken.upgrade() else { return false };
        if changed.space == self.space && self.doc.is_none_or(|doc| doc == changed.doc) {
            woken.notify_one();
        }
        true
    }
}
