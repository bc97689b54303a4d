//! A store in memory: the smallest one that keeps the promises of `cosmicsync_protocol::storage`.
//!
//! A store of your own keeps its rows on a disk and seals the values of `Table::sealed_at_rest`. Test it as
//! `protocol/tests/examples.rs` tests this one.

use bytes::Bytes;
use cosmicsync_protocol::config::Config;
use cosmicsync_protocol::endpoint::Step;
use cosmicsync_protocol::storage::{Op, Row, Scan, StoreDone, StoreError, StoreRequest, Table, counted};
use cosmicsync_protocol::time::Now;
use cosmicsync_protocol::{Endpoint, Recovery};
use std::collections::BTreeMap;
use std::error::Error;
use std::ops::Bound;

/// Result of the examples.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Rows by table and key, so that the rows of a table are neighbours.
#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    rows: BTreeMap<(Table, Bytes), Bytes>,
    /// True after a failed commit: memory is ahead of the store, so every later request fails until it is reopened.
    pub(crate) poisoned: bool,
}

impl MemoryStore {
    /// Carries out a request and returns its completion. Each request is done before the next, so ordered and durable
    /// reads see the same rows.
    pub(crate) fn carry_out(&mut self, request: StoreRequest) -> StoreDone {
        let (id, is_commit) = (request.id(), matches!(request, StoreRequest::Commit { .. }));
        let poisoned = if self.poisoned { Err(StoreError::Poisoned) } else { Ok(()) };
        if let Err(error) = poisoned.and_then(|()| request.check()) {
            self.poisoned |= is_commit;
            return StoreDone::Failed { id, error };
        }
        match request {
            StoreRequest::Commit { id, ops } => {
                ops.into_iter().for_each(|op| self.apply(op));
                StoreDone::Committed { id }
            }
            StoreRequest::Get { id, keys, .. } => {
                StoreDone::Got { id, values: keys.iter().map(|row| self.rows.get(row).cloned()).collect() }
            }
            StoreRequest::Scan { id, scan, .. } => match self.scan(&scan) {
                Ok((rows, more)) => StoreDone::Scanned { id, rows, more },
                Err(error) => StoreDone::Failed { id, error },
            },
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Put { table, key, value } => drop(self.rows.insert((table, key), value)),
            Op::Delete { table, key } => drop(self.rows.remove(&(table, key))),
            Op::Insert { table, key, counter } => {
                if self.rows.insert((table, key), Bytes::new()).is_none() {
                    let number = self.rows.entry((Table::Tally, counter)).or_default();
                    *number = counted(number, 1);
                }
            }
            Op::Replace { table, key, value } => {
                self.rows.entry((table, key)).and_modify(|row| *row = value);
            }
            Op::DeleteRange { table, from, to } => {
                self.rows.retain(|(at, key), _| *at != table || !is_within(key, &from, &to));
            }
        }
    }

    fn scan(&self, scan: &Scan) -> Result<(Vec<Row>, bool), StoreError> {
        let from = Bound::Included((scan.table, scan.from.clone()));
        let ascending = self
            .rows
            .range((from, Bound::Unbounded))
            .take_while(|((table, key), _)| *table == scan.table && is_within(key, &scan.from, &scan.to));
        let mut found: Vec<Row> = ascending.map(|((_, key), value)| (key.clone(), value.clone())).collect();
        if scan.reverse {
            found.reverse();
        }
        let (mut rows, mut bytes, all) = (Vec::new(), 0_usize, found.len());
        for (key, value) in found {
            bytes = bytes.saturating_add(key.len() + value.len());
            // The first row always comes, whatever its size.
            if rows.len() >= scan.rows_max || (bytes > scan.bytes_max && !rows.is_empty()) {
                break;
            }
            rows.push((key, value));
        }
        let mut more = rows.len() < all;
        if let Some(join) = &scan.join {
            let get = |key: &[u8]| Ok(self.rows.get(&(join.table, Bytes::copy_from_slice(key))).cloned());
            more |= join.apply(&mut rows, scan.bytes_max, get)?;
        }
        Ok((rows, more))
    }
}

/// Reads a store back and returns the endpoint. An empty store becomes a new device.
pub(crate) fn recover(store: &mut MemoryStore, now: Now, seed: [u8; 32]) -> Outcome<Endpoint> {
    let mut recovery = Recovery::new(Config::default(), seed);
    loop {
        let request = recovery.poll_store().ok_or("recovery waits for nothing")?;
        match recovery.step(now, store.carry_out(request))? {
            Step::More(more) => recovery = more,
            Step::Ready(endpoint) => return Ok(*endpoint),
        }
    }
}

/// Returns whether `from <= key < to`. An empty `to` is the end of the table.
fn is_within(key: &Bytes, from: &Bytes, to: &Bytes) -> bool {
    from <= key && (to.is_empty() || key < to)
}
