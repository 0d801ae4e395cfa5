//! Settings of the bridge to an existing broker.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};
use tarn_common::ids::HomeId;
use tarn_edge::bridge::BridgeSettings;
use url::Url;

use crate::exit::Failure;

/// What can be said of the bridge.
#[derive(Debug, Default, Clone, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct BridgeArgs {
    /// An existing MQTT 5 broker to take messages from: mqtt://[USER:PASSWORD@]HOST[:PORT], or mqtts:// for TLS
    #[arg(long, env = "TARN_BRIDGE", value_name = "URL", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    bridge: Option<Url>,
    /// What is taken from there and published here; may be repeated [default: #]
    #[arg(
        long,
        env = "TARN_BRIDGE_IN",
        value_name = "FILTER",
        value_delimiter = ','
    )]
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    bridge_in: Vec<String>,
    /// What is published here and passed on to there, such as zigbee2mqtt/+/set; may be repeated [default: nothing]
    #[arg(
        long,
        env = "TARN_BRIDGE_OUT",
        value_name = "FILTER",
        value_delimiter = ','
    )]
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    bridge_out: Vec<String>,
    /// Roots of that broker's certificate, PEM [default: the system's]
    #[arg(long, env = "TARN_BRIDGE_CA", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    bridge_ca: Option<PathBuf>,
    /// Client id there [default: tarn-HOME]
    #[arg(long, env = "TARN_BRIDGE_ID", value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    bridge_id: Option<String>,
}

impl BridgeArgs {
    /// Check everything at once.
    pub(crate) fn settings(self, home: &HomeId) -> Result<Option<BridgeSettings>, Failure> {
        let Some(url) = self.bridge else {
            return Ok(None);
        };
        let wrong = |what: &str| Failure::usage(format!("--bridge: {what}"));
        let (tls, port) = match url.scheme() {
            "mqtt" => (false, 1883),
            "mqtts" => (true, 8883),
            _ => return Err(wrong("write it as mqtt://HOST or mqtts://HOST")),
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let login = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => {
                let plain = |text: &str| {
                    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
                    decoded
                        .map(Into::into)
                        .map_err(|_| wrong("the login is not UTF-8"))
                };
                Some((plain(user)?, plain(password.unwrap_or_default())?))
            }
        };
        let inward = match self.bridge_in.is_empty() {
            true => vec!["#".to_owned()],
            false => self.bridge_in,
        };
        Ok(Some(BridgeSettings {
            host: host
                .ok_or_else(|| wrong("there is no host in it"))?
                .to_owned(),
            port: url.port().unwrap_or(port),
            login,
            tls,
            ca: self.bridge_ca,
            client_id: self.bridge_id.unwrap_or_else(|| format!("tarn-{home}")),
            inward,
            outward: self.bridge_out,
        }))
    }
}
