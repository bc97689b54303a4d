//! The frames of the control socket: lines with one JSON object each, at most [`LINE_BYTES_MAX`] bytes.
//!
//! Binary data follows a line `{"bytes":N}` as N bytes: a command's input, which ends with an empty piece, and the
//! parts of a backup.
//!
//! Both sides first send a [`Hello`]. Then the client sends one command per line. The server answers each, in order,
//! with any number of `item` frames and one `reply` or `error`. A client cancels a command by closing the connection.
//! Specified in `docs/cli.md`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::error::ServiceError;
use super::input::{Feed, PIECE_BYTES_MAX};
use super::reply::{Item, Reply};
use cosmicsync_data::json::{self, JsonError};

/// The socket's name in the data directory.
pub const SOCKET_NAME: &str = "control.sock";

/// Version of this protocol. It increases if an old client could misunderstand a new server.
pub const PROTOCOL: u32 = 2;

/// Longest line that either side accepts, in bytes.
pub const LINE_BYTES_MAX: usize = 8 << 20;

/// The first line of either side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// The program's version, for display.
    pub(super) cosmicsync: String,
    /// Version of the protocol.
    pub(super) protocol: u32,
    /// The process id, for messages.
    pub(super) pid: u32,
}

impl Hello {
    pub(super) fn ours() -> Self {
        Self { cosmicsync: env!("CARGO_PKG_VERSION").to_owned(), protocol: PROTOCOL, pid: std::process::id() }
    }
}

/// A frame of the server, after its hello.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Frame {
    /// A part of the answer before the reply.
    Item(Item),
    /// Number of bytes that follow, before the reply.
    Bytes(usize),
    /// The command succeeded.
    Reply(Reply),
    /// The command failed.
    Error(ServiceError),
}

/// The line before a piece of an input.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Piece {
    bytes: usize,
}

/// Errors of reading a line.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// The other side closed the connection, perhaps within a line.
    #[error("the connection closed")]
    Closed,
    /// The line is too long.
    #[error("a line is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// The line is not the expected JSON.
    #[error("a line was not understood: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The line is JSON with a value that cannot be kept exactly.
    #[error("a line was not understood: {0}")]
    Json(JsonError),
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
}

/// Reads one line into `buffer`, which it clears first, and parses it.
pub(super) async fn read_line<T: DeserializeOwned>(
    reader: &mut (impl AsyncBufRead + Unpin),
    buffer: &mut Vec<u8>,
) -> Result<T, LineError> {
    take_line(reader, buffer).await?;
    Ok(serde_json::from_slice(buffer)?)
}

/// Levels of nesting in a command around its values.
const LEVELS_AROUND: usize = 4;

/// Reads a command. Its JSON is checked by the rules of every other interface: no duplicate key, no rounded number.
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

/// Reads the announced number of bytes.
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

/// Reads a command's input to its end, as fast as the command takes it.
pub(super) async fn read_input(reader: &mut (impl AsyncBufRead + Unpin), feed: Feed) -> Result<(), LineError> {
    let mut buffer = Vec::new();
    loop {
        let Piece { bytes } = read_line(reader, &mut buffer).await?;
        if bytes == 0 {
            feed.end().await;
            return Ok(());
        }
        let piece = read_piece(reader, bytes).await?;
        // The rest of the input must be read from the connection even if the command ignores it.
        feed.send(piece).await;
    }
}

/// Writes bytes, after a line that announces them.
pub(super) async fn write_piece(writer: &mut (impl AsyncWrite + Unpin), piece: &[u8]) -> Result<(), LineError> {
    for piece in piece.chunks(PIECE_BYTES_MAX) {
        write_line(writer, &Piece { bytes: piece.len() }).await?;
        writer.write_all(piece).await?;
    }
    Ok(())
}

/// Writes the end of an input.
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
