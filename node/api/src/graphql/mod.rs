//! GraphQL over the same commands as REST. Each partition has a schema, built from its collections and their JSON
//! Schemas.
//!
//! Nothing here decides which documents match or may be written: conditions become selectors ([`filter`]), and fields
//! become commands ([`read`], [`mod@write`], [`live`]). Guide: `docs/graphql.md`.

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

/// Largest number of cached schemas.
const KEPT: usize = 8;

/// The cache of recently used schemas.
///
/// Each entry includes the descriptions from which the schema was built. A request reads the descriptions again and
/// uses an entry only if they are equal, so a stale schema is never used. A changed schema is built beside the others,
/// so other requests need not wait.
#[derive(Debug, Default)]
pub(crate) struct Schemas(Mutex<VecDeque<Kept>>);

#[derive(Debug)]
struct Kept {
    of: Vec<CollectionSchema>,
    schema: Schema,
}

impl Schemas {
    /// Returns the present schema of a partition.
    pub(crate) async fn current(&self, caller: &Caller, space: &SpaceRef) -> Result<Schema, Problem> {
        let listed = caller.request(Command::SchemaList { space: space.clone() }).await?;
        let of = expect_reply!(listed, Reply::Schemas(of) => of)?;
        if let Some(known) = self.kept().iter().find(|kept| kept.of == of) {
            return Ok(known.schema.clone());
        }
        // Other requests continue meanwhile.
        let built = spawn_blocking(move || (build::schema(&of), of)).await;
        let (schema, of) = built.map_err(|_| Problem::new(Code::Internal, "no GraphQL schema could be made"))?;
        let schema = schema?;
        let mut kept = self.kept();
        kept.truncate(KEPT - 1);
        kept.push_front(Kept { of, schema: schema.clone() });
        Ok(schema)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, VecDeque<Kept>> {
        // The cache is consistent at any time, even after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
