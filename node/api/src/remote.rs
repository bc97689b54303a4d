//! A node on another machine, reached through its HTTP API by a URL and a token.

use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode, Uri, header};
use core::time::Duration;
use cosmicsync_node::service::{Dial, Dialled, ErrorCode, Halves, Secret, ServiceError};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, CertificateError, ClientConfig, RootCertStore};

use crate::tls::provider;

/// Path of the control exchange.
pub(crate) const CONTROL_PATH: &str = "/v1/control";
/// Protocol of the upgraded connection.
pub(crate) const CONTROL_PROTOCOL: HeaderValue = HeaderValue::from_static("cosmicsync-control");
/// Longest time for making a connection.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest body of a refusal, in bytes.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;

/// The way to a node on another machine.
#[derive(Debug)]
pub struct Remote {
    /// True for HTTPS.
    is_secure: bool,
    host: String,
    port: u16,
    token: Secret,
    /// Certificates to trust in addition to those of the system.
    roots: Option<PathBuf>,
}

impl Remote {
    /// Parses a URL in the form that `up` prints: `http://HOST:PORT`, or `https://HOST`.
    ///
    /// # Errors
    /// `usage`, if the URL is invalid, or if the token would be sent unencrypted over a network.
    pub fn new(url: &str, token: Secret, roots: Option<PathBuf>) -> Result<Self, ServiceError> {
        let wrong = |why: &str| {
            let message = format!("the URL {url}: {why}");
            ServiceError::new(ErrorCode::Usage, message).next("cosmicsync --url https://HOST:PORT status")
        };
        let uri: Uri = url.trim_end_matches('/').parse().map_err(|_| wrong("it is invalid"))?;
        let is_secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(wrong("it must begin with https:// or http://")),
        };
        let host = uri.host().ok_or_else(|| wrong("it has no host"))?.trim_matches(['[', ']']).to_owned();
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("nothing may follow the host and the port"));
        }
        let is_here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|host| host.is_loopback());
        if !is_secure && !is_here {
            return Err(wrong("a token is sent to another machine only over https://"));
        }
        let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        Ok(Self { is_secure, host, port, token, roots })
    }

    async fn connect(&self) -> Result<Option<Halves>, ServiceError> {
        let Self { host, port, .. } = self;
        let unreachable = |why: &dyn core::fmt::Display| {
            let message = format!("cannot reach the node at {host}:{port}: {why}");
            ServiceError::new(ErrorCode::Unavailable, message).next(format!("on {host}: cosmicsync status"))
        };
        let distrusted = |error: io::Error| distrusted(&error, host, *port);
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|error| unreachable(&error))?;
        drop(stream.set_nodelay(true));
        if !self.is_secure {
            return self.take_over(stream).await.map(Some);
        }
        let name = ServerName::try_from(host.clone()).map_err(|error| unreachable(&error))?;
        let connector = TlsConnector::from(Arc::new(self.trust()?));
        let stream = connector.connect(name, stream).await.map_err(distrusted)?;
        self.take_over(stream).await.map(Some)
    }

    /// Returns the TLS configuration, which trusts the system's certificates and the named ones.
    fn trust(&self) -> Result<ClientConfig, ServiceError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = &self.roots {
            let failed = |why: &dyn core::fmt::Display| {
                let message = format!("cannot use {} as certificates: {why}", path.display());
                ServiceError::new(ErrorCode::Usage, message)
            };
            let named = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            for certificate in named.map_err(|error| failed(&error))? {
                roots.add(certificate).map_err(|error| failed(&error))?;
            }
        }
        let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let config = config.map_err(|error| ServiceError::new(ErrorCode::Internal, error.to_string()))?;
        Ok(config.with_root_certificates(roots).with_no_client_auth())
    }

    /// Asks the node to switch the connection to the control exchange.
    async fn take_over(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Halves, ServiceError> {
        let failed = |error: &dyn core::fmt::Display| {
            let Self { host, port, .. } = self;
            let message = format!("{host}:{port} does not answer like a node: {error}");
            let error = ServiceError::new(ErrorCode::Unavailable, message);
            if self.is_secure {
                return error.next(format!("on {host}: cosmicsync status"));
            }
            error.next(format!("--url https://{host}:{port}, if it serves HTTPS"))
        };
        let bearer = HeaderValue::try_from(format!("Bearer {}", self.token.0));
        let mut bearer = bearer
            .map_err(|_| ServiceError::new(ErrorCode::Usage, "the token has characters that a header cannot hold"))?;
        bearer.set_sensitive(true);
        let request = Request::get(CONTROL_PATH)
            .header(header::HOST, format!("{}:{}", self.host, self.port))
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, CONTROL_PROTOCOL)
            .header(header::AUTHORIZATION, bearer)
            .body(Body::empty())
            .map_err(|error| failed(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        // This task ends with the connection, once both halves are dropped.
        tokio::spawn(connection.with_upgrades());
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let status = response.status();
            let body = axum::body::to_bytes(Body::new(response.into_body()), REFUSAL_BYTES_MAX).await;
            return Err(refusal(status, &body.unwrap_or_default()));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(|error| failed(&error))?;
        let (reader, writer) = tokio::io::split(TokioIo::new(upgraded));
        Ok((Box::new(reader), Box::new(writer)))
    }
}

impl Dial for Remote {
    fn dial(&self) -> Dialled<'_> {
        Box::pin(async {
            timeout(PATIENCE, self.connect()).await.unwrap_or_else(|_| {
                let message = format!("the node at {}:{} does not answer", self.host, self.port);
                Err(ServiceError::new(ErrorCode::TimedOut, message)
                    .next(format!("on {}: cosmicsync status", self.host)))
            })
        })
    }

    fn mend_version(&self, _: u32) -> String {
        format!("on {}: update the older of the two", self.host)
    }
}

/// Returns the error for a failed TLS handshake, with the next step.
fn distrusted(error: &io::Error, host: &str, port: u16) -> ServiceError {
    let cause = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    if matches!(cause, Some(rustls::Error::InvalidMessage(_))) {
        let message = format!("{host}:{port} does not speak HTTPS");
        return ServiceError::new(ErrorCode::Unavailable, message).next(format!("--url http://{host}:{port}"));
    }
    let next = match cause {
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "--url with a name that the certificate has, or a certificate that has this one (subjectAltName)",
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(_))) => {
            "a certificate that is not a CA's (openssl: -addext basicConstraints=critical,CA:FALSE)"
        }
        _ => "the same with --ca FILE: the certificate of its signer, or the node's own if no CA signed it",
    };
    let message = format!("the certificate of {host}:{port} is not trusted: {error}");
    ServiceError::new(ErrorCode::Unavailable, message).next(next)
}

/// Converts a refusal to an error for the command line.
fn refusal(status: StatusCode, body: &[u8]) -> ServiceError {
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let said = |key: &str| problem.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
    let code = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => ErrorCode::Refused,
        StatusCode::NOT_FOUND => ErrorCode::Usage,
        _ => ErrorCode::Unavailable,
    };
    let message = said("detail").unwrap_or_else(|| format!("the node answered {status}"));
    ServiceError::new(code, message).next("on that machine: cosmicsync token create NAME")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_other_machines_encrypted_only() {
        let at = |url: &str| Remote::new(url, Secret(String::new()), None).map(|remote| (remote.host, remote.port));
        for (url, host, port) in [
            ("http://127.0.0.1:7521", "127.0.0.1", 7521),
            ("http://localhost/", "localhost", 80),
            ("http://[::1]:9", "::1", 9),
            ("https://node.example", "node.example", 443),
        ] {
            assert_eq!(at(url).expect(url), (host.to_owned(), port));
        }
        for url in ["http://node.example", "http://10.0.0.1:7521", "node.example", "ftp://localhost", "https://a/b", ""]
        {
            assert_eq!(at(url).expect_err(url).code, ErrorCode::Usage, "{url}");
        }
    }
}
