//! The input of a command. The caller opens the file or the pipe, never the node.

use super::error::{ErrorCode, ServiceError};
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, channel};
use tokio::sync::mpsc;

/// Largest size of a piece, in bytes.
pub const PIECE_BYTES_MAX: usize = 256 * 1024;

/// Number of pieces that wait to be read; a sender of more waits.
const PIECES_QUEUED: usize = 2;

/// A piece, or the end.
type Piece = Option<Vec<u8>>;

/// The sending end of an [`Input`]. Dropped without [`Feed::end`], it makes the input incomplete.
#[derive(Debug, Clone)]
pub struct Feed(mpsc::Sender<Piece>);

/// A stream of bytes, received in pieces.
#[derive(Debug)]
pub struct Input {
    pieces: mpsc::Receiver<Piece>,
    ended: bool,
}

impl Feed {
    /// Sends a piece. Returns false if the reader is gone.
    pub async fn send(&self, piece: Vec<u8>) -> bool {
        piece.is_empty() || self.0.send(Some(piece)).await.is_ok()
    }

    /// Sends a piece, on a thread that may block. See [`Feed::send`].
    pub fn send_blocking(&self, piece: Vec<u8>) -> bool {
        piece.is_empty() || self.0.blocking_send(Some(piece)).is_ok()
    }

    /// Declares the end of the input.
    pub async fn end(self) {
        // The reader may be gone already.
        drop(self.0.send(None).await);
    }

    /// Declares the end of the input, on a thread that may block.
    pub fn end_blocking(self) {
        drop(self.0.blocking_send(None));
    }
}

impl Input {
    /// Returns an input and its sending end.
    pub fn new() -> (Feed, Self) {
        let (feed, pieces) = mpsc::channel(PIECES_QUEUED);
        (Feed(feed), Self { pieces, ended: false })
    }

    /// Returns an input that reads from `reader` on a thread of its own. A read error comes through the channel and
    /// makes the input incomplete.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn of(mut reader: impl Read + Send + 'static) -> Result<(Self, Receiver<io::Error>), ServiceError> {
        let (feed, input) = Self::new();
        let (sender, receiver) = channel();
        let work = move || {
            let mut buffer = vec![0; PIECE_BYTES_MAX];
            loop {
                match reader.read(&mut buffer) {
                    Ok(0) => return feed.end_blocking(),
                    Ok(count) => {
                        if !feed.send_blocking(buffer[..count].to_vec()) {
                            return;
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // The receiver of errors may be gone already.
                    Err(error) => return drop(sender.send(error)),
                }
            }
        };
        let thread = std::thread::Builder::new().name("input".to_owned()).spawn(work);
        thread.map_err(|error| ServiceError::io("cannot start a thread", &error))?;
        Ok((input, receiver))
    }

    /// Waits for the next piece; returns `None` at the end.
    ///
    /// # Errors
    /// If the input is incomplete, because its sender is gone.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ServiceError> {
        if self.ended {
            return Ok(None);
        }
        let piece = self.pieces.recv().await;
        self.take(piece)
    }

    /// Waits for the next piece, on a thread that may block. See [`Input::next`].
    ///
    /// # Errors
    /// As [`Input::next`].
    pub fn next_blocking(&mut self) -> Result<Option<Vec<u8>>, ServiceError> {
        if self.ended {
            return Ok(None);
        }
        let piece = self.pieces.blocking_recv();
        self.take(piece)
    }

    fn take(&mut self, piece: Option<Piece>) -> Result<Option<Vec<u8>>, ServiceError> {
        match piece {
            Some(piece) => {
                self.ended = piece.is_none();
                Ok(piece)
            }
            None => Err(ServiceError::new(ErrorCode::Io, "the input ended early")),
        }
    }
}
