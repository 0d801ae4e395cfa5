//! TLS with certificates that may change.
//!
//! Programs that renew certificates write the certificate and its key one after the other. What
//! does not fit together is not used: the old pair goes on until the new one is whole.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Mutex, RwLock};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
        server::{VerifierBuilderError, WebPkiClientVerifier},
    },
    server::TlsStream,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::watched::{Stamp, stamp};

/// Certificates that end sooner are warned of.
const ENDS_SOON_S: i64 = 7 * 24 * 3600;

/// Why files cannot be used for TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or what is looked for is not in it.
    #[error("{path}: {source}")]
    File {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        source: pem::Error,
    },
    /// There is no certificate in the file.
    #[error("{0}: no certificate in it")]
    Empty(PathBuf),
    /// Certificate and key do not fit, or cannot be used.
    #[error("certificate and key: {0}")]
    Pair(#[from] rustls::Error),
    /// The roots of client certificates cannot be used.
    #[error("roots of client certificates: {0}")]
    Roots(#[from] VerifierBuilderError),
}

/// Files of a TLS server, all of them PEM. They are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate and those between it and its root.
    pub certificate: PathBuf,
    /// The server's private key.
    pub key: PathBuf,
    /// Roots of client certificates: each client has to show one.
    pub client_ca: Option<PathBuf>,
}

/// Does the handshakes of one listener.
#[derive(Debug)]
pub struct TlsServer {
    files: Tls,
    config: RwLock<Arc<ServerConfig>>,
    seen: Mutex<Vec<Stamp>>,
}

impl TlsServer {
    /// Read the files.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn open(files: &Tls) -> Result<TlsServer, TlsError> {
        let seen = stamps(files);
        Ok(TlsServer {
            config: RwLock::new(load(files)?),
            files: files.clone(),
            seen: Mutex::new(seen),
        })
    }

    /// Shake hands. Returns the common name of the client's certificate, which has been verified.
    ///
    /// # Errors
    /// The other side wants something else, or is gone.
    pub async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Option<String>)> {
        let config = self.config.read().clone();
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let (_, connection) = stream.get_ref();
        let own = connection.peer_certificates().and_then(<[_]>::first);
        let name = own.and_then(|certificate| common_name(certificate));
        Ok((stream, name))
    }

    /// Read the files again if they have changed. Open connections go on as they are.
    pub fn refresh(&self) {
        let now = stamps(&self.files);
        {
            let mut seen = self.seen.lock();
            if *seen == now {
                return;
            }
            *seen = now;
        }
        let certificate = self.files.certificate.display();
        match load(&self.files) {
            Ok(config) => {
                *self.config.write() = config;
                tracing::info!(%certificate, "certificates are read again");
            }
            Err(error) => {
                tracing::warn!(%certificate, %error, "cannot be used; the old certificate goes on");
            }
        }
    }
}

fn stamps(files: &Tls) -> Vec<Stamp> {
    let client_ca = files.client_ca.as_deref();
    let paths = [Some(&*files.certificate), Some(&*files.key), client_ca];
    paths.into_iter().flatten().map(stamp).collect()
}

fn load(files: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| TlsError::File {
        path: files.key.clone(),
        source,
    })?;
    warn_of_end(&files.certificate, &chain[0]);
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(path)? {
                roots.add(root)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.ticketer = ring::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// All certificates of a file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| TlsError::File {
        path: path.to_owned(),
        source,
    };
    let found = CertificateDer::pem_file_iter(path).map_err(wrong)?;
    let found = found.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    if found.is_empty() {
        return Err(TlsError::Empty(path.to_owned()));
    }
    Ok(found)
}

fn warn_of_end(path: &Path, certificate: &[u8]) {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return;
    };
    let left = parsed.validity().time_to_expiration();
    if left.is_none_or(|left| left.whole_seconds() < ENDS_SOON_S) {
        let until = parsed.validity().not_after;
        tracing::warn!(path = %path.display(), %until, "the certificate has ended or ends soon");
    }
}

fn common_name(certificate: &[u8]) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let name = parsed.subject().iter_common_name().next()?;
    name.as_str().ok().map(str::to_owned)
}
