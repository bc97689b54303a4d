//! A node that acts for an actor: the operator, or a client of the HTTP API.

use super::Node;
use super::handle::Handle;
use super::spaces::{find_space, no_space, space_and_partition};
use crate::clock::wall_ms;
use crate::driver::Core;
use crate::service::{Command, ErrorCode, Need, Only, Reason, Scope, ServiceError, Who};
use core::ops::Deref;
use cosmicsync_data::Value;
use cosmicsync_data::rules::{Actor, Reach};
use cosmicsync_protocol::sync::SpaceNo;
use std::sync::Arc;

/// A node that acts for an actor. All its requests to the database are made on the actor's behalf.
#[derive(Debug)]
pub(super) struct Acting<'a> {
    node: &'a Node,
    handle: Handle,
    /// The client; none for the operator, who may do everything.
    pub(super) who: Option<Who>,
}

impl Node {
    /// Returns the node acting for an actor.
    pub(super) fn acting(&self, who: Option<Who>) -> Result<Acting<'_>, ServiceError> {
        let handle = self.handle()?.clone();
        let limited = who.clone().filter(|who| !who.is_free()).map(Arc::new);
        Ok(Acting { node: self, handle: handle.in_the_name_of(limited), who })
    }
}

impl Deref for Acting<'_> {
    type Target = Node;

    fn deref(&self) -> &Node {
        self.node
    }
}

impl Acting<'_> {
    /// Returns the handle to the core, on behalf of the actor.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "it stands for the method of the node, which fails once that has ended"
    )]
    pub(super) fn handle(&self) -> Result<&Handle, ServiceError> {
        Ok(&self.handle)
    }

    /// Returns whether rules or a token limit the actor to some documents.
    pub(super) fn is_limited(&self) -> bool {
        self.who.as_ref().is_some_and(|who| !who.is_free())
    }

    /// Refuses a command that the actor's role or token does not allow.
    pub(super) async fn admit(&self, command: &Command) -> Result<(), ServiceError> {
        let Some(who) = &self.who else { return Ok(()) };
        if who.may(command) {
            return check_space(&self.handle, who, command).await;
        }
        let message = if who.token.scope == Scope::Read && (command.writes() || command.need() == Need::Own) {
            "the token allows reading only".to_owned()
        } else if who.token.only.is_empty() {
            format!("the role {} does not allow this", who.role.name())
        } else {
            "the token is for documents of some collections only".to_owned()
        };
        self.note_audit("denied", name_of(command), false).await;
        Err(ServiceError::new(ErrorCode::Refused, message).because(Reason::Forbidden))
    }
}

/// Refuses a space that the token does not include as if it did not exist, so that names cannot be probed.
async fn check_space(handle: &Handle, who: &Who, command: &Command) -> Result<(), ServiceError> {
    let reached = &who.token.only;
    let (Some(space), false) = (command.space(), reached.iter().any(|only| only.space.is_none())) else {
        return Ok(());
    };
    if reached.is_empty() {
        return Ok(());
    }
    let (space, reached) = (space.clone(), reached.clone());
    handle
        .with(move |core| {
            let meant = space_and_partition(core, &space)?.0;
            let is_it = |only: &Only| find_space(core, &only.space).is_ok_and(|reached| reached.no == meant.no);
            if reached.iter().any(is_it) { Ok(()) } else { Err(no_space(&space)) }
        })
        .await?
}

/// Returns the name of a command on the control socket.
fn name_of(command: &Command) -> String {
    let named = serde_json::to_value(command).ok();
    named.and_then(|named| named.as_object()?.keys().next().cloned()).unwrap_or_default()
}

/// Returns the database's form of an actor.
pub(super) fn actor_of(core: &Core, who: &Who) -> Actor {
    let text = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
    let auth = [
        ("account", text(&who.token.account)),
        ("role", who.role.name().into()),
        ("token", who.token.name.as_str().into()),
    ];
    // A null member would equal a missing one.
    let auth: Value = auth.into_iter().filter(|(_, value)| *value != Value::Null).collect();
    let now = i64::try_from(wall_ms()).map_or(Value::Null, Value::Int);
    Actor {
        context: [("auth", auth), ("now", now)].into_iter().collect(),
        bound: who.role.is_bound(),
        reach: who.token.only.iter().map(|only| reach_of(core, only)).collect(),
    }
}

/// Returns the database's form of a token's part. An unknown space becomes one that does not exist, rather than all
/// spaces.
fn reach_of(core: &Core, only: &Only) -> Reach {
    let nowhere = SpaceNo(u32::MAX);
    let space = only.space.clone().map(|name| find_space(core, &Some(name)).map_or(nowhere, |space| space.no));
    Reach { space, collection: only.collection.clone(), writes: only.scope == Scope::Write }
}
