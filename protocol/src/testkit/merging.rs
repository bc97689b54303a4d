//! Histories of one keyed document that several devices make, edit, delete and make again apart from each other:
//! only content that a deletion saw may be hidden (`spec/documents.md`, section 3).

use crate::crdt::{Change, CheckedUpdate, Hidden, Replica, Step, TextPaths, Value, Version, check};
use crate::entropy::Entropy;
use std::collections::{BTreeMap, BTreeSet};

/// The keys on every level.
const KEYS: [&str; 3] = ["a", "b", "c"];
/// Deepest nesting of maps.
const DEPTH: usize = 3;
/// Tokens of texts are characters of a private range: each is written once.
const FIRST_TOKEN: u32 = 0xF_0000;
/// The writer of republished operations.
const AGAIN: u64 = 99;

/// Content of a history, and its errors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Number of histories.
    pub histories: u64,
    /// Number of edits.
    pub edits: u64,
    /// Number of characters and items that no deletion saw.
    pub standing: u64,
    /// Number of these that no replica's value has, but that are listed as hidden by a concurrent write of another
    /// kind.
    pub listed: u64,
    /// Number of these that are neither shown nor listed.
    pub missing: u64,
    /// Number of characters and items that a deletion saw and that are still shown.
    pub undead: u64,
    /// Number of replicas that differ from the first in value, in hidden content, or in the deletion of the
    /// document.
    pub differing: u64,
    /// Number of documents that are deleted and should not be, or the reverse.
    pub wrongly_gone: u64,
    /// Number of histories in which a branch was excluded and republished.
    pub republished: u64,
    /// Number of earlier versions that were read again.
    pub versions: u64,
    /// Number of these with another value than a replica had then.
    pub versions_differing: u64,
}

impl Outcome {
    /// Adds another outcome.
    pub fn add(&mut self, other: Self) {
        let sums = [
            (&mut self.histories, other.histories),
            (&mut self.edits, other.edits),
            (&mut self.standing, other.standing),
            (&mut self.listed, other.listed),
            (&mut self.missing, other.missing),
            (&mut self.undead, other.undead),
            (&mut self.differing, other.differing),
            (&mut self.wrongly_gone, other.wrongly_gone),
            (&mut self.republished, other.republished),
            (&mut self.versions, other.versions),
            (&mut self.versions_differing, other.versions_differing),
        ];
        sums.into_iter().for_each(|(sum, more)| *sum += more);
    }

    /// Returns the number of errors.
    pub const fn wrong(&self) -> u64 {
        self.missing + self.undead + self.differing + self.wrongly_gone + self.versions_differing
    }
}

/// One device.
struct Device {
    replica: Replica,
    /// The updates that the replica has imported.
    seen: BTreeSet<usize>,
}

struct History {
    entropy: Entropy,
    devices: Vec<Device>,
    /// Updates with their makers, in the order in which they were made.
    updates: Vec<(usize, CheckedUpdate)>,
    /// For each update that deleted the document, the updates that its maker had seen.
    deletions: Vec<BTreeSet<usize>>,
    inserted: BTreeSet<u32>,
    deleted: BTreeSet<u32>,
    next: u32,
    versions: Vec<(Version, Value)>,
    texts: TextPaths,
    outcome: Outcome,
}

/// Runs the history of a seed.
///
/// # Panics
/// If an edit that fits the value is refused, or an update cannot be imported.
pub fn run(seed: u64) -> Outcome {
    let mut history = written(seed);
    history.finish();
    history.outcome
}

/// Returns the replica that has all of a history, and versions that replicas had on the way, with their values.
///
/// # Panics
/// As [`run`].
pub fn versions(seed: u64) -> (Replica, Vec<(Version, Value)>) {
    let mut history = written(seed);
    let all: Vec<usize> = (0..history.updates.len()).filter(|at| !history.devices[0].seen.contains(at)).collect();
    history.take_in(0, &all);
    let versions = core::mem::take(&mut history.versions);
    (history.devices.swap_remove(0).replica, versions)
}

/// Returns a history before its devices all met.
fn written(seed: u64) -> History {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut entropy = Entropy::new(bytes);
    let devices = 2 + entropy.below(4) as usize;
    let steps = 15 + entropy.below(46);
    let mut history = History {
        entropy,
        devices: (0..devices)
            .map(|at| Device { replica: Replica::new(at as u64 + 1), seen: BTreeSet::new() })
            .collect(),
        updates: Vec::new(),
        deletions: Vec::new(),
        inserted: BTreeSet::new(),
        deleted: BTreeSet::new(),
        next: FIRST_TOKEN,
        versions: Vec::new(),
        texts: all_texts(),
        outcome: Outcome { histories: 1, ..Outcome::default() },
    };
    for _ in 0..steps {
        let (at, other) = (history.pick(devices), history.pick(devices));
        match history.pick(4) {
            0 if at != other => history.meet(at, other),
            _ => history.edit(at),
        }
    }
    history
}

fn all_texts() -> TextPaths {
    let mut paths: Vec<String> = Vec::new();
    let mut level = vec![String::new()];
    for _ in 0..=DEPTH {
        level = level.iter().flat_map(|above| KEYS.map(|key| format!("{above}.{key}"))).collect();
        paths.extend(level.iter().map(|path| path.trim_start_matches('.').to_owned()));
    }
    paths.iter().collect()
}

impl History {
    fn pick(&mut self, bound: usize) -> usize {
        self.entropy.below(bound as u64) as usize
    }

    /// Has one device import the updates of another.
    fn meet(&mut self, to: usize, from: usize) {
        let news: Vec<usize> = self.devices[from].seen.difference(&self.devices[to].seen).copied().collect();
        self.take_in(to, &news);
    }

    fn take_in(&mut self, to: usize, news: &[usize]) {
        let updates = news.iter().map(|at| self.updates[*at].1.clone()).collect();
        self.devices[to].replica.import(updates).expect("updates come in causal order");
        self.devices[to].seen.extend(news);
    }

    fn token(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn word(&mut self) -> String {
        let len = 1 + self.pick(3);
        (0..len).filter_map(|_| char::from_u32(self.token())).collect()
    }

    fn items(&mut self) -> Vec<Value> {
        let len = 1 + self.pick(3);
        (0..len).map(|_| Value::Int(self.token().into())).collect()
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.pick(if depth < DEPTH { 6 } else { 5 }) {
            0 => Value::Bool(true),
            1 | 2 => Value::Text(self.word()),
            3 | 4 => Value::List(self.items()),
            _ => {
                let keys = 1 + self.pick(2);
                let mut entries = BTreeMap::new();
                for _ in 0..keys {
                    let key = KEYS[self.pick(3)].to_owned();
                    let value = self.value(depth + 1);
                    entries.insert(key, value);
                }
                Value::Map(entries)
            }
        }
    }

    /// Chooses a path that exists, or one to a new key.
    fn place(&mut self, value: &Value) -> (Vec<Step>, Option<Value>) {
        let mut path = Vec::new();
        let mut here = value.clone();
        loop {
            let key = KEYS[self.pick(3)];
            path.push(Step::from(key));
            let next = here.entry(key).cloned();
            match next {
                Some(Value::Map(entries)) if path.len() < DEPTH && self.pick(3) > 0 => here = Value::Map(entries),
                next => return (path, next),
            }
        }
    }

    fn change(&mut self, value: &Value) -> Change {
        let (path, stands) = self.place(value);
        let depth = path.len();
        match (stands, self.pick(8)) {
            (Some(_), 0 | 1) => Change::Remove { path },
            (Some(Value::Text(text)), 2..=5) => {
                let len = text.chars().count();
                let at = self.pick(len + 1);
                let delete = self.pick((len - at).min(2) + 1);
                Change::Splice { path, at, delete, insert: self.word() }
            }
            (Some(Value::List(items)), 2..=4) => {
                Change::Insert { path, index: self.pick(items.len() + 1), values: self.items() }
            }
            (Some(Value::List(items)), 5) if !items.is_empty() => {
                Change::Delete { path, index: self.pick(items.len()), len: 1 }
            }
            _ => Change::Set { path, value: self.value(depth) },
        }
    }

    fn edit(&mut self, at: usize) {
        let value = self.devices[at].replica.value().expect("it is whole");
        let before = self.visible(at);
        let gone = self.pick(12) == 0;
        let applied = if gone {
            self.devices[at].replica.set_deleted(true).map(|()| true)
        } else {
            let change = self.change(&value);
            self.devices[at].replica.apply(&[change], &self.texts).map(|()| false)
        };
        let deleted = applied.expect("the change fits what stands there");
        if !self.send(at) {
            return;
        }
        if deleted {
            self.deletions.push(self.devices[at].seen.clone());
        }
        self.outcome.edits += 1;
        let after = self.visible(at);
        self.deleted.extend(before.difference(&after));
        self.inserted.extend(after.difference(&before));
        if self.pick(8) == 0 {
            let version = self.devices[at].replica.version().clone();
            self.versions.push((version, self.devices[at].replica.value().expect("it is whole")));
        }
    }

    /// Takes the writes of a device as an update for others. Returns `false` if it wrote nothing.
    fn send(&mut self, at: usize) -> bool {
        let replica = &mut self.devices[at].replica;
        let Some(update) = replica.take_update().expect("it is whole") else { return false };
        let checked = check(&update.bytes, replica.peer(), update.start).expect("an update of ours");
        self.devices[at].seen.insert(self.updates.len());
        self.updates.push((at, checked));
        true
    }

    /// Returns the tokens that a device shows or lists.
    fn visible(&mut self, at: usize) -> BTreeSet<u32> {
        let replica = &mut self.devices[at].replica;
        let mut found = BTreeSet::new();
        tokens(&replica.value().expect("it is whole"), &mut found);
        for Hidden { value, .. } in replica.hidden().expect("it is whole") {
            tokens(&value, &mut found);
        }
        found
    }

    fn finish(&mut self) {
        if self.pick(3) == 0 {
            self.republish();
        }
        let all: Vec<usize> = (0..self.updates.len()).collect();
        for at in 0..self.devices.len() {
            let news: Vec<usize> = all.iter().filter(|at_| !self.devices[at].seen.contains(at_)).copied().collect();
            self.take_in(at, &news);
        }
        self.compare();
        for (version, value) in core::mem::take(&mut self.versions) {
            // Excluded updates are in no version any more.
            if let Some(read) = self.devices[0].replica.value_at(&version).expect("it is whole") {
                self.outcome.versions += 1;
                self.outcome.versions_differing += u64::from(read != value);
            }
        }
    }

    /// Excludes one device's updates that no other has, and republishes them as another writer.
    fn republish(&mut self) {
        let at = self.pick(self.devices.len());
        let others: BTreeSet<usize> = self
            .devices
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != at)
            .flat_map(|(_, one)| one.seen.clone())
            .collect();
        let alone: Vec<usize> = self.devices[at].seen.difference(&others).copied().collect();
        let shared: Vec<usize> = self.devices[at].seen.intersection(&others).copied().collect();
        if alone.is_empty() {
            return;
        }
        let updates = |of: &[usize]| of.iter().map(|at| self.updates[*at].1.clone()).collect();
        let again = Replica::republish(updates(&shared), updates(&alone), AGAIN).expect("they can be republished");
        self.outcome.republished += 1;
        let was_gone = self.devices[at].replica.meta().expect("it is whole").deleted;
        let mut device = Device { replica: Replica::new(at as u64 + 1), seen: BTreeSet::new() };
        core::mem::swap(&mut self.devices[at], &mut device);
        self.deletions.retain(|seen| alone.iter().all(|one| !seen.contains(one)));
        let first = self.updates.len();
        for update in again {
            self.updates.push((at, check(&update.bytes, AGAIN, update.start).expect("an update of ours")));
        }
        let mut new: Vec<usize> = shared;
        new.extend(first..self.updates.len());
        self.take_in(at, &new);
        if was_gone {
            self.deletions.push(self.devices[at].seen.clone());
        }
        // Excluded updates are ignored from now on: the list keeps its places.
        let taken: BTreeSet<usize> = alone.iter().copied().collect();
        for other in &mut self.devices {
            other.seen.extend(&taken);
        }
        self.deletions.iter_mut().for_each(|seen| seen.extend(&taken));
    }

    fn compare(&mut self) {
        let first = self.state(0);
        for at in 1..self.devices.len() {
            self.outcome.differing += u64::from(self.state(at) != first);
        }
        let (value, _, gone) = first;
        let mut shown = BTreeSet::new();
        tokens(&value, &mut shown);
        let visible = self.visible(0);
        let standing: Vec<u32> = self.inserted.difference(&self.deleted).copied().collect();
        self.outcome.standing += standing.len() as u64;
        for token in standing {
            if !visible.contains(&token) {
                self.outcome.missing += 1;
            } else if !shown.contains(&token) {
                self.outcome.listed += 1;
            }
        }
        self.outcome.undead += self.deleted.intersection(&visible).count() as u64;
        let seen: BTreeSet<usize> = self.deletions.iter().flatten().copied().collect();
        let should = !self.deletions.is_empty() && (0..self.updates.len()).all(|at| seen.contains(&at));
        self.outcome.wrongly_gone += u64::from(gone != should);
    }

    fn state(&mut self, at: usize) -> (Value, Vec<Hidden>, bool) {
        let replica = &mut self.devices[at].replica;
        let value = replica.value().expect("it is whole");
        (value, replica.hidden().expect("it is whole"), replica.meta().expect("it is whole").deleted)
    }
}

/// Collects the tokens in a value.
fn tokens(value: &Value, found: &mut BTreeSet<u32>) {
    match value {
        Value::Text(text) => found.extend(text.chars().map(u32::from)),
        Value::Int(number) => found.extend(u32::try_from(*number)),
        Value::List(items) => items.iter().for_each(|item| tokens(item, found)),
        Value::Map(entries) => entries.values().for_each(|value| tokens(value, found)),
        Value::Null | Value::Bool(_) | Value::Float(_) | Value::Bytes(_) => {}
    }
}
