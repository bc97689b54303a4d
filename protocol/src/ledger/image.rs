//! A process resumed from a copy of its memory: the one honest way to fork a log. For tests and the
//! simulator.

use super::Ledger;
use crate::entropy::Entropy;
use crate::ids::LogId;
use crate::log::Lane;
use ed25519_dalek::SigningKey;
use std::collections::BTreeMap;

/// The secrets in a process's memory: the keys of its open logs, and its random generator.
#[derive(Debug, Clone)]
pub struct Image {
    keys: BTreeMap<LogId, SigningKey>,
    entropy: Entropy,
}

impl Ledger {
    /// Copies the secrets that this process holds in memory alone.
    pub(crate) fn image(&self) -> Image {
        let keys = self.signing.iter().map(|(no, key)| (self.registry.log(*no).id, key.clone())).collect();
        Image { keys, entropy: self.entropy.clone() }
    }

    /// Continues the logs whose keys are in an image.
    pub(super) fn take_up(&mut self, image: Image) {
        self.entropy = image.entropy;
        for (id, key) in image.keys {
            let Some(no) = self.registry.by_id(&id) else { continue };
            let log = self.registry.log_mut(no);
            (log.mine, log.closed, log.wrote) = (true, false, log.next_seq());
            let (control, space, owner, lane) = (log.control, log.space, log.owner(), log.lane);
            self.signing.insert(no, key);
            if let Some(owner) = owner {
                self.unnamed.remove(&(owner.partition, no));
                match lane {
                    Lane::Live if control => drop(self.control_logs.insert(space, no)),
                    Lane::Live => drop(self.live.insert(owner.partition, no)),
                    Lane::Bulk => {}
                }
            }
        }
    }
}
