//! Watching documents: the core wakes who watches; what changed, and in which order, stands in the store.

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
    /// Makes both ends of a watch of a space, or of one document in it.
    pub(crate) fn new(space: SpaceNo, doc: Option<DocId>) -> (Self, Arc<Notify>) {
        let woken = Arc::new(Notify::new());
        (Self { space, doc, woken: Arc::downgrade(&woken) }, woken)
    }

    /// Returns whether somebody still watches.
    pub(crate) fn is_watched(&self) -> bool {
        self.woken.strong_count() > 0
    }

    /// A document changed. Returns false once nobody watches any more.
    pub(crate) fn handle_changed(&self, changed: &Changed) -> bool {
        let Some(woken) = self.woken.upgrade() else { return false };
        if changed.space == self.space && self.doc.is_none_or(|doc| doc == changed.doc) {
            woken.notify_one();
        }
        true
    }
}
