//! An import that stores nothing: it reads the file like a real one, and reports its content.

use super::parse::{BatchLimits, Parser, Plan, Source, options_of};
use super::{BATCHES_AHEAD, blamed, has_columns, hint, named, numbers_of};
use crate::clock::wall_ms;
use crate::node::blame::request_error;
use crate::service::{Import, Imported, Reply, ServiceError};
use cosmicsync_data::database::request::{RequestError, Row};
use cosmicsync_data::import::{Kind, Reader};
use cosmicsync_data::schema::Schema;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

/// Largest number of columns in the report.
const COLUMNS_SHOWN: usize = 100;

pub(super) async fn import(
    import: Import,
    schema: Option<Arc<Schema>>,
    kind: Kind,
    mut source: Source,
    begun: Instant,
) -> Result<Reply, ServiceError> {
    let plan = Plan {
        id_column: import.id_column.clone(),
        numbers: numbers_of(&import, kind),
        options: options_of(&import),
        limits: BatchLimits::within(u64::MAX),
    };
    let rows_at = import.rows.clone();
    let (sender, mut batches) = mpsc::channel(BATCHES_AHEAD);
    let parser =
        spawn_blocking(move || Parser::new(Reader::of(kind, rows_at.as_deref()), plan, &sender).run(&mut source, None));
    let (mut keys, mut documents, mut replaced) = (BTreeSet::<[u8; 16]>::new(), 0, 0);
    while let Some(batch) = batches.recv().await {
        for row in batch.rows {
            let key = admitted(schema.as_deref(), row)?;
            let again = key.is_some_and(|key| {
                let mut hash = [0; 16];
                hash.copy_from_slice(&blake3::hash(key.as_bytes()).as_bytes()[..16]);
                !keys.insert(hash)
            });
            documents += u64::from(!again);
            replaced += u64::from(again);
        }
    }
    let learned = parser.await.map_err(|_| crate::driver::stopping())?;
    let learned = learned.map_err(|failed| blamed(failed, &Import { dry_run: false, ..import.clone() }, None))?;
    let (format, delimiter) = named(kind);
    let mut columns = if has_columns(kind.format) { learned.columns } else { Vec::new() };
    columns.truncate(COLUMNS_SHOWN);
    Ok(Reply::Imported(Imported {
        collection: import.collection.clone(),
        format,
        delimiter,
        documents,
        replaced,
        unchanged: 0,
        skipped: 0,
        bytes: learned.bytes,
        elapsed_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        dry_run: true,
        columns,
        note: Some(match hint(&learned.numbers, &import, kind) {
            None => "a dry run: nothing was stored".to_owned(),
            Some(hint) => format!("a dry run: nothing was stored; {hint}"),
        }),
    }))
}

/// Checks a row against the collection's schema. Returns the key that the document would have.
fn admitted(schema: Option<&Schema>, row: Row) -> Result<Option<String>, ServiceError> {
    let Row { key, value, at } = row;
    let Some(schema) = schema else { return Ok(key) };
    let refused = |violations| {
        let error = RequestError::Row { at, error: Box::new(RequestError::Violates(violations)) };
        request_error(&error).next("correct the line, then the same again")
    };
    schema.admit(key, value, wall_ms()).map(|(key, _)| key).map_err(refused)
}
