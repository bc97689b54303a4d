//! A connection with a time limit for writes: if the client reads nothing for too long, writing fails and the
//! connection ends.
//!
//! Its end lingers: bytes that the client still sends are read and discarded for a while. Otherwise the system would
//! answer those bytes with a reset, which can overtake an answer such as 413 that the client has not read yet.

use core::future::Future as _;
use core::mem::MaybeUninit;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io::{self, ErrorKind};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Longest time for which bytes after the last answer are discarded.
const LINGER: Duration = Duration::from_secs(2);
/// Longest pause of such bytes: a client that sends nothing delays no end of a connection, and no stop of the node.
const QUIET: Duration = Duration::from_millis(250);
/// Number of bytes that are discarded at a time.
const WASTE_BYTES: usize = 16 * 1024;

/// A connection with a time limit for writes.
pub(crate) struct Patient<S> {
    stream: S,
    patience: Duration,
    /// Ends when the client has read nothing for too long; none while it reads.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Time limit for the next bytes of a closing connection, and the time of its end; none before everything was sent.
    lingering: Option<(Pin<Box<Sleep>>, Instant)>,
}

impl<S> Patient<S> {
    /// Wraps a connection.
    pub(crate) const fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, stalled: None, lingering: None }
    }

    /// Passes on a completed write, or fails once the time limit is over.
    fn poll_taken<T>(&mut self, context: &mut Context<'_>, taken: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if taken.is_ready() {
            self.stalled = None;
            return taken;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> Patient<S> {
    /// Discards received bytes until the client closes the connection, pauses, or the time is over.
    fn poll_waste(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (pause, end) = self.lingering.get_or_insert_with(|| (Box::pin(sleep(QUIET)), Instant::now() + LINGER));
        let mut waste = [MaybeUninit::uninit(); WASTE_BYTES];
        // After some reads, other tasks get a turn even if the client sends without end.
        for _ in 0..16 {
            let mut buffer = ReadBuf::uninit(&mut waste);
            let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, &mut buffer) else {
                return pause.as_mut().poll(context);
            };
            let now = Instant::now();
            if read.is_err() || buffer.filled().is_empty() || now >= *end {
                return Poll::Ready(());
            }
            pause.as_mut().reset((now + QUIET).min(*end));
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let taken = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.poll_taken(context, taken)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let taken = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.poll_taken(context, taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let taken = Pin::new(&mut self.stream).poll_flush(context);
        self.poll_taken(context, taken)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        self.poll_waste(context).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    #[tokio::test]
    async fn the_end_waits_for_a_client_that_still_sends() {
        let (ours, mut theirs) = duplex(4);
        let mut patient = Patient::new(ours, Duration::from_secs(60));
        patient.write_all(b"413").await.expect("there is room");
        let sends = async {
            theirs.write_all(&[0; 10_000]).await.expect("it is taken");
            let mut answer = Vec::new();
            theirs.read_to_end(&mut answer).await.expect("no reset");
            drop(theirs);
            answer
        };
        let (ended, answer) = tokio::join!(patient.shutdown(), sends);
        ended.expect("it ends");
        assert_eq!(answer, b"413");
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_does_not_wait_for_ever() {
        let ended = async |sends_every: Option<Duration>| {
            let (ours, mut theirs) = duplex(4);
            let begun = Instant::now();
            let mut patient = Patient::new(ours, Duration::from_secs(60));
            let sends = async {
                let Some(every) = sends_every else { return core::future::pending().await };
                // The clock is paused: it moves on when nobody else has work.
                let mut ticks = tokio::time::interval(every);
                loop {
                    ticks.tick().await;
                    theirs.write_all(b"1").await.expect("it is taken");
                }
            };
            tokio::select! {
                biased;
                ended = patient.shutdown() => ended.expect("it ends"),
                () = sends => {}
            }
            begun.elapsed()
        };
        assert_eq!(ended(None).await, QUIET, "a client that is quiet");
        let long = ended(Some(QUIET / 2)).await;
        assert!((LINGER..LINGER + QUIET).contains(&long), "a client that goes on: {long:?}");
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (ours, mut theirs) = duplex(4);
        let mut patient = Patient::new(ours, Duration::from_millis(20));
        let error = patient.write_all(b"more than it takes").await.expect_err("nobody reads");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        // A client that reads now and then is waited for.
        let mut seen = [0; 4];
        theirs.read_exact(&mut seen).await.expect("what was sent before");
        let (written, read) = tokio::join!(patient.write_all(b"12345678"), async {
            let mut all = [0; 8];
            theirs.read_exact(&mut all).await.map(|_| all)
        });
        written.expect("it is read");
        assert_eq!(&read.expect("it comes"), b"12345678");
    }
}
