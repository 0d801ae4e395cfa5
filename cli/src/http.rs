//! How the REST interface is served, and to whom.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use clap::Args;
use serde::{Deserialize, Serialize};
use tarn_common::tls::{Tls, TlsServer};
use tarn_openapi::{
    HttpSettings,
    access::{Jwk, JwkSet, RateSettings},
};

use crate::exit::Failure;

/// What can be said of it.
#[derive(Debug, Default, Clone, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct HttpArgs {
    /// Certificate that the REST interface and the dashboard are served with, and those between it and its root, PEM; read again when it changes
    #[arg(long, env = "TARN_HTTP_CERT", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    http_cert: Option<PathBuf>,
    /// Private key of that certificate, PEM
    #[arg(long, env = "TARN_HTTP_KEY", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    http_key: Option<PathBuf>,
    /// Serve HTTP without TLS to other machines too: tokens and passwords go over the network as they are. For behind a proxy that does TLS
    #[arg(long, env = "TARN_HTTP_PLAIN", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    http_plain: Option<bool>,
    /// Requests a second of one caller; five times as many at once; 0 is without a limit [default: 200]
    #[arg(long, env = "TARN_HTTP_RATE", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    http_rate: Option<u32>,
    /// Public keys (a JWK set) of further issuers whose tokens are good here; `tarn token keys` prints those of a service
    #[arg(long, env = "TARN_TOKEN_KEYS", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    token_keys: Option<PathBuf>,
}

impl HttpArgs {
    /// Check them for this address.
    pub(crate) fn settings(&self, http: SocketAddr) -> Result<HttpSettings, Failure> {
        let tls = match (&self.http_cert, &self.http_key) {
            (Some(certificate), Some(key)) => {
                let files = Tls {
                    certificate: certificate.clone(),
                    key: key.clone(),
                    client_ca: None,
                };
                let opened = TlsServer::open(&files);
                let opened = opened.map_err(|e| Failure::usage(format!("--http-cert: {e}")))?;
                Some(Arc::new(opened))
            }
            (None, None) => None,
            _ => {
                return Err(Failure::usage(
                    "--http-cert and --http-key need each other".into(),
                ));
            }
        };
        if tls.is_none() && !http.ip().is_loopback() && self.http_plain != Some(true) {
            return Err(Failure::usage(format!(
                "--http {http}: other machines would send tokens and passwords as plain text; give --http-cert and --http-key, or say --http-plain"
            )));
        }
        let defaults = HttpSettings::default();
        Ok(HttpSettings {
            rate: self
                .http_rate
                .map_or(defaults.rate, RateSettings::per_second),
            trusted: self.trusted()?,
            tls,
            ..defaults
        })
    }

    fn trusted(&self) -> Result<Vec<Jwk>, Failure> {
        let Some(path) = &self.token_keys else {
            return Ok(Vec::new());
        };
        let wrong = |e: &dyn std::fmt::Display| {
            Failure::usage(format!("--token-keys {}: {e}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|e| wrong(&e))?;
        let set: JwkSet = serde_json::from_str(&text).map_err(|e| wrong(&e))?;
        Ok(set.keys)
    }
}
