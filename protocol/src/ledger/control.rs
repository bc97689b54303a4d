//! Control: carries out the commands of spaces, whose records go into the control logs of this process.

use super::{Batch, Effect, Ledger};
use crate::identity::RecoveryKey;
use crate::ids::{LinkId, PartNo, SpaceId, SpaceNo};
use crate::sealed::Invite;
use crate::spaces::record::Record;
use crate::spaces::{Admission, JoinError, SpaceError};
use crate::storage::rows::{given_row, wanted_row};

impl Ledger {
    /// Creates a user whose first device is this one. Returns the recovery key, which is stored nowhere.
    pub(crate) fn create_user(&mut self, batch: &mut Batch) -> Result<RecoveryKey, SpaceError> {
        self.spaces.create_user(&mut self.entropy, &mut batch.ops)
    }

    /// Founds a space with this device alone: others are invited later.
    pub(crate) fn create_space(&mut self, name: &str, batch: &mut Batch) -> Result<SpaceNo, SpaceError> {
        let (no, records, epoch) = self.spaces.found(name, &mut self.entropy, &mut batch.ops)?;
        batch.effects.push(Effect::SpaceChanged(no));
        self.append_control(no, &records, Some(epoch), batch)?;
        Ok(no)
    }

    /// Adds a partition by its name.
    pub(crate) fn create_partition(
        &mut self,
        space: SpaceNo,
        name: &str,
        batch: &mut Batch,
    ) -> Result<PartNo, SpaceError> {
        let (no, record) = self.spaces.create_partition(space, name, &mut batch.ops)?;
        self.append_control(space, &[record], None, batch)?;
        Ok(no)
    }

    /// Makes an invite for one device, valid until it was used or `expires_ms` has passed.
    pub(crate) fn invite(
        &mut self,
        space: SpaceNo,
        addresses: Vec<String>,
        expires_ms: u64,
        batch: &mut Batch,
    ) -> Result<Invite, SpaceError> {
        self.spaces.invite(space, addresses, expires_ms, self.now, &mut self.entropy, &mut batch.ops)
    }

    /// Returns the pre-shared keys of all open invites.
    pub(crate) fn invite_psks(&mut self) -> Vec<[u8; 32]> {
        let mut batch = Batch::default();
        let psks = self.spaces.invite_psks(self.now, &mut batch.ops);
        self.submit(batch);
        psks
    }

    /// Admits the device that came with an invite's key: certifies it, names it in control and mints an epoch
    /// for it. The answer leaves once all this is durable.
    pub(crate) fn admit(&mut self, link: LinkId, psk: &[u8; 32], who: &Admission) -> Result<(), SpaceError> {
        let mut batch = Batch::default();
        let admitted = self.spaces.admit(psk, who, &mut self.entropy, &mut batch.ops)?;
        let (device, space) = (admitted.device, admitted.space);
        if let Some((record, epoch)) = admitted.introduction {
            self.append_control(space, &[record], Some(epoch), &mut batch)?;
        }
        batch.ops.extend(self.spaces.use_invite(psk, device));
        batch.effects.push(Effect::Admitted { link, accept: admitted.accept, device, space });
        self.submit(batch);
        Ok(())
    }

    /// Takes the inviter's answer: from now on this device has a user and knows the space.
    pub(crate) fn join(&mut self, link: LinkId, expected: &SpaceId, accept: &[u8]) -> Result<(), JoinError> {
        let mut batch = Batch::default();
        let (space, is_new) = self.spaces.join(expected, accept, &mut batch.ops)?;
        batch.effects.extend(is_new.then_some(Effect::SpaceChanged(space)));
        batch.effects.push(Effect::Joined { link, space });
        self.submit(batch);
        Ok(())
    }

    /// Requests lacking keys, and boxes the keys that others requested.
    pub(crate) fn poll_epochs(&mut self) {
        let (lacking, requested) = self.spaces.take_requests();
        let mut batch = Batch::default();
        for ((space, epoch), owner) in lacking {
            if self.append_control(space, &[Record::EpochWant { epoch }], None, &mut batch).is_ok() {
                batch.ops.push(wanted_row(space, &epoch, owner));
            }
        }
        for ((space, epoch), devices) in requested {
            if let Some(record) = self.spaces.box_epoch(space, &epoch, &devices, &mut self.entropy)
                && self.append_control(space, &[], Some(record), &mut batch).is_ok()
            {
                batch.ops.extend(devices.iter().map(|device| given_row(space, &epoch, device)));
            }
        }
        self.submit(batch);
    }
}
