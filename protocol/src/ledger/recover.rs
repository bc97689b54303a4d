//! Recovery: a state machine of its own that reads a store back and ends as a ledger.
//!
//! It reads O(logs) of data: counters, keys, spaces, partitions, log rows, cursors. It never reads an entry
//! or a document (`spec/storage.md`, section 4).

use super::Ledger;
use super::cursors::Cursors;
use crate::codec::{CodecError, Reader};
use crate::config::{Config, ConfigError};
use crate::entropy::Entropy;
use crate::identity::{DeviceKeys, OwnIdentity};
use crate::ids::{Incarnation, Instance};
use crate::logs::{Batch, Logs};
use crate::spaces::{Found, Spaces};
use crate::storage::queue::StoreQueue;
use crate::storage::rows::{self, META_FEED, META_INCARNATION, identity_row, put, scan_on};
use crate::storage::{Scan, StoreDone, StoreError, StoreRequest, Table};
use crate::time::Now;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Reason why a store could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row has an encoding that this version does not write.
    #[error("a row of table {table} cannot be read ({error}): restore a backup, or sync again from a peer")]
    Row {
        /// The table.
        table: &'static str,
        /// The error in the row.
        error: CodecError,
    },
}

/// Tables that recovery reads, in this order: later tables refer to earlier ones.
const TABLES: [Table; 6] = [Table::Meta, Table::Secret, Table::Space, Table::Partition, Table::Log, Table::Peer];

/// Reads a store back into a ledger.
#[derive(Debug)]
pub(crate) struct Loading {
    ledger: Ledger,
    found: Found,
    store: StoreQueue<(usize, Scan)>,
    /// True while no row has come: the store is new.
    fresh: bool,
    #[cfg(feature = "testkit")]
    pub(crate) image: Option<super::Image>,
}

/// State after a step.
#[derive(Debug)]
pub(crate) enum Step {
    /// More is to be read.
    More(Box<Loading>),
    /// The ledger is ready.
    Ready(Box<Ledger>),
}

impl Loading {
    /// Begins a recovery. `seed` is all the randomness that the endpoint will ever have: a fresh one for each
    /// start of a store.
    pub(crate) fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut recovery = Self {
            ledger: Ledger::empty(config, Now::default(), &Entropy::new(seed)),
            found: Found::default(),
            store: StoreQueue::new(),
            fresh: true,
            #[cfg(feature = "testkit")]
            image: None,
        };
        recovery.read_table(0);
        recovery
    }

    fn read_table(&mut self, at: usize) {
        let scan = Scan::of(TABLES[at], Bytes::new(), Bytes::new(), self.ledger.config.steps.read_bytes);
        self.store.scan(scan.clone(), (at, scan));
    }

    /// Returns the next request for the store.
    pub(crate) fn poll_store(&mut self) -> Option<StoreRequest> {
        self.store.poll()
    }

    /// Takes a completion.
    ///
    /// # Errors
    /// Fails if the store failed, or contains a row that this version cannot read.
    pub(crate) fn step(mut self: Box<Self>, now: Now, done: StoreDone) -> Result<Step, RecoverError> {
        self.ledger.config.check()?;
        let Some((at, scan)) = self.store.complete(&done) else { return Ok(Step::More(self)) };
        let (rows, more) = match done {
            StoreDone::Scanned { rows, more, .. } => (rows, more),
            StoreDone::Failed { error, .. } => return Err(error.into()),
            StoreDone::Committed { .. } | StoreDone::Got { .. } => (Vec::new(), false),
        };
        self.fresh &= rows.is_empty();
        let more = reached!(ReadBytes, more) && !planted!("recover.page-once");
        for (row_key, row) in &rows {
            self.ledger
                .restore_row(TABLES[at], row_key, row, &mut self.found)
                .map_err(|error| RecoverError::Row { table: TABLES[at].name(), error })?;
        }
        if let (true, Some((last, _))) = (more, rows.last()) {
            let scan = scan_on(&scan, last);
            self.store.scan(scan.clone(), (at, scan));
        } else if at + 1 < TABLES.len() {
            self.read_table(at + 1);
        } else {
            return Ok(Step::Ready(Box::new(self.finish(now))));
        }
        Ok(Step::More(self))
    }

    fn finish(self, now: Now) -> Ledger {
        let Self { mut ledger, fresh, .. } = self;
        ledger.now = now;
        ledger.logs.registry.rebuild_summaries();
        let mut batch = Batch::default();
        if fresh {
            batch.ops.push(identity_row(&ledger.spaces.own));
        }
        if ledger.incarnation == Incarnation::default() {
            ledger.incarnation = Incarnation(ledger.entropy.bytes());
            batch.ops.push(put(Table::Meta, META_INCARNATION, ledger.incarnation.0.to_vec()));
        }
        ledger.submit(batch);
        ledger.logs.restore_own(ledger.spaces.own.keys.device_id());
        #[cfg(feature = "testkit")]
        if let Some(image) = self.image {
            ledger.take_up(image);
        }
        ledger.logs.restore_forks();
        ledger.logs.restore_unread();
        ledger
    }
}

impl Ledger {
    fn empty(config: Config, now: Now, entropy: &Entropy) -> Self {
        let keys = DeviceKeys::generate(&mut entropy.child("device"));
        let logs = Logs::new(&config);
        Self {
            config,
            now,
            entropy: entropy.child("ledger"),
            incarnation: Incarnation::default(),
            instance: Instance(entropy.child("instance").bytes()),
            spaces: Spaces::new(OwnIdentity { keys, user: None }),
            logs,
            cursors: Cursors::default(),
            affected: BTreeSet::new(),
            cached: BTreeMap::new(),
            touched: super::Touched::default(),
            next_change: 1,
            store: StoreQueue::new(),
        }
    }

    fn restore_row(&mut self, table: Table, row_key: &Bytes, row: &Bytes, found: &mut Found) -> Result<(), CodecError> {
        match table {
            Table::Meta => self.restore_meta(row_key, row, found),
            Table::Secret => self.spaces.restore_secret(row_key, row, found),
            Table::Space => self.spaces.restore_space(row, found),
            Table::Partition => self.spaces.restore_partition(row_key, row),
            Table::Log => self.logs.restore(row_key, row),
            Table::Peer => {
                let (at, cursor) = rows::decode_cursor(row_key, row)?;
                self.cursors.restore(at, cursor);
                Ok(())
            }
            Table::Entry
            | Table::Head
            | Table::Index
            | Table::Doc
            | Table::Value
            | Table::Journal
            | Table::App
            | Table::Feed
            | Table::Tally
            | Table::Term
            | Table::Keys => Ok(()),
        }
    }

    fn restore_meta(&mut self, row_key: &[u8], row: &[u8], found: &mut Found) -> Result<(), CodecError> {
        if row_key == META_INCARNATION {
            self.incarnation = Incarnation(Reader::new(row).array()?);
        } else if row_key == META_FEED {
            self.next_change = u64::from_be_bytes(Reader::new(row).array()?);
        } else {
            return self.spaces.restore_meta(row_key, row, found);
        }
        Ok(())
    }
}
