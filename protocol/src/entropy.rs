//! Randomness, as an argument: one seed, children by label.
//!
//! The driver draws one 32-byte seed from the operating system (or, in a simulation, from the run's seed),
//! and nothing else in the core is random. Children are derived by label, so a new consumer leaves the
//! others' values unchanged.

use core::convert::Infallible;
use core::fmt;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng, TryCryptoRng, TryRng};

/// A cryptographic random generator whose whole future is fixed by its seed.
#[derive(Clone)]
pub struct Entropy {
    seed: [u8; 32],
    rng: ChaCha20Rng,
}

impl Entropy {
    /// Makes the generator that `seed` determines.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seed, rng: ChaCha20Rng::from_seed(seed) }
    }

    /// Derives an independent generator. The same label always gives the same child.
    #[must_use]
    pub fn child(&self, label: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("cosmicsync entropy 1");
        hasher.update(&self.seed);
        hasher.update(label.as_bytes());
        Self::new(*hasher.finalize().as_bytes())
    }

    /// Draws `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    /// Mixes in fresh bytes: later draws depend on them and on all earlier state.
    pub fn stir(&mut self, fresh: &[u8; 32]) {
        let mut hasher = blake3::Hasher::new_derive_key("cosmicsync entropy stirred 1");
        hasher.update(&self.bytes::<32>());
        hasher.update(fresh);
        *self = Self::new(*hasher.finalize().as_bytes());
    }

    /// Draws a number below `bound`. The bias is below 2^-32 for bounds up to 2^32.
    ///
    /// # Panics
    /// If `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound
    }
}

impl TryRng for Entropy {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.rng.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.rng.next_u64())
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Infallible> {
        self.rng.fill_bytes(into);
        Ok(())
    }
}

impl TryCryptoRng for Entropy {}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_states_part_when_they_are_stirred_with_other_bytes() {
        let mut first = Entropy::new([7; 32]);
        let mut second = first.clone();
        first.stir(&[1; 32]);
        second.stir(&[2; 32]);
        assert_ne!(first.bytes::<32>(), second.bytes::<32>());
        let mut third = Entropy::new([8; 32]);
        third.stir(&[1; 32]);
        assert_ne!(first.bytes::<32>(), third.bytes::<32>());
    }

    #[test]
    fn children_depend_on_the_label_alone() {
        let mut parent = Entropy::new([7; 32]);
        let before: [u8; 16] = parent.child("a").bytes();
        let _: [u8; 64] = parent.bytes();
        assert_eq!(parent.child("a").bytes::<16>(), before);
        assert_ne!(parent.child("b").bytes::<16>(), before);
    }
}
