//! The service interface of a node: commands in, items and one reply out.
//!
//! [`Command`] and [`Reply`] define the requests and answers; a [`Backend`] carries them out. [`Server`] serves a
//! backend on a Unix socket in the data directory, and [`Client`] is such a backend in another process. Nothing here
//! uses storage, links or the core. Specified in `docs/cli.md`.
//!
//! Commands and replies are values, and have one form in JSON:
//!
//! ```
//! use cosmicsync_node::service::{Command, DocRef, ErrorCode};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let doc: DocRef = "notes/first".parse()?;
//! let command = Command::DocGet { space: None, doc };
//! let text = serde_json::to_string(&command)?;
//! assert_eq!(text, r#"{"doc_get":{"space":null,"doc":"notes/first"}}"#);
//! assert_eq!(serde_json::from_str::<Command>(r#"{"doc_get":{"doc":"notes/first"}}"#)?, command);
//!
//! // An error has a code for programs, and a message with the next step for people.
//! let error = "first".parse::<DocRef>().expect_err("neither a key nor an id");
//! assert_eq!((error.code, error.next.as_deref()), (ErrorCode::Usage, Some("cosmicsync doc list")));
//! # Ok(())
//! # }
//! ```

mod account;
mod client;
mod command;
mod demand;
mod error;
mod frame;
mod input;
mod json;
mod log;
mod names;
mod query;
mod reply;
mod rules;
mod schema;
mod server;
mod state;
mod text;
mod time;
mod token;
mod write;

use core::fmt;
use core::future::Future;
use core::pin::Pin;

use tokio::sync::mpsc;

pub use account::{Account, AccountChange, AccountCreate, Audited, Link, Login, Role, Who};
pub use client::{Client, Dial, Dialled, Halves};
pub use command::{Bodies, Command, Cut, DocList, DocPut, DocSplice, Export, Format, Import, Patch, Position};
pub use cosmicsync_protocol::ids::{DocId, SpaceId};
pub use demand::Need;
pub use error::{ErrorCode, Reason, ServiceError};
pub use frame::{LINE_BYTES_MAX, PROTOCOL, SOCKET_NAME};
pub use input::{Feed, Input, PIECE_BYTES_MAX};
pub use json::{JsonMistake, parse_json, read_json};
pub use log::{LogLine, LogPage, LogTail};
pub use names::{DocRef, Secret, SpaceRef, Text};
pub use query::{
    Changes, Group, Index, IndexCheck, IndexName, LiveBatch, LiveEvent, Measure, MeasureKind, Plan, PlanIndex,
    PlanRejected, Queried, Query,
};
pub use reply::{
    Backup, Change, Collection, CollectionDigest, Conflict, Diff, Digest, DocView, Exported, Imported, Item, Listed,
    Progress, Reply, Revision, RevisionKind, Synced, VersionView, Written, Wrote,
};
pub use rules::{Rules, RulesSet, RulesTest, Verdict};
pub use schema::{CollectionSchema, Invalid, Schema, SchemaReport, SchemaSet, Violation};
pub use server::{Server, serve_stream};
pub use state::{
    Device, EntryBytes, Finding, Invite, Level, Partition, Peer, PeerState, Space, Status, Store, Traffic,
};
pub use text::{bytes_text, quoted};
pub use time::utc_text;
pub use token::{NewToken, Only, Scope, Token, TokenCreate};
pub use write::{DocAt, DocChange, DocDiff, DocOp, DocWrite};

/// A command in progress. Dropping it cancels the command; acknowledged writes remain.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Reply, ServiceError>> + Send + 'a>>;

/// A receiver of commands: a node in this process, or a [`Client`] of a node in another one.
pub trait Backend: fmt::Debug + Send + Sync {
    /// Carries out one command.
    ///
    /// Items before the reply go to `items`; the command waits while that channel is full. If its receiver is gone,
    /// items are discarded and the command continues: only dropping the answer cancels it.
    fn call(&self, command: Command, items: mpsc::Sender<Item>) -> Answer<'_>;

    /// Carries out a command with an input, as [`Command::reads`] defines. The default implementation ignores the
    /// input.
    fn call_reading(&self, command: Command, _input: Input, items: mpsc::Sender<Item>) -> Answer<'_> {
        self.call(command, items)
    }

    /// Carries out a command of a client of the HTTP API, within its permissions. A backend without accounts refuses
    /// it.
    fn call_as(&self, _who: &Who, _command: Command, _input: Option<Input>, _items: mpsc::Sender<Item>) -> Answer<'_> {
        let message = "without a running node, only the operator has access";
        Box::pin(core::future::ready(Err(ServiceError::new(ErrorCode::Refused, message))))
    }
}

/// Returns the steps of a field's path; `None` if the path is invalid.
pub fn field_steps(path: &str) -> Option<Vec<String>> {
    let path = cosmicsync_data::query::Path::parse(path).ok()?;
    Some(path.steps().iter().map(|step| step.key().to_owned()).collect())
}

/// Carries out one command and discards its items.
pub async fn request(backend: &dyn Backend, command: Command) -> Result<Reply, ServiceError> {
    let (items, _) = mpsc::channel(1);
    backend.call(command, items).await
}

#[cfg(test)]
mod tests;
