//! Randomness of a run: derived from its seed, by labels.

use cosmicsync_protocol::entropy::Entropy;

/// A random source that one seed determines.
#[derive(Debug, Clone)]
pub(crate) struct Dice(Entropy);

impl Dice {
    /// Returns the random source of a seed for one purpose.
    pub(crate) fn new(seed: u64, label: &str) -> Self {
        let mut whole = [0; 32];
        whole[..8].copy_from_slice(&seed.to_le_bytes());
        Self(Entropy::new(whole).child(label))
    }

    /// Derives a random source for one purpose.
    pub(crate) fn child(&self, label: &str) -> Self {
        Self(self.0.child(label))
    }

    /// Draws a number from `from` up to and including `to`.
    pub(crate) fn range(&mut self, from: u64, to: u64) -> u64 {
        from + self.0.below(to - from + 1)
    }

    /// Draws an index below `len`, which must not be zero.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.0.below(len as u64)).unwrap_or_default()
    }

    /// Returns true with a probability of one in `of`.
    pub(crate) fn one_in(&mut self, of: u64) -> bool {
        self.0.below(of) == 0
    }

    /// Draws 32 bytes.
    pub(crate) fn seed(&mut self) -> [u8; 32] {
        self.0.bytes()
    }

    /// Returns a text of `bytes` bytes that does not compress well.
    pub(crate) fn text(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 64);
        while text.len() < bytes {
            text.extend(self.seed().iter().map(|byte| char::from(b'0' + byte % 75)));
        }
        text.truncate(bytes);
        text.replace('\\', "_")
    }
}
