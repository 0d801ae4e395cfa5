//! CONNECT to CONNACK.

use std::{net::SocketAddr, time::Duration};

use mqtt_proto::{
    v3::{self, ConnectReturnCode},
    v5::{self, ConnectReasonCode},
};
use tokio::time::timeout;

use crate::{
    auth::{Denied, Identity, Login},
    broker::Shared,
    buffers::Share,
    connection::Connection,
    exchange::{Closing, Opened, Opening},
    frame::frame,
    mailbox::Connected,
    packet::{BadConnect, Connect, Version, decode_connect},
    reply,
    session::{Client, Session, Subscriptions},
    topics,
    transport::Transport,
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
    #[error("will topic that is not a topic name, or that the client may not publish to")]
    Will,
    #[error("too many sessions")]
    Full,
    #[error("packets of all clients hold too much memory")]
    BuffersFull,
    #[error("{0}")]
    Denied(Denied),
    #[error("{1}")]
    Broken(Option<Version>, Violation),
}

/// The other end of a connection.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// Common name of the certificate that it has proved to own.
    pub(crate) certificate: Option<String>,
}

/// Let a client in, or tell it why not and close.
pub(crate) async fn accept<S: Transport>(
    shared: &Shared,
    stream: S,
    from: Peer,
) -> Option<Session<'_, S>> {
    let peer = from.address;
    let limits = &shared.limits;
    let mut connection = Connection::new(stream, Share::new(&shared.buffers));
    let stopped = shared.stopping.cancelled();
    let connect = tokio::select! {
        got = timeout(limits.handshake_timeout, read_connect(shared, &mut connection)) => {
            got.unwrap_or(Err(Rejected::Timeout))
        }
        () = stopped => Err(Rejected::Stopping),
    };
    let accepted = match connect {
        Ok(connect) => {
            let version = connect.version;
            let admitting = timeout(limits.handshake_timeout, admit(shared, connect, &from));
            let admitted = admitting.await.unwrap_or(Err(Rejected::Timeout));
            admitted.inspect_err(|&why| refuse(&mut connection, version, why))
        }
        Err(rejected) => Err(rejected),
    };
    match accepted {
        Ok(admitted) => begin(shared, connection, admitted, peer).await,
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
            None
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
        if progress.full {
            shared.metrics.refused("buffers_bytes_max");
            return Err(Rejected::BuffersFull);
        }
    }
}

/// A client that may come in.
struct Admitted {
    connect: Connect,
    /// Its id was made up here.
    assigned: bool,
    identity: Identity,
}

/// Decide whether the client may come in, and give it an id if it has none.
async fn admit(shared: &Shared, mut connect: Connect, from: &Peer) -> Result<Admitted, Rejected> {
    let peer = from.address;
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
        certificate: from.certificate.as_deref(),
    };
    let decided = shared.authenticator.authenticate(login).await;
    let identity = decided.map_err(|denied| {
        shared.metrics.auth_failures.inc();
        // Whoever is held back is told of by the authenticator, and not each time.
        if denied != Denied::Throttled {
            tracing::warn!(%peer, user = connect.user, client = connect.client_id, "login denied: {denied}");
        }
        Rejected::Denied(denied)
    })?;
    let may_will = |topic: &str| {
        topics::is_valid_name(topic, &shared.limits) && identity.access.may_write(topic)
    };
    if let Some(will) = &connect.will
        && !may_will(&will.topic)
    {
        return Err(Rejected::Will);
    }
    Ok(Admitted {
        connect,
        assigned,
        identity,
    })
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
        Rejected::Denied(Denied::Throttled) => (
            ConnectReturnCode::ServerUnavailable,
            ConnectReasonCode::ConnectionRateExceeded,
        ),
        Rejected::AuthMethod => (
            ConnectReturnCode::NotAuthorized,
            ConnectReasonCode::BadAuthMethod,
        ),
        Rejected::Will => (
            ConnectReturnCode::NotAuthorized,
            ConnectReasonCode::TopicNameInvalid,
        ),
        Rejected::Full => (
            ConnectReturnCode::ServerUnavailable,
            ConnectReasonCode::QuotaExceeded,
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
        Version::V5 => {
            reply::v5(out, &v5::Connack::new(false, v5_code).into(), usize::MAX);
        }
    }
}

/// Take the client id over, and answer.
async fn begin<S: Transport>(
    shared: &Shared,
    mut connection: Connection<S>,
    admitted: Admitted,
    peer: SocketAddr,
) -> Option<Session<'_, S>> {
    let Admitted {
        connect,
        assigned,
        identity,
    } = admitted;
    let version = connect.version;
    let limits = &shared.limits;
    let registration = shared
        .clients
        .take(&connect.client_id, &shared.stopping)
        .await;
    let expiry_s = limits.session_expiry(connect.expiry_s);
    let opening = Opening {
        clean: connect.clean,
        expiry_s,
        will: connect.will,
        connection: Connected {
            user: identity.user.clone(),
            peer,
            version,
            keep_alive_s: connect.keep_alive_s,
            since_ms: shared.exchange.now_ms(),
        },
    };
    let Opened { mailbox, present } = match shared.exchange.open(&connect.client_id, opening) {
        Ok(opened) => opened,
        Err(full) => {
            shared.metrics.refused("sessions_max");
            tracing::warn!(%peer, client = connect.client_id, "connection rejected: {full}");
            refuse(&mut connection, version, Rejected::Full);
            connection.close(limits.close_timeout).await;
            return None;
        }
    };
    let Ok(subscriptions) = Subscriptions::resume(mailbox.clone(), &shared.exchange).await else {
        // The watch over the router tells of its death.
        let closing = Closing {
            stopping: true,
            ..Closing::default()
        };
        shared.exchange.close(&mailbox, closing);
        return None;
    };
    match version {
        Version::V3 => {
            let connack = v3::Connack::new(present, ConnectReturnCode::Accepted);
            reply::v3(&mut connection.output, &connack.into());
        }
        Version::V5 => {
            let mut connack = v5::Connack::new(present, ConnectReasonCode::Success);
            connack.properties = v5::ConnackProperties {
                session_expiry_interval: (expiry_s != connect.expiry_s).then_some(expiry_s),
                receive_max: Some(limits.unacked_max),
                max_packet_size: Some(limits.packet_bytes_max as u32),
                assigned_client_id: assigned.then(|| mailbox.client.clone()),
                topic_alias_max: Some(limits.topic_aliases_max),
                ..v5::ConnackProperties::default()
            };
            // A client that cannot be told that it is in does not learn anything else either.
            let max = connect.packet_bytes_max;
            if !reply::v5(&mut connection.output, &connack.into(), max) {
                drop(subscriptions);
                shared.exchange.close(&mailbox, Closing::default());
                connection.close(limits.close_timeout).await;
                return None;
            }
        }
    }
    let keep_alive = Duration::from_secs(connect.keep_alive_s.into()).mul_f32(1.5);
    let client = Client {
        version,
        keep_alive: Some(keep_alive).filter(|k| !k.is_zero()),
        receive_max: connect.receive_max,
        packet_bytes_max: connect.packet_bytes_max,
        aliases_max: connect.aliases_max,
        expiry_s: connect.expiry_s,
        problem_information: connect.problem_information,
        peer,
        identity,
    };
    let session = Session::new(shared, connection, client, registration, subscriptions);
    Some(session)
}
