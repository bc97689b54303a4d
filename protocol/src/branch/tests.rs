//! The pure functions against a model that tries everything with everything.

use super::*;
use proptest::prelude::*;

/// Histories as paths through a tree: each step is a small number, and the hash after it is that of the path so far.
#[derive(Debug, Clone)]
struct Tree(Vec<Vec<u8>>);

fn hash(path: &[u8]) -> [u8; 32] {
    *blake3::hash(path).as_bytes()
}

fn short(path: &[u8]) -> Short {
    hash(path)[..8].try_into().unwrap()
}

impl Histories for Tree {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn hash(&self, history: usize, seq: u64) -> Option<[u8; 32]> {
        self.0[history].get(..=usize::try_from(seq).ok()?).map(hash)
    }

    fn split(&self, a: usize, b: usize) -> u64 {
        self.0[a].iter().zip(&self.0[b]).take_while(|(a, b)| a == b).count() as u64
    }
}

const FORKED: LogId = LogId([1; 32]);

/// One forked log and others that are not.
struct World {
    tree: Tree,
    kept: usize,
}

impl Forks for World {
    fn is_kept(&self, at: &At) -> bool {
        at.log != FORKED || self.tree.hash(self.kept, at.seq).is_some_and(|h| h[..8] == at.h)
    }

    fn shared(&self, a: &At, b: &At) -> u64 {
        let path = |at: &At| {
            let mut paths = self.tree.0.iter().filter_map(|path| path.get(..=usize::try_from(at.seq).ok()?));
            paths.find(|path| short(path) == at.h)
        };
        match (path(a), path(b)) {
            _ if a.log != FORKED => a.seq.min(b.seq) + 1,
            (Some(a), Some(b)) => a.iter().zip(b).take_while(|(a, b)| a == b).count() as u64,
            _ => 0,
        }
    }
}

/// The rule as written, applied until nothing changes.
fn model(parts: &[Part<usize>], world: &World) -> BTreeSet<usize> {
    let newest = |named: &At, to: u64| {
        let leads =
            |part: &&Part<usize>| part.at.log == named.log && part.at.seq <= to && world.leads_to(&part.at, named);
        parts.iter().filter(leads).max_by_key(|part| part.at.seq).map(|part| part.key)
    };
    let bases_of = |part: &Part<usize>| -> Vec<usize> {
        let own = part.at.seq.checked_sub(1).and_then(|last| newest(&part.at, last));
        part.deps.iter().filter_map(|dep| newest(dep, dep.seq)).chain(own).collect()
    };
    let mut out: BTreeSet<usize> = BTreeSet::new();
    loop {
        let before = out.len();
        let is_out =
            |part: &&Part<usize>| !world.is_kept(&part.at) || bases_of(part).iter().any(|key| out.contains(key));
        out = parts.iter().filter(is_out).map(|part| part.key).collect();
        if out.len() == before {
            return out;
        }
    }
}

/// Histories none of which is the beginning of another.
fn tree() -> impl Strategy<Value = Tree> {
    prop::collection::btree_set(prop::collection::vec(0..3u8, 1..6), 1..5).prop_map(|paths| {
        let all: Vec<Vec<u8>> = paths.into_iter().collect();
        let leaf = |path: &&Vec<u8>| !all.iter().any(|other| other.len() > path.len() && other.starts_with(path));
        Tree(all.iter().filter(leaf).cloned().collect())
    })
}

#[derive(Debug, Clone)]
struct Spec {
    log: u8,
    deps: Vec<prop::sample::Index>,
    /// A dependency on an entry of its document that is not there yet.
    forged: Option<(u8, u8)>,
}

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    let one = (
        2..6u8,
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        prop::option::weighted(0.1, (2..6u8, 0..4u8)),
    )
        .prop_map(|(log, deps, forged)| Spec { log, deps, forged });
    prop::collection::vec(one, 0..10)
}

/// The entries of a document: those of the forked log that `touching` picks, then others that build on earlier ones.
fn parts(tree: &Tree, touching: u32, specs: &[Spec]) -> Vec<Part<usize>> {
    let prefixes: BTreeSet<Vec<u8>> =
        tree.0.iter().flat_map(|path| (1..=path.len()).map(|len| path[..len].to_vec())).collect();
    let mut seen: Vec<At> = Vec::new();
    let mut parts: Vec<Part<usize>> = Vec::new();
    for (number, path) in prefixes.into_iter().enumerate() {
        let at = At { log: FORKED, seq: path.len() as u64 - 1, h: short(&path) };
        seen.push(at);
        if touching >> (number % 32) & 1 == 1 {
            parts.push(Part { key: parts.len(), at, deps: Arc::new([]) });
        }
    }
    for spec in specs {
        let log = LogId([spec.log; 32]);
        let seq = seen.iter().filter(|at| at.log == log).count() as u64;
        let pick = |index: &prop::sample::Index| seen[index.index(seen.len())];
        let forged = spec.forged.map(|(log, seq)| At { log: LogId([log; 32]), seq: seq.into(), h: [0; 8] });
        let deps = spec.deps.iter().map(pick).chain(forged).collect();
        let at = At { log, seq, h: [0; 8] };
        parts.push(Part { key: parts.len(), at, deps });
        seen.push(at);
    }
    parts
}

fn citations() -> impl Strategy<Value = Vec<(u8, u8, prop::sample::Index, usize)>> {
    prop::collection::vec((0..3u8, 0..4u8, any::<prop::sample::Index>(), 1..6usize), 0..6)
}

fn cite(tree: &Tree, citations: &[(u8, u8, prop::sample::Index, usize)]) -> BTreeSet<Citation> {
    let one = |(user, device, history, len): &(u8, u8, prop::sample::Index, usize)| {
        let path = &tree.0[history.index(tree.0.len())];
        let path = &path[..path.len().min(*len)];
        let user = UserId([*user; 32]);
        Citation { user, device: DeviceId([*device; 32]), seq: path.len() as u64 - 1, h: short(path) }
    };
    citations.iter().map(one).collect()
}

/// The choice as written: down the tree, step by step, with a new count at each.
fn model_keep(tree: &Tree, citations: &BTreeSet<Citation>) -> Vec<u8> {
    let author = (UserId([0; 32]), DeviceId([0; 32]));
    let mut path: Vec<u8> = Vec::new();
    loop {
        let mut branches: Vec<Vec<u8>> = tree
            .0
            .iter()
            .filter(|other| other.starts_with(&path))
            .filter_map(|other| other.get(..=path.len()))
            .map(<[u8]>::to_vec)
            .collect();
        branches.sort();
        branches.dedup();
        let builds = |branch: &[u8]| {
            let below = |citation: &&Citation| {
                tree.0.iter().any(|other| {
                    other.starts_with(branch)
                        && (branch.len()..=other.len())
                            .any(|len| len as u64 == citation.seq + 1 && short(&other[..len]) == citation.h)
                })
            };
            let on: Vec<_> = citations.iter().filter(|citation| citation.device != author.1).filter(below).collect();
            let users: BTreeSet<_> = on.iter().map(|citation| citation.user).filter(|user| *user != author.0).collect();
            let devices: BTreeSet<_> = on.iter().map(|citation| citation.device).collect();
            (users.len(), devices.len(), core::cmp::Reverse(hash(branch)))
        };
        match branches.into_iter().max_by_key(|branch| builds(branch)) {
            Some(best) => path = best,
            None => return path,
        }
    }
}

proptest! {
    #[test]
    fn exclusion_is_what_the_rule_says_in_any_order(
        tree in tree(), touching: u32, specs in specs(), kept: prop::sample::Index, shuffle: prop::sample::Index,
    ) {
        let world = World { kept: kept.index(tree.0.len()), tree };
        let mut parts = parts(&world.tree, touching, &specs);
        let expected = model(&parts, &world);
        prop_assert_eq!(&excluded(&parts, &world), &expected);
        if !parts.is_empty() {
            let by = shuffle.index(parts.len());
            parts.rotate_left(by);
            prop_assert_eq!(&excluded(&parts, &world), &expected);
            parts.reverse();
            prop_assert_eq!(&excluded(&parts, &world), &expected);
        }
    }

    #[test]
    fn the_branch_that_most_others_build_on_is_kept_in_any_order(tree in tree(), citations in citations(), by: prop::sample::Index) {
        let author = Some((UserId([0; 32]), DeviceId([0; 32])));
        let cited = cite(&tree, &citations);
        let expected = model_keep(&tree, &cited);
        let kept = keep(&tree, author, &cited).expect("there is a history");
        prop_assert_eq!(&tree.0[kept], &expected);
        let mut turned = tree;
        let by = by.index(turned.0.len());
        turned.0.rotate_left(by);
        let kept = keep(&turned, author, &cited).expect("there is a history");
        prop_assert_eq!(&turned.0[kept], &expected);
    }
}
