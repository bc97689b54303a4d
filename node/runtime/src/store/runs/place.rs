//! Placement of runs: splits, merges and moves runs whose rows have become more or fewer.

use super::{Fault, Rewriting, RowRef, SEAL_BYTES, SMALL_BYTES, TABLE, cut, encode, parts, row_key};
use bytes::Bytes;
use heed::RwTxn;
use std::ops::Bound;

/// The first label of an index, and the distance between the labels of appended runs.
const STEP: u64 = 1 << 32;

/// Least distance between labels after runs were spread.
const ROOM_MIN: u64 = 1 << 16;

/// Number of neighbours on each side that are spread at first.
pub(super) const REACH: usize = 16;

/// A stored run: its label and its encoded rows.
type Standing = (u64, Bytes);

/// The neighbours of a run.
struct Around {
    before: Vec<Standing>,
    behind: Vec<Standing>,
    /// The labels between which there is room.
    floor: u64,
    ceiling: u64,
}

impl Rewriting<'_> {
    /// Writes the present rows of a run: at its label, or at the first label if there is no run.
    pub(super) fn replace(
        &mut self,
        wtxn: &mut RwTxn<'_>,
        no: [u8; 4],
        label: Option<u64>,
        rows: &[RowRef<'_>],
    ) -> Result<(), Fault> {
        let at = label.unwrap_or(STEP);
        if rows.is_empty() {
            return self.remove(wtxn, no, at);
        }
        let next = self.runs.behind(wtxn, no, at)?.map(|(label, _)| label);
        let ends = cut(rows, next.is_none());
        if ends.len() == 1 {
            return if self.join(wtxn, no, at, rows)? { Ok(()) } else { self.put(wtxn, no, at, rows) };
        }
        let Some(labels) = labels(at, next, ends.len()) else { return self.spread(wtxn, no, at, &pieces(rows, &ends)) };
        for (label, piece) in labels.into_iter().zip(pieces(rows, &ends)) {
            self.put(wtxn, no, label, piece)?;
        }
        Ok(())
    }

    /// Merges a small run with a small neighbour. Returns whether there is one.
    fn join(&mut self, wtxn: &mut RwTxn<'_>, no: [u8; 4], at: u64, rows: &[RowRef<'_>]) -> Result<bool, Fault> {
        encode(rows, &mut self.plain);
        if self.plain.len() >= SMALL_BYTES {
            return Ok(false);
        }
        let is_small = |stored: &[u8]| stored.len() < SMALL_BYTES + SEAL_BYTES;
        if let Some((label, stored)) = self.runs.behind(wtxn, no, at)?.filter(|(_, stored)| is_small(stored)) {
            let next = self.runs.open(&row_key(no, label), stored)?;
            let both: Vec<_> = rows.iter().copied().chain(next.rows()).collect();
            if cut(&both, true).len() == 1 {
                self.remove(wtxn, no, label)?;
                self.put(wtxn, no, at, &both)?;
                return Ok(true);
            }
        }
        let before = self.runs.at_or_before(wtxn, no, at.saturating_sub(1))?;
        if let Some((label, stored)) = before.filter(|(label, stored)| *label < at && is_small(stored)) {
            let last = self.runs.open(&row_key(no, label), stored)?;
            let both: Vec<_> = last.rows().chain(rows.iter().copied()).collect();
            if cut(&both, true).len() == 1 {
                self.remove(wtxn, no, at)?;
                self.put(wtxn, no, label, &both)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Replaces a run by several, between neighbours without enough room, and moves the neighbours apart.
    fn spread(&mut self, wtxn: &mut RwTxn<'_>, no: [u8; 4], at: u64, pieces: &[&[RowRef<'_>]]) -> Result<(), Fault> {
        let mut reach = REACH;
        let (around, room) = loop {
            let around = self.around(wtxn, no, at, (reach, pieces.len()))?;
            let count = (around.before.len() + pieces.len() + around.behind.len()) as u64;
            let room = (around.ceiling - around.floor) / (count + 1);
            if room >= ROOM_MIN {
                break (around, room);
            }
            if around.before.len() < reach && around.behind.len() < reach {
                // There are 2^48 runs, more than a file can hold.
                return Err(Fault::Damaged);
            }
            reach *= 2;
        };
        for (label, _) in around.before.iter().chain(&around.behind) {
            self.remove(wtxn, no, *label)?;
        }
        self.remove(wtxn, no, at)?;
        let mut label = around.floor;
        for (_, plain) in &around.before {
            label += room;
            self.put_plain(wtxn, no, label, plain)?;
        }
        for piece in pieces {
            label += room;
            self.put(wtxn, no, label, piece)?;
        }
        for (_, plain) in &around.behind {
            label += room;
            self.put_plain(wtxn, no, label, plain)?;
        }
        Ok(())
    }

    /// Reads up to `reach` runs on each side of one that is split into `pieces`.
    fn around(&self, wtxn: &RwTxn<'_>, no: [u8; 4], at: u64, (reach, pieces): (usize, usize)) -> Result<Around, Fault> {
        let [first, here, last] = [0, at, u64::MAX].map(|label| row_key(no, label));
        let down = (Bound::Included(&first[..]), Bound::Excluded(&here[..]));
        let up = (Bound::Excluded(&here[..]), Bound::Included(&last[..]));
        let (mut before, floor) = self.take(self.runs.db.rev_range(wtxn, &down)?, reach)?;
        let (behind, ceiling) = self.take(self.runs.db.range(wtxn, &up)?, reach)?;
        before.reverse();
        let floor = floor.unwrap_or(0);
        let steps = STEP.saturating_mul((before.len() + pieces + behind.len() + 1) as u64);
        let ceiling = ceiling.unwrap_or_else(|| floor.saturating_add(steps));
        Ok(Around { before, behind, floor, ceiling })
    }

    /// Takes up to `reach` runs; also returns the label of the run after them.
    fn take<'t>(
        &self,
        rows: impl Iterator<Item = heed::Result<(&'t [u8], &'t [u8])>>,
        reach: usize,
    ) -> Result<(Vec<Standing>, Option<u64>), Fault> {
        let mut taken = Vec::new();
        for row in rows {
            let (key, stored) = row?;
            let (_, label) = parts(key).ok_or(Fault::Damaged)?;
            if taken.len() == reach {
                return Ok((taken, Some(label)));
            }
            let plain = self.runs.sealer.open((TABLE, key), stored).map_err(|_| Fault::Damaged)?;
            taken.push((label, plain));
        }
        Ok((taken, None))
    }
}

/// Returns labels for the `count` runs that replace one at `at`, before `next`; `None` if there is no room.
fn labels(at: u64, next: Option<u64>, count: usize) -> Option<Vec<u64>> {
    let step = next.map_or(STEP, |next| (next - at) / count as u64);
    if step == 0 {
        return None;
    }
    (0..count as u64).map(|nth| at.checked_add(step.checked_mul(nth)?)).collect()
}

/// Splits rows into pieces at the given ends.
fn pieces<'a, 'r>(rows: &'a [RowRef<'r>], ends: &[usize]) -> Vec<&'a [RowRef<'r>]> {
    let starts = [0].into_iter().chain(ends.iter().copied());
    starts.zip(ends).map(|(start, end)| &rows[start..*end]).collect()
}
