//! Bodies about changes and live queries.

use cosmicsync_node::service::{self, Change, LiveBatch};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::DocumentView;

/// A change of a document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FeedChange)]
pub(crate) struct ChangeView {
    /// The change's cursor; a later request with it continues after this change.
    pub(crate) cursor: String,
    /// The document's collection.
    collection: String,
    /// The document's id.
    id: String,
    /// The document's key, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The document's version after the change.
    version: String,
    /// True if the document is deleted.
    deleted: bool,
    /// True if the change was made on this node.
    local: bool,
    /// The document's value after the change; missing if it is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

impl From<Change> for ChangeView {
    fn from(change: Change) -> Self {
        Self {
            cursor: change.cursor,
            collection: change.collection,
            id: change.doc.to_string(),
            key: change.key,
            version: change.version.to_string(),
            deleted: change.value.is_none(),
            local: change.local,
            value: change.value,
        }
    }
}

/// A page of changes, oldest first.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it describes what is written as it comes")]
pub(crate) struct ChangePage {
    /// The changes.
    changes: Vec<ChangeView>,
    /// The cursor for the next request.
    cursor: String,
    /// True if there may be more changes already.
    more: bool,
}

/// One change in the answer of a live query.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
#[schema(as = LiveEvent)]
pub(crate) enum EventView {
    /// A document joined the answer.
    Added {
        /// The document.
        doc: DocumentView,
        /// The id of the document before it in the answer; null if it comes first.
        after: Option<String>,
    },
    /// A document changed and kept its place.
    Changed {
        /// The document.
        doc: DocumentView,
    },
    /// A document changed and may have a new place.
    Moved {
        /// The document.
        doc: DocumentView,
        /// The id of the document before it in the answer; null if it comes first.
        after: Option<String>,
    },
    /// A document left the answer.
    Removed {
        /// The document's id.
        id: String,
        /// The document's key, if it has one and the client has received the document before.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
}

impl From<service::LiveEvent> for EventView {
    fn from(event: service::LiveEvent) -> Self {
        match event {
            service::LiveEvent::Added { document, after } => {
                Self::Added { doc: document.into(), after: after.map(|id| id.to_string()) }
            }
            service::LiveEvent::Changed { document } => Self::Changed { doc: document.into() },
            service::LiveEvent::Moved { document, after } => {
                Self::Moved { doc: document.into(), after: after.map(|id| id.to_string()) }
            }
            service::LiveEvent::Removed { doc, key } => Self::Removed { id: doc.to_string(), key },
        }
    }
}

/// The whole answer of a live query, or its changes. Applied in order, the events turn the previous answer into the
/// present one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LiveBatch)]
pub(crate) struct BatchView {
    /// The cursor of the last change in the batch.
    pub(crate) cursor: String,
    /// The changes of the answer.
    pub(crate) events: Vec<EventView>,
}

impl From<LiveBatch> for BatchView {
    fn from(batch: LiveBatch) -> Self {
        Self { cursor: batch.cursor, events: batch.events.into_iter().map(Into::into).collect() }
    }
}
