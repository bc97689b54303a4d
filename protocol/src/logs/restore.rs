//! Logs read back from their rows, at a start of the store (`spec/storage.md`, section 4).

use super::Logs;
use super::append::next_tips;
use super::registry::{Log, Standing};
use crate::codec::CodecError;
use crate::ids::DeviceId;
#[cfg(feature = "testkit")]
use crate::ids::LogId;
#[cfg(feature = "testkit")]
use crate::log::Lane;
#[cfg(feature = "testkit")]
use ed25519_dalek::SigningKey;
#[cfg(feature = "testkit")]
use std::collections::BTreeMap;

impl Logs {
    /// Takes the row of a log.
    pub(crate) fn restore(&mut self, row_key: &[u8], row: &[u8]) -> Result<(), CodecError> {
        self.registry.restore(Log::from_row(row_key, row)?)
    }

    /// Restores the logs that earlier processes of this device opened. All of them ended with their process,
    /// and the next card of their partition names those that no card names yet.
    pub(crate) fn restore_own(&mut self, device: DeviceId) {
        let own = self.registry.iter().filter(|log| log.branch().is_none());
        let own: Vec<_> = own.filter(|log| log.owner().is_some_and(|owner| owner.device == device)).collect();
        let mut tips = self.own.tips;
        for log in own {
            let (Some(tip), Some(owner)) = (&log.durable.tip, log.owner()) else { continue };
            tips = next_tips(&tips, &log.id, tip.seq, &tip.h);
            // A card that never leaves this store names nothing: its process ended before its first entry was
            // durable.
            let is_named = log.named && log.next.is_none_or(|next| self.registry.log(next).durable.tip.is_some());
            if !is_named {
                self.own.unnamed.insert((owner.partition, log.no));
            }
        }
        self.own.tips = tips;
    }

    /// Has the unread entries of all logs read once the start is over.
    pub(crate) fn restore_unread(&mut self) {
        let is_unread = |log: &&Log| log.durable.unread().is_some() || log.standing == Standing::Unknown;
        let unread: Vec<_> = self.registry.iter().filter(is_unread).map(|log| log.no).collect();
        self.reader.unread.extend(unread);
        self.reader.woken = true;
    }

    /// Returns the keys of this process's logs, for a copy of the process.
    #[cfg(feature = "testkit")]
    pub(crate) fn keys(&self) -> BTreeMap<LogId, SigningKey> {
        self.own.signing.iter().map(|(no, key)| (self.registry.log(*no).id, key.clone())).collect()
    }

    /// Continues the logs with these keys.
    #[cfg(feature = "testkit")]
    pub(crate) fn take_up(&mut self, keys: BTreeMap<LogId, SigningKey>) {
        for (id, key) in keys {
            let Some(no) = self.registry.by_id(&id) else { continue };
            let log = self.registry.log_mut(no);
            (log.mine, log.closed, log.wrote) = (true, false, log.next_seq());
            let (control, space, owner, lane) = (log.control, log.space, log.owner(), log.lane);
            self.own.signing.insert(no, key);
            if let Some(owner) = owner {
                self.own.unnamed.remove(&(owner.partition, no));
                match lane {
                    Lane::Live if control => drop(self.own.control.insert(space, no)),
                    Lane::Live => drop(self.own.live.insert(owner.partition, no)),
                    Lane::Bulk => {}
                }
            }
        }
    }
}
