//! Reads and decodes rows in any transaction.

use super::engine::{Db, read_failure};
use super::runs::{Fault, Runs};
use super::seal::Sealer;
use bytes::Bytes;
use cosmicsync_protocol::storage::{Row, Scan, StoreDone, StoreError, StoreRequest, Table};
use heed::{RoTxn, WithoutTls};
use std::ops::Bound;
use std::sync::Arc;

/// The tables, and the keys that open their values.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    pub(super) tables: Arc<[Db]>,
    pub(super) sealer: Sealer,
    /// The rows of the table with sealed keys.
    pub(super) runs: Runs,
}

impl Reader {
    pub(super) fn new(tables: Vec<Db>, sealer: Sealer) -> Self {
        let runs = Runs::new(tables[Table::Term as usize], sealer.clone());
        Self { tables: tables.into(), sealer, runs }
    }

    /// Returns a reader of the same tables with a cache of its own.
    pub(super) fn apart(&self) -> Self {
        Self { runs: self.runs.apart(), ..self.clone() }
    }

    /// Answers a read. A scan returns at most `bytes_max` bytes, whatever it requests; its first row always comes.
    pub(super) fn answer(
        &self,
        txn: &RoTxn<'_, WithoutTls>,
        request: &StoreRequest,
        bytes_max: usize,
    ) -> Result<StoreDone, StoreError> {
        match request {
            StoreRequest::Get { id, keys, .. } => {
                let values = keys.iter().map(|(table, key)| self.get(txn, *table, key)).collect::<Result<_, _>>()?;
                Ok(StoreDone::Got { id: *id, values })
            }
            StoreRequest::Scan { id, scan, .. } => {
                let (mut rows, mut more) = self.scan(txn, scan, bytes_max)?;
                if let Some(join) = &scan.join {
                    let bytes_max = scan.bytes_max.min(bytes_max);
                    more |= join.apply(&mut rows, bytes_max, |key| self.get(txn, join.table, key))?;
                }
                Ok(StoreDone::Scanned { id: *id, rows, more })
            }
            StoreRequest::Commit { .. } => unreachable!("commits are applied, not answered"),
        }
    }

    pub(super) fn get(
        &self,
        txn: &RoTxn<'_, WithoutTls>,
        table: Table,
        key: &[u8],
    ) -> Result<Option<Bytes>, StoreError> {
        if table.keys_sealed() {
            return self.runs.get(txn, key).map_err(Fault::into_read);
        }
        let stored = self.tables[table as usize].get(txn, key).map_err(|error| read_failure(table.name(), &error))?;
        stored.map(|stored| self.sealer.open((table, key), stored)).transpose()
    }

    /// Reads rows up to the limits of `scan` and `bytes_max`; also returns whether there are more.
    pub(super) fn scan(
        &self,
        txn: &RoTxn<'_, WithoutTls>,
        scan: &Scan,
        bytes_max: usize,
    ) -> Result<(Vec<Row>, bool), StoreError> {
        let mut page = Page::new(scan, bytes_max);
        if scan.table.keys_sealed() {
            self.runs.scan(txn, scan, &mut page).map_err(Fault::into_read)?;
            return Ok(page.into_rows());
        }
        let (table, bounds) = (self.tables[scan.table as usize], bounds(&scan.from, &scan.to));
        let failure = |error| read_failure(scan.table.name(), &error);
        if scan.reverse {
            self.fill(&mut page, scan.table, table.rev_range(txn, &bounds).map_err(failure)?)?;
        } else {
            self.fill(&mut page, scan.table, table.range(txn, &bounds).map_err(failure)?)?;
        }
        Ok(page.into_rows())
    }

    fn fill<'t>(
        &self,
        page: &mut Page,
        table: Table,
        rows: impl Iterator<Item = heed::Result<(&'t [u8], &'t [u8])>>,
    ) -> Result<(), StoreError> {
        for row in rows {
            let (key, stored) = row.map_err(|error| read_failure(table.name(), &error))?;
            let open = || Ok((Bytes::copy_from_slice(key), self.sealer.open((table, key), stored)?));
            if !page.offer(open)? {
                break;
            }
        }
        Ok(())
    }
}

/// Returns the bounds of `from <= key < to`. LMDB takes no empty key.
pub(super) fn bounds<'b>(from: &'b [u8], to: &'b [u8]) -> (Bound<&'b [u8]>, Bound<&'b [u8]>) {
    let from = if from.is_empty() { Bound::Unbounded } else { Bound::Included(from) };
    let to = if to.is_empty() { Bound::Unbounded } else { Bound::Excluded(to) };
    (from, to)
}

/// The rows of a scan, up to its limits.
#[derive(Debug)]
pub(super) struct Page {
    rows: Vec<Row>,
    bytes: usize,
    bytes_max: usize,
    rows_max: usize,
    more: bool,
}

impl Page {
    pub(super) fn new(scan: &Scan, bytes_max: usize) -> Self {
        let bytes_max = scan.bytes_max.min(bytes_max);
        Self { rows: Vec::new(), bytes: 0, bytes_max, rows_max: scan.rows_max, more: false }
    }

    /// Takes the next row, unless a limit is reached. Returns whether to offer more.
    pub(super) fn offer<E>(&mut self, row: impl FnOnce() -> Result<Row, E>) -> Result<bool, E> {
        if self.rows.len() >= self.rows_max {
            self.more = true;
            return Ok(false);
        }
        let (key, value) = row()?;
        self.bytes = self.bytes.saturating_add(key.len() + value.len());
        if self.bytes > self.bytes_max && !self.rows.is_empty() {
            self.more = true;
            return Ok(false);
        }
        self.rows.push((key, value));
        Ok(true)
    }

    pub(super) fn into_rows(self) -> (Vec<Row>, bool) {
        (self.rows, self.more)
    }
}
