//! GraphQL over the same commands as REST: a schema per partition, made of its collections and their JSON Schemas.
//!
//! Nothing here decides what matches or what may be written: conditions become selectors ([`filter`]), fields become
//! commands ([`read`], [`mod@write`], [`live`]). Guide: `docs/graphql.md`.

mod aggregate;
mod answer;
mod build;
mod filter;
pub(crate) mod limits;
mod live;
mod model;
mod naming;
mod read;
mod socket;
mod types;
mod write;

pub(crate) use answer::{Asked, execute};
pub(crate) use socket::{PROTOCOL, serve};

use async_graphql::dynamic::Schema;
use cosmicsync_node::service::{CollectionSchema, Command, Reply, SpaceRef};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::task::spawn_blocking;

use crate::call::{Caller, expect_reply};
use crate::problem::{Code, Problem};

/// Schemas that are kept, at most.
const KEPT: usize = 8;

/// The schemas that were asked for last.
///
/// Each is kept with the descriptions of which it was made. A request reads these anew and takes a schema only if they are
/// the same, so none is ever stale; one that changed is made beside the others, and nobody waits who does not need it.
#[derive(Debug, Default)]
pub(crate) struct Schemas(Mutex<VecDeque<Kept>>);

#[derive(Debug)]
struct Kept {
    of: Vec<CollectionSchema>,
    schema: Schema,
}

impl Schemas {
    /// Returns the schema of a partition as it is now.
    pub(crate) async fn current(&self, caller: &Caller, space: &SpaceRef) -> Result<Schema, Problem> {
        let listed = caller.request(Command::SchemaList { space: space.clone() }).await?;
        let of = expect_reply!(listed, Reply::Schemas(of) => of)?;
        if let Some(known) = self.kept().iter().find(|kept| kept.of == of) {
            return Ok(known.schema.clone());
        }
        // Others go on meanwhile.
        let built = spawn_blocking(move || (build::schema(&of), of)).await;
        let (schema, of) = built.map_err(|_| Problem::new(Code::Internal, "no GraphQL schema could be made"))?;
        let schema = schema?;
        let mut kept = self.kept();
        kept.truncate(KEPT - 1);
        kept.push_front(Kept { of, schema: schema.clone() });
        Ok(schema)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, VecDeque<Kept>> {
        // What is kept is whole at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
