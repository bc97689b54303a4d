//! One socket, and the clocks in the core's form.

use cosmicsync_protocol::time::Now;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime};

/// Time for which a read waits for more bytes.
const PATIENCE: Duration = Duration::from_millis(3);
/// Longest time for a write, because the other side may have stopped reading.
const WRITE: Duration = Duration::from_millis(500);

/// A connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    /// True if the other side has closed the connection.
    pub(super) is_over: bool,
}

impl Wire {
    pub(super) fn dial(to: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, Duration::from_secs(10))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(WRITE))?;
        Ok(Self { stream, is_over: false })
    }

    /// Writes all bytes, unless the other side is gone or does not read.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() && self.stream.write_all(bytes).is_err() {
            self.is_over = true;
        }
    }

    /// Returns the available bytes; waits a moment for the first one.
    pub(super) fn read(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 256 * 1024];
        let read = match self.stream.read(&mut bytes) {
            Ok(0) => None,
            Ok(read) => Some(read),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Some(0),
            Err(_) => None,
        };
        self.is_over |= read.is_none();
        bytes.truncate(read.unwrap_or(0));
        bytes
    }
}

/// Returns the time of both clocks.
pub(super) fn now(since: Instant) -> Now {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Now { mono_us: since.elapsed().as_micros() as u64 + 1, wall_ms: wall.as_millis() as u64 }
}
