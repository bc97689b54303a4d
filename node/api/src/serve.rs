//! Offers a router on a TCP socket, with limits before everything else.

use axum::Router;
use core::time::Duration;
use cosmicsync_node::service::{ErrorCode, ServiceError};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::patient::Patient;

/// Connections at once. More wait to be accepted.
const CONNECTIONS_MAX: usize = 512;
/// How long a client may take for the head of a request, also of the next one on the same connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take no byte of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of the head of a request, at most; and of what is read ahead.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long answers may finish after a stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A bound listener.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Binds an address; port 0 takes a free one.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub async fn bind(address: SocketAddr) -> Result<Self, ServiceError> {
        let failed = |error: std::io::Error| {
            let message = format!("cannot serve HTTP on {address}: {error}");
            ServiceError::new(ErrorCode::Io, message).next("cosmicsync up --http 127.0.0.1:0")
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Returns where it listens, with the real port.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL, with the real port.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves until `stopped` says so. Answers on their way are then given a few seconds.
    pub async fn run(self, router: Router, mut stopped: watch::Receiver<bool>) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = until_set(&mut stopped) => break,
                Some(_) = tasks.join_next() => {}
                accepted = accept(&self.listener, &slots) => match accepted {
                    Ok((stream, slot)) => {
                        tasks.spawn(connection(stream, slot, router.clone(), stopped.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept HTTP connections");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        drop(self.listener);
        let drained = tokio::time::timeout(DRAIN_TIMEOUT, async { while tasks.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::debug!("gave up on HTTP clients that did not read their answers");
        }
    }
}

/// Waits for a slot, then for a connection.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

async fn connection(stream: TcpStream, slot: OwnedSemaphorePermit, router: Router, mut stopped: watch::Receiver<bool>) {
    // Small answers are not held back; a client that cannot have that is served all the same.
    drop(stream.set_nodelay(true));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    let serving =
        server.serve_connection(TokioIo::new(Patient::new(stream, READ_TIMEOUT)), TowerToHyperService::new(router));
    let serving = serving.with_upgrades();
    tokio::pin!(serving);
    let result = tokio::select! {
        biased;
        result = &mut serving => result,
        () = until_set(&mut stopped) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "an HTTP connection ended");
    }
    drop(slot);
}

/// Completes once the server stops; drops the channel's guard, which may not cross an await.
pub(crate) async fn until_set(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await.map(drop);
}
