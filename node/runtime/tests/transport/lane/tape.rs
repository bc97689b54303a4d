//! The record of a run: a hash of all events in order, and their lines if requested.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Arguments;
use std::net::SocketAddr;
use std::rc::Rc;

/// Counters of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Virtual time, in milliseconds.
    pub(crate) virtual_ms: u64,
    /// Number of answered commands.
    pub(crate) answered: u64,
    /// Number of comparisons by oracles.
    pub(crate) checks: u64,
    /// Number of faults of network, hosts and stores.
    pub(crate) faults: u64,
    /// Number of bytes read from streams.
    pub(crate) bytes: u64,
    /// Number of connections made.
    pub(crate) connections: u64,
}

/// The open streams of the drivers.
#[derive(Debug, Default)]
struct Streams {
    /// Number of streams from each host to each other one.
    open: BTreeMap<(usize, usize), usize>,
    /// Number of bytes written and not read, by direction.
    under_way: BTreeMap<(SocketAddr, SocketAddr), u64>,
    under_way_max: u64,
}

#[derive(Debug, Default)]
struct Inner {
    hasher: RefCell<blake3::Hasher>,
    lines: RefCell<Vec<String>>,
    keeps_lines: bool,
    now_us: Cell<u64>,
    counts: Cell<Counts>,
    streams: RefCell<Streams>,
    /// Time of the last dialled or accepted connection, by host.
    dialled_us: RefCell<BTreeMap<usize, u64>>,
    /// Number of dials, by host.
    dials: RefCell<BTreeMap<usize, u64>>,
}

/// The record of a run. Described on the module's page.
#[derive(Debug, Clone)]
pub(crate) struct Tape(Rc<Inner>);

impl Tape {
    pub(crate) fn new(keeps_lines: bool) -> Self {
        Self(Rc::new(Inner { keeps_lines, ..Inner::default() }))
    }

    /// Returns the virtual time at which this step of the simulation began, in microseconds.
    pub(crate) fn now_us(&self) -> u64 {
        self.0.now_us.get()
    }

    /// Begins a step.
    pub(crate) fn set_now(&self, now_us: u64) {
        self.0.now_us.set(now_us);
        self.count(|counts| counts.virtual_ms = now_us / 1_000);
    }

    /// Records an event of a host.
    pub(crate) fn note(&self, host: usize, what: Arguments<'_>) {
        let line = format!("{:>12} h{host} {what}", self.now_us());
        self.0.hasher.borrow_mut().update(line.as_bytes()).update(b"\n");
        if self.0.keeps_lines {
            self.0.lines.borrow_mut().push(line);
        }
    }

    /// Updates the counters.
    pub(crate) fn count(&self, more: impl FnOnce(&mut Counts)) {
        let mut counts = self.0.counts.get();
        more(&mut counts);
        self.0.counts.set(counts);
    }

    /// Records a dial.
    pub(crate) fn dialled(&self, host: usize) {
        *self.0.dials.borrow_mut().entry(host).or_default() += 1;
        self.accepted(host);
    }

    /// Records an accepted connection.
    pub(crate) fn accepted(&self, host: usize) {
        self.0.dialled_us.borrow_mut().insert(host, self.now_us());
    }

    /// Returns the number of a host's dials.
    pub(crate) fn dials(&self, host: usize) -> u64 {
        self.0.dials.borrow().get(&host).copied().unwrap_or_default()
    }

    /// Returns the time of a host's last dialled or accepted connection.
    pub(crate) fn last_dialled_us(&self, host: usize) -> u64 {
        self.0.dialled_us.borrow().get(&host).copied().unwrap_or_default()
    }

    /// Records a stream that was opened at a host.
    pub(crate) fn opened(&self, host: usize, peer: usize) {
        *self.0.streams.borrow_mut().open.entry((host, peer)).or_default() += 1;
        self.count(|counts| counts.connections += 1);
    }

    /// Records a stream that a host dropped.
    pub(crate) fn closed(&self, host: usize, peer: usize, pair: (SocketAddr, SocketAddr)) {
        let mut streams = self.0.streams.borrow_mut();
        if let Some(open) = streams.open.get_mut(&(host, peer)) {
            *open -= 1;
        }
        streams.under_way.remove(&pair);
        streams.under_way.remove(&(pair.1, pair.0));
    }

    /// Returns the number of streams from a host to another one, or to all.
    pub(crate) fn streams(&self, host: usize, peer: Option<usize>) -> usize {
        let streams = self.0.streams.borrow();
        let of = streams.open.iter().filter(|((at, to), _)| *at == host && peer.is_none_or(|peer| peer == *to));
        of.map(|(_, open)| open).sum()
    }

    /// Records bytes that the network took.
    pub(crate) fn written(&self, from: SocketAddr, to: SocketAddr, bytes: usize) {
        let mut streams = self.0.streams.borrow_mut();
        let under_way = streams.under_way.entry((from, to)).or_default();
        *under_way += bytes as u64;
        let most = *under_way;
        streams.under_way_max = streams.under_way_max.max(most);
    }

    /// Records bytes that a driver received.
    pub(crate) fn read(&self, from: SocketAddr, to: SocketAddr, bytes: usize) {
        self.count(|counts| counts.bytes += bytes as u64);
        if let Some(under_way) = self.0.streams.borrow_mut().under_way.get_mut(&(from, to)) {
            *under_way = under_way.saturating_sub(bytes as u64);
        }
    }

    /// Returns the largest number of bytes in transit in one direction of a stream.
    pub(crate) fn under_way_max(&self) -> u64 {
        self.0.streams.borrow().under_way_max
    }

    /// Returns the hash, the lines and the counters.
    pub(crate) fn finish(&self) -> (String, Vec<String>, Counts) {
        let hash = self.0.hasher.borrow().finalize().to_hex().to_string();
        (hash, self.0.lines.take(), self.0.counts.get())
    }
}
