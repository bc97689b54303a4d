//! Writes rows within one transaction.

use super::engine::{Abort, write_abort};
use super::reader::{Reader, bounds};
use super::runs::{Changes, Fault, Rewriting};
use bytes::Bytes;
use cosmicsync_protocol::entropy::Entropy;
use cosmicsync_protocol::storage::{Op, Table, counted};
use heed::RwTxn;
use std::collections::BTreeMap;

/// The writes of a group, one commit after another.
pub(super) struct Writing<'a> {
    reader: &'a Reader,
    entropy: &'a mut Entropy,
    /// The encoded value of the row being written.
    stored: Vec<u8>,
    /// Number of inserted rows, by their counter.
    added: BTreeMap<&'a Bytes, u64>,
    /// Rows of runs that are not written yet.
    changes: Changes,
}

impl<'a> Writing<'a> {
    pub(super) const fn new(reader: &'a Reader, entropy: &'a mut Entropy) -> Self {
        Self { reader, entropy, stored: Vec::new(), added: BTreeMap::new(), changes: Changes::new() }
    }

    pub(super) fn apply(&mut self, wtxn: &mut RwTxn<'_>, op: &'a Op) -> Result<(), Abort> {
        match op {
            Op::Put { table, key, value } => self.put(wtxn, *table, key, value),
            Op::Delete { table, key } if table.keys_sealed() => {
                self.changes.insert(key.clone(), None);
                Ok(())
            }
            Op::Delete { table, key } => {
                let deleted = self.reader.tables[*table as usize].delete(wtxn, key);
                deleted.map(drop).map_err(|error| write_abort(*table, error))
            }
            Op::Insert { table, key, counter } => {
                if self.insert(wtxn, *table, key)? {
                    *self.added.entry(counter).or_default() += 1;
                }
                Ok(())
            }
            Op::Replace { table, key, value } => {
                if self.holds(wtxn, *table, key)? {
                    self.put(wtxn, *table, key, value)?;
                }
                Ok(())
            }
            Op::DeleteRange { table, from, to } => self.delete_range(wtxn, *table, from, to),
        }
    }

    fn put(&mut self, wtxn: &mut RwTxn<'_>, table: Table, key: &Bytes, value: &Bytes) -> Result<(), Abort> {
        if table.keys_sealed() {
            self.changes.insert(key.clone(), Some(value.clone()));
            return Ok(());
        }
        self.reader.sealer.seal(self.entropy, (table, key), value, &mut self.stored);
        self.reader.tables[table as usize].put(wtxn, key, &self.stored).map_err(|error| write_abort(table, error))
    }

    /// Inserts an empty row, and returns whether it is new.
    fn insert(&mut self, wtxn: &mut RwTxn<'_>, table: Table, key: &Bytes) -> Result<bool, Abort> {
        if table.keys_sealed() {
            let fresh = !self.holds(wtxn, table, key)?;
            if fresh {
                self.changes.insert(key.clone(), Some(Bytes::new()));
            }
            return Ok(fresh);
        }
        self.reader.sealer.seal(self.entropy, (table, key), &[], &mut self.stored);
        let found = self.reader.tables[table as usize].get_or_put(wtxn, key, &self.stored);
        Ok(found.map_err(|error| write_abort(table, error))?.is_none())
    }

    fn holds(&self, wtxn: &RwTxn<'_>, table: Table, key: &Bytes) -> Result<bool, Abort> {
        if table.keys_sealed() {
            if let Some(value) = self.changes.get(key) {
                return Ok(value.is_some());
            }
            return Ok(self.reader.runs.get(wtxn, key).map_err(Fault::into_write)?.is_some());
        }
        let found = self.reader.tables[table as usize].get(wtxn, key).map(|found| found.is_some());
        found.map_err(|error| write_abort(table, error))
    }

    fn delete_range(&mut self, wtxn: &mut RwTxn<'_>, table: Table, from: &Bytes, to: &Bytes) -> Result<(), Abort> {
        if !to.is_empty() && from >= to {
            return Ok(());
        }
        if table.keys_sealed() {
            let (first, last) = bounds(from, to);
            let gone: Vec<Bytes> = self.changes.range::<[u8], _>((first, last)).map(|(key, _)| key.clone()).collect();
            gone.iter().for_each(|key| drop(self.changes.remove(key)));
            let mut rewriting = Rewriting::new(&self.reader.runs, self.entropy, &mut self.stored);
            return rewriting.delete_range(wtxn, from, to).map_err(Fault::into_write);
        }
        if table == Table::Tally {
            self.count(wtxn)?;
        }
        let deleted = self.reader.tables[table as usize].delete_range(wtxn, &bounds(from, to));
        deleted.map(drop).map_err(|error| write_abort(table, error))
    }

    /// Adds the number of a commit's insertions to the counters.
    pub(super) fn count(&mut self, wtxn: &mut RwTxn<'_>) -> Result<(), Abort> {
        for (key, more) in core::mem::take(&mut self.added) {
            let before = self.reader.get(wtxn, Table::Tally, key).map_err(Abort::Corrupt)?;
            let number = counted(&before.unwrap_or_default(), more);
            self.put(wtxn, Table::Tally, key, &number)?;
        }
        Ok(())
    }

    /// Writes the changes of runs. The transaction then includes everything that was applied.
    pub(super) fn finish(&mut self, wtxn: &mut RwTxn<'_>) -> Result<(), Abort> {
        let changes = core::mem::take(&mut self.changes);
        let mut rewriting = Rewriting::new(&self.reader.runs, self.entropy, &mut self.stored);
        rewriting.write(wtxn, changes).map_err(Fault::into_write)
    }
}
