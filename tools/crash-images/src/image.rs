//! Possible contents of a disk after a crash.
//!
//! Model: all writes before a completed sync are there, and so is a completed synchronous write. Of the later writes
//! any may be there or not, in any combination, each torn at any 512-byte sector.

use crate::record::{Event, Recording};
use crate::workload::Mark;
use cosmicsync_protocol::entropy::Entropy;

const SECTOR_BYTES: usize = 512;

/// A file after a crash, and the required commits in it.
pub(crate) struct Image {
    pub(crate) file: Vec<u8>,
    /// The newest commit that was acknowledged before the crash.
    pub(crate) acked: u64,
    /// The newest commit that was submitted before the crash.
    pub(crate) submitted: u64,
    /// True if the crash came while a commit was being written.
    pub(crate) inside_commit: bool,
}

/// Calls `check` with `count` images of crashes at random points of `recording`. A lying disk confirms everything, but
/// loses the second half.
pub(crate) fn each(
    recording: &Recording,
    count: u64,
    lying_disk: bool,
    entropy: &mut Entropy,
    mut check: impl FnMut(Image),
) {
    let events = &recording.events;
    let mut points: Vec<u64> = (0..count).map(|_| entropy.below(events.len() as u64 + 1)).collect();
    points.sort_unstable();
    let mut disk = Disk { durable: recording.base.clone(), ..Disk::default() };
    let mut points = points.into_iter().peekable();
    for at in 0..=events.len() {
        while points.next_if_eq(&(at as u64)).is_some() {
            check(disk.crash(entropy));
        }
        match events.get(at) {
            Some(Event::Mark(mark)) => disk.mark(*mark),
            Some(event) if !lying_disk || at < events.len() / 2 => disk.apply(event),
            _ => {}
        }
    }
}

/// The disk at one point of the run.
#[derive(Default)]
struct Disk<'a> {
    durable: Vec<u8>,
    pending: Vec<(usize, &'a [u8])>,
    acked: u64,
    submitted: u64,
    wrote_since_ack: bool,
}

impl<'a> Disk<'a> {
    fn apply(&mut self, event: &'a Event) {
        match event {
            Event::Write { offset, bytes } | Event::SyncWrite { offset, bytes } => {
                self.pending.push((*offset, bytes));
                self.wrote_since_ack = true;
            }
            Event::SyncWriteDone => {
                if let Some((offset, bytes)) = self.pending.pop() {
                    write(&mut self.durable, offset, bytes);
                }
            }
            Event::Sync => {
                for (offset, bytes) in self.pending.drain(..) {
                    write(&mut self.durable, offset, bytes);
                }
            }
            Event::Truncate { len } => self.durable.resize(*len, 0),
            Event::Mark(mark) => self.mark(*mark),
        }
    }

    fn mark(&mut self, mark: Mark) {
        match mark {
            Mark::Submitted(n) => self.submitted = n,
            Mark::Acked(n) => {
                self.acked = n;
                self.wrote_since_ack = false;
            }
            Mark::Full(_) | Mark::NotDurable(_) | Mark::Poisoned(_) | Mark::OtherFailure(_) => {}
        }
    }

    fn crash(&self, entropy: &mut Entropy) -> Image {
        let mut file = self.durable.clone();
        let pending = self.pending.len() as u64;
        // No write, all writes, a prefix, or any subset; the last two also torn.
        let mode = entropy.below(6);
        let prefix = if mode >= 2 { entropy.below(pending + 1) } else { pending * mode };
        for (at, (offset, bytes)) in self.pending.iter().enumerate() {
            let kept = if mode >= 4 { entropy.below(2) == 0 } else { (at as u64) < prefix };
            let torn = mode == 5 || (mode == 3 && at as u64 == prefix);
            if torn {
                for (sector, part) in bytes.chunks(SECTOR_BYTES).enumerate() {
                    if entropy.below(2) == 0 {
                        write(&mut file, offset + sector * SECTOR_BYTES, part);
                    }
                }
            } else if kept {
                write(&mut file, *offset, bytes);
            }
        }
        Image { file, acked: self.acked, submitted: self.submitted, inside_commit: self.wrote_since_ack }
    }
}

fn write(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(events: Vec<Event>) -> Recording {
        Recording { base: vec![0; 4], events, dir: std::path::PathBuf::new() }
    }

    fn wrote(offset: usize, byte: u8, len: usize) -> Event {
        Event::Write { offset, bytes: vec![byte; len] }
    }

    #[test]
    fn what_was_synced_is_in_every_image_and_what_was_not_in_some() {
        let events = vec![wrote(0, 1, 4), Event::Sync, Event::Mark(Mark::Acked(1)), wrote(4, 2, 4), wrote(8, 3, 4)];
        let (mut whole, mut empty, mut gap) = (0, 0, 0);
        each(&recording(events), 3_000, false, &mut Entropy::new([1; 32]), |image| {
            if image.acked == 1 {
                assert_eq!(image.file[..4], [1; 4]);
                whole += u64::from(image.file.len() == 12 && image.file[4..8] == [2; 4]);
                empty += u64::from(image.file.len() == 4);
                gap += u64::from(image.file.len() == 12 && image.file[4..8] == [0; 4]);
            }
        });
        assert!(whole > 0 && empty > 0 && gap > 0, "{whole} {empty} {gap}");
    }

    #[test]
    fn a_write_may_be_torn_between_sectors_only() {
        let mut torn = 0;
        each(&recording(vec![wrote(0, 1, 1536)]), 500, false, &mut Entropy::new([2; 32]), |mut image| {
            image.file.resize(1536, 0);
            let sectors: Vec<u8> = image.file.chunks(SECTOR_BYTES).map(|sector| sector[0]).collect();
            assert!(
                image.file.chunks(SECTOR_BYTES).zip(&sectors).all(|(sector, first)| sector.iter().all(|b| b == first))
            );
            torn += u64::from(sectors.contains(&0) && sectors.contains(&1));
        });
        assert!(torn > 0);
    }
}
