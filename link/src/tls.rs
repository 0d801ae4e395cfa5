//! The roots that a meeting place's certificate is checked by.

use std::{path::Path, sync::Arc};

use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::place::PlaceError;

/// TLS of a client that trusts the roots of this file, or those of the system.
pub(crate) fn config(ca: Option<&Path>) -> Result<ClientConfig, PlaceError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let wrong = |source| PlaceError::Roots {
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
