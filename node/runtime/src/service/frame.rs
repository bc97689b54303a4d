//! Lines on the socket: one JSON object each, at most [`LINE_BYTES_MAX`].
//!
//! Both sides first send a [`Hello`]. Then the client sends a command a line; the server answers each, in order, with any number of
//! `item` frames and one `reply` or `error`. A client cancels a command by closing the connection.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::error::ServiceError;
use super::reply::{Item, Reply};

/// The socket's name within the data directory.
pub const SOCKET_NAME: &str = "control.sock";

/// Version of this exchange. It goes up when an old client could misunderstand a new server.
pub const PROTOCOL: u32 = 1;

/// The longest line either side accepts.
pub const LINE_BYTES_MAX: usize = 8 << 20;

/// The first line of either side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// The program's version, for people.
    pub(super) cosmicsync: String,
    /// Version of the exchange.
    pub(super) protocol: u32,
    /// The process, so that a message can name it.
    pub(super) pid: u32,
}

impl Hello {
    pub(super) fn ours() -> Self {
        Self { cosmicsync: env!("CARGO_PKG_VERSION").to_owned(), protocol: PROTOCOL, pid: std::process::id() }
    }
}

/// What the server sends after its hello.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Frame {
    /// Something before the reply.
    Item(Item),
    /// The command succeeded.
    Reply(Reply),
    /// The command failed.
    Error(ServiceError),
}

/// Why no line came.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// The other side closed, perhaps within a line.
    #[error("the connection closed")]
    Closed,
    /// The line is too long.
    #[error("a line is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// The line is not what was expected.
    #[error("a line was not understood: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
}

/// Reads one line into `buffer` (cleared first) and parses it.
pub(super) async fn read_line<T: DeserializeOwned>(
    reader: &mut (impl AsyncBufRead + Unpin),
    buffer: &mut Vec<u8>,
) -> Result<T, LineError> {
    buffer.clear();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    reader.take(limit + 1).read_until(b'\n', buffer).await?;
    match buffer.last() {
        Some(b'\n') => Ok(serde_json::from_slice(buffer)?),
        _ if buffer.len() > LINE_BYTES_MAX => Err(LineError::TooLong),
        _ => Err(LineError::Closed),
    }
}

/// Writes one value as a line.
pub(super) async fn write_line(
    writer: &mut (impl AsyncWrite + Unpin),
    value: &impl Serialize,
) -> Result<(), LineError> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    if line.len() > LINE_BYTES_MAX {
        return Err(LineError::TooLong);
    }
    writer.write_all(&line).await?;
    Ok(())
}
