//! Serves a [`Backend`] on a Unix socket.
//!
//! Only the owner of the data directory and root are admitted: the socket has mode 0600, and every peer's user id is
//! checked. The number of connections and the length of lines are limited. The server interprets no command, except
//! that it stops after a `shutdown`. Specified in `docs/cli.md`.

use core::future::Future;
use core::time::Duration;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::command::Command;
use super::error::{ErrorCode, ServiceError};
use super::frame::{
    Frame, Hello, LineError, PROTOCOL, SOCKET_NAME, read_command, read_input, read_line, write_item, write_line,
};
use super::input::Input;
use super::{Backend, Item};

/// Largest number of concurrent connections; further ones are told to retry later.
const CLIENTS_MAX: usize = 64;
/// Longest time for a client's hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for connections to end after a stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Number of items that wait for a slow client before the command waits.
const ITEMS_QUEUED: usize = 64;

/// A bound control socket. Dropping it removes the socket.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
}

impl Server {
    /// Binds the control socket of a data directory. Needs a tokio runtime.
    ///
    /// The caller must hold the store's exclusive lock: then an existing socket is left over from a dead process, and
    /// is removed.
    ///
    /// # Errors
    /// `io`, if the path is longer than a socket's may be (about 100 bytes).
    pub fn bind(dir: &Path) -> Result<Self, ServiceError> {
        let path = dir.join(SOCKET_NAME);
        let failed = |error: &std::io::Error| {
            ServiceError::io(format!("cannot open the control socket {}", path.display()), error)
        };
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(&error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(|error| {
            let error = failed(&error);
            if error.code == ErrorCode::Io { error.next("cosmicsync --dir SHORTER_PATH up") } else { error }
        })?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(|error| failed(&error))?;
        let owner = fs::metadata(&path).map_err(|error| failed(&error))?.uid();
        Ok(Self { listener, path, owner })
    }

    /// Returns the socket's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Serves until `stop` completes or a client's `shutdown` succeeds.
    ///
    /// Running commands are then cancelled. Replies in transit get a few seconds.
    pub async fn run(self, backend: Arc<dyn Backend>, stop: impl Future<Output = ()>) {
        let (stopping, _) = watch::channel(false);
        let slots = Arc::new(Semaphore::new(CLIENTS_MAX));
        let mut tasks = JoinSet::new();
        let mut stopped = stopping.subscribe();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                _ = stopped.changed() => break,
                Some(_) = tasks.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let connection = Connection { backend: Arc::clone(&backend), stopping: stopping.clone() };
                        let slot = Arc::clone(&slots).try_acquire_owned().ok();
                        let allowed = self.allows(&stream);
                        tasks.spawn(async move {
                            let admitted = admission(allowed, slot.is_some());
                            let (reader, writer) = stream.into_split();
                            if let Err(error) = connection.serve(reader, writer, admitted).await {
                                tracing::debug!(%error, "control connection ended");
                            }
                            drop(slot);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept on the control socket");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        stopping.send_replace(true);
        let drained = tokio::time::timeout(DRAIN_TIMEOUT, async { while tasks.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::debug!("gave up on control connections that did not read their answers");
        }
    }

    fn allows(&self, stream: &UnixStream) -> bool {
        stream.peer_cred().is_ok_and(|peer| peer.uid() == self.owner || peer.uid() == 0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "cannot remove the control socket");
        }
    }
}

fn admission(allowed: bool, has_slot: bool) -> Result<(), ServiceError> {
    if !allowed {
        return Err(ServiceError::new(ErrorCode::Refused, "the daemon belongs to another user"));
    }
    if !has_slot {
        return Err(ServiceError::new(
            ErrorCode::Unavailable,
            format!("the daemon serves {CLIENTS_MAX} clients already"),
        ));
    }
    Ok(())
}

/// Serves one client over a stream of another listener, until the client leaves or `stopped` is set.
///
/// The protocol is that of the control socket. Returns when the exchange has ended, for any reason.
pub async fn serve_stream(
    stream: impl AsyncRead + AsyncWrite,
    backend: Arc<dyn Backend>,
    mut stopped: watch::Receiver<bool>,
) {
    let (stopping, _) = watch::channel(false);
    let connection = Connection { backend, stopping: stopping.clone() };
    let (reader, writer) = tokio::io::split(stream);
    let serving = async {
        tokio::pin!(reader, writer);
        if let Err(error) = connection.serve(reader, writer, Ok(())).await {
            tracing::debug!(%error, "a control connection from elsewhere ended");
        }
    };
    let stop = async {
        until_set(&mut stopped).await;
        stopping.send_replace(true);
        core::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = serving => {}
        () = stop => {}
    }
}

struct Connection {
    backend: Arc<dyn Backend>,
    stopping: watch::Sender<bool>,
}

impl Connection {
    async fn serve(
        self,
        reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
        admitted: Result<(), ServiceError>,
    ) -> Result<(), LineError> {
        let mut reader = BufReader::new(reader);
        let mut buffer = Vec::new();
        write_line(&mut writer, &Hello::ours()).await?;
        if let Err(error) = admitted {
            return write_line(&mut writer, &Frame::Error(error)).await;
        }
        let hello: Hello = match tokio::time::timeout(HELLO_TIMEOUT, read_line(&mut reader, &mut buffer)).await {
            Ok(hello) => hello?,
            Err(_) => return Err(LineError::Closed),
        };
        if hello.protocol != PROTOCOL {
            let error = version_error(&hello);
            return write_line(&mut writer, &Frame::Error(error)).await;
        }
        let mut stopped = self.stopping.subscribe();
        loop {
            let line = tokio::select! {
                biased;
                () = until_set(&mut stopped) => return Ok(()),
                line = read_command::<Command>(&mut reader, &mut buffer) => line,
            };
            let command = match line {
                Ok(command) => command,
                Err(LineError::Closed) => return Ok(()),
                // The line is JSON but not a command: the client speaks the protocol and may continue with another
                // command.
                Err(LineError::Malformed(error)) if error.is_data() => {
                    let refusal = ServiceError::new(ErrorCode::Usage, LineError::Malformed(error).to_string());
                    write_line(&mut writer, &Frame::Error(refusal)).await?;
                    continue;
                }
                Err(error @ LineError::Json(_)) => {
                    let refusal = ServiceError::new(ErrorCode::Usage, error.to_string());
                    write_line(&mut writer, &Frame::Error(refusal)).await?;
                    continue;
                }
                Err(error) => {
                    let refusal = ServiceError::new(ErrorCode::Usage, error.to_string());
                    write_line(&mut writer, &Frame::Error(refusal)).await?;
                    return Err(error);
                }
            };
            self.answer(command, &mut reader, &mut writer).await?;
        }
    }

    /// Runs one command. An error means that the client is gone and the command was dropped.
    async fn answer(
        &self,
        command: Command,
        reader: &mut BufReader<impl AsyncRead + Unpin>,
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), LineError> {
        let shutdown = matches!(command, Command::Shutdown {});
        let (sender, mut items) = mpsc::channel::<Item>(ITEMS_QUEUED);
        let mut stopped = self.stopping.subscribe();
        let (feed, input) = Input::new();
        let reads = command.reads();
        let mut call =
            if reads { self.backend.call_reading(command, input, sender) } else { self.backend.call(command, sender) };
        // The input comes first, then the check for a client that left. Nothing else is consumed: available bytes are
        // the next command, and an end of the stream is a client that left.
        let ahead = async {
            if reads {
                read_input(reader, feed).await?;
            }
            if reader.fill_buf().await?.is_empty() { Err(LineError::Closed) } else { Ok(()) }
        };
        tokio::pin!(ahead);
        let mut watching = true;
        let result = loop {
            tokio::select! {
                biased;
                Some(item) = items.recv() => write_item(writer, item).await?,
                // The call is polled first, so that an event that also ends the server is reported by its cause.
                result = &mut call => break result,
                () = until_set(&mut stopped), if !shutdown => {
                    break Err(ServiceError::new(ErrorCode::Unavailable, "the daemon is stopping").next("cosmicsync up"));
                }
                ahead = &mut ahead, if watching => {
                    ahead?;
                    watching = false;
                }
            }
        };
        drop(call);
        while let Ok(item) = items.try_recv() {
            write_item(writer, item).await?;
        }
        let done = result.is_ok();
        let frame = match result {
            Ok(reply) => Frame::Reply(reply),
            Err(error) => Frame::Error(error),
        };
        match write_line(writer, &frame).await {
            Err(LineError::TooLong) => {
                let error = ServiceError::new(ErrorCode::Refused, "the answer is too large for one line");
                write_line(writer, &Frame::Error(error)).await?;
            }
            written => written?,
        }
        writer.flush().await?;
        if shutdown && done {
            self.stopping.send_replace(true);
        }
        // The unread rest of an input is not a command.
        if !(reads && watching) {
            return Ok(());
        }
        tokio::select! {
            biased;
            () = until_set(&mut stopped) => Ok(()),
            ahead = &mut ahead => ahead,
        }
    }
}

/// Completes once the server stops. Drops the channel's guard, which must not be held across an await.
async fn until_set(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await.map(drop);
}

fn version_error(client: &Hello) -> ServiceError {
    ServiceError::new(
        ErrorCode::Unavailable,
        format!(
            "the daemon is version {} (socket protocol {PROTOCOL}), the command line is {} (protocol {})",
            env!("CARGO_PKG_VERSION"),
            client.cosmicsync,
            client.protocol
        ),
    )
    .next(format!("kill {}", std::process::id()))
}
