//! One run: consecutive rows of one index, encoded without the prefix that a key shares with the key before.
//!
//! Format: `0` (the version), then for each row: length of the shared prefix, length of the rest of the key, length of
//! the value (`varint` each), the rest of the key, the value.

use super::index_no;
use bytes::Bytes;
use cosmicsync_protocol::storage::{KEY_BYTES_MAX, Row};

/// Largest size of a run of several rows, in bytes: sealed, it fills a page of LMDB.
pub(super) const RUN_BYTES_MAX: usize = 4028;

/// Largest total size of keys and values in a run of several rows, in bytes. Similar keys take few bytes in the run,
/// but all of them in memory.
const OPENED_BYTES_MAX: usize = 32 << 10;

const VERSION: u8 = 0;

/// A borrowed row: key and value.
pub(super) type RowRef<'a> = (&'a [u8], &'a [u8]);

/// An opened run: at least one row, ascending.
#[derive(Debug)]
pub(super) struct Run {
    /// All keys and values, one after another.
    bytes: Vec<u8>,
    /// Start and end of each row's value; the key begins at the end of the row before.
    places: Vec<(usize, usize)>,
}

impl Run {
    /// Copies rows; there must be at least one.
    pub(super) fn of(rows: &[RowRef<'_>]) -> Self {
        let mut bytes = Vec::with_capacity(rows.iter().map(|(key, value)| key.len() + value.len()).sum());
        let mut places = Vec::with_capacity(rows.len());
        for (key, value) in rows {
            bytes.extend_from_slice(key);
            let middle = bytes.len();
            bytes.extend_from_slice(value);
            places.push((middle, bytes.len()));
        }
        Self { bytes, places }
    }

    /// Decodes a run of the index `no`; `None` if it is malformed.
    pub(super) fn decode(no: [u8; 4], mut plain: &[u8]) -> Option<Self> {
        if plain.split_off_first()? != &VERSION {
            return None;
        }
        let mut bytes = Vec::with_capacity(2 * plain.len());
        let mut places: Vec<(usize, usize)> = Vec::new();
        let mut before = 0..0;
        while !plain.is_empty() {
            let [shared, further, value] = [varint(&mut plain)?, varint(&mut plain)?, varint(&mut plain)?];
            let start = bytes.len();
            if shared > before.len() || shared.checked_add(further)? > KEY_BYTES_MAX {
                return None;
            }
            bytes.extend_from_within(before.start..before.start + shared);
            bytes.extend_from_slice(plain.split_off(..further)?);
            let middle = bytes.len();
            let (earlier, key) = (&bytes[before.clone()], &bytes[start..middle]);
            if key.is_empty() || key <= earlier || index_no(key) != no {
                return None;
            }
            before = start..middle;
            bytes.extend_from_slice(plain.split_off(..value)?);
            places.push((middle, bytes.len()));
        }
        bytes.shrink_to_fit();
        (!places.is_empty()).then_some(Self { bytes, places })
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Returns the run's size in memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.bytes.capacity() + size_of_val(&self.places[..])
    }

    pub(super) fn row_ref(&self, at: usize) -> RowRef<'_> {
        let start = if at == 0 { 0 } else { self.places[at - 1].1 };
        let (middle, end) = self.places[at];
        (&self.bytes[start..middle], &self.bytes[middle..end])
    }

    /// Returns a copy of a row, which does not keep the run in memory.
    pub(super) fn row(&self, at: usize) -> Row {
        let (key, value) = self.row_ref(at);
        (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = RowRef<'_>> {
        (0..self.len()).map(|at| self.row_ref(at))
    }

    pub(super) fn first(&self) -> &[u8] {
        self.row_ref(0).0
    }

    pub(super) fn last(&self) -> &[u8] {
        self.row_ref(self.len() - 1).0
    }

    /// Returns the position of the first row with a key of at least `key`.
    pub(super) fn place_of(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.row_ref(middle).0 < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    pub(super) fn value(&self, key: &[u8]) -> Option<Bytes> {
        let at = self.place_of(key);
        let found = (at < self.len()).then(|| self.row_ref(at)).filter(|(found, _)| *found == key);
        found.map(|(_, value)| Bytes::copy_from_slice(value))
    }
}

/// Encodes a run into `plain`, replacing its content.
pub(super) fn encode(rows: &[RowRef<'_>], plain: &mut Vec<u8>) {
    plain.clear();
    plain.push(VERSION);
    let mut before: &[u8] = &[];
    for (key, value) in rows {
        let shared = shared(before, key);
        for number in [shared, key.len() - shared, value.len()] {
            push_varint(plain, number);
        }
        plain.extend_from_slice(&key[shared..]);
        plain.extend_from_slice(value);
        before = key;
    }
}

/// Splits rows into the necessary number of runs, and returns the end of each. The runs have about equal size. With
/// `fill`, all but the last are as large as possible, for rows that will be appended to.
pub(super) fn cut(rows: &[RowRef<'_>], fill: bool) -> Vec<usize> {
    let mut before: &[u8] = &[];
    let mut weights = Vec::with_capacity(rows.len());
    for (key, value) in rows {
        let alone = varint_bytes(key.len()) + varint_bytes(value.len()) + 1 + key.len() + value.len();
        let shared = shared(before, key);
        let further = key.len() - shared;
        let behind = varint_bytes(shared) + varint_bytes(further) + varint_bytes(value.len()) + further + value.len();
        weights.push(Weight { alone, behind, opened: key.len() + value.len() });
        before = key;
    }
    let total: usize = 1 + weights.iter().map(|weight| weight.behind).sum::<usize>();
    let opened: usize = weights.iter().map(|weight| weight.opened).sum();
    let count = total.div_ceil(RUN_BYTES_MAX).max(opened.div_ceil(OPENED_BYTES_MAX));
    let evenly = |total: usize, most: usize| if fill || count < 2 { most } else { total.div_ceil(count).min(most) };
    let (fair, fair_opened) = (evenly(total, RUN_BYTES_MAX), evenly(opened, OPENED_BYTES_MAX));
    let mut ends = Vec::with_capacity(count);
    let (mut bytes, mut opened) = (0, 0);
    for (at, weight) in weights.iter().enumerate() {
        let over = bytes + weight.behind > RUN_BYTES_MAX || opened + weight.opened > OPENED_BYTES_MAX;
        if bytes > 0 && (over || bytes >= fair || opened >= fair_opened) {
            ends.push(at);
            (bytes, opened) = (0, 0);
        }
        bytes += if bytes == 0 { 1 + weight.alone } else { weight.behind };
        opened += weight.opened;
    }
    ends.push(rows.len());
    ends
}

/// Sizes of a row, in bytes.
struct Weight {
    /// Size in a run that begins with it.
    alone: usize,
    /// Size after the row before.
    behind: usize,
    /// Size in memory.
    opened: usize,
}

fn shared(before: &[u8], key: &[u8]) -> usize {
    before.iter().zip(key).take_while(|(before, key)| before == key).count()
}

fn varint(from: &mut &[u8]) -> Option<usize> {
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let byte = *from.split_off_first()?;
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn push_varint(to: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        to.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    to.push(number as u8);
}

const fn varint_bytes(number: usize) -> usize {
    let mut bytes = 1;
    let mut rest = number >> 7;
    while rest > 0 {
        bytes += 1;
        rest >>= 7;
    }
    bytes
}
