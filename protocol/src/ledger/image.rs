//! A process resumed from a copy of its memory: the one honest way to fork a log. For tests and the
//! simulator.

use super::Ledger;
use crate::entropy::Entropy;
use crate::ids::LogId;
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
        Image { keys: self.logs.keys(), entropy: self.entropy.clone() }
    }

    /// Continues the logs whose keys are in an image.
    pub(super) fn take_up(&mut self, image: Image) {
        self.entropy = image.entropy;
        self.logs.take_up(image.keys);
    }
}
