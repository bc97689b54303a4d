//! TLS with a certificate and a key from files.

use core::fmt;
use cosmicsync_node::service::{ErrorCode, ServiceError};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio_rustls::server::TlsStream;

/// The certificate of a server. Clones share it.
#[derive(Clone)]
pub struct Tls {
    files: Arc<Files>,
    acceptor: Arc<RwLock<TlsAcceptor>>,
}

#[derive(Debug)]
struct Files {
    certificates: PathBuf,
    key: PathBuf,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the certificate with its chain, and the key; both in PEM.
    ///
    /// # Errors
    /// `usage`, if a file cannot be read or is not PEM, or if the key does not belong to the certificate.
    pub fn load(certificates: PathBuf, key: PathBuf) -> Result<Self, ServiceError> {
        let files = Files { certificates, key };
        let acceptor = files.acceptor()?;
        Ok(Self { files: Arc::new(files), acceptor: Arc::new(RwLock::new(acceptor)) })
    }

    /// Reads the files again. Open connections keep the former certificate.
    ///
    /// # Errors
    /// As [`Tls::load`]; the former certificate then stays in use.
    pub fn reload(&self) -> Result<(), ServiceError> {
        let acceptor = self.files.acceptor()?;
        *self.acceptor.write().unwrap_or_else(PoisonError::into_inner) = acceptor;
        Ok(())
    }

    /// Performs a handshake with a client.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = self.acceptor.read().unwrap_or_else(PoisonError::into_inner).clone();
        acceptor.accept(stream).await
    }
}

impl Files {
    fn acceptor(&self) -> Result<TlsAcceptor, ServiceError> {
        let Self { certificates, key } = self;
        let failed = |path: &PathBuf, why: &dyn fmt::Display| {
            let message = format!("cannot use {} for TLS: {why}", path.display());
            ServiceError::new(ErrorCode::Usage, message).next("cosmicsync config show --origin")
        };
        let unread = |path: &PathBuf, error: &pem::Error| {
            if matches!(error, pem::Error::NoItemsFound) {
                return failed(path, &"it holds nothing of the kind in PEM");
            }
            failed(path, error)
        };
        let chain = CertificateDer::pem_file_iter(certificates).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = chain.map_err(|error| unread(certificates, &error))?;
        if chain.is_empty() {
            return Err(failed(certificates, &"it holds no certificate in PEM"));
        }
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unread(key, &error))?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, private))
            .map_err(|error| failed(certificates, &error))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// Returns the ciphers of both sides.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
