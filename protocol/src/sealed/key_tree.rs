//! Many data keys from one seed, each of which can be destroyed alone.
//!
//! A binary tree of seeds: the root's is boxed, a node's gives its two children's, and nothing leads back up. The
//! seeds beside the path from the root to a node derive every other leaf and not that one ([`Seeds::puncture`]).
//! Thus one box serves all documents of an entry, and one document is erased by destroying the box and keeping
//! those few seeds (`spec/encryption.md`, section 5).

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Context of the derivation of the children's seeds.
const CONTEXT: &str = "cosmicsync key tree 1";

/// A seed of a key tree.
pub type Seed = [u8; 16];

/// A place in a key tree: the root is 1, the children of n are 2n and 2n + 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyNode(u32);

impl KeyNode {
    /// The root, whose seed is the one in the box.
    pub const ROOT: Self = Self(1);

    /// Returns the node with this number; `None` for 0.
    pub const fn new(number: u32) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// Returns the leaf at `at` of a tree that is just deep enough for `count` leaves.
    ///
    /// # Panics
    /// If `at` is not below `count`, or `count` is above 2^31.
    pub const fn leaf(at: u32, count: u32) -> Self {
        assert!(at < count && count <= 1 << 31, "a leaf is one of those that the tree has");
        Self(count.next_power_of_two() + at)
    }

    /// Returns the node's number.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Returns the number of steps between the root and this node.
    const fn depth(self) -> u32 {
        31 - self.0.leading_zeros()
    }

    /// Returns the node's ancestor `depth` steps below the root, for a depth of at most its own.
    const fn above(self, depth: u32) -> Self {
        Self(self.0 >> (self.depth() - depth))
    }

    /// Returns whether this node is `other` or lies below `other`.
    const fn is_under(self, other: Self) -> bool {
        self.depth() >= other.depth() && self.above(other.depth()).0 == other.0
    }

    /// Returns the other child of this node's parent.
    const fn sibling(self) -> Self {
        Self(self.0 ^ 1)
    }
}

/// Seeds of a tree, none above another. They open what lies below them, nothing else.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Seeds(#[zeroize(skip)] Vec<KeyNode>, Vec<Seed>);

impl Seeds {
    /// Returns all of a tree, from the seed in its box.
    pub fn whole(root: Seed) -> Self {
        Self(vec![KeyNode::ROOT], vec![root])
    }

    /// Returns the nodes and their seeds, ascending by node.
    pub fn iter(&self) -> impl Iterator<Item = (KeyNode, &Seed)> {
        self.0.iter().copied().zip(&self.1)
    }

    /// Returns the seed of a node; `None` if these seeds do not lead to it.
    pub fn seed(&self, node: KeyNode) -> Option<Seed> {
        let (from, seed) = self.iter().find(|(from, _)| node.is_under(*from))?;
        Some(descend(*seed, from, node))
    }

    /// Returns the seeds that are left after a node is erased: none leads to the node or to anything under it.
    #[must_use]
    pub fn puncture(&self, node: KeyNode) -> Self {
        let mut left: Vec<(KeyNode, Seed)> = Vec::new();
        for (from, seed) in self.iter() {
            if from.is_under(node) {
                continue;
            }
            if !node.is_under(from) {
                left.push((from, *seed));
                continue;
            }
            for depth in from.depth() + 1..=node.depth() {
                let beside = node.above(depth).sibling();
                left.push((beside, descend(*seed, from, beside)));
            }
        }
        left.sort_unstable_by_key(|(node, _)| *node);
        let (nodes, seeds) = left.into_iter().unzip();
        Self(nodes, seeds)
    }
}

impl core::fmt::Debug for Seeds {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Seeds").field(&self.0).finish()
    }
}

/// Returns the seed of a node, from the one in the box.
pub fn node_seed(root: &Seed, node: KeyNode) -> Seed {
    descend(*root, KeyNode::ROOT, node)
}

/// Derives seeds of one tree and keeps those on the path to the last one: neighbours share most of it.
#[derive(Debug)]
pub struct SeedWalk(Vec<(KeyNode, Seed)>);

impl SeedWalk {
    /// Begins at the seed in the box.
    pub fn new(root: Seed) -> Self {
        Self(vec![(KeyNode::ROOT, root)])
    }

    /// Returns whether this walk is one of the tree under `root`.
    pub fn is_under(&self, root: &Seed) -> bool {
        self.0.first().is_some_and(|(_, first)| first == root)
    }

    /// Returns the seed of a node, as [`node_seed`] does.
    pub fn seed(&mut self, node: KeyNode) -> Seed {
        while self.0.len() > 1 && self.0.last().is_some_and(|(last, _)| !node.is_under(*last)) {
            self.0.pop();
        }
        let Some((mut at, mut seed)) = self.0.last().copied() else { return Seed::default() };
        while at.depth() < node.depth() {
            at = node.above(at.depth() + 1);
            seed = children(&seed)[(at.0 & 1) as usize];
            self.0.push((at, seed));
        }
        seed
    }
}

/// Returns the seeds of the leaves of a tree that is just deep enough for `count` of them, in their order.
pub fn leaf_seeds(root: &Seed, count: u32) -> Vec<Seed> {
    let mut seeds = vec![*root];
    while (seeds.len() as u32) < count {
        seeds = seeds.iter().flat_map(children).collect();
    }
    seeds.truncate(count as usize);
    seeds
}

/// Derives the seed of a node under another one from the other's seed.
fn descend(mut seed: Seed, from: KeyNode, to: KeyNode) -> Seed {
    for depth in from.depth() + 1..=to.depth() {
        seed = children(&seed)[(to.above(depth).0 & 1) as usize];
    }
    seed
}

/// Returns the seeds of a node's two children.
fn children(seed: &Seed) -> [Seed; 2] {
    let both = blake3::derive_key(CONTEXT, seed);
    let (left, right) = both.split_at(16);
    let half = |bytes: &[u8]| bytes.try_into().expect("half of 32 bytes");
    [half(left), half(right)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const ROOT: Seed = [9; 16];

    fn leaf(at: u32, count: u32) -> KeyNode {
        KeyNode::leaf(at, count)
    }

    #[test]
    fn a_tree_of_one_leaf_is_its_root() {
        assert_eq!(leaf(0, 1), KeyNode::ROOT);
        assert_eq!(node_seed(&ROOT, KeyNode::ROOT), ROOT);
        assert_eq!(leaf_seeds(&ROOT, 1), [ROOT]);
        assert!(Seeds::whole(ROOT).puncture(KeyNode::ROOT).iter().next().is_none());
    }

    #[test]
    fn leaves_are_all_different_and_found_one_by_one() {
        for count in [2, 3, 8, 1000] {
            let all = leaf_seeds(&ROOT, count);
            assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), count as usize);
            let each: Vec<Seed> = (0..count).map(|at| node_seed(&ROOT, leaf(at, count))).collect();
            assert_eq!(all, each);
            for step in [1, 7, 999] {
                let mut walk = SeedWalk::new(ROOT);
                let walked = (0..count).map(|at| at * step % count).map(|at| (at, walk.seed(leaf(at, count))));
                walked.for_each(|(at, seed)| assert_eq!(seed, all[at as usize], "{at} by {step}"));
                assert_eq!(walk.seed(KeyNode::ROOT), ROOT);
            }
        }
        assert_ne!(leaf_seeds(&ROOT, 4), leaf_seeds(&[8; 16], 4));
    }

    #[test]
    fn an_erased_leaf_takes_no_other_with_it() {
        const COUNT: u32 = 1000;
        let all = leaf_seeds(&ROOT, COUNT);
        for erased in [0, 1, 511, 512, 999] {
            let left = Seeds::whole(ROOT).puncture(leaf(erased, COUNT));
            assert_eq!(left.iter().count(), 10, "one seed a level");
            for at in 0..COUNT {
                let expected = (at != erased).then_some(all[at as usize]);
                assert_eq!(left.seed(leaf(at, COUNT)), expected, "{at} after {erased}");
            }
            // Neither a node above the erased leaf nor its own seed is among those left, and nothing leads back up.
            assert!(left.iter().all(|(node, _)| !leaf(erased, COUNT).is_under(node)));
        }
    }

    /// Pins the format: these change only with a new version.
    #[test]
    fn seeds_are_those_of_version_0() {
        let hex = |seed: &Seed| seed.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let seeds: Vec<String> = leaf_seeds(&ROOT, 3).iter().map(hex).collect();
        let pinned = [
            "2de263bf27d36c07cdfcd83c8b7fc5fa",
            "9fd058212f7cecb860c8451231aa334f",
            "cd119ad66a150b458ad2cf612aa0cc94",
        ];
        assert_eq!(seeds, pinned);
    }

    proptest! {
        #[test]
        fn any_erasures_in_any_order_leave_just_the_rest(
            count in 1u32..70,
            erased in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let erased: Vec<u32> = erased.iter().map(|at| at.index(count as usize) as u32).collect();
            let forwards = erased.iter().fold(Seeds::whole(ROOT), |left, at| left.puncture(leaf(*at, count)));
            let backwards = erased.iter().rev().fold(Seeds::whole(ROOT), |left, at| left.puncture(leaf(*at, count)));
            prop_assert_eq!(&forwards, &backwards);
            let all = leaf_seeds(&ROOT, count);
            for at in 0..count {
                let expected = (!erased.contains(&at)).then_some(all[at as usize]);
                prop_assert_eq!(forwards.seed(leaf(at, count)), expected);
            }
        }
    }
}
