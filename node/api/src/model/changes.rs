//! Changes and live queries.

use cosmicsync_node::service::{self, Change, LiveBatch};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::DocumentView;

/// A change of a document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FeedChange)]
pub(crate) struct ChangeView {
    /// Names the change: the next ones are behind it.
    pub(crate) cursor: String,
    /// The document's collection.
    collection: String,
    /// Its id.
    id: String,
    /// Its key, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Its version now.
    version: String,
    /// Whether it is deleted.
    deleted: bool,
    /// Whether this node wrote it.
    local: bool,
    /// Its value now; missing where it is deleted.
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

/// Some changes, oldest first.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it describes what is written as it comes")]
pub(crate) struct ChangePage {
    /// The changes.
    changes: Vec<ChangeView>,
    /// The next ones are behind this.
    cursor: String,
    /// Whether there may be more already.
    more: bool,
}

/// A change of the answer of a live query.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
#[schema(as = LiveEvent)]
pub(crate) enum EventView {
    /// A document is in the answer now.
    Added {
        /// The document.
        doc: DocumentView,
        /// The id of the document behind which it stands; null is first.
        after: Option<String>,
    },
    /// A document changed and stands where it stood.
    Changed {
        /// The document.
        doc: DocumentView,
    },
    /// A document changed and may stand elsewhere.
    Moved {
        /// The document.
        doc: DocumentView,
        /// The id of the document behind which it stands; null is first.
        after: Option<String>,
    },
    /// A document is not in the answer any more.
    Removed {
        /// Its id.
        id: String,
        /// Its key, if it has one and the client was told of it.
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

/// The whole answer of a live query, or what changed in it. In this order the events make the answer before into the answer now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LiveBatch)]
pub(crate) struct BatchView {
    /// The last change that is in it.
    pub(crate) cursor: String,
    /// What changed.
    pub(crate) events: Vec<EventView>,
}

impl From<LiveBatch> for BatchView {
    fn from(batch: LiveBatch) -> Self {
        Self { cursor: batch.cursor, events: batch.events.into_iter().map(Into::into).collect() }
    }
}
