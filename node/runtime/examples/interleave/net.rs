//! Clock and network of a host: madsim's clock, and pipes in memory whose ends yield and take pieces at random.

use super::dice::Dice;
use super::host::{Host, PORT, find, now_us};
use cosmicsync_node::clock::Clock;
use cosmicsync_node::net::{Listener, Net};
use cosmicsync_node::tasks::sleep;
use cosmicsync_protocol::time::Now;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;

/// The wall clock at the beginning of a run, in milliseconds since the Unix epoch.
const WALL_MS: u64 = 1_800_000_000_000;
/// Longest time of one half of a dial, in microseconds.
const DIAL_US: u64 = 3_000;

/// The clock of all hosts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SimClock;

impl Clock for SimClock {
    fn now(&self) -> Now {
        let mono_us = now_us();
        Now { mono_us, wall_ms: WALL_MS + mono_us / 1_000 }
    }

    fn sleep_until(&self, mono_us: u64) -> impl Future<Output = ()> + 'static {
        // Nothing sleeps longer than a run.
        let after_us = mono_us.saturating_sub(now_us()).min(1 << 40);
        sleep(Duration::from_micros(after_us))
    }
}

/// An arriving connection: the accepting end, and the dialler.
type Arrival = (DuplexStream, usize);

/// The accepting side of a host; `None` while nothing listens.
#[derive(Debug, Default)]
pub(crate) struct Port(std::cell::RefCell<Option<mpsc::UnboundedSender<Arrival>>>);

/// The network, as one host sees it.
#[derive(Debug, Clone)]
pub(crate) struct SimNet(pub(crate) Rc<Host>);

impl Net for SimNet {
    type Stream = Wire;
    type Listener = SimListener;

    async fn dial(&self, address: &str) -> io::Result<Wire> {
        let host = &self.0;
        host.tape.dialled(host.index);
        host.note(format_args!("dials {address}"));
        let (before_us, after_us, bytes) = {
            let mut dice = host.dice.borrow_mut();
            (dice.range(0, DIAL_US), dice.range(0, DIAL_US), dice.range(1, 64 * 1024))
        };
        sleep(Duration::from_micros(before_us)).await;
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let peer = number_of(address).and_then(find).ok_or_else(refused)?;
        let (ours, theirs) = tokio::io::duplex(usize::try_from(bytes).unwrap_or(1));
        let sender = peer.port.0.borrow().clone().ok_or_else(refused)?;
        sender.send((theirs, host.index)).map_err(|_| refused())?;
        sleep(Duration::from_micros(after_us)).await;
        Ok(Wire::new(host, ours, peer.index))
    }

    async fn bind(&self, _: SocketAddr) -> io::Result<SimListener> {
        let (sender, arrivals) = mpsc::unbounded_channel();
        *self.0.port.0.borrow_mut() = Some(sender);
        Ok(SimListener { arrivals, host: Rc::clone(&self.0) })
    }
}

/// A bound port of a host.
#[derive(Debug)]
pub(crate) struct SimListener {
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    host: Rc<Host>,
}

impl Listener for SimListener {
    type Stream = Wire;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(address(self.host.index))
    }

    async fn accept(&mut self) -> io::Result<(Wire, SocketAddr)> {
        let arrival = self.arrivals.recv().await;
        let (stream, from) = arrival.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
        self.host.note(format_args!("accepts h{from}"));
        Ok((Wire::new(&self.host, stream, from), address(from)))
    }
}

/// Returns the number of the host with this address, a name or that of an invite.
fn number_of(named: &str) -> Option<usize> {
    let name = named.strip_suffix(&format!(":{PORT}"))?;
    match name.strip_prefix('h') {
        Some(number) => number.parse().ok(),
        None => name.rsplit_once('.')?.1.parse::<usize>().ok()?.checked_sub(1),
    }
}

fn address(host: usize) -> SocketAddr {
    let last = u8::try_from(host + 1).unwrap_or(u8::MAX);
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, last), PORT))
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: DuplexStream,
    host: Rc<Host>,
    peer: usize,
    dice: Dice,
    yielded: bool,
}

impl Wire {
    fn new(host: &Rc<Host>, stream: DuplexStream, peer: usize) -> Self {
        host.tape.opened(host.index, peer);
        let label = host.dice.borrow_mut().range(0, u64::MAX - 1);
        let dice = host.dice.borrow().child(&format!("wire {label}"));
        Self { stream, host: Rc::clone(host), peer, dice, yielded: false }
    }

    /// Lets other tasks run first, now and then.
    fn poll_turn(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.yielded = !self.yielded && self.dice.one_in(3);
        if self.yielded {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Returns the size of the next read or write, in bytes.
    fn piece(&mut self) -> usize {
        let most = if self.dice.one_in(4) { 16 } else { 16_384 };
        usize::try_from(self.dice.range(1, most)).unwrap_or(1)
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_turn(cx));
        let mut bytes = vec![0; self.piece().min(buf.remaining())];
        let mut part = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        buf.put_slice(part.filled());
        let count = part.filled().len();
        self.host.tape.count(|counts| counts.bytes += count as u64);
        let hash = blake3::hash(part.filled()).to_hex();
        self.host.note(format_args!("reads {count} of h{} {}", self.peer, &hash[..8]));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(cx));
        let piece = self.piece().min(buf.len());
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &buf[..piece]))?;
        self.host.note(format_args!("writes {written} to h{}", self.peer));
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let nowhere = address(self.host.index);
        self.host.tape.closed(self.host.index, self.peer, (nowhere, nowhere));
        self.host.note(format_args!("drops its link to h{}", self.peer));
    }
}
