//! A crowd of strangers: connections from many addresses that send nothing, garbage, or a handshake byte by byte.

use super::Failure;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// Number of addresses of the crowd.
const ADDRESSES: u64 = 50;
/// Number of connections before the next pause, and the pause, because the node's accept rate is not under test.
const BURST: u64 = 50;
const PAUSE: Duration = Duration::from_millis(20);
/// A handshake message that claims the largest length, to be sent byte by byte.
const LORIS: &[u8] = b"CSYN\0\x01\x01\0\0\x20an endless hello";

/// Counts of the connections' results.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Connections made.
    pub(super) made: AtomicU64,
    /// Connections not made, because the node's backlog was full.
    pub(super) refused: AtomicU64,
    /// Connections ended by the node.
    pub(super) ended: AtomicU64,
    /// Answers, each a handshake message that cost the node work.
    pub(super) answered: AtomicU64,
}

/// Opens `count` connections, holds them as long as the node does, and ends with `stop`.
pub(super) fn run(to: SocketAddr, count: u64, counts: &Arc<Counts>, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for at in 0..count {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            tasks.spawn(stranger(to, at, Arc::clone(counts), Arc::clone(stop)));
            if at % BURST == BURST - 1 {
                tokio::time::sleep(PAUSE).await;
            }
        }
        while tasks.join_next().await.is_some() {}
    });
    Ok(())
}

async fn stranger(to: SocketAddr, at: u64, counts: Arc<Counts>, stop: Arc<AtomicBool>) {
    let Ok(mut stream) = dial(to, at).await else {
        counts.refused.fetch_add(1, Ordering::Relaxed);
        return;
    };
    counts.made.fetch_add(1, Ordering::Relaxed);
    let mut said = 0;
    let mut heard = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        let saying = match at % 10 {
            // Garbage, once.
            0 if said == 0 => &[0x55; 200][..],
            // A complete first message, which the node must answer.
            1 if said == 0 => b"CSYN\0\x01\x01\0\0\x20\x09aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            // Byte by byte.
            2..=4 => LORIS.get(said..=said).unwrap_or_default(),
            _ => &[],
        };
        said += saying.len();
        if !saying.is_empty() && stream.write_all(saying).await.is_err() {
            break;
        }
        match tokio::time::timeout(Duration::from_millis(700), stream.read(&mut heard)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(_)) => drop(counts.answered.fetch_add(1, Ordering::Relaxed)),
            Err(_) => {}
        }
    }
    if !stop.load(Ordering::Relaxed) {
        counts.ended.fetch_add(1, Ordering::Relaxed);
    }
}

async fn dial(to: SocketAddr, at: u64) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let from = Ipv4Addr::new(127, 0, 1, 1 + (at % ADDRESSES) as u8);
    socket.bind(SocketAddr::V4(SocketAddrV4::new(from, 0)))?;
    match tokio::time::timeout(Duration::from_secs(5), socket.connect(to)).await {
        Ok(made) => made,
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    }
}
