//! A client program of the matrix of MQTT clients, on rumqttc.
//!
//! Its order is the only argument, as `tests/python/client_matrix/__init__.py` says.

use std::{sync::Arc, time::Duration};

use rumqttc::{TlsConfiguration, Transport};
use serde_json::{Value, json};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

const WILL: &str = "gone";
const SESSION_S: u32 = 3600;
const REQUESTS: usize = 100;

/// The same program for the crate's two clients, which share their names but no trait.
macro_rules! client {
    ($module:ident, $client:path, $options:path, $event:path, $packet:path, $qos:path, $will:expr, $keep:expr) => {
        mod $module {
            use super::*;
            use $client as AsyncClient;
            use $event as Event;
            use $options as MqttOptions;
            use $packet as Packet;
            use $qos as QoS;

            pub(super) async fn run(order: &Value) -> Result<(), Box<dyn std::error::Error>> {
                let mut options = MqttOptions::new(text(order, "id"), "localhost", port(order));
                options.set_keep_alive(Duration::from_secs(30));
                if let Some(transport) = transport(order)? {
                    options.set_transport(transport);
                }
                if let Some(topic) = order["will"].as_str() {
                    options.set_last_will($will(topic));
                }
                $keep(&mut options, order["keep"] == true);
                let qos = match order["qos"].as_u64() {
                    Some(0) => QoS::AtMostOnce,
                    Some(1) => QoS::AtLeastOnce,
                    _ => QoS::ExactlyOnce,
                };
                let (client, mut events) = AsyncClient::new(options, REQUESTS);
                let topic = text(order, "topic");
                let subscribes = order["role"] == "subscribe";
                let mut unacked = 0;
                if subscribes {
                    client.subscribe(topic, qos).await?;
                } else {
                    let retain = order["retain"] == true;
                    for payload in order["payloads"].as_array().into_iter().flatten() {
                        let payload = payload.as_str().unwrap_or_default().to_owned();
                        client.publish(topic, qos, retain, payload).await?;
                        unacked += 1;
                    }
                    if qos == QoS::AtMostOnce {
                        client.disconnect().await?;
                    }
                }
                let mut stop = tokio::signal::unix::signal(
                    tokio::signal::unix::SignalKind::terminate(),
                )?;
                loop {
                    let event = tokio::select! {
                        event = events.poll() => event?,
                        _ = stop.recv() => {
                            client.disconnect().await?;
                            continue;
                        }
                    };
                    match event {
                        Event::Incoming(Packet::SubAck(_)) => println!("ready"),
                        Event::Incoming(Packet::Publish(got)) => {
                            let payload = String::from_utf8_lossy(&got.payload);
                            let (qos, retain) = (got.qos as u8, got.retain);
                            println!(
                                "{}",
                                json!({"payload": payload, "qos": qos, "retain": retain})
                            );
                        }
                        Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)) => {
                            unacked -= 1;
                            if unacked == 0 {
                                client.disconnect().await?;
                            }
                        }
                        Event::Outgoing(rumqttc::Outgoing::Disconnect) => return Ok(()),
                        _ => {}
                    }
                }
            }
        }
    };
}

client!(
    v4,
    rumqttc::AsyncClient,
    rumqttc::MqttOptions,
    rumqttc::Event,
    rumqttc::Packet,
    rumqttc::QoS,
    |topic| rumqttc::LastWill::new(topic, WILL, QoS::AtLeastOnce, false),
    |options: &mut MqttOptions, keep: bool| {
        options.set_clean_session(!keep);
    }
);
client!(
    v5,
    rumqttc::v5::AsyncClient,
    rumqttc::v5::MqttOptions,
    rumqttc::v5::Event,
    rumqttc::v5::mqttbytes::v5::Packet,
    rumqttc::v5::mqttbytes::QoS,
    |topic| rumqttc::v5::mqttbytes::v5::LastWill::new(topic, WILL, QoS::AtLeastOnce, false, None),
    |options: &mut MqttOptions, keep: bool| {
        options.set_clean_start(!keep);
        options.set_session_expiry_interval(keep.then_some(SESSION_S));
    }
);

fn text<'a>(order: &'a Value, field: &str) -> &'a str {
    order[field].as_str().unwrap_or_default()
}

fn port(order: &Value) -> u16 {
    order["port"]
        .as_u64()
        .and_then(|port| port.try_into().ok())
        .unwrap_or_default()
}

/// TLS, if the order names the authority of the broker's certificate.
fn transport(order: &Value) -> Result<Option<Transport>, Box<dyn std::error::Error>> {
    let ca = text(order, "ca");
    if ca.is_empty() {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca)?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Some(Transport::tls_with_config(TlsConfiguration::Rustls(
        Arc::new(config),
    ))))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let order: Value = serde_json::from_str(&std::env::args().nth(1).ok_or("no order")?)?;
    if order["version"] == 5 {
        v5::run(&order).await
    } else {
        v4::run(&order).await
    }
}
