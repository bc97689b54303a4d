//! What a pass that makes the values of many documents asks of the ledger.

use super::rows::{DocRef, EntryRef};
use crate::storage::Scan;
use std::collections::BTreeMap;

/// What came for a pass that makes values.
#[derive(Debug)]
pub(crate) enum MakeStep {
    /// Index rows.
    Index(Scan),
    /// Values that are there.
    Values(Scan),
    /// Entries, in the order asked for.
    Entries(Vec<EntryRef>),
    /// Values are stored.
    Stored,
}

/// Most documents that are told apart in [`Touched`].
const TOUCHED_MAX: usize = 65_536;

/// What became of a document that changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Touch {
    /// It was changed here.
    pub(crate) here: bool,
    /// The change may delete it, or not be here.
    pub(crate) may_delete: bool,
}

/// A moment in the life of a store: after so many values were dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

/// Documents whose values were dropped lately, and when: whoever read rows some moments ago tells from it which of them
/// still say what is true.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    now: u64,
    docs: BTreeMap<DocRef, u64>,
    /// Up to when nothing is known any more.
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

    /// The present moment. What is read from the store from here on sees all that was dropped before.
    pub(crate) const fn now(&self) -> Moment {
        Moment(self.now)
    }

    /// Whether the value of a document may have been dropped since.
    pub(crate) fn since(&self, moment: Moment, doc: &DocRef) -> bool {
        moment.0 < self.forgotten || self.docs.get(doc).is_some_and(|at| *at > moment.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::PartNo;
    use super::*;
    use crate::ids::DocId;

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
