//! Owners of logs: who wrote a log, in which partition, and which logs of that device came before and after it
//! (`spec/access.md`).

use super::registry::{Owner, Standing};
use super::{Batch, Logs};
use crate::ids::{LogNo, PartNo};
use crate::log::owner::{FOUNDER_GRANT, LogOwner, OpenedOwner};
use crate::spaces::Spaces;
use crate::spaces::record::Record;

impl Logs {
    /// Determines the owner of a log from its card. `records` are those of the current control entry, which
    /// may introduce the device. An owner that cannot be determined yet stays unknown and is tried again when
    /// control grows.
    pub(super) fn resolve(&mut self, no: LogNo, records: &[Record], spaces: &Spaces, batch: &mut Batch) -> Standing {
        let log = self.registry.log(no);
        if log.standing != Standing::Unknown {
            return log.standing;
        }
        let card = log.card();
        let space = spaces.space(log.space);
        // The cheap checks come first: a log that stays unknown is tried again and again.
        let Some(epoch) = space.epochs.get(&card.place.epoch) else { return Standing::Unknown };
        let Some(partition) = space.tokens.get(&card.place.partition_token).copied() else { return Standing::Unknown };
        let Ok(opened) = OpenedOwner::open(&card.place, &card.owner_box, &epoch.owner_key) else {
            return self.refuse(no, batch);
        };
        let Some(device) = spaces.known_device(space.no, &opened.device(), records) else {
            return Standing::Unknown;
        };
        if card.verify_admission(&epoch.key.admission_key().verifying_key()).is_err() {
            return self.refuse(no, batch);
        }
        match opened.verify(&device).filter(|owner| owner.grant == FOUNDER_GRANT) {
            Some(owner) => self.set_owner(no, &owner, partition, spaces, batch),
            None => self.refuse(no, batch),
        }
    }

    fn refuse(&mut self, no: LogNo, batch: &mut Batch) -> Standing {
        self.set_standing(no, Standing::Refused, batch)
    }

    /// Records the owner of a log, and the logs of that device and partition before and after it. Names of
    /// other logs in its card, and its name in others' cards, are ignored.
    fn set_owner(
        &mut self,
        no: LogNo,
        owner: &LogOwner,
        partition: PartNo,
        spaces: &Spaces,
        batch: &mut Batch,
    ) -> Standing {
        let here = Owner { device: owner.device, partition };
        let standing = self.set_standing(no, Standing::Owned(here), batch);
        let id = self.registry.log(no).id;
        let naming: Vec<_> = self.expected.range((id, LogNo(0))..=(id, LogNo(u32::MAX))).copied().collect();
        for (id, next) in naming {
            self.expected.remove(&(id, next));
            if self.registry.log(next).owner() == Some(here) {
                self.name(no, next, batch);
            }
        }
        for prev in &owner.prev {
            match self.registry.by_id(&prev.log) {
                Some(before) if self.registry.log(before).owner() == Some(here) => self.name(before, no, batch),
                Some(before) if self.registry.log(before).standing != Standing::Unknown => {}
                Some(_) | None => drop(self.expected.insert((prev.log, no))),
            }
        }
        if owner.device == spaces.own.keys.device_id() && !self.registry.log(no).named {
            self.own.unnamed.insert((partition, no));
        }
        standing
    }

    /// Records that the card of `next` names a log as an earlier one. If several cards do, the nearest is
    /// kept: the one that leads to the others, or else the first.
    fn name(&mut self, before: LogNo, next: LogNo, batch: &mut Batch) {
        let is_nearer =
            self.registry.log(before).next.is_none_or(|known| self.registry.after(next).any(|no| no == known));
        let log = self.registry.log_mut(before);
        log.named = true;
        if is_nearer {
            log.next = Some(next);
        }
        let part = log.owner().map(|owner| owner.partition);
        if let Some(part) = part {
            self.own.unnamed.remove(&(part, before));
        }
        batch.touch(before, false);
    }

    fn set_standing(&mut self, no: LogNo, standing: Standing, batch: &mut Batch) -> Standing {
        let histories: Vec<LogNo> = self.registry.histories(self.registry.main_of(no)).map(|log| log.no).collect();
        for no in histories {
            self.registry.log_mut(no).standing = standing;
            batch.touch(no, false);
        }
        standing
    }
}
