//! Lines on the socket: one JSON object each, at most [`LINE_BYTES_MAX`].
//!
//! Bytes that are no text follow a line `{"bytes":N}`, as many as it says: an input behind its command, up to a piece of none,
//! and the pieces of a backup.
//!
//! Both sides first send a [`Hello`]. Then the client sends a command a line; the server answers each, in order, with any number of
//! `item` frames and one `reply` or `error`. A client cancels a command by closing the connection.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::error::ServiceError;
use super::input::{Feed, PIECE_BYTES_MAX};
use super::reply::{Item, Reply};
use cosmicsync_data::json::{self, JsonError};

/// The socket's name within the data directory.
pub const SOCKET_NAME: &str = "control.sock";

/// Version of this exchange. It goes up when an old client could misunderstand a new server.
pub const PROTOCOL: u32 = 2;

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
    /// So many bytes before the reply; they follow.
    Bytes(usize),
    /// The command succeeded.
    Reply(Reply),
    /// The command failed.
    Error(ServiceError),
}

/// What stands before bytes of an input.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Piece {
    bytes: usize,
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
    /// The line is JSON that says more than can be kept, or less than it seems to.
    #[error("a line was not understood: {0}")]
    Json(JsonError),
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
}

/// Reads one line into `buffer` (cleared first) and parses it.
pub(super) async fn read_line<T: DeserializeOwned>(
    reader: &mut (impl AsyncBufRead + Unpin),
    buffer: &mut Vec<u8>,
) -> Result<T, LineError> {
    take_line(reader, buffer).await?;
    Ok(serde_json::from_slice(buffer)?)
}

/// Levels of a command around the values in it.
const LEVELS_AROUND: usize = 4;

/// Reads a command likewise. What it says is taken by the rules of every other door: no key twice, no number rounded.
pub(super) async fn read_command<T: DeserializeOwned>(
    reader: &mut (impl AsyncBufRead + Unpin),
    buffer: &mut Vec<u8>,
) -> Result<T, LineError> {
    take_line(reader, buffer).await?;
    json::check(buffer, LEVELS_AROUND).map_err(|error| match error {
        JsonError::Syntax(error) => LineError::Malformed(error),
        error @ (JsonError::BigInteger { .. } | JsonError::BeyondDouble { .. } | JsonError::TooDeep) => {
            LineError::Json(error)
        }
    })?;
    Ok(serde_json::from_slice(buffer)?)
}

async fn take_line(reader: &mut (impl AsyncBufRead + Unpin), buffer: &mut Vec<u8>) -> Result<(), LineError> {
    buffer.clear();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    reader.take(limit + 1).read_until(b'\n', buffer).await?;
    match buffer.last() {
        Some(b'\n') => Ok(()),
        _ if buffer.len() > LINE_BYTES_MAX => Err(LineError::TooLong),
        _ => Err(LineError::Closed),
    }
}

/// Reads as many bytes as were announced.
pub(super) async fn read_piece(reader: &mut (impl AsyncBufRead + Unpin), bytes: usize) -> Result<Vec<u8>, LineError> {
    if bytes > PIECE_BYTES_MAX {
        return Err(LineError::TooLong);
    }
    let mut piece = vec![0; bytes];
    match reader.read_exact(&mut piece).await {
        Ok(_) => Ok(piece),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(LineError::Closed),
        Err(error) => Err(error.into()),
    }
}

/// Reads the input behind a command to its end, as fast as it is taken.
pub(super) async fn read_input(reader: &mut (impl AsyncBufRead + Unpin), feed: Feed) -> Result<(), LineError> {
    let mut buffer = Vec::new();
    loop {
        let Piece { bytes } = read_line(reader, &mut buffer).await?;
        if bytes == 0 {
            feed.end().await;
            return Ok(());
        }
        let piece = read_piece(reader, bytes).await?;
        // What nobody reads any more still has to come off the connection.
        feed.send(piece).await;
    }
}

/// Writes bytes behind a line that announces them.
pub(super) async fn write_piece(writer: &mut (impl AsyncWrite + Unpin), piece: &[u8]) -> Result<(), LineError> {
    for piece in piece.chunks(PIECE_BYTES_MAX) {
        write_line(writer, &Piece { bytes: piece.len() }).await?;
        writer.write_all(piece).await?;
    }
    Ok(())
}

/// Writes that an input has ended.
pub(super) async fn write_end(writer: &mut (impl AsyncWrite + Unpin)) -> Result<(), LineError> {
    write_line(writer, &Piece { bytes: 0 }).await
}

/// Writes an item.
pub(super) async fn write_item(writer: &mut (impl AsyncWrite + Unpin), item: Item) -> Result<(), LineError> {
    if let Item::Bytes(piece) = item {
        return write_piece(writer, &piece).await;
    }
    write_line(writer, &Frame::Item(item)).await
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
