//! Exclusion: which entries count where a log has several histories.
//!
//! Pure functions of the set of known entries: no store, no clock, no order of arrival. [`keep`] chooses the history of
//! a forked log that stays; [`excluded`] says which entries of one document do not count because of what was not
//! chosen. What is excluded stays stored and replicated; only the import leaves it out (`spec/exclusion.md`).

use crate::ids::{DeviceId, LogId, UserId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The first bytes of a chain hash: what a header's dependency says of the history that was meant.
pub type Short = [u8; 8];

/// An entry of another log says that its author had seen this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Citation {
    /// The user of the device that wrote the citing entry.
    pub user: UserId,
    /// That device.
    pub device: DeviceId,
    /// Which entry of the cited log.
    pub seq: u64,
    /// The history that was meant.
    pub h: Short,
}

/// The histories of one log, each whole: chain hashes from entry 0 to a signed head. None is the beginning of another.
pub trait Histories {
    /// How many there are.
    fn count(&self) -> usize;
    /// The chain hash after an entry of one of them; `None` past its end.
    fn hash(&self, history: usize, seq: u64) -> Option<[u8; 32]>;
    /// The first seq at which two of them differ.
    fn split(&self, a: usize, b: usize) -> u64;
}

/// Chooses the history that is kept; `author` wrote the log.
///
/// At each branching point, from the first on: the branch on which entries of more other users depend; then of more
/// other devices; then the one with the lower hash there.
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
        // Ascending by hash, and only a better one takes the place of an earlier one.
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

/// How many other users, and other devices, build on a branch.
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

/// An entry of one log at one place; of a forked log there may be several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Which log.
    pub log: LogId,
    /// Where in it.
    pub seq: u64,
    /// Which history.
    pub h: Short,
}

/// One entry that touches the document in question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<K> {
    /// What the caller calls it.
    pub key: K,
    /// Which entry it is.
    pub at: At,
    /// What its author had taken in, the log's own earlier entries apart.
    pub deps: Arc<[At]>,
    /// Which entries' content this one says again: it counts only while none of them does.
    pub restates: Vec<Span>,
}

/// Consecutive entries of one history of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The seq of the first.
    pub first: u64,
    /// The last.
    pub last: At,
}

impl Span {
    /// Whether an entry is one of them.
    pub fn covers(&self, at: &At, forks: &impl Forks) -> bool {
        at.log == self.last.log && (self.first..=self.last.seq).contains(&at.seq) && forks.leads_to(at, &self.last)
    }
}

/// What is known of a forked log.
pub trait Forks {
    /// Whether an entry lies on the kept history of its log. `true` for a log that is not forked.
    fn is_kept(&self, at: &At) -> bool;
    /// How many entries the histories that lead to two entries of one log have in common, those two included.
    fn shared(&self, a: &At, b: &At) -> u64;
    /// Whether `earlier` lies on the history that leads to `later`, both of one log.
    fn leads_to(&self, earlier: &At, later: &At) -> bool {
        earlier.seq <= later.seq && self.shared(earlier, later) > earlier.seq
    }
}

/// The entries of one document that do not count.
///
/// An entry is excluded if it lies off the kept history of its log; if an earlier entry of the same history, in this
/// document, is excluded; if it depends on such an entry, or on one after it; if it restates what counts; or if it
/// restates what an entry of another log, judged before it, restates as well.
pub fn excluded<K: Copy + Ord>(parts: &[Part<K>], forks: &impl Forks) -> BTreeSet<K> {
    let mut by_log: BTreeMap<LogId, Vec<usize>> = BTreeMap::new();
    for (index, part) in parts.iter().enumerate() {
        by_log.entry(part.at.log).or_default().push(index);
    }
    for of_log in by_log.values_mut() {
        of_log.sort_by_key(|index| parts[*index].at);
    }
    let verdicts = vec![None; parts.len()];
    let mut judge = Judge { parts, forks, by_log, verdicts, restated: BTreeMap::new(), unseen: BTreeMap::new() };
    judge.settle();
    parts.iter().zip(judge.verdicts).filter(|(_, verdict)| *verdict == Some(true)).map(|(part, _)| part.key).collect()
}

struct Judge<'a, K, F> {
    parts: &'a [Part<K>],
    forks: &'a F,
    by_log: BTreeMap<LogId, Vec<usize>>,
    verdicts: Vec<Option<bool>>,
    /// What was restated of each log by what counts.
    restated: BTreeMap<LogId, Restated>,
    /// The ends of spans that are not here, and the log by which what counts restates up to there.
    unseen: BTreeMap<At, LogId>,
}

/// What was restated of one log, by history.
#[derive(Default)]
struct Restated(Vec<History>);

struct History {
    /// The last entry of it that was restated.
    end: At,
    /// Stretches that do not meet: by the seq of the first, the seq of the last and the log that restates them.
    said: BTreeMap<u64, (u64, LogId)>,
}

impl Restated {
    /// Whether another log than `by` restates some of a span.
    fn is_by_another(&self, span: &Span, by: &LogId, forks: &impl Forks) -> bool {
        self.0.iter().any(|History { end, said }| {
            let shared = forks.shared(&span.last, end);
            let begin_before = said.range(..shared.min(span.last.seq.saturating_add(1))).rev();
            let mut met = begin_before.take_while(|(_, (last, _))| *last >= span.first);
            shared > span.first && met.any(|(_, (_, other))| other != by)
        })
    }

    fn add(&mut self, span: &Span, by: LogId, forks: &impl Forks) {
        // Of a history that is not known here nothing is known to be restated.
        if forks.shared(&span.last, &span.last) == 0 {
            return;
        }
        let is_one = |end: &At| forks.leads_to(end, &span.last) || forks.leads_to(&span.last, end);
        let at = self.0.iter().position(|history| is_one(&history.end)).unwrap_or_else(|| {
            self.0.push(History { end: span.last, said: BTreeMap::new() });
            self.0.len() - 1
        });
        let History { end, said } = &mut self.0[at];
        if span.last.seq > end.seq {
            *end = span.last;
        }
        // What one log restates in many pieces becomes one, so that looking stays cheap.
        let (mut first, mut last) = (span.first, span.last.seq);
        while let Some((start, (to, _))) = said.range(..=last).next_back().map(|(start, said)| (*start, *said))
            && to >= first
        {
            said.remove(&start);
            (first, last) = (first.min(start), last.max(to));
        }
        said.insert(first, (last, by));
    }
}

impl<K, F: Forks> Judge<'_, K, F> {
    /// Judges each entry after all that it names; of those whose turn it is, first that of the lowest log and seq.
    fn settle(&mut self) {
        let mut awaited_by: Vec<Vec<usize>> = vec![Vec::new(); self.parts.len()];
        let mut awaits = vec![0; self.parts.len()];
        for (index, awaits) in awaits.iter_mut().enumerate() {
            for other in self.rests_on(index).chain(self.restates(index)) {
                awaited_by[other].push(index);
                *awaits += 1;
            }
        }
        let place = |index: usize| (self.parts[index].at, index);
        let mut left: BTreeSet<(At, usize)> = (0..self.parts.len()).map(place).collect();
        let mut next: BTreeSet<(At, usize)> = left.iter().copied().filter(|(_, index)| awaits[*index] == 0).collect();
        // Hashes make a circle all but impossible. Should one be forged all the same, it is cut at its lowest entry.
        while let Some(place) = next.pop_first().or_else(|| left.first().copied()) {
            left.remove(&place);
            let (at, index) = place;
            let verdict = self.verdict(index);
            self.verdicts[index] = Some(verdict);
            if !verdict {
                let parts = self.parts;
                for span in &parts[index].restates {
                    if self.is_here(&span.last) {
                        self.restated.entry(span.last.log).or_default().add(span, at.log, self.forks);
                    } else {
                        self.unseen.entry(span.last).or_insert(at.log);
                    }
                }
            }
            for other in &awaited_by[index] {
                awaits[*other] -= 1;
                if awaits[*other] == 0 && self.verdicts[*other].is_none() {
                    next.insert((self.parts[*other].at, *other));
                }
            }
        }
    }

    fn verdict(&self, index: usize) -> bool {
        let is_out = |other: usize| self.verdicts[other] == Some(true);
        !self.forks.is_kept(&self.parts[index].at)
            || self.rests_on(index).any(is_out)
            || self.restates(index).any(|other| !is_out(other))
            || (self.is_said(index) && !planted!("exclusion.twice"))
    }

    /// For each log, the newest entry here that leads to what an entry names: verdicts only get worse along a history.
    fn rests_on(&self, index: usize) -> impl Iterator<Item = usize> {
        let part = &self.parts[index];
        let own = self.newest(&part.at, |other| other.seq < part.at.seq);
        own.into_iter().chain(part.deps.iter().filter_map(|dep| self.newest(dep, |other| other.seq <= dep.seq)))
    }

    /// Of each span that an entry restates the first entry, or the newest here before it: what follows is no better.
    fn restates(&self, index: usize) -> impl Iterator<Item = usize> {
        self.spans(index).filter_map(|span| self.newest(&span.last, |other| other.seq <= span.first))
    }

    /// What an entry restates, as far as that is here: what is yet to come can be forged.
    fn spans(&self, index: usize) -> impl Iterator<Item = &Span> {
        self.parts[index].restates.iter().filter(|span| self.is_here(&span.last))
    }

    fn is_here(&self, at: &At) -> bool {
        let of_log = self.by_log.get(&at.log);
        of_log.is_some_and(|of_log| of_log.binary_search_by_key(at, |index| self.parts[*index].at).is_ok())
    }

    /// Whether some of what an entry restates is restated already, in another log. Of what is not here no more can be told
    /// than that two end alike.
    fn is_said(&self, index: usize) -> bool {
        let part = &self.parts[index];
        self.spans(index).any(|span| {
            let restated = self.restated.get(&span.last.log);
            restated.is_some_and(|restated| restated.is_by_another(span, &part.at.log, self.forks))
        }) || part.restates.iter().any(|span| self.unseen.get(&span.last).is_some_and(|by| *by != part.at.log))
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
