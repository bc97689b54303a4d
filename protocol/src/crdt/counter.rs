//! Counters: numbers to which several devices add at once.
//!
//! A counter is a map. A writer keeps two totals under its own peer: of its additions and of its
//! subtractions. Totals only grow, so of several deletions of one total the one that saw most covers the
//! others. The value is the sum that no deletion has seen (`spec/documents.md`, section 3).

use loro::{LoroMap, LoroResult, LoroValue, ValueOrContainer};
use std::collections::BTreeMap;

/// Most totals of a counter that are read: the first by their names.
const TOTALS_MAX: usize = 65_536;

/// Separator between the name of a total and that of a writer that deleted the part of it that it saw.
const SEEN: char = '/';

/// Suffix of a writer's name in the name of its total of subtractions.
const TAKEN: char = '-';

/// The writer of the number with which a counter began.
const FIRST: &str = "first";

/// The map that holds a counter.
#[derive(Debug, Clone)]
pub(super) struct Counter(pub(super) LoroMap);

/// A sum that only grows, and the part of it that was deleted.
#[derive(Debug, Clone, Default)]
struct Total {
    sum: i64,
    /// Part of the sum that each deletion saw.
    seen: Vec<i64>,
}

impl Total {
    /// Returns the deleted part. A deletion that claims more than the sum is ignored.
    fn deleted(&self) -> i64 {
        self.seen.iter().copied().filter(|seen| (0..=self.sum).contains(seen)).max().unwrap_or(0)
    }

    fn left(&self) -> i64 {
        self.sum.saturating_sub(self.deleted())
    }
}

impl Counter {
    fn totals(&self) -> BTreeMap<String, Total> {
        let mut totals: BTreeMap<String, Total> = BTreeMap::new();
        self.0.for_each(|key, value| {
            let ValueOrContainer::Value(LoroValue::I64(number)) = value else { return };
            match key.split_once(SEEN) {
                Some((name, _)) => totals.entry(name.to_owned()).or_default().seen.push(number),
                None => totals.entry(key.to_owned()).or_default().sum = number,
            }
        });
        totals
    }

    /// Returns the number, within 64 bits.
    pub(super) fn value(&self) -> i64 {
        let counted = self.totals().into_iter().take(TOTALS_MAX);
        let signed = |(name, total): (String, Total)| {
            let left = i128::from(total.left());
            if name.ends_with(TAKEN) { -left } else { left }
        };
        let sum: i128 = counted.map(signed).sum();
        i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
    }

    pub(super) fn has_content(&self) -> bool {
        self.totals().into_values().take(TOTALS_MAX).any(|total| total.left() != 0)
    }

    /// Returns the number of entries.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds to the number as `peer`. A total stays within 64 bits.
    pub(super) fn add(&self, peer: u64, by: i64) -> LoroResult<()> {
        self.count(&format!("{:x}", if planted!("counter.one-total") { 1 } else { peer }), by)
    }

    /// Begins with a number that was here as a plain value. Concurrent beginners write the same.
    pub(super) fn begin(&self, number: i64) -> LoroResult<()> {
        self.count(FIRST, number)
    }

    fn count(&self, writer: &str, by: i64) -> LoroResult<()> {
        let name = if by < 0 { format!("{writer}{TAKEN}") } else { writer.to_owned() };
        let sum = match self.0.get(&name) {
            Some(ValueOrContainer::Value(LoroValue::I64(sum))) => sum,
            _ => 0,
        };
        self.0.insert(&name, sum.saturating_add(by.saturating_abs()))
    }

    /// Deletes the part of the counter that is seen, as `peer`.
    pub(super) fn clear(&self, peer: u64) -> LoroResult<()> {
        for (name, total) in self.totals() {
            if total.left() != 0 {
                self.0.insert(&format!("{name}{SEEN}{peer:x}"), total.sum)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::crdt::{Change, Replica, Step, TextPaths, Value, check};

    fn at() -> Vec<Step> {
        vec![Step::from("n")]
    }

    fn add(replica: &mut Replica, by: i64) {
        replica.apply(&[Change::Add { path: at(), by }], &TextPaths::none()).unwrap();
    }

    fn remove(replica: &mut Replica) {
        replica.apply(&[Change::Remove { path: at() }], &TextPaths::none()).unwrap();
    }

    /// Sends the updates of one replica to the others.
    fn tell(replicas: &mut [Replica], from: usize, to: &[usize]) {
        let update = replicas[from].take_update().unwrap().unwrap();
        let update = check(&update.bytes, replicas[from].peer(), update.start).unwrap();
        for to in to {
            replicas[*to].import(vec![update.clone()]).unwrap();
        }
    }

    fn value(replica: &mut Replica) -> Option<Value> {
        replica.value().unwrap().entry("n").cloned()
    }

    #[test]
    fn what_a_deletion_saw_stays_deleted_whatever_another_saw() {
        // Peers 7 and 9: the order of the deletions must not matter.
        for (first, second) in [(7, 9), (9, 7)] {
            let mut all = [Replica::new(1), Replica::new(first), Replica::new(second)];
            add(&mut all[0], 1);
            tell(&mut all, 0, &[1, 2]);
            remove(&mut all[1]);
            add(&mut all[0], 2);
            tell(&mut all, 0, &[2]);
            remove(&mut all[2]);
            tell(&mut all, 2, &[0]);
            tell(&mut all, 1, &[0]);
            assert_eq!(value(&mut all[0]), None, "all of it was deleted by {second}");
        }
    }

    #[test]
    fn what_no_deletion_saw_stands() {
        let mut all = [Replica::new(1), Replica::new(2)];
        add(&mut all[0], 5);
        add(&mut all[0], -2);
        tell(&mut all, 0, &[1]);
        remove(&mut all[1]);
        add(&mut all[0], 10);
        add(&mut all[0], -1);
        tell(&mut all, 0, &[1]);
        tell(&mut all, 1, &[0]);
        assert_eq!(value(&mut all[0]), Some(Value::Int(9)));
        assert_eq!(value(&mut all[1]), Some(Value::Int(9)));
    }

    #[test]
    fn a_number_becomes_a_counter_and_goes_below_zero() {
        let mut one = Replica::new(1);
        let set = |number: i64| Change::Set { path: at(), value: Value::Int(number) };
        one.apply(&[set(-4)], &TextPaths::none()).unwrap();
        add(&mut one, 1);
        assert_eq!(value(&mut one), Some(Value::Int(-3)));
        one.apply(&[set(2)], &TextPaths::none()).unwrap();
        assert_eq!(value(&mut one), Some(Value::Int(2)));
        remove(&mut one);
        assert_eq!(value(&mut one), None);
    }
}
