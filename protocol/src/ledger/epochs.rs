//! Epochs: mints and learns their keys, and requests missing ones.
//!
//! A device that mints an epoch boxes the key to the devices that it knows, or that it chooses. A device that
//! cannot open entries of a known author for lack of a key requests that key in control. Every device that
//! reads the request and holds the key boxes it to the requester, once (`docs/decisions`, the ADR on keys
//! that were not given).

use super::control::SpaceError;
use super::{Batch, Ledger};
use crate::ids::{DeviceId, EpochId, SpaceNo};
use crate::sealed::{EpochKey, KeyEpoch};
use crate::spaces::Epoch;
use crate::spaces::record::Record;
use crate::storage::Table;
use crate::storage::rows::{EpochRow, delete, given_row, wanted_key, wanted_row};
use std::collections::{BTreeMap, BTreeSet};

/// Most epoch keys of a space whose author is not yet known to be trusted. Beyond the limit, only keys are
/// taken that entries of a known author wait for; each pushes another one out.
const UNTRUSTED_MAX: usize = 1024;
/// Most generations that an epoch may be ahead of all trusted ones and still become trusted. Without a limit,
/// an epoch of the last generation could never be followed by another.
const LEAP_MAX: u32 = 65_536;
/// Most outstanding requests for keys under which one device writes.
const WANTED_MAX: usize = 8;
/// Most passes over records that came together, in search of keys that open earlier keys.
const PASSES_MAX: usize = 4;

/// State of requests for epoch keys.
#[derive(Debug, Default)]
pub(crate) struct Epochs {
    /// Keys that this store requested, with the device that writes under each, if known.
    wanted: BTreeMap<(SpaceNo, EpochId), Option<DeviceId>>,
    /// Keys to be requested.
    lacking: BTreeMap<(SpaceNo, EpochId), Option<DeviceId>>,
    /// Keys that this store boxed on request, with the device that received each.
    given: BTreeSet<(SpaceNo, EpochId, DeviceId)>,
    /// Keys to be boxed.
    requested: BTreeMap<(SpaceNo, EpochId), BTreeSet<DeviceId>>,
}

impl Epochs {
    fn is_lacking(&self, space: SpaceNo, epoch: EpochId) -> bool {
        self.wanted.contains_key(&(space, epoch)) || self.lacking.contains_key(&(space, epoch))
    }

    pub(super) fn restore_wanted(&mut self, space: SpaceNo, epoch: EpochId, owner: Option<DeviceId>) {
        self.wanted.insert((space, epoch), owner);
    }

    pub(super) fn restore_given(&mut self, space: SpaceNo, epoch: EpochId, device: DeviceId) {
        self.given.insert((space, epoch, device));
    }
}

impl Ledger {
    /// Mints an epoch for all devices of the space. Returns its record, to be appended.
    pub(crate) fn mint_epoch(&mut self, no: SpaceNo, batch: &mut Batch) -> Result<Vec<u8>, SpaceError> {
        let epoch_key = EpochKey::generate(&mut self.entropy);
        let space = &self.spaces[no.0 as usize];
        let recipients: Vec<_> = space.devices.values().map(|device| device.hpke).collect();
        let previous = space.current_epoch();
        let generation = previous.map_or(0, |(_, epoch)| epoch.generation.saturating_add(1));
        let record = KeyEpoch::mint(
            &space.id,
            &epoch_key,
            previous.map(|(_, epoch)| &epoch.key),
            generation,
            &recipients,
            &mut self.entropy,
        )?;
        self.add_epoch(no, epoch_key, generation, true, batch);
        Ok(record.encode())
    }

    fn add_epoch(&mut self, space: SpaceNo, epoch_key: EpochKey, generation: u32, trusted: bool, batch: &mut Batch) {
        let id = epoch_key.id();
        if !trusted {
            self.make_room(space, batch);
        }
        if self.epochs.wanted.remove(&(space, id)).is_some() {
            batch.ops.push(delete(Table::Meta, wanted_key(space, &id)));
        }
        let row = EpochRow { space, key: epoch_key, generation, trusted };
        batch.ops.push(row.op());
        self.spaces[space.0 as usize].epochs.insert(id, Epoch::new(row.key, generation, trusted));
    }

    /// Takes the epoch key out of a KeyEpoch record, if a box in it is for this device. The key can open
    /// entries at once. It seals nothing before an entry by a trusted author confirms it.
    fn learn_epoch(&mut self, space: SpaceNo, record: &[u8], batch: &mut Batch) -> bool {
        let Ok(record) = KeyEpoch::decode(record) else { return false };
        let state = self.space(space);
        let known = state.epochs.get(&record.epoch).map(|epoch| epoch.key.clone());
        let untrusted = state.epochs.values().filter(|epoch| !epoch.trusted).count();
        if known.is_none() && untrusted >= UNTRUSTED_MAX && !self.epochs.is_lacking(space, record.epoch) {
            return false;
        }
        let mut learned = false;
        let epoch_key = match known {
            Some(epoch_key) => epoch_key,
            None => {
                let Some(epoch_key) = record.open(&state.id, &self.own.keys) else { return false };
                self.add_epoch(space, epoch_key.clone(), record.generation, false, batch);
                learned = true;
                epoch_key
            }
        };
        if let Some(previous) = record.open_previous(&self.space(space).id, &epoch_key)
            && !self.space(space).epochs.contains_key(&previous.id())
            && (untrusted < UNTRUSTED_MAX || self.epochs.is_lacking(space, previous.id()))
        {
            self.add_epoch(space, previous, record.generation.saturating_sub(1), false, batch);
            learned = true;
        }
        learned
    }

    /// Trusts an epoch, so that new entries may be sealed under it, unless it is too far ahead of all others.
    pub(super) fn trust_epoch(&mut self, space: SpaceNo, id: &EpochId, batch: &mut Batch) {
        let state = self.space(space);
        let Some(epoch) = state.epochs.get(id).filter(|epoch| !epoch.trusted) else { return };
        let leap = state.current_epoch().map(|(_, current)| current.generation.saturating_add(LEAP_MAX));
        if leap.is_some_and(|leap| epoch.generation > leap) {
            return;
        }
        let (epoch_key, generation) = (epoch.key.clone(), epoch.generation);
        self.add_epoch(space, epoch_key, generation, true, batch);
    }

    /// Takes the keys that it can open out of KeyEpoch records that came together. Returns whether it learned
    /// any.
    pub(super) fn learn_epochs(&mut self, space: SpaceNo, records: Vec<&[u8]>, batch: &mut Batch) -> bool {
        let mut left = records;
        for pass in 0..PASSES_MAX {
            let before = left.len();
            // The last record first: each contains the key before it.
            left = left.into_iter().rev().filter(|record| !self.learn_epoch(space, record, batch)).collect();
            left.reverse();
            if left.len() == before {
                return pass > 0;
            }
        }
        true
    }

    /// Makes room for one more key that is not trusted yet.
    fn make_room(&mut self, space: SpaceNo, batch: &mut Batch) {
        let epochs = &mut self.spaces[space.0 as usize].epochs;
        let untrusted = || epochs.iter().filter(|(_, epoch)| !epoch.trusted).map(|(id, _)| *id);
        if untrusted().count() >= UNTRUSTED_MAX
            && let Some(id) = untrusted().next()
        {
            epochs.remove(&id);
            batch.ops.push(delete(Table::Secret, EpochRow::key(space, &id)));
        }
    }

    /// Marks an epoch's key as lacking, because entries of `owner` cannot be opened without it; it is
    /// requested next.
    pub(super) fn mark_epoch_missing(&mut self, space: SpaceNo, epoch: EpochId, owner: Option<DeviceId>) {
        // Without a key to write under, nothing can be requested; a joining device is given one.
        if self.space(space).current_epoch().is_none() {
            return;
        }
        let Epochs { wanted, lacking, .. } = &mut self.epochs;
        let of_owner = |(at, who): &(&(SpaceNo, EpochId), &Option<DeviceId>)| at.0 == space && **who == owner;
        let asked = wanted.iter().chain(lacking.iter()).filter(of_owner).count();
        if !wanted.contains_key(&(space, epoch)) && asked < WANTED_MAX {
            // The key may have been skipped for lack of room: the records that wait are read once more.
            self.woken |= lacking.insert((space, epoch), owner).is_none();
        }
    }

    /// Records a device's request for a key, to box the key if it is held here.
    pub(super) fn record_epoch_request(&mut self, space: SpaceNo, epoch: EpochId, device: DeviceId) {
        let is_held = self.space(space).epochs.contains_key(&epoch);
        if is_held && device != self.own.keys.device_id() && self.epochs.given.insert((space, epoch, device)) {
            self.epochs.requested.entry((space, epoch)).or_default().insert(device);
        }
    }

    /// Requests lacking keys, and boxes the keys that others requested.
    pub(crate) fn poll_epochs(&mut self) {
        let (lacking, requested) =
            (core::mem::take(&mut self.epochs.lacking), core::mem::take(&mut self.epochs.requested));
        let mut batch = Batch::default();
        for ((space, epoch), owner) in lacking {
            if self.space(space).epochs.contains_key(&epoch) {
                continue;
            }
            self.epochs.wanted.insert((space, epoch), owner);
            if self.append_control(space, &[Record::EpochWant { epoch }], None, &mut batch).is_ok() {
                batch.ops.push(wanted_row(space, &epoch, owner));
            }
        }
        for ((space, epoch), devices) in requested {
            if let Some(record) = self.box_epoch(space, &epoch, &devices)
                && self.append_control(space, &[], Some(record), &mut batch).is_ok()
            {
                batch.ops.extend(devices.iter().map(|device| given_row(space, &epoch, device)));
            }
        }
        self.submit(batch);
    }

    /// Returns a further record of an epoch, for these devices.
    fn box_epoch(&mut self, space: SpaceNo, epoch: &EpochId, devices: &BTreeSet<DeviceId>) -> Option<Vec<u8>> {
        let state = &self.spaces[space.0 as usize];
        let held = state.epochs.get(epoch)?;
        let recipients: Vec<_> = devices.iter().filter_map(|id| Some(state.devices.get(id)?.hpke)).collect();
        let record =
            KeyEpoch::mint(&state.id, &held.key, None, held.generation, &recipients, &mut self.entropy).ok()?;
        Some(record.encode())
    }
}
