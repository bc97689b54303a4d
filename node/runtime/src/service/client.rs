//! A client of a node in another process, over its control socket (`docs/cli.md`).

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::command::Command;
use super::error::{ErrorCode, ServiceError};
use super::frame::{
    Frame, Hello, LineError, PROTOCOL, SOCKET_NAME, read_line, read_piece, write_end, write_line, write_piece,
};
use super::input::Input;
use super::{Answer, Backend, Item, Reply};

/// Errors of connecting if no daemon is running. `InvalidInput`: the path is too long for a socket, so none can exist.
const NOBODY_THERE: [ErrorKind; 4] =
    [ErrorKind::NotFound, ErrorKind::ConnectionRefused, ErrorKind::NotADirectory, ErrorKind::InvalidInput];

/// A client of a daemon. Each call in progress has a connection of its own, and one idle connection is kept for the next
/// call. The daemon admits 64 connections; a call beyond them fails as `unavailable`.
///
/// A dropped call closes its connection, which cancels the command.
#[derive(Debug)]
pub struct Client {
    dial: Box<dyn Dial>,
    idle: Mutex<Option<Wire>>,
}

/// Both directions of a connection.
pub type Halves = (Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>);

/// A connection being made; resolves to none if no process listens.
pub type Dialled<'a> = Pin<Box<dyn Future<Output = Result<Option<Halves>, ServiceError>> + Send + 'a>>;

/// A means of connecting to a node in another process.
pub trait Dial: fmt::Debug + Send + Sync {
    /// Connects.
    fn dial(&self) -> Dialled<'_>;

    /// Returns the next step for a node of another version, which runs as process `pid`.
    fn mend_version(&self, pid: u32) -> String;
}

/// The control socket at a path.
#[derive(Debug)]
struct Socket(PathBuf);

impl Dial for Socket {
    fn dial(&self) -> Dialled<'_> {
        Box::pin(async {
            match UnixStream::connect(&self.0).await {
                Ok(stream) => {
                    let (reader, writer) = stream.into_split();
                    Ok(Some((Box::new(reader) as _, Box::new(writer) as _)))
                }
                Err(error) if NOBODY_THERE.contains(&error.kind()) => Ok(None),
                Err(error) => Err(ServiceError::io(format!("cannot reach the daemon at {}", self.0.display()), &error)),
            }
        })
    }

    fn mend_version(&self, pid: u32) -> String {
        format!("kill {pid}")
    }
}

struct Wire {
    reader: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    buffer: Vec<u8>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to the daemon of a data directory.
    ///
    /// # Errors
    /// `unavailable`, if no daemon is running there, or if it speaks another version of the protocol.
    pub async fn connect(dir: &Path) -> Result<Self, ServiceError> {
        let client = Self::find(dir).await?;
        client.ok_or_else(|| {
            ServiceError::new(ErrorCode::Unavailable, "no daemon runs for this data directory").next("cosmicsync up")
        })
    }

    /// Connects to the daemon of a data directory; returns none if no daemon is running. Fails like [`Client::connect`]
    /// otherwise.
    pub async fn find(dir: &Path) -> Result<Option<Self>, ServiceError> {
        Self::over(Box::new(Socket(dir.join(SOCKET_NAME)))).await
    }

    /// Connects by other means. Returns none if no process listens.
    pub async fn over(dial: Box<dyn Dial>) -> Result<Option<Self>, ServiceError> {
        let wire = Wire::open(&*dial).await?;
        Ok(wire.map(|wire| Self { dial, idle: Mutex::new(Some(wire)) }))
    }

    async fn exchange(
        &self,
        command: Command,
        input: Option<Input>,
        items: mpsc::Sender<Item>,
    ) -> Result<Reply, ServiceError> {
        // A call takes the idle connection, or makes one: calls do not wait for each other. A call that is dropped midway
        // closes its connection.
        let idle = self.idle().take();
        let mut wire = match idle {
            Some(wire) => wire,
            None => Wire::open(&*self.dial).await?.ok_or_else(|| line_error(&LineError::Closed))?,
        };
        let (result, whole) = match input {
            None => (wire.call(&command, &items).await, true),
            Some(input) => wire.call_reading(&command, input, &items).await,
        };
        let result = result.map_err(|error| line_error(&error))?;
        // After an incomplete input, the connection cannot carry another command.
        if whole {
            *self.idle() = Some(wire);
        }
        result
    }

    fn idle(&self) -> MutexGuard<'_, Option<Wire>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Client {
    fn call(&self, command: Command, items: mpsc::Sender<Item>) -> Answer<'_> {
        Box::pin(self.exchange(command, None, items))
    }

    fn call_reading(&self, command: Command, input: Input, items: mpsc::Sender<Item>) -> Answer<'_> {
        Box::pin(self.exchange(command, Some(input), items))
    }
}

impl Wire {
    /// Connects and exchanges hellos; returns none if no process listens.
    async fn open(dial: &dyn Dial) -> Result<Option<Self>, ServiceError> {
        let Some((reader, writer)) = dial.dial().await? else { return Ok(None) };
        let mut wire = Self { reader: BufReader::new(reader), writer, buffer: Vec::new() };
        let hello: Hello = read_line(&mut wire.reader, &mut wire.buffer).await.map_err(|error| line_error(&error))?;
        if hello.protocol != PROTOCOL {
            let message = format!(
                "the daemon is version {} (socket protocol {}), this command line is {} (protocol {PROTOCOL})",
                hello.cosmicsync,
                hello.protocol,
                env!("CARGO_PKG_VERSION")
            );
            return Err(ServiceError::new(ErrorCode::Unavailable, message).next(dial.mend_version(hello.pid)));
        }
        // A daemon that refuses the client has closed already; the first call reads the reason.
        let _ = write_line(&mut wire.writer, &Hello::ours()).await;
        Ok(Some(wire))
    }

    async fn call(
        &mut self,
        command: &Command,
        items: &mpsc::Sender<Item>,
    ) -> Result<Result<Reply, ServiceError>, LineError> {
        // A daemon that refuses the client sends a reason and closes, so its answer takes precedence over the failed
        // write.
        let sent = write_line(&mut self.writer, command).await;
        if let Err(error @ (LineError::TooLong | LineError::Malformed(_))) = sent {
            return Err(error);
        }
        replied(&mut self.reader, &mut self.buffer, items).await
    }

    /// Sends an input after the command while it waits for the reply. Also returns whether all of the input was sent.
    async fn call_reading(
        &mut self,
        command: &Command,
        mut input: Input,
        items: &mpsc::Sender<Item>,
    ) -> (Result<Result<Reply, ServiceError>, LineError>, bool) {
        if let Err(error @ (LineError::TooLong | LineError::Malformed(_))) = write_line(&mut self.writer, command).await
        {
            return (Err(error), false);
        }
        let Self { reader, writer, buffer } = self;
        let feeding = async move {
            while let Some(piece) = input.next().await? {
                if write_piece(writer, &piece).await.is_err() {
                    // The daemon closed the connection, and may have sent a reason.
                    return Ok(false);
                }
            }
            Ok::<_, ServiceError>(write_end(writer).await.is_ok())
        };
        let replied = replied(reader, buffer, items);
        tokio::pin!(feeding, replied);
        let whole = tokio::select! {
            biased;
            result = &mut replied => return (result, false),
            fed = &mut feeding => match fed {
                Ok(whole) => whole,
                Err(broken) => return (Ok(Err(broken)), false),
            },
        };
        (replied.await, whole)
    }
}

/// Reads up to the reply. Items without a receiver are discarded, and the command continues.
async fn replied(
    reader: &mut BufReader<impl AsyncRead + Unpin>,
    buffer: &mut Vec<u8>,
    items: &mpsc::Sender<Item>,
) -> Result<Result<Reply, ServiceError>, LineError> {
    loop {
        match read_line(reader, buffer).await? {
            Frame::Item(item) => drop(items.send(item).await),
            Frame::Bytes(bytes) => {
                let piece = read_piece(reader, bytes).await?;
                drop(items.send(Item::Bytes(piece)).await);
            }
            Frame::Reply(reply) => return Ok(Ok(reply)),
            Frame::Error(error) => return Ok(Err(error)),
        }
    }
}

fn line_error(error: &LineError) -> ServiceError {
    match error {
        LineError::Closed => {
            ServiceError::new(ErrorCode::Unavailable, "the daemon closed the connection before it answered")
                .next("cosmicsync status")
        }
        LineError::TooLong => ServiceError::new(ErrorCode::Refused, error.to_string()),
        LineError::Malformed(_) | LineError::Json(_) => ServiceError::new(ErrorCode::Internal, error.to_string()),
        LineError::Io(_) => ServiceError::new(ErrorCode::Unavailable, error.to_string()).next("cosmicsync status"),
    }
}
