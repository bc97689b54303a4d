//! The driver's network: dialling, binding and accepting.
//!
//! The driver needs only tokio's traits of a stream, so a simulated network can replace [`Tcp`].

use core::future::Future;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// A network to other nodes.
pub trait Net: Clone + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;
    /// A bound address.
    type Listener: Listener<Stream = Self::Stream>;

    /// Connects to `HOST:PORT`.
    fn dial(&self, address: &str) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Binds an address; port 0 picks a free port.
    fn bind(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Listener>>;
}

/// A bound address.
pub trait Listener: 'static {
    /// A connection.
    type Stream;

    /// Returns the address with the actual port.
    ///
    /// # Errors
    /// If the operating system does not report it.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Waits for the next connection; returns it with the remote address.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>>;
}

/// TCP, without Nagle's delay, because frames are as large as they can be when they are written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Net for Tcp {
    type Stream = TcpStream;
    type Listener = TcpListener;

    async fn dial(&self, address: &str) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn bind(&self, address: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind(address).await
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, from) = Self::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok((stream, from))
    }
}
