//! Epochs: mints and learns their keys, and keeps the requests for missing ones.
//!
//! A device that mints an epoch boxes the key to the devices that it knows, or that it chooses. A device that
//! cannot open entries of a known author for lack of a key requests that key in control. Every device that
//! reads the request and holds the key boxes it to the requester, once (`docs/decisions`, the ADR on keys
//! that were not given).

use super::{Epoch, SpaceError, Spaces};
use crate::entropy::Entropy;
use crate::ids::{DeviceId, EpochId, SpaceNo};
use crate::sealed::{EpochKey, KeyEpoch};
use crate::storage::rows::{EpochRow, delete, wanted_key};
use crate::storage::{Op, Table};
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

/// Keys that are not held here, with the device that writes under each, if known.
pub(crate) type Lacking = BTreeMap<(SpaceNo, EpochId), Option<DeviceId>>;
/// Keys that are held here, with the devices that requested them.
pub(crate) type Requested = BTreeMap<(SpaceNo, EpochId), BTreeSet<DeviceId>>;

/// State of requests for epoch keys.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Keys that this store requested.
    wanted: Lacking,
    /// Keys to be requested.
    lacking: Lacking,
    /// Keys that this store boxed on request, with the device that received each.
    given: BTreeSet<(SpaceNo, EpochId, DeviceId)>,
    /// Keys to be boxed.
    requested: Requested,
}

impl Requests {
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

impl Spaces {
    /// Mints an epoch for all devices of the space. Returns its record, to be appended.
    pub(crate) fn mint_epoch(
        &mut self,
        no: SpaceNo,
        entropy: &mut Entropy,
        ops: &mut Vec<Op>,
    ) -> Result<Vec<u8>, SpaceError> {
        let epoch_key = EpochKey::generate(entropy);
        let space = &self.all[no.0 as usize];
        let recipients: Vec<_> = space.devices.values().map(|device| device.hpke).collect();
        let previous = space.current_epoch();
        let generation = previous.map_or(0, |(_, epoch)| epoch.generation.saturating_add(1));
        let record = KeyEpoch::mint(
            &space.id,
            &epoch_key,
            previous.map(|(_, epoch)| &epoch.key),
            generation,
            &recipients,
            entropy,
        )?;
        self.add_epoch(no, epoch_key, generation, true, ops);
        Ok(record.encode())
    }

    fn add_epoch(&mut self, space: SpaceNo, epoch_key: EpochKey, generation: u32, trusted: bool, ops: &mut Vec<Op>) {
        let id = epoch_key.id();
        if !trusted {
            self.make_room(space, ops);
        }
        if self.requests.wanted.remove(&(space, id)).is_some() {
            ops.push(delete(Table::Meta, wanted_key(space, &id)));
        }
        let row = EpochRow { space, key: epoch_key, generation, trusted };
        ops.push(row.op());
        self.all[space.0 as usize].epochs.insert(id, Epoch::new(row.key, generation, trusted));
    }

    /// Takes the epoch key out of a KeyEpoch record, if a box in it is for this device. The key can open
    /// entries at once. It seals nothing before an entry by a trusted author confirms it.
    fn learn_epoch(&mut self, space: SpaceNo, record: &[u8], ops: &mut Vec<Op>) -> bool {
        let Ok(record) = KeyEpoch::decode(record) else { return false };
        let state = self.space(space);
        let known = state.epochs.get(&record.epoch).map(|epoch| epoch.key.clone());
        let untrusted = state.epochs.values().filter(|epoch| !epoch.trusted).count();
        if known.is_none() && untrusted >= UNTRUSTED_MAX && !self.requests.is_lacking(space, record.epoch) {
            return false;
        }
        let mut learned = false;
        let epoch_key = match known {
            Some(epoch_key) => epoch_key,
            None => {
                let Some(epoch_key) = record.open(&state.id, &self.own.keys) else { return false };
                self.add_epoch(space, epoch_key.clone(), record.generation, false, ops);
                learned = true;
                epoch_key
            }
        };
        if let Some(previous) = record.open_previous(&self.space(space).id, &epoch_key)
            && !self.space(space).epochs.contains_key(&previous.id())
            && (untrusted < UNTRUSTED_MAX || self.requests.is_lacking(space, previous.id()))
        {
            self.add_epoch(space, previous, record.generation.saturating_sub(1), false, ops);
            learned = true;
        }
        learned
    }

    /// Trusts an epoch, so that new entries may be sealed under it, unless it is too far ahead of all others.
    pub(crate) fn trust_epoch(&mut self, space: SpaceNo, id: &EpochId, ops: &mut Vec<Op>) {
        let state = self.space(space);
        let Some(epoch) = state.epochs.get(id).filter(|epoch| !epoch.trusted) else { return };
        let leap = state.current_epoch().map(|(_, current)| current.generation.saturating_add(LEAP_MAX));
        if leap.is_some_and(|leap| epoch.generation > leap) {
            return;
        }
        let (epoch_key, generation) = (epoch.key.clone(), epoch.generation);
        self.add_epoch(space, epoch_key, generation, true, ops);
    }

    /// Takes the keys that it can open out of KeyEpoch records that came together. Returns whether it learned
    /// any.
    pub(crate) fn learn_epochs(&mut self, space: SpaceNo, records: Vec<&[u8]>, ops: &mut Vec<Op>) -> bool {
        let mut left = records;
        for pass in 0..PASSES_MAX {
            let before = left.len();
            // The last record first: each contains the key before it.
            left = left.into_iter().rev().filter(|record| !self.learn_epoch(space, record, ops)).collect();
            left.reverse();
            if left.len() == before {
                return pass > 0;
            }
        }
        true
    }

    /// Makes room for one more key that is not trusted yet.
    fn make_room(&mut self, space: SpaceNo, ops: &mut Vec<Op>) {
        let epochs = &mut self.all[space.0 as usize].epochs;
        let untrusted = || epochs.iter().filter(|(_, epoch)| !epoch.trusted).map(|(id, _)| *id);
        if untrusted().count() >= UNTRUSTED_MAX
            && let Some(id) = untrusted().next()
        {
            epochs.remove(&id);
            ops.push(delete(Table::Secret, EpochRow::key(space, &id)));
        }
    }

    /// Marks an epoch's key as lacking, because entries of `owner` cannot be opened without it; it is
    /// requested next. Returns whether records that wait must be read once more: the key may have been skipped for
    /// lack of room.
    pub(crate) fn mark_epoch_missing(&mut self, space: SpaceNo, epoch: EpochId, owner: Option<DeviceId>) -> bool {
        // Without a key to write under, nothing can be requested; a joining device is given one.
        if self.space(space).current_epoch().is_none() {
            return false;
        }
        let Requests { wanted, lacking, .. } = &mut self.requests;
        let of_owner = |(at, who): &(&(SpaceNo, EpochId), &Option<DeviceId>)| at.0 == space && **who == owner;
        let asked = wanted.iter().chain(lacking.iter()).filter(of_owner).count();
        !wanted.contains_key(&(space, epoch)) && asked < WANTED_MAX && lacking.insert((space, epoch), owner).is_none()
    }

    /// Records a device's request for a key, to box the key if it is held here.
    pub(super) fn record_epoch_request(&mut self, space: SpaceNo, epoch: EpochId, device: DeviceId) {
        let is_held = self.space(space).epochs.contains_key(&epoch);
        if is_held && device != self.own.keys.device_id() && self.requests.given.insert((space, epoch, device)) {
            self.requests.requested.entry((space, epoch)).or_default().insert(device);
        }
    }

    /// Returns the lacking keys to be requested now, and the keys that others requested.
    pub(crate) fn take_requests(&mut self) -> (Lacking, Requested) {
        let mut lacking = core::mem::take(&mut self.requests.lacking);
        lacking.retain(|(space, epoch), _| !self.space(*space).epochs.contains_key(epoch));
        self.requests.wanted.extend(lacking.iter().map(|(at, owner)| (*at, *owner)));
        (lacking, core::mem::take(&mut self.requests.requested))
    }

    /// Returns a further record of an epoch, for these devices.
    pub(crate) fn box_epoch(
        &self,
        space: SpaceNo,
        epoch: &EpochId,
        devices: &BTreeSet<DeviceId>,
        entropy: &mut Entropy,
    ) -> Option<Vec<u8>> {
        let state = self.space(space);
        let held = state.epochs.get(epoch)?;
        let recipients: Vec<_> = devices.iter().filter_map(|id| Some(state.devices.get(id)?.hpke)).collect();
        let record = KeyEpoch::mint(&state.id, &held.key, None, held.generation, &recipients, entropy).ok()?;
        Some(record.encode())
    }
}
