//! CONNECT to CONNACK.

use std::{net::SocketAddr, time::Duration};

use mqtt_proto::{
    v3::{self, ConnectReturnCode},
    v5::{self, ConnectReasonCode},
};
use tokio::time::timeout;

use crate::{
    auth::{Denied, Login},
    broker::Shared,
    connection::Connection,
    frame::frame,
    outstanding::Transport,
    packet::{BadConnect, Connect, Version, decode_connect},
    reply,
    session::{Client, Session},
    violation::Violation,
};

/// Why a connection ends before it is a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Rejected {
    #[error("no CONNECT in time")]
    Timeout,
    #[error("closed before CONNECT")]
    Closed,
    #[error("the broker is shutting down")]
    Stopping,
    #[error("not an MQTT version that is spoken here")]
    Version,
    #[error("client id is missing or too long")]
    ClientId,
    #[error("authentication methods are not supported")]
    AuthMethod,
    #[error("{0}")]
    Denied(Denied),
    #[error("{1}")]
    Broken(Option<Version>, Violation),
}

/// Serve one connection from its first byte to its last.
pub(crate) async fn serve<S: Transport>(shared: &Shared, stream: S, peer: SocketAddr) {
    let mut connection = Connection::new(stream);
    let limits = &shared.limits;
    let stopped = shared.stopping.cancelled();
    let connect = tokio::select! {
        got = timeout(limits.handshake_timeout, read_connect(shared, &mut connection)) => {
            got.unwrap_or(Err(Rejected::Timeout))
        }
        () = stopped => Err(Rejected::Stopping),
    };
    let accepted = connect.and_then(|connect| {
        let version = connect.version;
        admit(shared, connect, peer).inspect_err(|&why| refuse(&mut connection, version, why))
    });
    match accepted {
        Ok((connect, assigned)) => begin(shared, connection, connect, assigned, peer).await,
        Err(rejected) => {
            match rejected {
                Rejected::Broken(version, violation) => {
                    shared.metrics.malformed(violation.label());
                    if let Some(version) = version {
                        refuse(&mut connection, version, rejected);
                    }
                }
                Rejected::Version => refuse(&mut connection, Version::V3, rejected),
                Rejected::Timeout => shared.metrics.malformed("handshake_timeout"),
                _ => {}
            }
            tracing::info!(%peer, reason = %rejected, "connection rejected");
            connection.close(limits.close_timeout).await;
        }
    }
}

async fn read_connect<S: Transport>(
    shared: &Shared,
    connection: &mut Connection<S>,
) -> Result<Connect, Rejected> {
    loop {
        let found = frame(&connection.input, shared.limits.connect_bytes_max)
            .map_err(|violation| Rejected::Broken(None, violation))?;
        if let Some(frame) = found {
            // Only CONNECT is worth waiting for.
            if frame.control != 0x10 {
                return Err(Rejected::Broken(None, Violation::Protocol));
            }
            if connection.input.len() >= frame.total_len {
                let packet = connection.input.split_to(frame.total_len);
                return decode_connect(frame, &packet[frame.header_len..]).map_err(
                    |bad| match bad {
                        BadConnect::Version => Rejected::Version,
                        BadConnect::V5(violation) => Rejected::Broken(Some(Version::V5), violation),
                        BadConnect::Other(violation) => Rejected::Broken(None, violation),
                    },
                );
            }
        }
        let progress = connection.drive(true).await.map_err(|_| Rejected::Closed)?;
        shared.metrics.received_bytes.inc_by(progress.read as u64);
        if progress.closed {
            return Err(Rejected::Closed);
        }
    }
}

/// Decide whether the client may come in, and give it an id if it has none.
fn admit(
    shared: &Shared,
    mut connect: Connect,
    peer: SocketAddr,
) -> Result<(Connect, bool), Rejected> {
    let assigned = connect.client_id.is_empty();
    if assigned {
        // A 3.1.1 client is not told its id, so it could never come back to a kept session.
        if connect.version == Version::V3 && !connect.clean {
            return Err(Rejected::ClientId);
        }
        connect.client_id = shared.assign_client_id();
    } else if connect.client_id.len() > shared.limits.client_id_bytes_max
        || connect.client_id.contains('\0')
    {
        return Err(Rejected::ClientId);
    }
    if connect.extended_auth {
        return Err(Rejected::AuthMethod);
    }
    let login = Login {
        user: connect.user.as_deref(),
        password: connect.password.as_deref(),
        client_id: &connect.client_id,
        peer,
    };
    if let Err(denied) = shared.authenticator.authenticate(login) {
        shared.metrics.auth_failures.inc();
        tracing::warn!(%peer, user = connect.user, client = connect.client_id, "login denied: {denied}");
        return Err(Rejected::Denied(denied));
    }
    Ok((connect, assigned))
}

fn refuse<S>(connection: &mut Connection<S>, version: Version, rejected: Rejected) {
    let (v3_code, v5_code) = match rejected {
        Rejected::Version => (
            ConnectReturnCode::UnacceptableProtocolVersion,
            ConnectReasonCode::UnsupportedProtocolVersion,
        ),
        Rejected::ClientId => (
            ConnectReturnCode::IdentifierRejected,
            ConnectReasonCode::ClientIdentifierNotValid,
        ),
        Rejected::Denied(Denied::BadCredentials) => (
            ConnectReturnCode::BadUserNameOrPassword,
            ConnectReasonCode::BadUserNameOrPassword,
        ),
        Rejected::Denied(Denied::NotAuthorized) => (
            ConnectReturnCode::NotAuthorized,
            ConnectReasonCode::NotAuthorized,
        ),
        Rejected::AuthMethod => (
            ConnectReturnCode::NotAuthorized,
            ConnectReasonCode::BadAuthMethod,
        ),
        Rejected::Broken(_, Violation::Protocol) => (
            ConnectReturnCode::ServerUnavailable,
            ConnectReasonCode::ProtocolError,
        ),
        _ => (
            ConnectReturnCode::ServerUnavailable,
            ConnectReasonCode::MalformedPacket,
        ),
    };
    let out = &mut connection.output;
    match version {
        Version::V3 => reply::v3(out, &v3::Connack::new(false, v3_code).into()),
        Version::V5 => reply::v5(out, &v5::Connack::new(false, v5_code).into()),
    }
}

/// Take the client id over, answer, and run the session to its end.
async fn begin<S: Transport>(
    shared: &Shared,
    mut connection: Connection<S>,
    connect: Connect,
    assigned: bool,
    peer: SocketAddr,
) {
    let registration = shared
        .clients
        .take(&connect.client_id, &shared.stopping)
        .await;
    match connect.version {
        Version::V3 => {
            let connack = v3::Connack::new(false, ConnectReturnCode::Accepted);
            reply::v3(&mut connection.output, &connack.into());
        }
        Version::V5 => {
            let mut connack = v5::Connack::new(false, ConnectReasonCode::Success);
            connack.properties = v5::ConnackProperties {
                // Sessions end with their connection for now, whatever the client asked for.
                session_expiry_interval: Some(0),
                receive_max: Some(shared.limits.unacked_max),
                max_packet_size: Some(shared.limits.packet_bytes_max as u32),
                assigned_client_id: assigned.then(|| registration.client().clone()),
                topic_alias_max: Some(0),
                shared_subscription_available: Some(false),
                ..v5::ConnackProperties::default()
            };
            reply::v5(&mut connection.output, &connack.into());
        }
    }
    let keep_alive = Duration::from_secs(connect.keep_alive_s.into()).mul_f32(1.5);
    let client = Client {
        version: connect.version,
        keep_alive: Some(keep_alive).filter(|k| !k.is_zero()),
        receive_max: connect.receive_max,
        packet_bytes_max: connect.packet_bytes_max,
        peer,
    };
    Session::new(shared, connection, client, registration)
        .run()
        .await;
}
