//! The network between processes: a TCP proxy on loopback for each link, which delays, holds, cuts and changes bytes.
//!
//! Each connection has four threads: a reader and a writer for each direction, with a bounded queue between them. The
//! link's [`Weather`] decides when bytes go on.

mod relay;

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cosmicsync_sim::plan::Tampering;
use socket2::SockRef;

/// Longest wait for a connection to a node.
const DIAL: Duration = Duration::from_secs(5);

/// State of a link.
#[derive(Debug, Default)]
struct Weather {
    /// Delay of a byte, one way.
    latency: Duration,
    /// Largest additional delay.
    jitter: Duration,
    /// Bytes a second in each direction; 0 means no limit.
    bandwidth: u64,
    /// Most bytes on their way in each direction.
    buffer: usize,
    /// Ends of stalls: bytes from the dialler, and to it.
    held_until: [Option<Instant>; 2],
    /// End of a time when dials fail at once.
    refused_until: Option<Instant>,
    /// End of a time when dials hang.
    unanswered_until: Option<Instant>,
    /// True while nobody may dial.
    down: bool,
    /// Largest piece that is delivered at once; 0 means any.
    split: usize,
    /// Interval of deliveries; zero means at once.
    gather: Duration,
    /// Number of further bytes before the connection breaks.
    reset_after: Option<u64>,
    /// A change of bytes, its direction, and the number of further bytes before it.
    tamper: Option<(Tampering, usize, u64)>,
    /// The node that is dialled; `None` while it does not run.
    target: Option<SocketAddr>,
    /// Connections that are up.
    connections: BTreeMap<u64, [TcpStream; 2]>,
    /// Number of connections so far.
    accepted: u64,
    /// Bytes that passed.
    passed: u64,
    /// True once the run is over.
    over: bool,
}

/// A link, shared by its threads.
#[derive(Debug, Default)]
struct Shared {
    weather: Mutex<Weather>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The proxy of a link. Dropping it closes all of its connections.
#[derive(Debug)]
pub(super) struct Proxy {
    /// The address to dial instead of the node.
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

/// Figures of a link.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Carried {
    /// Connections accepted.
    pub(super) connections: u64,
    /// Bytes that passed, both ways.
    pub(super) bytes: u64,
}

impl Proxy {
    /// Listens on a free port of loopback.
    pub(super) fn listen(seed: u64, buffer: usize) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        shared.lock().buffer = buffer.max(1);
        let of_threads = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &of_threads, seed));
        Ok(Self { address, shared })
    }

    /// Changes the link, and wakes whoever waits for the change.
    fn change(&self, change: impl FnOnce(&mut Weather)) {
        change(&mut self.shared.lock());
        self.shared.changed.notify_all();
    }

    /// Sets the node's address, or takes it away.
    pub(super) fn lead_to(&self, target: Option<SocketAddr>) {
        self.change(|weather| weather.target = target);
    }

    /// Sets delays and bandwidth.
    pub(super) fn quality(&self, latency: Duration, jitter: Duration, bandwidth: u64) {
        self.change(|weather| (weather.latency, weather.jitter, weather.bandwidth) = (latency, jitter, bandwidth));
    }

    /// Holds bytes back for a while: those from the dialler, those to it.
    pub(super) fn hold(&self, ways: [bool; 2], lasts: Duration) {
        let until = Instant::now() + lasts;
        self.change(|weather| {
            for (held, on) in weather.held_until.iter_mut().zip(ways) {
                *held = if on { Some(held.map_or(until, |held| held.max(until))) } else { *held };
            }
        });
    }

    /// Makes dials fail at once for a while.
    pub(super) fn refuse(&self, lasts: Duration) {
        self.change(|weather| weather.refused_until = Some(Instant::now() + lasts));
    }

    /// Leaves dials unanswered for a while.
    pub(super) fn leave_unanswered(&self, lasts: Duration) {
        self.change(|weather| weather.unanswered_until = Some(Instant::now() + lasts));
    }

    /// Takes the link down, or up again.
    pub(super) fn take_down(&self, down: bool) {
        self.change(|weather| {
            weather.down = down;
            if down {
                weather.cut();
            }
        });
    }

    /// Cuts deliveries into pieces; 0 ends that.
    pub(super) fn split(&self, bytes: usize) {
        self.change(|weather| weather.split = bytes);
    }

    /// Gathers bytes for this time before each delivery; zero ends that.
    pub(super) fn gather(&self, every: Duration) {
        self.change(|weather| weather.gather = every);
    }

    /// Breaks the connections with a reset, now or after this number of bytes.
    pub(super) fn reset(&self, after_bytes: u64) {
        self.change(|weather| {
            if after_bytes == 0 {
                weather.cut();
            } else {
                weather.reset_after = Some(after_bytes);
            }
        });
    }

    /// Changes bytes of one direction once: 0 is from the dialler, 1 to it.
    pub(super) fn tamper(&self, with: Tampering, way: usize, after_bytes: u64) {
        self.change(|weather| weather.tamper = Some((with, way, after_bytes)));
    }

    /// Ends all faults.
    pub(super) fn repair(&self) {
        self.change(|weather| {
            weather.held_until = [None; 2];
            (weather.refused_until, weather.unanswered_until, weather.reset_after) = (None, None, None);
            (weather.down, weather.split, weather.gather, weather.tamper) = (false, 0, Duration::ZERO, None);
        });
    }

    /// Returns the figures so far.
    pub(super) fn carried(&self) -> Carried {
        let weather = self.shared.lock();
        Carried { connections: weather.accepted, bytes: weather.passed }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.change(|weather| {
            weather.over = true;
            weather.cut();
        });
        // Wakes the thread that accepts. If the listener is gone, nothing waits.
        let _ = TcpStream::connect(self.address);
    }
}

impl Weather {
    /// Resets all connections.
    fn cut(&mut self) {
        for (_, ends) in std::mem::take(&mut self.connections) {
            ends.iter().for_each(reset);
        }
    }
}

/// Closes a socket with a reset rather than in good order.
fn reset(socket: &TcpStream) {
    // A socket that is closed already needs no reset.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
    let _ = socket.shutdown(Shutdown::Both);
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, seed: u64) {
    for number in 0u64.. {
        let Ok((dialler, _)) = listener.accept() else { return };
        if shared.lock().over {
            return;
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || serve(&shared, dialler, number, seed));
    }
}

/// Connects a dialler with the node, once the link lets it.
fn serve(shared: &Arc<Shared>, dialler: TcpStream, number: u64, seed: u64) {
    let Some(target) = admitted(shared) else { return reset(&dialler) };
    let Ok(node) = TcpStream::connect_timeout(&target, DIAL) else { return reset(&dialler) };
    let ends = [dialler, node];
    // Sockets of loopback have no reason to refuse these; without them the connection is of no use.
    let copies = ends.each_ref().map(TcpStream::try_clone);
    let [Ok(a), Ok(b)] = copies else { return ends.iter().for_each(reset) };
    if ends.iter().any(|end| end.set_nodelay(true).is_err()) {
        return ends.iter().for_each(reset);
    }
    {
        let mut weather = shared.lock();
        if weather.over || weather.down {
            return ends.iter().for_each(reset);
        }
        weather.accepted += 1;
        weather.connections.insert(number, [a, b]);
    }
    relay::run(shared, &ends, number, seed);
    if let Some(ends) = shared.lock().connections.remove(&number) {
        ends.iter().for_each(|end| drop(end.shutdown(Shutdown::Both)));
    }
}

/// Waits while dials hang; returns the node's address, or `None` if the dial fails.
fn admitted(shared: &Shared) -> Option<SocketAddr> {
    let mut weather = shared.lock();
    loop {
        let now = Instant::now();
        let later = |until: Option<Instant>| until.is_some_and(|until| until > now);
        if weather.over || weather.down || later(weather.refused_until) {
            return None;
        }
        let holds = [weather.unanswered_until, weather.held_until[0], weather.held_until[1]];
        let Some(until) = holds.into_iter().flatten().filter(|until| *until > now).max() else {
            return weather.target;
        };
        let waited = shared.changed.wait_timeout(weather, until - now);
        weather = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

#[cfg(test)]
mod tests;
