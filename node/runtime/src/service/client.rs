//! A node in another process, reached by its control socket.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, mpsc};

use super::command::Command;
use super::error::{ErrorCode, ServiceError};
use super::frame::{Frame, Hello, LineError, PROTOCOL, SOCKET_NAME, read_line, write_line};
use super::{Answer, Backend, Item, Reply};

/// How connecting fails when no daemon runs. Invalid: the path is too long for any socket, so none can be there.
const NOBODY_THERE: [ErrorKind; 4] =
    [ErrorKind::NotFound, ErrorKind::ConnectionRefused, ErrorKind::NotADirectory, ErrorKind::InvalidInput];

/// A connection to a daemon. Calls on one client run one after the other; open several for more at once.
///
/// A call that is dropped closes the connection, which cancels the command; the next call opens a new one.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    wire: Mutex<Option<Wire>>,
}

#[derive(Debug)]
struct Wire {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects to the daemon of a data directory.
    ///
    /// Fails with `unavailable` when none runs there, or when it speaks another version of the exchange.
    pub async fn connect(dir: &Path) -> Result<Self, ServiceError> {
        let client = Self::find(dir).await?;
        client.ok_or_else(|| {
            ServiceError::new(ErrorCode::Unavailable, "no daemon runs for this data directory").next("cosmicsync up")
        })
    }

    /// Connects to the daemon of a data directory if one runs there, and fails like [`Client::connect`] if that does not work.
    pub async fn find(dir: &Path) -> Result<Option<Self>, ServiceError> {
        let path = dir.join(SOCKET_NAME);
        let wire = Wire::open(&path).await?;
        Ok(wire.map(|wire| Self { path, wire: Mutex::new(Some(wire)) }))
    }

    async fn exchange(&self, command: Command, items: mpsc::Sender<Item>) -> Result<Reply, ServiceError> {
        let mut slot = self.wire.lock().await;
        // Taken out, so that a call dropped half-way leaves none behind and closes it.
        let mut wire = match slot.take() {
            Some(wire) => wire,
            None => Wire::open(&self.path).await?.ok_or_else(|| line_error(&LineError::Closed))?,
        };
        let result = wire.call(&command, &items).await.map_err(|error| line_error(&error))?;
        *slot = Some(wire);
        result
    }
}

impl Backend for Client {
    fn call(&self, command: Command, items: mpsc::Sender<Item>) -> Answer<'_> {
        Box::pin(self.exchange(command, items))
    }
}

impl Wire {
    /// Connects and greets; none when nobody listens there.
    async fn open(path: &Path) -> Result<Option<Self>, ServiceError> {
        let stream = match UnixStream::connect(path).await {
            Ok(stream) => stream,
            Err(error) if NOBODY_THERE.contains(&error.kind()) => return Ok(None),
            Err(error) => {
                return Err(ServiceError::io(format!("cannot reach the daemon at {}", path.display()), &error));
            }
        };
        let (reader, writer) = stream.into_split();
        let mut wire = Self { reader: BufReader::new(reader), writer, buffer: Vec::new() };
        let hello: Hello = read_line(&mut wire.reader, &mut wire.buffer).await.map_err(|error| line_error(&error))?;
        if hello.protocol != PROTOCOL {
            let message = format!(
                "the daemon is version {} (socket protocol {}), this command line is {} (protocol {PROTOCOL})",
                hello.cosmicsync,
                hello.protocol,
                env!("CARGO_PKG_VERSION")
            );
            return Err(ServiceError::new(ErrorCode::Unavailable, message).next(format!("kill {}", hello.pid)));
        }
        // A daemon that refuses us has closed already; the first call reads why.
        let _ = write_line(&mut wire.writer, &Hello::ours()).await;
        Ok(Some(wire))
    }

    async fn call(
        &mut self,
        command: &Command,
        items: &mpsc::Sender<Item>,
    ) -> Result<Result<Reply, ServiceError>, LineError> {
        // A daemon that refuses us says why and closes: its answer counts, not our failed write.
        let sent = write_line(&mut self.writer, command).await;
        if let Err(error @ (LineError::TooLong | LineError::Malformed(_))) = sent {
            return Err(error);
        }
        loop {
            match read_line(&mut self.reader, &mut self.buffer).await? {
                // Nobody wants the items: they are discarded and the command goes on.
                Frame::Item(item) => drop(items.send(item).await),
                Frame::Reply(reply) => return Ok(Ok(reply)),
                Frame::Error(error) => return Ok(Err(error)),
            }
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
        LineError::Malformed(_) => ServiceError::new(ErrorCode::Internal, error.to_string()),
        LineError::Io(_) => ServiceError::new(ErrorCode::Unavailable, error.to_string()).next("cosmicsync status"),
    }
}
