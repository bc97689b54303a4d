//! Keyed randomness: every draw depends on the plan's seed and its own purpose, never on earlier draws.

/// The source of all randomness in a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keyed(u64);

impl Keyed {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x5851_f42d_4c95_7f2d))
    }

    /// Returns the draw for a purpose.
    pub(crate) fn draw(self, what: &[u64]) -> u64 {
        what.iter().fold(self.0, |state, part| mix(state ^ mix(part.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    /// Returns a draw below `bound`; 0 if `bound` is 0.
    pub(crate) fn below(self, what: &[u64], bound: u64) -> u64 {
        // The top bits are as good as any other bits, and the bias is below bound / 2^64.
        ((u128::from(self.draw(what)) * u128::from(bound)) >> 64) as u64
    }

    /// Returns true once in `times`.
    pub(crate) fn once_in(self, what: &[u64], times: u64) -> bool {
        self.below(what, times) == 0
    }

    /// Returns a seed for a peer's core.
    pub(crate) fn seed(self, what: &[u64]) -> [u8; 32] {
        let mut seed = [0; 32];
        let state = self.draw(what);
        for (at, part) in seed.chunks_exact_mut(8).enumerate() {
            part.copy_from_slice(&mix(state ^ at as u64).to_le_bytes());
        }
        seed
    }
}

/// Mixes the bits of `state` with the finalizer of splitmix64.
const fn mix(mut state: u64) -> u64 {
    state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// Purposes of draws: the first part of every key.
pub(crate) mod purpose {
    pub(crate) const PEER: u64 = 1;
    pub(crate) const JITTER: u64 = 2;
    pub(crate) const COALESCE: u64 = 3;
    pub(crate) const BACKOFF: u64 = 4;
    pub(crate) const STORE: u64 = 5;
    pub(crate) const CHECK: u64 = 6;
    pub(crate) const PLACE: u64 = 7;
    pub(crate) const PADDING: u64 = 8;
    pub(crate) const CLOCK: u64 = 9;
    pub(crate) const CRASH: u64 = 10;
    pub(crate) const LATE: u64 = 11;
    pub(crate) const FORGE: u64 = 12;
    pub(crate) const CUT: u64 = 13;
    pub(crate) const GENERATE: u64 = 14;
    pub(crate) const LOST: u64 = 15;
    pub(crate) const STIR: u64 = 16;
    pub(crate) const MEMBER: u64 = 17;
    pub(crate) const READ: u64 = 18;
    pub(crate) const VALUE: u64 = 19;
    pub(crate) const ASK: u64 = 20;
    pub(crate) const APP: u64 = 21;
    pub(crate) const TOLD: u64 = 22;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_their_purpose_alone() {
        let keyed = Keyed::new(7);
        let before = keyed.draw(&[1, 2]);
        keyed.draw(&[1, 3]);
        assert_eq!(keyed.draw(&[1, 2]), before);
        assert_ne!(Keyed::new(8).draw(&[1, 2]), before);
        assert_ne!(keyed.draw(&[2, 1]), before);
    }

    #[test]
    fn draws_below_a_bound_reach_all_of_it() {
        let keyed = Keyed::new(1);
        let mut seen = [0; 5];
        (0..1000).for_each(|at| seen[keyed.below(&[at], 5) as usize] += 1);
        assert!(seen.iter().all(|count| (150..250).contains(count)), "{seen:?}");
        assert_eq!(keyed.below(&[1], 0), 0);
    }
}
