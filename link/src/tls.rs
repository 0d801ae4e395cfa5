//! The roots that a broker's certificate is checked by.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_rustls::rustls::{
    self, ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{
        CertificateDer,
        pem::{self, PemObject},
    },
};

/// Roots that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of roots.
    #[error("{path}: {source}")]
    Roots {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        source: pem::Error,
    },
    /// No root can be used.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// TLS of a client that trusts the roots of this file, or those of the system.
///
/// # Errors
/// The roots cannot be used.
pub fn config(ca: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let wrong = |source| TlsError::Roots {
                path: path.to_owned(),
                source,
            };
            for root in CertificateDer::pem_file_iter(path).map_err(wrong)? {
                roots.add(root.map_err(wrong)?)?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            for error in found.errors {
                tracing::warn!(%error, "a root certificate of the system cannot be read");
            }
        }
    }
    Ok(
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}
