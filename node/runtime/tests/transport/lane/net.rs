//! Clock and network of a host: tokio's paused clock, and turmoil's TCP behind a stream that reads and writes in
//! pieces.

use super::dice::Dice;
use super::host::Host;
use super::tape::Tape;
use cosmicsync_node::clock::Clock;
use cosmicsync_node::net::{Listener, Net};
use cosmicsync_protocol::time::Now;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use turmoil::net::{TcpListener, TcpStream};

/// The wall clock at the beginning of a run, in milliseconds since the Unix epoch.
const WALL_MS: u64 = 1_800_000_000_000;

/// The clock of a host while it runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SimClock {
    origin: Instant,
    origin_us: u64,
}

impl SimClock {
    /// Starts a clock. Must be called on the host.
    pub(crate) fn start(tape: &Tape) -> Self {
        Self { origin: Instant::now(), origin_us: tape.now_us() }
    }
}

impl Clock for SimClock {
    fn now(&self) -> Now {
        let elapsed_us = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mono_us = self.origin_us.saturating_add(elapsed_us);
        Now { mono_us, wall_ms: WALL_MS + mono_us / 1_000 }
    }

    fn sleep_until(&self, mono_us: u64) -> impl Future<Output = ()> + 'static {
        let after_us = mono_us.saturating_sub(self.origin_us);
        tokio::time::sleep_until(self.origin + Duration::from_micros(after_us))
    }
}

/// The network, as one host sees it.
#[derive(Debug, Clone)]
pub(crate) struct SimNet(pub(crate) Rc<Host>);

impl Net for SimNet {
    type Stream = Wire;
    type Listener = SimListener;

    async fn dial(&self, address: &str) -> io::Result<Wire> {
        let host = &self.0;
        host.tape.dialled(host.index);
        host.tape.note(host.index, format_args!("dials {address}"));
        match TcpStream::connect(address).await {
            Ok(stream) => Wire::new(host, stream, "dialled"),
            Err(error) => {
                host.tape.note(host.index, format_args!("{address}: {}", error.kind()));
                Err(error)
            }
        }
    }

    async fn bind(&self, address: SocketAddr) -> io::Result<SimListener> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await?;
        let address = SocketAddr::new(turmoil::lookup(self.0.name.as_str()), address.port());
        Ok(SimListener { listener, address, host: Rc::clone(&self.0) })
    }
}

/// A bound port of a host.
pub(crate) struct SimListener {
    listener: TcpListener,
    address: SocketAddr,
    host: Rc<Host>,
}

impl Listener for SimListener {
    type Stream = Wire;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    async fn accept(&mut self) -> io::Result<(Wire, SocketAddr)> {
        let (stream, from) = self.listener.accept().await?;
        self.host.tape.accepted(self.host.index);
        Ok((Wire::new(&self.host, stream, "accepted")?, from))
    }
}

/// A connection. Reads and writes are split into pieces, some of them tiny, and a slow host reads no faster than its
/// pace.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    host: Rc<Host>,
    /// The number of the host at the other end.
    peer: usize,
    ends: (SocketAddr, SocketAddr),
    dice: Dice,
    rest: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    fn new(host: &Rc<Host>, stream: TcpStream, how: &str) -> io::Result<Self> {
        let ends = (stream.local_addr()?, stream.peer_addr()?);
        let name = turmoil::reverse_lookup(ends.1.ip()).unwrap_or_default();
        let peer = name.trim_start_matches('h').parse().map_err(io::Error::other)?;
        host.tape.opened(host.index, peer);
        host.tape.note(host.index, format_args!("{how} {} {}", ends.0, ends.1));
        let dice = host.dice.borrow().child(&format!("wire {ends:?}"));
        Ok(Self { stream, host: Rc::clone(host), peer, ends, dice, rest: None })
    }

    /// Returns the size of the next read or write, in bytes.
    fn piece(&mut self) -> usize {
        let bytes = match self.dice.range(0, 15) {
            0 => self.dice.range(1, 4),
            1 | 2 => self.dice.range(5, 200),
            3..=8 => self.dice.range(201, 4_000),
            _ => self.dice.range(4_001, 64_000),
        };
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll(cx));
            self.rest = None;
        }
        let pace = self.host.pace.get();
        let mut piece = self.piece().min(buf.remaining());
        if let Some(pace) = pace {
            piece = piece.min(pace.bytes);
        }
        let mut bytes = vec![0; piece];
        let mut part = ReadBuf::new(&mut bytes);
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part));
        let count = part.filled().len();
        buf.put_slice(part.filled());
        let hash = blake3::hash(part.filled()).to_hex();
        let (tape, (to, from)) = (&self.host.tape, self.ends);
        tape.read(from, to, count);
        match &read {
            Ok(()) => tape.note(self.host.index, format_args!("read {count} of {from} {}", &hash[..8])),
            Err(error) => tape.note(self.host.index, format_args!("read of {from}: {}", error.kind())),
        }
        if let Some(pace) = pace {
            self.rest = Some(Box::pin(tokio::time::sleep_until(Instant::now() + pace.every)));
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let piece = self.piece().min(buf.len());
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &buf[..piece]));
        let (tape, (from, to)) = (&self.host.tape, self.ends);
        match &written {
            Ok(count) => {
                tape.written(from, to, *count);
                tape.note(self.host.index, format_args!("wrote {count} of {} to {to}", buf.len()));
            }
            Err(error) => tape.note(self.host.index, format_args!("write to {to}: {}", error.kind())),
        }
        Poll::Ready(written)
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
        self.host.tape.closed(self.host.index, self.peer, self.ends);
        self.host.tape.note(self.host.index, format_args!("drops {} {}", self.ends.0, self.ends.1));
    }
}
