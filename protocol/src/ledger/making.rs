//! Interface between the ledger and a pass that makes the values of many documents.

use crate::ids::{DocRef, EntryRef};
use crate::storage::Scan;
use std::collections::BTreeMap;

/// Data that came for a pass that makes values.
#[derive(Debug)]
pub(crate) enum MakeStep {
    /// Index rows.
    Index(Scan),
    /// Existing values.
    Values(Scan),
    /// Entries, in the order asked for.
    Entries(Vec<EntryRef>),
    /// Values are stored.
    Stored,
}

/// Most documents that [`Touched`] remembers one by one.
const TOUCHED_MAX: usize = 65_536;

/// A moment in the life of a store: the number of values dropped before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

/// Documents whose values were dropped lately, with the moment of each. A reader of rows finds out with it
/// whether a row is still current.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    now: u64,
    docs: BTreeMap<DocRef, u64>,
    /// Moment up to which drops were forgotten.
    forgotten: u64,
}

impl Touched {
    pub(super) fn note(&mut self, doc: DocRef) {
        self.now += 1;
        if self.docs.len() >= TOUCHED_MAX {
            self.docs.clear();
            self.forgotten = self.now;
        }
        self.docs.insert(doc, self.now);
    }

    /// Returns the present moment. Later reads of the store see all drops before it.
    pub(crate) const fn now(&self) -> Moment {
        Moment(self.now)
    }

    /// Returns whether the value of a document may have been dropped since a moment.
    pub(crate) fn since(&self, moment: Moment, doc: &DocRef) -> bool {
        moment.0 < self.forgotten || self.docs.get(doc).is_some_and(|at| *at > moment.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::DocId;
    use crate::ids::PartNo;

    #[test]
    fn what_was_forgotten_counts_as_touched() {
        let doc = |at: u32| DocRef { partition: PartNo(0), doc: DocId(u128::from(at).to_be_bytes()) };
        let mut touched = Touched::default();
        let begin = touched.now();
        touched.note(doc(1));
        let later = touched.now();
        assert!(touched.since(begin, &doc(1)) && !touched.since(begin, &doc(2)) && !touched.since(later, &doc(1)));
        (2..2 + TOUCHED_MAX as u32).for_each(|at| touched.note(doc(at)));
        assert!(touched.since(later, &doc(0)) && !touched.since(touched.now(), &doc(0)));
    }
}
