//! Branches: the choice of the kept history of a forked log, and the exclusion of the others.
//!
//! Pure functions of the set of known entries: no store, no clock, no order of arrival. [`keep`] chooses the
//! history of a forked log that stays; [`excluded`] returns the entries of one document that are excluded with the
//! other histories. Excluded entries stay stored and replicated; only the import leaves them out
//! (`spec/exclusion.md`).

use crate::ids::{DeviceId, LogId, UserId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The first bytes of a chain hash, by which a header's dependency names a history.
pub type Short = [u8; 8];

/// Record that the author of an entry had seen an entry of another log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Citation {
    /// The user of the device that wrote the citing entry.
    pub user: UserId,
    /// That device.
    pub device: DeviceId,
    /// Seq of the cited entry.
    pub seq: u64,
    /// The cited history.
    pub h: Short,
}

/// The histories of one log, each whole: chain hashes from entry 0 to a signed head. No history is the beginning of
/// another.
pub trait Histories {
    /// Returns the number of histories.
    fn count(&self) -> usize;
    /// Returns the chain hash after an entry of one of them; `None` past its end.
    fn hash(&self, history: usize, seq: u64) -> Option<[u8; 32]>;
    /// Returns the first seq at which two of them differ.
    fn split(&self, a: usize, b: usize) -> u64;
}

/// Chooses the history that is kept; `author` wrote the log.
///
/// At each branching point, from the first on, the rules are, in this order: the branch on which entries of more
/// other users depend; the one of more other devices; the one with the lower hash there.
pub fn keep(
    histories: &impl Histories,
    author: Option<(UserId, DeviceId)>,
    citations: &BTreeSet<Citation>,
) -> Option<usize> {
    let mut left: Vec<usize> = (0..histories.count()).collect();
    while left.len() > 1 {
        let first = left[0];
        let at = left[1..].iter().map(|other| histories.split(first, *other)).min()?;
        let mut branches: BTreeMap<[u8; 32], Vec<usize>> = BTreeMap::new();
        for history in left {
            branches.entry(histories.hash(history, at)?).or_default().push(history);
        }
        // Ascending by hash; only a better one replaces an earlier one.
        let mut best: Option<((usize, usize), Vec<usize>)> = None;
        for branch in branches.into_values() {
            let score = score(histories, &branch, at, author, citations);
            if best.as_ref().is_none_or(|(most, _)| score > *most) {
                best = Some((score, branch));
            }
        }
        left = best?.1;
    }
    left.first().copied()
}

/// Returns the numbers of other users and of other devices that build on a branch.
fn score(
    histories: &impl Histories,
    branch: &[usize],
    from: u64,
    author: Option<(UserId, DeviceId)>,
    citations: &BTreeSet<Citation>,
) -> (usize, usize) {
    let meant = |citation: &&Citation| {
        citation.seq >= from
            && branch.iter().any(|history| histories.hash(*history, citation.seq).is_some_and(|h| h[..8] == citation.h))
    };
    let others = |citation: &&Citation| author.is_none_or(|(_, device)| citation.device != device);
    let builds_on: Vec<&Citation> = citations.iter().filter(others).filter(meant).collect();
    let users: BTreeSet<UserId> = builds_on
        .iter()
        .map(|citation| citation.user)
        .filter(|user| author.is_none_or(|(own, _)| own != *user))
        .collect();
    let devices: BTreeSet<DeviceId> = builds_on.iter().map(|citation| citation.device).collect();
    (users.len(), devices.len())
}

/// An entry of one log at one place; a forked log may have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// The log.
    pub log: LogId,
    /// Seq in the log.
    pub seq: u64,
    /// The history.
    pub h: Short,
}

/// One entry that touches the document in question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<K> {
    /// The caller's key.
    pub key: K,
    /// Log, seq and history of the entry.
    pub at: At,
    /// Entries that the author had imported, apart from the log's own earlier ones.
    pub deps: Arc<[At]>,
}

/// Knowledge about forked logs.
pub trait Forks {
    /// Returns whether an entry lies on the kept history of its log. `true` for a log that is not forked.
    fn is_kept(&self, at: &At) -> bool;
    /// Returns the number of entries that the histories up to two entries of one log have in common, those two
    /// included.
    fn shared(&self, a: &At, b: &At) -> u64;
    /// Returns whether `earlier` lies on the history of `later`, both of one log.
    fn leads_to(&self, earlier: &At, later: &At) -> bool {
        earlier.seq <= later.seq && self.shared(earlier, later) > earlier.seq
    }
}

/// Returns the entries of one document that are excluded.
///
/// An entry is excluded if one of these holds: it lies off the kept history of its log; an earlier entry of the
/// same history, in this document, is excluded; it depends on such an entry, or on one after it.
pub fn excluded<K: Copy + Ord>(parts: &[Part<K>], forks: &impl Forks) -> BTreeSet<K> {
    let mut by_log: BTreeMap<LogId, Vec<usize>> = BTreeMap::new();
    for (index, part) in parts.iter().enumerate() {
        by_log.entry(part.at.log).or_default().push(index);
    }
    for of_log in by_log.values_mut() {
        of_log.sort_by_key(|index| parts[*index].at);
    }
    let graph = Graph { parts, forks, by_log };
    let mut built_on_by: Vec<Vec<usize>> = vec![Vec::new(); parts.len()];
    for index in 0..parts.len() {
        graph.bases_of(index).for_each(|other| built_on_by[other].push(index));
    }
    let mut open: Vec<usize> = (0..parts.len()).filter(|index| !forks.is_kept(&parts[*index].at)).collect();
    let mut excluded = BTreeSet::new();
    while let Some(index) = open.pop() {
        if excluded.insert(index) {
            open.extend(&built_on_by[index]);
        }
    }
    excluded.into_iter().map(|index| parts[index].key).collect()
}

struct Graph<'a, K, F> {
    parts: &'a [Part<K>],
    forks: &'a F,
    by_log: BTreeMap<LogId, Vec<usize>>,
}

impl<K, F: Forks> Graph<'_, K, F> {
    /// Returns, for each log, the newest entry here on the history of a dependency. Earlier entries are reached
    /// through it.
    fn bases_of(&self, index: usize) -> impl Iterator<Item = usize> {
        let part = &self.parts[index];
        let own = self.newest(&part.at, |other| other.seq < part.at.seq);
        own.into_iter().chain(part.deps.iter().filter_map(|dep| self.newest(dep, |other| other.seq <= dep.seq)))
    }

    fn newest(&self, later: &At, is_before: impl Fn(&At) -> bool) -> Option<usize> {
        let of_log = self.by_log.get(&later.log).filter(|_| self.forks.shared(later, later) > 0)?;
        let until = of_log.partition_point(|index| self.parts[*index].at.seq <= later.seq);
        let before = of_log[..until].iter().rev().copied();
        before
            .filter(|index| is_before(&self.parts[*index].at))
            .find(|index| self.forks.leads_to(&self.parts[*index].at, later))
    }
}

#[cfg(test)]
mod tests;
