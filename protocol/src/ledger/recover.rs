//! Recovery: a state machine of its own that reads a store back and ends as a ledger.
//!
//! It reads O(logs) of data: counters, keys, spaces, partitions, log rows, cursors. It never reads an entry
//! or a document (`spec/storage.md`, section 4).

use super::append::next_tips;
use super::entry_cache::EntryCache;
use super::registry::{Log, Registry, Standing};
use super::{Batch, Ledger};
use crate::codec::{CodecError, Reader};
use crate::config::{Config, ConfigError};
use crate::entropy::Entropy;
use crate::identity::{DeviceKeys, OwnIdentity};
use crate::ids::{Incarnation, Instance};
use crate::log::Codec;
use crate::log::{EntryBuilder, Weight};
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
        ledger.registry.rebuild_summaries();
        let mut batch = Batch::default();
        if fresh {
            batch.ops.push(identity_row(&ledger.spaces.own));
        }
        if ledger.incarnation == Incarnation::default() {
            ledger.incarnation = Incarnation(ledger.entropy.bytes());
            batch.ops.push(put(Table::Meta, META_INCARNATION, ledger.incarnation.0.to_vec()));
        }
        ledger.submit(batch);
        ledger.restore_own_logs();
        #[cfg(feature = "testkit")]
        if let Some(image) = self.image {
            ledger.take_up(image);
        }
        ledger.restore_forks();
        ledger.woken = true;
        ledger
    }
}

impl Ledger {
    fn empty(config: Config, now: Now, entropy: &Entropy) -> Self {
        let keys = DeviceKeys::generate(&mut entropy.child("device"));
        let (entry_cache, leaf_max) = (EntryCache::new(config.recent_bytes_max), config.steps.leaf_items);
        Self {
            config,
            now,
            entropy: entropy.child("ledger"),
            incarnation: Incarnation::default(),
            instance: Instance(entropy.child("instance").bytes()),
            spaces: Spaces::new(OwnIdentity { keys, user: None }),
            registry: Registry::new(leaf_max),
            signing: BTreeMap::new(),
            live: BTreeMap::new(),
            control_logs: BTreeMap::new(),
            cursors: BTreeMap::new(),
            entry_cache,
            unread: BTreeSet::new(),
            reading: BTreeSet::new(),
            waking: BTreeSet::new(),
            tips: [0; 32],
            unnamed: BTreeSet::new(),
            expected: BTreeSet::new(),
            fork_index: super::fork_index::ForkIndex::default(),
            opened: None,
            branches_chosen: false,
            affected: BTreeSet::new(),
            ended: Vec::new(),
            wanted: Vec::new(),
            forked: Vec::new(),
            woken: false,
            cached: BTreeMap::new(),
            indexing: BTreeMap::new(),
            next_change: 1,
            cursors_unsaved: BTreeSet::new(),
            builder: EntryBuilder::new(),
            written: Weight::default(),
            codec: Codec::new(),
            kept: super::opened::Opened::default(),
            touched: super::Touched::default(),
            store: StoreQueue::new(),
        }
    }

    fn restore_row(&mut self, table: Table, row_key: &Bytes, row: &Bytes, found: &mut Found) -> Result<(), CodecError> {
        match table {
            Table::Meta => self.restore_meta(row_key, row, found),
            Table::Secret => self.spaces.restore_secret(row_key, row, found),
            Table::Space => self.spaces.restore_space(row, found),
            Table::Partition => self.spaces.restore_partition(row_key, row),
            Table::Log => self.registry.restore(Log::from_row(row_key, row)?),
            Table::Peer => {
                let (at, cursor) = rows::decode_cursor(row_key, row)?;
                self.cursors.insert(at, cursor);
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

    /// Restores the logs that earlier processes of this device opened. All of them ended with their process,
    /// and the next card of their partition names those that no card names yet.
    fn restore_own_logs(&mut self) {
        let device = self.spaces.own.keys.device_id();
        let own = self.registry.iter().filter(|log| log.branch().is_none());
        let own: Vec<_> = own.filter(|log| log.owner().is_some_and(|owner| owner.device == device)).collect();
        let mut tips = self.tips;
        for log in own {
            let (Some(tip), Some(owner)) = (&log.durable.tip, log.owner()) else { continue };
            tips = next_tips(&tips, &log.id, tip.seq, &tip.h);
            // A card that never leaves this store names nothing: its process ended before its first entry was
            // durable.
            let is_named = log.named && log.next.is_none_or(|next| self.registry.log(next).durable.tip.is_some());
            if !is_named {
                self.unnamed.insert((owner.partition, log.no));
            }
        }
        self.tips = tips;
        let is_unread = |log: &&Log| log.durable.unread().is_some() || log.standing == Standing::Unknown;
        let unread: Vec<_> = self.registry.iter().filter(is_unread).map(|log| log.no).collect();
        self.unread.extend(unread);
    }
}
