//! One connection of a link: reads bytes of each direction, and writes them when the link lets them pass.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cosmicsync_sim::plan::Tampering;

use super::{Shared, Weather, reset};

/// Most bytes that are read at once.
const PIECE_BYTES: usize = 16 * 1024;
/// Time of a limited bandwidth that one piece may take.
const PIECES_A_SECOND: u64 = 20;

/// Bytes on their way in one direction.
#[derive(Debug, Default)]
struct Way {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// Pieces, each with the time when it arrives.
    pieces: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    ended: bool,
    broken: bool,
}

/// Passes bytes both ways until both ends have closed, or one has failed.
pub(super) fn run(shared: &Shared, ends: &[TcpStream; 2], number: u64, seed: u64) {
    let ways = [Way::default(), Way::default()];
    thread::scope(|scope| {
        for (at, way) in ways.iter().enumerate() {
            let (from, to) = (&ends[at], &ends[1 - at]);
            let mut dice = Dice(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ at as u64);
            scope.spawn(move || read(shared, way, from, at, &mut dice));
            scope.spawn(move || {
                if write(shared, way, to, at).is_err() {
                    ends.iter().for_each(reset);
                    way.end(true);
                }
            });
        }
    });
}

impl Way {
    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, broken: bool) {
        let mut queue = self.lock();
        queue.ended = true;
        queue.broken |= broken;
        self.changed.notify_all();
    }
}

/// Reads until the end, as far as the link's buffers have room.
fn read(shared: &Shared, way: &Way, mut from: &TcpStream, at: usize, dice: &mut Dice) {
    let mut free_at = Instant::now();
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let (most, room) = {
            let weather = shared.lock();
            let paced = if weather.bandwidth == 0 { u64::MAX } else { (weather.bandwidth / PIECES_A_SECOND).max(1) };
            (usize::try_from(paced).unwrap_or(usize::MAX).min(PIECE_BYTES), weather.buffer)
        };
        let count = match from.read(&mut buffer[..most]) {
            Ok(0) => return way.end(false),
            Ok(count) => count,
            Err(_) => return way.end(true),
        };
        let mut bytes = buffer[..count].to_vec();
        let arrives = {
            let mut weather = shared.lock();
            weather.change(at, &mut bytes);
            let took = (count as u64 * 1_000_000).checked_div(weather.bandwidth).unwrap_or(0);
            free_at = free_at.max(Instant::now()) + Duration::from_micros(took);
            let jitter = dice.below(weather.jitter.as_micros() as u64);
            free_at + weather.latency + Duration::from_micros(jitter)
        };
        let mut queue = way.lock();
        while queue.bytes >= room && !queue.broken {
            queue = way.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if queue.broken {
            return;
        }
        queue.bytes += bytes.len();
        // Bytes stay in order.
        let arrives = queue.pieces.back().map_or(arrives, |(before, _)| arrives.max(*before));
        queue.pieces.push_back((arrives, bytes));
        way.changed.notify_all();
    }
}

/// Writes pieces when they arrive.
fn write(shared: &Shared, way: &Way, mut to: &TcpStream, at: usize) -> std::io::Result<()> {
    loop {
        let (arrives, bytes) = {
            let mut queue = way.lock();
            loop {
                if let Some(piece) = queue.pieces.pop_front() {
                    break piece;
                }
                if queue.broken {
                    return Err(std::io::ErrorKind::ConnectionReset.into());
                }
                if queue.ended {
                    return to.shutdown(Shutdown::Write);
                }
                queue = way.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        };
        let split = wait(shared, at, arrives);
        let count = bytes.len();
        for piece in bytes.chunks(if split == 0 { count.max(1) } else { split }) {
            to.write_all(piece)?;
        }
        let breaks = {
            let mut weather = shared.lock();
            weather.passed += count as u64;
            let left = weather.reset_after.map(|left| left.saturating_sub(count as u64));
            weather.reset_after = left.filter(|left| *left > 0);
            left == Some(0)
        };
        if breaks {
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        way.lock().bytes -= count;
        way.changed.notify_all();
    }
}

/// Waits until bytes that arrive at this time pass; returns the size of pieces.
fn wait(shared: &Shared, at: usize, arrives: Instant) -> usize {
    let mut weather = shared.lock();
    let gathered = Instant::now() + weather.gather;
    loop {
        let now = Instant::now();
        let held = weather.held_until[at].unwrap_or(now);
        let lumped = if weather.gather.is_zero() { now } else { gathered };
        let until = arrives.max(held).max(lumped);
        if until <= now || weather.over {
            return weather.split;
        }
        weather = shared.changed.wait_timeout(weather, until - now).unwrap_or_else(PoisonError::into_inner).0;
    }
}

impl Weather {
    /// Changes bytes of a direction, if a change is due within them.
    fn change(&mut self, at: usize, bytes: &mut Vec<u8>) {
        let Some((with, way, before)) = self.tamper.filter(|(_, way, _)| *way == at) else { return };
        let Some(place) = usize::try_from(before).ok().filter(|place| *place < bytes.len()) else {
            self.tamper = Some((with, way, before - bytes.len() as u64));
            return;
        };
        self.tamper = None;
        let end = |count: u16| (place + usize::from(count)).min(bytes.len());
        match with {
            Tampering::Flip(bit) => bytes[place] ^= 1 << (bit % 8),
            Tampering::Drop(count) => drop(bytes.drain(place..end(count))),
            Tampering::Repeat(count) => {
                let again = bytes[place..end(count)].to_vec();
                bytes.splice(place..place, again);
            }
            Tampering::Forge(count) => drop(bytes.splice(place..place, vec![0x5a; usize::from(count)])),
            Tampering::Swap(count) => {
                let middle = end(count);
                let last = (middle + usize::from(count)).min(bytes.len());
                bytes[place..last].rotate_left(middle - place);
            }
        }
    }
}

/// Randomness of delays (SplitMix64).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % (limit + 1)
    }
}
