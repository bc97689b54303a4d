//! One connection: a reading task, a writing task, and bounded channels to the core.
//!
//! A slow peer costs at most [`QUEUED_MAX`] buffers: the core makes no more until one is written. A busy core slows its
//! peers: the reader waits until its bytes are taken. Nothing here interprets the bytes.

use crate::clock::Clock;
use bytes::{Bytes, BytesMut};
use cosmicsync_protocol::endpoint::LinkId;
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinHandle, spawn_local};

use super::state::DialOrder;

/// Largest number of buffers that wait to be written, besides the one being written.
const QUEUED_MAX: usize = 2;
/// Largest number of inputs of one connection that wait for the core.
const TURNS_MAX: usize = 4;
/// Least buffer space for a read, in bytes.
const READ_BYTES_MIN: usize = 16 * 1024;
/// Longest time for writing the last bytes of a link, in microseconds.
const LAST_WORDS_US: u64 = 3_000_000;

/// An event from a connection's tasks.
#[derive(Debug)]
pub(super) enum Input<S> {
    /// A connection was accepted.
    Accepted(S, SocketAddr),
    /// A connection was dialled, or could not be.
    Dialled(DialOrder, io::Result<S>),
    /// Bytes arrived. While the permit exists, they count toward the connection's limit of waiting inputs.
    Bytes(LinkId, Bytes, OwnedSemaphorePermit),
    /// A connection ended.
    Lost(LinkId),
}

/// The channels for a connection's inputs; strangers have a channel of lower priority.
#[derive(Debug)]
pub(super) struct Inputs<S> {
    known: mpsc::Sender<Input<S>>,
    strangers: mpsc::Sender<Input<S>>,
    is_known: Rc<Cell<bool>>,
    /// Limits the connection's waiting inputs, so that a flooding peer delays only itself.
    turns: Arc<Semaphore>,
}

impl<S> Inputs<S> {
    pub(super) fn new(known: mpsc::Sender<Input<S>>, strangers: mpsc::Sender<Input<S>>, is_known: bool) -> Self {
        let turns = Arc::new(Semaphore::new(TURNS_MAX));
        Self { known, strangers, is_known: Rc::new(Cell::new(is_known)), turns }
    }

    fn sender(&self) -> &mpsc::Sender<Input<S>> {
        if self.is_known.get() { &self.known } else { &self.strangers }
    }
}

/// The core's end of a connection. Dropping it closes the connection at once.
#[derive(Debug)]
pub(super) struct Conn {
    /// `None` once nothing more is to be sent.
    pub(super) outgoing: Option<mpsc::Sender<Vec<u8>>>,
    is_known: Rc<Cell<bool>>,
    /// True if the link ends once the last bytes are written, or after a time limit.
    pub(super) closing: bool,
    late: Option<JoinHandle<()>>,
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
}

impl Conn {
    /// Starts the tasks of a connection. `room` is notified after each write.
    pub(super) fn start<S: AsyncRead + AsyncWrite + Unpin + 'static>(
        stream: S,
        link: LinkId,
        inputs: Inputs<S>,
        room: Rc<Notify>,
    ) -> Self {
        let (read_half, write_half) = tokio::io::split(stream);
        let (outgoing, queue) = mpsc::channel(QUEUED_MAX);
        let (is_known, lost) = (Rc::clone(&inputs.is_known), inputs.known.clone());
        let reader = spawn_local(read(read_half, link, inputs));
        let writer = spawn_local(async move {
            if write(write_half, queue, room).await.is_err() {
                // If the core is gone, the lost link need not be reported.
                drop(lost.send(Input::Lost(link)).await);
            }
        });
        Self { is_known, outgoing: Some(outgoing), closing: false, late: None, reader, writer }
    }

    /// Returns whether the writer takes another buffer.
    pub(super) fn has_room(&self) -> bool {
        self.outgoing.as_ref().is_some_and(|outgoing| outgoing.capacity() > 0 && !outgoing.is_closed())
    }

    /// Ends the connection once all buffers are passed to the writer, or after a time limit if the peer does not read.
    pub(super) fn close<C: Clock, S: 'static>(&mut self, link: LinkId, clock: &C, inputs: mpsc::Sender<Input<S>>) {
        self.closing = true;
        let late = clock.sleep_until(clock.now().mono_us.saturating_add(LAST_WORDS_US));
        self.late = Some(spawn_local(async move {
            late.await;
            drop(inputs.send(Input::Lost(link)).await);
        }));
    }

    /// Marks the peer as authenticated.
    pub(super) fn mark_authenticated(&self) {
        self.is_known.set(true);
    }

    /// Detaches the writer, which finishes within its time limit.
    pub(super) fn finish<C: Clock>(mut self, clock: &C) {
        self.reader.abort();
        self.outgoing = None;
        let last_words = clock.sleep_until(clock.now().mono_us.saturating_add(LAST_WORDS_US));
        spawn_local(async move {
            tokio::select! {
                biased;
                _ = &mut self.writer => {}
                () = last_words => {}
            }
        });
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.reader.abort();
        self.writer.abort();
        if let Some(late) = &self.late {
            late.abort();
        }
    }
}

async fn read<S: AsyncRead + Unpin, T>(mut stream: S, link: LinkId, inputs: Inputs<T>) {
    let mut buffer = BytesMut::new();
    loop {
        // The semaphore is never closed.
        let Ok(turn) = Arc::clone(&inputs.turns).acquire_owned().await else { return };
        buffer.reserve(READ_BYTES_MIN);
        let input = match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => Input::Lost(link),
            Ok(_) => Input::Bytes(link, buffer.split().freeze(), turn),
        };
        let last = matches!(input, Input::Lost(_));
        if last && planted!("link.end-unheard") {
            return;
        }
        if inputs.sender().send(input).await.is_err() || last {
            return;
        }
    }
}

async fn write<S: AsyncWrite + Unpin>(
    mut stream: S,
    mut queue: mpsc::Receiver<Vec<u8>>,
    room: Rc<Notify>,
) -> io::Result<()> {
    while let Some(bytes) = queue.recv().await {
        if !planted!("wake.room-unheard") {
            room.notify_one();
        }
        stream.write_all(&bytes).await?;
        stream.flush().await?;
    }
    stream.shutdown().await
}
