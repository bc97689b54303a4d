//! The bytes that a command reads: whoever calls it opens the file or the pipe, never the node.

use super::error::{ErrorCode, ServiceError};
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, channel};
use tokio::sync::mpsc;

/// The most bytes of a piece.
pub const PIECE_BYTES_MAX: usize = 256 * 1024;

/// Pieces that wait to be read. Whoever feeds more waits.
const PIECES_QUEUED: usize = 2;

/// A piece, or the end.
type Piece = Option<Vec<u8>>;

/// The end of an [`Input`] into which its bytes go. Dropped before [`Feed::end`], it breaks the input off.
#[derive(Debug, Clone)]
pub struct Feed(mpsc::Sender<Piece>);

/// Bytes that come piece by piece.
#[derive(Debug)]
pub struct Input {
    pieces: mpsc::Receiver<Piece>,
    ended: bool,
}

impl Feed {
    /// Hands over a piece. False when nobody reads any more.
    pub async fn send(&self, piece: Vec<u8>) -> bool {
        piece.is_empty() || self.0.send(Some(piece)).await.is_ok()
    }

    /// As [`Feed::send`], on a thread that may block.
    pub fn send_blocking(&self, piece: Vec<u8>) -> bool {
        piece.is_empty() || self.0.blocking_send(Some(piece)).is_ok()
    }

    /// Says that all was handed over.
    pub async fn end(self) {
        // Nobody may read any more.
        drop(self.0.send(None).await);
    }

    /// As [`Feed::end`], on a thread that may block.
    pub fn end_blocking(self) {
        drop(self.0.blocking_send(None));
    }
}

impl Input {
    /// Makes an input and where its bytes go in.
    pub fn new() -> (Feed, Self) {
        let (feed, pieces) = mpsc::channel(PIECES_QUEUED);
        (Feed(feed), Self { pieces, ended: false })
    }

    /// Makes an input of what a reader gives, which is read on a thread of its own. What goes wrong there comes through
    /// the channel, and breaks the input off.
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
                    // Nobody may want to know any more.
                    Err(error) => return drop(sender.send(error)),
                }
            }
        };
        let thread = std::thread::Builder::new().name("input".to_owned()).spawn(work);
        thread.map_err(|error| ServiceError::io("cannot start a thread", &error))?;
        Ok((input, receiver))
    }

    /// Waits for the next piece. `None` at the end.
    ///
    /// # Errors
    /// If it breaks off: whoever fed it is gone.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ServiceError> {
        if self.ended {
            return Ok(None);
        }
        let piece = self.pieces.recv().await;
        self.take(piece)
    }

    /// As [`Input::next`], on a thread that may block.
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
            None => Err(ServiceError::new(ErrorCode::Io, "the input broke off before its end")),
        }
    }
}
