//! Counters: numbers to which several devices add at once.
//!
//! A counter is a map. Under its own peer a writer keeps the total of what it added; a deletion notes, for each writer,
//! the total that it saw. The value is what was added and not seen by a deletion (`spec/documents.md`, section 3).

use loro::{LoroMap, LoroResult, LoroValue, ValueOrContainer};
use std::collections::BTreeMap;

/// So many writers of a counter are read: the first by their names.
const WRITERS_MAX: usize = 65_536;

/// What stands before a writer's name for what a deletion saw of it.
const SEEN: char = '-';

/// The writer of the number with which a counter began.
const FIRST: &str = "first";

/// The map that holds a counter.
#[derive(Debug, Clone)]
pub(super) struct Counter(pub(super) LoroMap);

impl Counter {
    /// For each writer what it added and what a deletion saw of it.
    fn totals(&self) -> BTreeMap<String, (i64, i64)> {
        let mut totals: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        self.0.for_each(|key, value| {
            let ValueOrContainer::Value(LoroValue::I64(number)) = value else { return };
            match key.strip_prefix(SEEN) {
                Some(writer) => totals.entry(writer.to_owned()).or_default().1 = number,
                None => totals.entry(key.to_owned()).or_default().0 = number,
            }
        });
        totals
    }

    /// The number, within 64 bits.
    pub(super) fn value(&self) -> i64 {
        let counted = self.totals().into_values().take(WRITERS_MAX);
        let sum: i128 = counted.map(|(total, seen)| i128::from(total) - i128::from(seen)).sum();
        i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
    }

    pub(super) fn has_content(&self) -> bool {
        self.totals().into_values().take(WRITERS_MAX).any(|(total, seen)| total != seen)
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds to the number as `peer`. A total stays within 64 bits.
    pub(super) fn add(&self, peer: u64, by: i64) -> LoroResult<()> {
        let key = format!("{peer:x}");
        let total = self.totals().get(&key).map_or(0, |(total, _)| *total);
        self.0.insert(&key, total.saturating_add(by))
    }

    /// Begins with a number that stood here as a plain value. Who begins concurrently writes the same.
    pub(super) fn begin(&self, number: i64) -> LoroResult<()> {
        let total = self.totals().get(FIRST).map_or(0, |(total, _)| *total);
        self.0.insert(FIRST, total.saturating_add(number))
    }

    /// Deletes what is seen.
    pub(super) fn clear(&self) -> LoroResult<()> {
        for (writer, (total, seen)) in self.totals() {
            if total != seen {
                self.0.insert(&format!("{SEEN}{writer}"), total)?;
            }
        }
        Ok(())
    }
}
