//! The byte streams that MQTT runs on: TCP, TLS, WebSocket, and WebSocket over TLS.

// Plain TCP, and what it says about bytes that the peer has not taken yet.
mod tcp;
// MQTT in the binary messages of a WebSocket.
mod websocket;

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

pub(crate) use tarn_common::tls::TlsServer;
pub use tarn_common::tls::{Tls, TlsError};
use tokio_rustls::server::TlsStream;

use crate::limits::Limits;

/// Where clients connect, and how.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Address to bind; port 0 lets the system choose one.
    pub address: SocketAddr,
    /// MQTT in WebSocket messages rather than straight on the stream.
    pub websocket: bool,
    /// Encrypted, with these certificates.
    pub tls: Option<Tls>,
}

impl Listen {
    /// Plain MQTT on TCP.
    #[must_use]
    pub fn tcp(address: SocketAddr) -> Listen {
        Listen {
            address,
            websocket: false,
            tls: None,
        }
    }

    /// What it speaks: `mqtt`, `mqtts`, `ws` or `wss`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match (self.websocket, &self.tls) {
            (false, None) => "mqtt",
            (false, Some(_)) => "mqtts",
            (true, None) => "ws",
            (true, Some(_)) => "wss",
        }
    }
}

/// A byte stream that a session can run on.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Bytes written that the peer's kernel has not acknowledged; `None` where that cannot be told.
    fn outstanding_bytes(&self) -> Option<u64>;
}

impl Transport for TlsStream<TcpStream> {
    fn outstanding_bytes(&self) -> Option<u64> {
        let (stream, connection) = self.get_ref();
        // What waits inside has not even reached our kernel.
        if connection.wants_write() {
            return None;
        }
        stream.outstanding_bytes()
    }
}

impl Transport for Box<dyn Transport> {
    fn outstanding_bytes(&self) -> Option<u64> {
        (**self).outstanding_bytes()
    }
}

/// A stream on which MQTT may begin, and the common name of the certificate that its client owns.
pub(crate) type Upgraded = (Box<dyn Transport>, Option<String>);

/// Do the handshakes that come before MQTT.
pub(crate) async fn upgrade(
    stream: TcpStream,
    websocket: bool,
    tls: Option<&TlsServer>,
    limits: &Limits,
) -> io::Result<Upgraded> {
    let Some(tls) = tls else {
        return Ok((Box::new(websocket::accept(stream, limits).await?), None));
    };
    let (stream, name) = tls.accept(stream).await?;
    if websocket {
        Ok((Box::new(websocket::accept(stream, limits).await?), name))
    } else {
        Ok((Box::new(stream), name))
    }
}
