//! Serves a router on a TCP socket, within limits.

use axum::Router;
use core::time::Duration;
use cosmicsync_node::service::{ErrorCode, ServiceError};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::patient::Patient;
use crate::settings::Settings;
use crate::tls::Tls;

/// Longest time for the head of a request, also of a later one on the same connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time in which a client reads no byte of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest head of a request, and largest read-ahead, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Time for answers to finish after a stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A bound listener.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    connections_max: usize,
    tls: Option<Tls>,
}

impl Server {
    /// Binds an address; port 0 picks a free port.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn bind(address: SocketAddr) -> Result<Self, ServiceError> {
        let failed = |error: std::io::Error| {
            let message = format!("cannot serve HTTP on {address}: {error}");
            ServiceError::new(ErrorCode::Io, message).next("cosmicsync up --http 127.0.0.1:0")
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, connections_max: Settings::default().connections_max, tls: None })
    }

    /// Sets the largest number of concurrent connections; more wait to be accepted.
    #[must_use]
    pub const fn with_connections_max(mut self, connections_max: usize) -> Self {
        self.connections_max = connections_max;
        self
    }

    /// Serves HTTPS only, if `tls` is given.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<Tls>) -> Self {
        self.tls = tls;
        self
    }

    /// Returns the address with the actual port.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL with the actual port.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Serves until `stopped` is set. Answers in progress then get a few seconds.
    pub async fn run(self, router: Router, mut stopped: watch::Receiver<bool>) {
        let slots = Arc::new(Semaphore::new(self.connections_max));
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = until_set(&mut stopped) => break,
                Some(_) = tasks.join_next() => {}
                accepted = accept(&self.listener, &slots) => match accepted {
                    Ok((stream, slot)) => {
                        tasks.spawn(connection(stream, slot, self.tls.clone(), router.clone(), stopped.clone()));
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

/// Waits for a free slot, then for a connection.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

async fn connection(
    stream: TcpStream,
    slot: OwnedSemaphorePermit,
    tls: Option<Tls>,
    router: Router,
    stopped: watch::Receiver<bool>,
) {
    // Disables Nagle's delay for small answers; a connection without this option is served as well.
    drop(stream.set_nodelay(true));
    match tls {
        None => exchange(stream, router, stopped).await,
        Some(tls) => match tokio::time::timeout(HEAD_TIMEOUT, tls.accept(stream)).await {
            Ok(Ok(stream)) => exchange(stream, router, stopped).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        },
    }
    drop(slot);
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
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
}

/// Completes once the server stops. Drops the channel's guard, which must not be held across an await.
pub(crate) async fn until_set(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await.map(drop);
}
