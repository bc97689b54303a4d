//! A process resumed from a copy of its memory: the one honest way to fork a log. For tests and the
//! simulator.

use super::Ledger;
use super::recover::Recovery;
use crate::endpoint::Endpoint;
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

impl Endpoint {
    /// Copies the secrets that this process holds in memory alone.
    pub fn image(&self) -> Image {
        let ledger = self.ledger();
        let keys = ledger.signing.iter().map(|(no, key)| (ledger.registry.log(*no).id, key.clone())).collect();
        Image { keys, entropy: ledger.entropy.clone() }
    }
}

impl Recovery {
    /// Resumes the process of which this is a copy.
    #[must_use]
    pub fn resume(mut self, image: Image) -> Self {
        self.image = Some(image);
        self
    }
}

impl Ledger {
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
                    Lane::Live => self.partitions[owner.partition.0 as usize].live = Some(no),
                    Lane::Bulk => {}
                }
            }
        }
    }
}
