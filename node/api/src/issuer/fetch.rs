//! Fetches a small file from a server on this machine. The node never connects to any other server.

use axum::body::Body;
use axum::http::Request;
use core::time::Duration;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The location of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    host: SocketAddr,
    path: String,
}

impl Address {
    /// Parses the text after `http://`. The host must be a loopback address.
    pub(super) fn parse(rest: &str) -> Result<Self, String> {
        let (host, path) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
        let host = host.replacen("localhost", "127.0.0.1", 1);
        let parsed = host.parse::<SocketAddr>().or_else(|_| format!("{host}:80").parse());
        match parsed {
            Ok(host) if host.ip().is_loopback() => Ok(Self { host, path: format!("/{path}") }),
            Ok(_) | Err(_) => Err("keys: a URL is of this machine: http://127.0.0.1:PORT/PATH".to_owned()),
        }
    }

    /// Fetches the file, which has at most `bytes_max` bytes.
    pub(super) async fn get(&self, bytes_max: usize) -> Result<Vec<u8>, String> {
        let Self { host, path } = self;
        let failed = |why: &dyn core::fmt::Display| format!("cannot read http://{host}{path}: {why}");
        timeout(PATIENCE, self.answer(bytes_max))
            .await
            .map_err(|_| failed(&"no answer in time"))?
            .map_err(|why| failed(&why))
    }

    async fn answer(&self, bytes_max: usize) -> Result<Vec<u8>, String> {
        let stream = TcpStream::connect(self.host).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let request =
            Request::get(&self.path).header("host", self.host.to_string()).header("accept", "application/json");
        let request = request.body(Body::empty()).map_err(|error| error.to_string())?;
        let body = async {
            let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
            if !response.status().is_success() {
                return Err(response.status().to_string());
            }
            let body = Body::new(response.into_body());
            axum::body::to_bytes(body, bytes_max).await.map(Into::into).map_err(|error| error.to_string())
        };
        tokio::pin!(body, connection);
        tokio::select! {
            biased;
            body = &mut body => body,
            ended = &mut connection => match ended {
                // The connection has ended; the rest of the body was received before.
                Ok(()) => body.await,
                Err(error) => Err(error.to_string()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked() {
        let at = |text: &str| Address::parse(text).map(|address| (address.host.to_string(), address.path));
        let keys = |host: &str, path: &str| Ok((host.to_owned(), path.to_owned()));
        assert_eq!(at("127.0.0.1:8080/keys.json"), keys("127.0.0.1:8080", "/keys.json"));
        assert_eq!(at("localhost/a/b?c"), keys("127.0.0.1:80", "/a/b?c"));
        assert_eq!(at("[::1]:99"), keys("[::1]:99", "/"));
        for other in ["10.0.0.1/keys", "example.org/keys", "localhost.example.org/keys", "127.0.0.1@10.0.0.1/", ""] {
            assert!(at(other).is_err(), "{other}");
        }
    }
}
