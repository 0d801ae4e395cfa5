//! Settings of the link between boxes and clouds, of both sides.

use std::{collections::HashMap, net::SocketAddr, path::PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use tarn_broker::auth::UsersSettings;
use tarn_cloud::{MeetingSettings, OwnBroker};
use tarn_common::ids::HomeId;
use tarn_link::MeetingPlace;
use url::Url;

use crate::{config::AnonymousFrom, exit::Failure, mqtt::MqttArgs};

/// What can be said of a box's way to the cloud.
#[derive(Debug, Default, Clone, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct CloudLinkArgs {
    /// A cloud service to be linked with: mqtt://[USER:PASSWORD@]HOST[:PORT], or mqtts:// for TLS; may be repeated (in the file: cloud = [...])
    #[arg(
        long,
        env = "TARN_CLOUD",
        value_name = "URL",
        value_delimiter = ',',
        hide_env_values = true
    )]
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    cloud: Vec<Url>,
    /// Roots of its certificate, PEM [default: the system's]
    #[arg(long, env = "TARN_CLOUD_CA", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_ca: Option<PathBuf>,
    /// Key of the home: the password that the box logs in with at the cloud, under the home's name, where the URL has no login; and what boxes of the home on the LAN know each other by. Make it long and random
    #[arg(
        long,
        env = "TARN_HOME_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    home_key: Option<String>,
}

impl CloudLinkArgs {
    /// The home's key.
    pub(crate) fn home_key(&self) -> Option<&str> {
        self.home_key.as_deref()
    }

    /// Check everything at once.
    pub(crate) fn settings(self, home: &HomeId) -> Result<Vec<MeetingPlace>, Failure> {
        let place = |url: &Url| {
            let place = place("--cloud", url, self.cloud_ca.clone())?;
            let login = || Some((home.to_string(), self.home_key.clone()?));
            Ok(MeetingPlace {
                login: place.login.clone().or_else(login),
                ..place
            })
        };
        self.cloud.iter().map(place).collect()
    }
}

/// What can be said of where a cloud service meets boxes.
#[derive(Debug, Default, Clone, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct MeetingArgs {
    /// Where boxes connect by MQTT [default: 127.0.0.1:1893]
    #[arg(long, env = "TARN_MQTT", value_name = "ADDR:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mqtt: Option<SocketAddr>,
    /// An existing MQTT 5 broker or cluster where boxes and services meet instead: mqtt://[USER:PASSWORD@]HOST[:PORT], or mqtts:// for TLS
    #[arg(
        long,
        env = "TARN_MQTT_CLUSTER",
        value_name = "URL",
        hide_env_values = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    mqtt_cluster: Option<Url>,
    /// Roots of the cluster's certificate, PEM [default: the system's]
    #[arg(long, env = "TARN_MQTT_CLUSTER_CA", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mqtt_cluster_ca: Option<PathBuf>,
    /// File of the homes and their keys, kept by `tarn user`; read again when it changes
    #[arg(long, env = "TARN_PASSWORD_FILE", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    password_file: Option<PathBuf>,
    /// Where MQTT clients without a user name may come from, which may do everything [default: loopback]
    #[arg(long, env = "TARN_ANONYMOUS", value_name = "FROM")]
    #[serde(skip_serializing_if = "Option::is_none")]
    anonymous: Option<AnonymousFrom>,
    #[command(flatten)]
    #[serde(flatten)]
    mqtt_args: MqttArgs,
}

impl MeetingArgs {
    /// Check everything at once.
    pub(crate) fn settings(self) -> Result<MeetingSettings, Failure> {
        if let Some(url) = &self.mqtt_cluster {
            let place = place("--mqtt-cluster", url, self.mqtt_cluster_ca)?;
            return Ok(MeetingSettings::Cluster(place));
        }
        let plain = self
            .mqtt
            .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 1893)));
        Ok(MeetingSettings::Own(Box::new(OwnBroker {
            listen: self.mqtt_args.listen(Some(plain))?,
            limits: self.mqtt_args.limits(OwnBroker::limits()),
            users: UsersSettings {
                fixed: HashMap::new(),
                password_file: self.password_file,
                acl_file: None,
                anonymous: self.anonymous.unwrap_or(AnonymousFrom::Loopback).into(),
                certificate_names: true,
                tokens: None,
            },
        })))
    }
}

pub(crate) fn place(flag: &str, url: &Url, ca: Option<PathBuf>) -> Result<MeetingPlace, Failure> {
    let place = MeetingPlace::of_url(url).map_err(|e| Failure::usage(format!("{flag}: {e}")))?;
    Ok(MeetingPlace { ca, ..place })
}
