//! Traces: a compact record of every event, and one hash over all of them.

use crate::coverage::Point;
use crate::report::{Acted, Record};

/// The cause of a record on another peer: that peer, and its record.
pub(crate) type Cause = Option<(usize, u64)>;

/// Takes records.
#[derive(Debug)]
pub(crate) struct Tracer {
    hasher: blake3::Hasher,
    /// Number of records of each peer.
    counts: Vec<u64>,
    kept: Option<Vec<Record>>,
    acted: Vec<Acted>,
}

/// Details of a record in a kept trace. They follow from the rest, so the hash leaves them out.
#[derive(Debug, Default)]
pub(crate) struct Detail {
    /// The plan's link, and its connection.
    pub(crate) link: Option<(usize, u64)>,
    /// Number of bytes.
    pub(crate) bytes: Option<usize>,
    /// Other details, for people.
    pub(crate) note: String,
}

impl Tracer {
    pub(crate) fn new(peers: usize, keep: bool) -> Self {
        Self { hasher: blake3::Hasher::new(), counts: vec![0; peers], kept: keep.then(Vec::new), acted: Vec::new() }
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
            let kind = point.name().to_owned();
            let (link, connection, bytes, note) = (None, None, None, String::new());
            kept.push(Record { at_us, peer, index, cause, kind, hash, link, connection, bytes, note });
        }
        index
    }

    /// Adds details to the newest record, if the trace is kept.
    pub(crate) fn detail(&mut self, detail: impl FnOnce() -> Detail) {
        if let Some(record) = self.kept.as_mut().and_then(|kept| kept.last_mut()) {
            let Detail { link, bytes, note } = detail();
            (record.link, record.connection) = (link.map(|(link, _)| link), link.map(|(_, conn)| conn));
            (record.bytes, record.note) = (bytes.map(|bytes| bytes as u64), note);
        }
    }

    /// Returns whether the trace is kept.
    pub(crate) const fn keeps(&self) -> bool {
        self.kept.is_some()
    }

    /// Records that an action of the plan took effect, if the trace is kept.
    pub(crate) fn acted(&mut self, at_us: u64, action: u32) {
        if self.kept.is_some() {
            self.acted.push(Acted { at_us, action });
        }
    }

    /// Returns the hash, the records and the actions.
    pub(crate) fn finish(self) -> (String, Option<Vec<Record>>, Vec<Acted>) {
        (self.hasher.finalize().to_hex()[..32].to_owned(), self.kept, self.acted)
    }
}
