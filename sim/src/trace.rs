//! Traces: a compact record of every event, and one hash over all of them.

use crate::coverage::Point;
use crate::report::Record;

/// The cause of a record on another peer: that peer, and its record.
pub(crate) type Cause = Option<(usize, u64)>;

/// Takes records.
#[derive(Debug)]
pub(crate) struct Tracer {
    hasher: blake3::Hasher,
    /// Number of records of each peer.
    counts: Vec<u64>,
    kept: Option<Vec<Record>>,
}

impl Tracer {
    pub(crate) fn new(peers: usize, keep: bool) -> Self {
        Self { hasher: blake3::Hasher::new(), counts: vec![0; peers], kept: keep.then(Vec::new) }
    }

    /// Takes a record. Returns its index on its peer.
    pub(crate) fn record(&mut self, at_us: u64, peer: usize, cause: Cause, point: Point, payload: &[u8]) -> u64 {
        let index = self.counts[peer];
        self.counts[peer] += 1;
        let mut line = [0; 48];
        line[..8].copy_from_slice(&at_us.to_le_bytes());
        line[8..12].copy_from_slice(&(peer as u32).to_le_bytes());
        line[12] = point as u8;
        line[16..24].copy_from_slice(&index.to_le_bytes());
        let (cause_peer, cause_index) = cause.map_or((u32::MAX, 0), |(peer, index)| (peer as u32, index));
        line[24..28].copy_from_slice(&cause_peer.to_le_bytes());
        line[28..36].copy_from_slice(&cause_index.to_le_bytes());
        line[36..44].copy_from_slice(&(payload.len() as u64).to_le_bytes());
        self.hasher.update(&line);
        self.hasher.update(payload);
        if let Some(kept) = &mut self.kept {
            let hash = blake3::hash(payload);
            let hash = u64::from_le_bytes(*hash.as_bytes().first_chunk().unwrap_or(&[0; 8])) >> 1;
            kept.push(Record { at_us, peer, index, cause, kind: point.name().to_owned(), hash });
        }
        index
    }

    pub(crate) fn finish(self) -> (String, Option<Vec<Record>>) {
        (self.hasher.finalize().to_hex()[..32].to_owned(), self.kept)
    }
}
