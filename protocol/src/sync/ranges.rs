//! Sets of sequence numbers as ordered ranges: the entries, or the bodies, of a log that a replica holds.
//!
//! The cost grows with the number of gaps, never with the number of entries (`spec/sync.md`).

use crate::codec::{CodecError, Reader, Write};
use core::ops::{Range, RangeInclusive};

/// First and last number.
type Span = (u64, u64);

/// A set of `u64`, held as disjoint ranges that do not touch. Most logs are held whole, so one range takes no
/// allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges {
    kept: Kept,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Kept {
    #[default]
    None,
    One(Span),
    /// At least two, ascending.
    Many(Vec<Span>),
}

impl Ranges {
    /// Makes the empty set.
    pub const fn new() -> Self {
        Self { kept: Kept::None }
    }

    /// Returns whether the set is empty.
    pub const fn is_empty(&self) -> bool {
        matches!(self.kept, Kept::None)
    }

    /// Returns the number of ranges.
    pub fn len(&self) -> usize {
        self.spans().len()
    }

    /// Returns the ranges, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = RangeInclusive<u64>> + '_ {
        self.spans().iter().map(|&(first, last)| first..=last)
    }

    /// Returns whether `seq` is in the set.
    pub fn contains(&self, seq: u64) -> bool {
        self.span_at(seq).is_some()
    }

    /// Returns whether all of `range` is in the set. True for an empty range.
    pub fn contains_all(&self, range: RangeInclusive<u64>) -> bool {
        range.is_empty() || self.span_at(*range.start()).is_some_and(|last| last >= *range.end())
    }

    /// Returns the lowest number, not below `from`, that is not in the set; `None` if there is no such number.
    pub fn first_gap_from(&self, from: u64) -> Option<u64> {
        self.span_at(from).map_or(Some(from), |last| last.checked_add(1))
    }

    /// Returns the lowest number, not below `from`, that is in the set.
    pub fn first_from(&self, from: u64) -> Option<u64> {
        self.span_at(from).map_or_else(|| self.first_start_from(from), |_| Some(from))
    }

    /// Returns the part of the first gap at or after the start of `range` that lies within `range`.
    pub fn first_gap_in(&self, range: RangeInclusive<u64>) -> Option<RangeInclusive<u64>> {
        let first = self.first_gap_from(*range.start()).filter(|first| first <= range.end())?;
        let next = self.first_start_from(first).map_or(u64::MAX, |next| next - 1);
        Some(first..=next.min(*range.end()))
    }

    /// Adds a range. An empty range adds nothing.
    pub fn insert(&mut self, range: RangeInclusive<u64>) {
        if range.is_empty() {
            return;
        }
        let (first, last) = range.into_inner();
        let spans = self.spans();
        // All that overlap or touch are merged.
        let from = spans.partition_point(|(_, end)| end.saturating_add(1) < first);
        let to = spans.partition_point(|(start, _)| *start <= last.saturating_add(1));
        let met = &spans[from..to];
        let first = met.first().map_or(first, |met| met.0.min(first));
        let last = met.last().map_or(last, |met| met.1.max(last));
        self.splice(from..to, &[(first, last)]);
    }

    /// Removes a range.
    pub fn remove(&mut self, range: RangeInclusive<u64>) {
        if range.is_empty() {
            return;
        }
        let (first, last) = range.into_inner();
        let spans = self.spans();
        let from = spans.partition_point(|(_, end)| *end < first);
        let to = spans.partition_point(|(start, _)| *start <= last);
        let met = &spans[from..to];
        let before = met.first().filter(|met| met.0 < first).map(|met| (met.0, first - 1));
        let after = met.last().filter(|met| met.1 > last).map(|met| (last + 1, met.1));
        let left: Vec<Span> = before.into_iter().chain(after).collect();
        self.splice(from..to, &left);
    }

    /// Appends the canonical form: the number of ranges, then of each its distance from the end of the one before
    /// and its length, both reduced by their minimum.
    pub fn encode(&self, out: &mut impl Write) {
        out.varint(self.len() as u64);
        let mut free = 0;
        for &(first, last) in self.spans() {
            out.varint(first - free);
            out.varint(last - first);
            free = last.saturating_add(2);
        }
    }

    /// Reads the canonical form, if it has at most `spans_max` ranges.
    pub fn decode(reader: &mut Reader<'_>, spans_max: usize) -> Result<Self, CodecError> {
        let overflow = CodecError::OutOfRange("span");
        let count = reader.count(spans_max, "span count")?;
        let mut spans = Self::new();
        let mut free = Some(0u64);
        for _ in 0..count {
            let distance = reader.varint()?;
            let first = free.and_then(|free| free.checked_add(distance)).ok_or(overflow)?;
            let last = first.checked_add(reader.varint()?).ok_or(overflow)?;
            let end = spans.len();
            spans.splice(end..end, &[(first, last)]);
            free = last.checked_add(2);
        }
        Ok(spans)
    }

    fn spans(&self) -> &[Span] {
        match &self.kept {
            Kept::None => &[],
            Kept::One(span) => core::slice::from_ref(span),
            Kept::Many(spans) => spans,
        }
    }

    /// Replaces some ranges by `new`.
    fn splice(&mut self, range: Range<usize>, new: &[Span]) {
        if let Kept::Many(spans) = &mut self.kept {
            spans.splice(range, new.iter().copied());
            match spans[..] {
                [] => self.kept = Kept::None,
                [span] => self.kept = Kept::One(span),
                [..] => {}
            }
            return;
        }
        let old = self.spans();
        self.kept = match *[&old[..range.start], new, &old[range.end..]].concat() {
            [] => Kept::None,
            [span] => Kept::One(span),
            ref spans => Kept::Many(spans.to_vec()),
        };
    }

    /// Returns the first number of the first range that starts at `from` or later.
    fn first_start_from(&self, from: u64) -> Option<u64> {
        let spans = self.spans();
        spans.get(spans.partition_point(|(start, _)| *start < from)).map(|span| span.0)
    }

    /// Returns the last number of the range that contains `seq`.
    fn span_at(&self, seq: u64) -> Option<u64> {
        let spans = self.spans();
        let before = spans.partition_point(|(start, _)| *start <= seq).checked_sub(1)?;
        Some(spans[before].1).filter(|last| *last >= seq)
    }
}

impl FromIterator<RangeInclusive<u64>> for Ranges {
    fn from_iter<I: IntoIterator<Item = RangeInclusive<u64>>>(ranges: I) -> Self {
        let mut spans = Self::new();
        ranges.into_iter().for_each(|range| spans.insert(range));
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const TOP: u64 = 40;

    /// The model counts from 0 to `TOP`; `base` shifts it, so that both ends of `u64` are tried.
    fn steps() -> impl Strategy<Value = Vec<(bool, u64, u64)>> {
        prop::collection::vec((any::<bool>(), 0..=TOP, 0..8u64), 0..40)
    }

    proptest! {
        #[test]
        fn spans_behave_as_a_set(steps in steps(), base in prop::sample::select(vec![0, 7, u64::MAX - TOP])) {
            let mut spans = Ranges::new();
            let mut model = BTreeSet::new();
            for (insert, first, len) in steps {
                let last = (first + len).min(TOP);
                if insert {
                    spans.insert(base + first..=base + last);
                    model.extend(first..=last);
                } else {
                    spans.remove(base + first..=base + last);
                    model.retain(|at| !(first..=last).contains(at));
                }
                let listed: BTreeSet<u64> = spans.iter().flatten().map(|at| at - base).collect();
                prop_assert_eq!(&listed, &model);
                for (before, after) in spans.iter().zip(spans.iter().skip(1)) {
                    prop_assert!(before.end() + 1 < *after.start());
                }
            }
            for at in 0..=TOP {
                prop_assert_eq!(spans.contains(base + at), model.contains(&at));
                let gap = (at..=TOP).find(|at| !model.contains(at));
                prop_assert_eq!(spans.first_gap_from(base + at).filter(|gap| gap - base <= TOP), gap.map(|gap| base + gap));
                let next = (at..=TOP).find(|at| model.contains(at));
                prop_assert_eq!(spans.first_from(base + at), next.map(|next| base + next));
                let gap = gap.map(|gap| {
                    let end = (gap..=TOP).take_while(|at| !model.contains(at)).last().unwrap();
                    base + gap..=base + end
                });
                prop_assert_eq!(spans.first_gap_in(base + at..=base + TOP), gap);
                let all = (at..=(at + 3).min(TOP)).all(|at| model.contains(&at));
                prop_assert_eq!(spans.contains_all(base + at..=base + (at + 3).min(TOP)), all);
            }
            let mut bytes = Vec::new();
            spans.encode(&mut bytes);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(Ranges::decode(&mut reader, spans.len()), Ok(spans.clone()));
            prop_assert!(reader.is_empty());
            prop_assert!(spans.is_empty() || Ranges::decode(&mut Reader::new(&bytes), spans.len() - 1).is_err());
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes in prop::collection::vec(prop_oneof![0u8..5, any::<u8>()], 0..40)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(spans) = Ranges::decode(&mut reader, 100) {
                let mut again = Vec::new();
                spans.encode(&mut again);
                prop_assert_eq!(&bytes[..bytes.len() - reader.remaining()], &again[..]);
            }
        }
    }

    #[test]
    fn the_whole_range_has_no_gap() {
        let all = Ranges::from_iter([0..=u64::MAX]);
        assert_eq!(all.first_gap_from(0), None);
        assert_eq!(all.first_gap_in(0..=u64::MAX), None);
        let mut bytes = Vec::new();
        all.encode(&mut bytes);
        assert_eq!(Ranges::decode(&mut Reader::new(&bytes), 1), Ok(all));
    }
}
