//! A cache of opened runs, and of first keys as hints. Both are compared with the present transaction before use, so
//! nothing needs to be invalidated when a transaction is aborted.

use super::run::Run;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Half of the memory limit for opened runs, in bytes.
const RUNS_BYTES_MAX: usize = 4 << 20;

/// Memory limit for hints, in bytes.
const HINTS_BYTES_MAX: usize = 4 << 20;

/// Approximate size of a hint beside its key, in bytes.
const HINT_BYTES: usize = 96;

pub(super) const NONCE_BYTES: usize = 24;

/// Identity of a run, unique over time: its row key, and the nonce of its seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct RunId {
    pub(super) key: [u8; 12],
    pub(super) nonce: [u8; NONCE_BYTES],
}

/// A cache shared by all readers and writers of a store's runs.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Recently used runs, and those used before that; a used run moves to the recent ones.
    young: HashMap<RunId, Arc<Run>>,
    old: HashMap<RunId, Arc<Run>>,
    young_bytes: usize,
    /// First keys of runs, with the runs in which they were seen.
    hints: BTreeMap<Vec<u8>, RunId>,
    hints_bytes: usize,
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, id: &RunId) -> Option<Arc<Run>> {
        let mut inner = self.lock();
        if let Some(run) = inner.young.get(id) {
            return Some(Arc::clone(run));
        }
        let run = inner.old.remove(id)?;
        inner.keep(*id, &run);
        Some(run)
    }

    pub(super) fn insert(&self, id: RunId, run: &Arc<Run>) {
        let mut inner = self.lock();
        inner.keep(id, run);
        inner.hint(run.first(), id);
    }

    /// Returns the last run that was seen to begin at or before `key`.
    pub(super) fn hint_before(&self, key: &[u8]) -> Option<RunId> {
        let inner = self.lock();
        let before = inner.hints.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back();
        before.map(|(_, id)| *id)
    }

    /// Returns the first run that was seen to begin after `key`.
    pub(super) fn hint_behind(&self, key: &[u8]) -> Option<RunId> {
        let inner = self.lock();
        let behind = inner.hints.range::<[u8], _>((Bound::Excluded(key), Bound::Unbounded)).next();
        behind.map(|(_, id)| *id)
    }

    /// Removes the hint that [`Self::hint_before`] returns for `key`.
    pub(super) fn forget_before(&self, key: &[u8]) {
        let mut inner = self.lock();
        let before = inner.hints.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back();
        if let Some(first) = before.map(|(first, _)| first.clone()) {
            inner.hints.remove(&first);
            inner.hints_bytes -= first.len() + HINT_BYTES;
        }
    }
}

impl Inner {
    fn keep(&mut self, id: RunId, run: &Arc<Run>) {
        if self.young.insert(id, Arc::clone(run)).is_none() {
            self.young_bytes += run.weight();
        }
        if self.young_bytes > RUNS_BYTES_MAX {
            self.old = core::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }

    fn hint(&mut self, first: &[u8], id: RunId) {
        if let Some(known) = self.hints.get_mut(first) {
            *known = id;
            return;
        }
        self.hints.insert(first.to_vec(), id);
        self.hints_bytes += first.len() + HINT_BYTES;
        if self.hints_bytes > HINTS_BYTES_MAX {
            // Every other hint still narrows the search.
            let mut odd = false;
            self.hints.retain(|_, _| {
                odd = !odd;
                odd
            });
            self.hints_bytes = self.hints.keys().map(|key| key.len() + HINT_BYTES).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> RunId {
        let mut key = [0; 12];
        key[4..].copy_from_slice(&n.to_be_bytes());
        RunId { key, nonce: [0; NONCE_BYTES] }
    }

    #[test]
    fn what_is_remembered_has_bounds_and_the_rest_still_narrows() {
        let cache = Cache::default();
        let value = vec![0; 1000];
        let first = |n: u64| [&[7; 200][..], &n.to_be_bytes()].concat();
        for n in 1..=20_000 {
            cache.insert(id(n), &Arc::new(Run::of(&[(&first(n), &value)])));
            assert!(cache.get(&id(n)).is_some());
        }
        let inner = cache.lock();
        let weigh = |runs: &HashMap<RunId, Arc<Run>>| runs.values().map(|run| run.weight()).sum::<usize>();
        assert!(weigh(&inner.young) <= RUNS_BYTES_MAX && weigh(&inner.old) <= RUNS_BYTES_MAX + 4096);
        let bytes: usize = inner.hints.keys().map(|key| key.len() + HINT_BYTES).sum();
        assert!(bytes == inner.hints_bytes && bytes <= HINTS_BYTES_MAX && bytes > HINTS_BYTES_MAX / 4);
        drop(inner);
        for n in (100..19_900).step_by(77) {
            let label = |hint: Option<RunId>| u64::from_be_bytes(hint.unwrap().key[4..].try_into().unwrap());
            let (before, behind) = (label(cache.hint_before(&first(n))), label(cache.hint_behind(&first(n))));
            assert!(before <= n && n < behind && behind - before <= 16, "{before} {n} {behind}");
        }
    }

    #[test]
    fn what_is_used_stays_and_what_is_wrong_is_forgotten() {
        let cache = Cache::default();
        let value = vec![0; 100_000];
        let run = |n: u64| Arc::new(Run::of(&[(&n.to_be_bytes(), &value)]));
        for n in 1..=200 {
            cache.insert(id(n), &run(n));
            assert!(cache.get(&id(1)).is_some(), "it is used all the time");
        }
        assert!(cache.get(&id(2)).is_none());
        assert_eq!(cache.hint_before(&5u64.to_be_bytes()), Some(id(5)));
        cache.forget_before(&5u64.to_be_bytes());
        assert_eq!(cache.hint_before(&5u64.to_be_bytes()), Some(id(4)));
        assert_eq!(cache.hint_behind(&4u64.to_be_bytes()), Some(id(6)));
    }
}
