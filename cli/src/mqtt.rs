//! Settings of the MQTT broker: where else it listens, and its bounds.

use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use bytesize::ByteSize;
use clap::Args;
use serde::{Deserialize, Serialize};
use tarn_broker::{Limits, Listen, Tls};

use crate::exit::Failure;

/// What can be said of the broker.
#[derive(Debug, Default, Clone, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct MqttArgs {
    /// Where MQTT clients connect by TLS, usually 0.0.0.0:8883; needs --tls-cert and --tls-key
    #[arg(long, env = "TARN_MQTTS", value_name = "ADDR:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mqtts: Option<SocketAddr>,
    /// Where MQTT clients connect by WebSocket
    #[arg(long, env = "TARN_WS", value_name = "ADDR:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    ws: Option<SocketAddr>,
    /// Where MQTT clients connect by WebSocket over TLS; needs --tls-cert and --tls-key
    #[arg(long, env = "TARN_WSS", value_name = "ADDR:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    wss: Option<SocketAddr>,
    /// Certificate of the box and those between it and its root, PEM; read again when it changes
    #[arg(long, env = "TARN_TLS_CERT", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_cert: Option<PathBuf>,
    /// Private key of the box, PEM
    #[arg(long, env = "TARN_TLS_KEY", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_key: Option<PathBuf>,
    /// Roots of client certificates, PEM: TLS clients have to show one, and its common name is their user name
    #[arg(long, env = "TARN_TLS_CLIENT_CA", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_client_ca: Option<PathBuf>,
    /// MQTT connections at one time [default: 1024]
    #[arg(long, env = "TARN_MQTT_CONNECTIONS", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mqtt_connections: Option<NonZeroUsize>,
    /// Size of one MQTT packet, 256KiB at least [default: 1MiB]
    #[arg(long, env = "TARN_MQTT_PACKET_SIZE", value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mqtt_packet_size: Option<ByteSize>,
    /// Publishes a second of one MQTT client; above it its connection is not read for a while [default: no limit]
    #[arg(long, env = "TARN_MQTT_PUBLISH_RATE", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mqtt_publish_rate: Option<NonZeroU32>,
    /// Messages that wait for one slow or absent MQTT client; what comes beyond is dropped for it [default: 100000]
    #[arg(long, env = "TARN_MQTT_QUEUE", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mqtt_queue: Option<NonZeroUsize>,
    /// Bytes that wait for one slow or absent MQTT client [default: 32MiB]
    #[arg(long, env = "TARN_MQTT_QUEUE_SIZE", value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mqtt_queue_size: Option<ByteSize>,
    /// Bytes that wait for all MQTT clients together [default: 256MiB]
    #[arg(long, env = "TARN_MQTT_QUEUES_SIZE", value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mqtt_queues_size: Option<ByteSize>,
    /// Longest time that a session waits for its client [default: for ever]
    #[arg(long, env = "TARN_MQTT_SESSION_EXPIRY", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(
        with = "humantime_serde",
        skip_serializing_if = "Option::is_none",
        default
    )]
    mqtt_session_expiry: Option<Duration>,
}

impl MqttArgs {
    /// Where the broker listens; `plain` is what was said of plain MQTT.
    pub(crate) fn listen(&self, plain: Option<SocketAddr>) -> Result<Vec<Listen>, Failure> {
        let plain = plain.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 1883)));
        let mut listen = vec![Listen::tcp(plain)];
        for (address, websocket, encrypted) in [
            (self.mqtts, false, true),
            (self.ws, true, false),
            (self.wss, true, true),
        ] {
            let Some(address) = address else { continue };
            listen.push(Listen {
                address,
                websocket,
                tls: encrypted.then(|| self.tls()).transpose()?,
            });
        }
        Ok(listen)
    }

    fn tls(&self) -> Result<Tls, Failure> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Err(Failure::usage(
                "--mqtts and --wss need --tls-cert and --tls-key".into(),
            ));
        };
        Ok(Tls {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca: self.tls_client_ca.clone(),
        })
    }

    /// The broker's bounds, over these.
    pub(crate) fn limits(&self, limits: Limits) -> Limits {
        let bytes = |size: Option<ByteSize>, default| size.map_or(default, |s| s.as_u64() as usize);
        Limits {
            connections_max: self
                .mqtt_connections
                .map_or(limits.connections_max, NonZeroUsize::get),
            packet_bytes_max: bytes(self.mqtt_packet_size, limits.packet_bytes_max),
            publish_rate_max: self.mqtt_publish_rate,
            queue_messages_max: self
                .mqtt_queue
                .map_or(limits.queue_messages_max, NonZeroUsize::get),
            queue_bytes_max: bytes(self.mqtt_queue_size, limits.queue_bytes_max),
            queues_bytes_max: bytes(self.mqtt_queues_size, limits.queues_bytes_max),
            session_expiry_max: self.mqtt_session_expiry,
            ..limits
        }
    }
}
