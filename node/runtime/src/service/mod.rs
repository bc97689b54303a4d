//! The only door to a node: commands in, items and one reply out.
//!
//! [`Command`] and [`Reply`] say what can be asked and answered; a [`Backend`] carries it out. [`Server`] offers a backend on a
//! unix socket in the data directory and [`Client`] is that backend seen from another process. Nothing here knows storage, links or
//! the core. Spec: `docs/cli.md`.

mod account;
mod client;
mod command;
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
mod text;
mod time;
mod token;
mod write;

use core::fmt;
use core::future::Future;
use core::pin::Pin;

use tokio::sync::mpsc;

pub use account::{Account, AccountChange, AccountCreate, Audited, Link, Login, Need, Role, Who};
pub use client::{Client, Dial, Dialled, Halves};
pub use command::{Bodies, Command, Cut, DocList, DocPut, DocSplice, Export, Format, Import, Patch, Position};
pub use cosmicsync_protocol::ids::{DocId, SpaceId};
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
    Backup, Change, Collection, CollectionDigest, Conflict, Device, Diff, Digest, DocView, EntryBytes, Exported,
    Finding, Imported, Invite, Item, Level, Listed, Partition, Peer, PeerState, Progress, Reply, Revision,
    RevisionKind, Space, Status, Store, Synced, Traffic, VersionView, Written, Wrote,
};
pub use rules::{Rules, RulesSet, RulesTest, Verdict};
pub use schema::{CollectionSchema, Invalid, Schema, SchemaReport, SchemaSet, Violation};
pub use server::{Server, serve_stream};
pub use text::{bytes_text, quoted};
pub use time::utc_text;
pub use token::{NewToken, Only, Scope, Token, TokenCreate};
pub use write::{DocAt, DocChange, DocDiff, DocOp, DocWrite};

/// A command under way. Dropping it cancels the command: what is already acknowledged stays, nothing else happens.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Reply, ServiceError>> + Send + 'a>>;

/// Whoever carries out commands: a node in this process, or a [`Client`] of one in another.
pub trait Backend: fmt::Debug + Send + Sync {
    /// Carries out one command.
    ///
    /// Items that come before the reply go into `items`; a command waits while that channel is full. When its receiver is gone,
    /// items are discarded and the command goes on: only dropping the answer cancels it.
    fn call(&self, command: Command, items: mpsc::Sender<Item>) -> Answer<'_>;

    /// Carries out a command that reads: one of which [`Command::reads`] says so. Whoever offers none gives no input on.
    fn call_reading(&self, command: Command, _input: Input, items: mpsc::Sender<Item>) -> Answer<'_> {
        self.call(command, items)
    }

    /// Carries out a command on behalf of somebody who came through a door, as far as they may. Whoever knows of no
    /// accounts refuses.
    fn call_as(&self, _who: &Who, _command: Command, _input: Option<Input>, _items: mpsc::Sender<Item>) -> Answer<'_> {
        let message = "only a node serves others than its operator";
        Box::pin(core::future::ready(Err(ServiceError::new(ErrorCode::Refused, message))))
    }
}

/// Returns the steps of a field's path. `None` if it is none.
pub fn field_steps(path: &str) -> Option<Vec<String>> {
    let path = cosmicsync_data::query::Path::parse(path).ok()?;
    Some(path.steps().iter().map(|step| step.key().to_owned()).collect())
}

/// Carries out one command whose items do not matter.
pub async fn request(backend: &dyn Backend, command: Command) -> Result<Reply, ServiceError> {
    let (items, _) = mpsc::channel(1);
    backend.call(command, items).await
}

#[cfg(test)]
mod tests;
