use std::{io, net::SocketAddr, path::Path, sync::Arc};

use bytes::{Buf, BufMut, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;

/// First bytes of packets, without the flags of PUBLISH.
pub(crate) const PUBLISH: u8 = 0x30;
pub(crate) const PUBACK: u8 = 0x40;
pub(crate) const PUBREC: u8 = 0x50;
pub(crate) const PUBREL: u8 = 0x62;
pub(crate) const PUBCOMP: u8 = 0x70;
pub(crate) const PINGREQ: [u8; 2] = [0xc0, 0];
pub(crate) const PINGRESP: u8 = 0xd0;
const DISCONNECT: [u8; 2] = [0xe0, 0];

/// Where to connect, and how.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    tls: Option<TlsConnector>,
}

impl Target {
    pub(crate) fn new(address: SocketAddr, ca: Option<&Path>) -> io::Result<Target> {
        let tls = ca.map(connector).transpose()?;
        Ok(Target { address, tls })
    }
}

fn connector(ca: &Path) -> io::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_file(ca).map_err(io::Error::other)?;
    roots.add(root).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// A packet that has come, as much of it as load needs.
pub(crate) struct Packet {
    /// Its first byte, without the flags of PUBLISH.
    pub(crate) kind: u8,
    pub(crate) qos: u8,
    /// 0 where there is none.
    pub(crate) id: u16,
}

/// An MQTT connection whose packets are sent as bytes, many at a time.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    incoming: BytesMut,
}

impl Client {
    /// Connect, and wait for the CONNACK.
    pub(crate) async fn connect(target: &Target, id: &str, clean: bool) -> io::Result<Client> {
        let tcp = TcpStream::connect(target.address).await?;
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &target.tls {
            None => Box::new(tcp),
            Some(connector) => {
                let name = ServerName::try_from("localhost").expect("a good name");
                Box::new(connector.connect(name, tcp).await?)
            }
        };
        let incoming = BytesMut::new();
        let mut client = Client { stream, incoming };
        client.send(&connect_packet(id, clean)).await?;
        let connack = client.packet().await?;
        if connack.kind != 0x20 {
            return Err(io::Error::other("no CONNACK"));
        }
        Ok(client)
    }

    pub(crate) async fn send(&mut self, packets: &[u8]) -> io::Result<()> {
        self.stream.write_all(packets).await?;
        self.stream.flush().await
    }

    pub(crate) async fn subscribe(&mut self, filter: &str, qos: u8) -> io::Result<()> {
        let mut body = BytesMut::new();
        body.put_u16(1);
        put_text(&mut body, filter);
        body.put_u8(qos);
        self.send(&packet(0x82, &body)).await
    }

    /// The next packet.
    pub(crate) async fn packet(&mut self) -> io::Result<Packet> {
        loop {
            if let Some(packet) = self.next_packet() {
                return Ok(packet);
            }
            self.fill().await?;
        }
    }

    /// Wait for more bytes.
    pub(crate) async fn fill(&mut self) -> io::Result<()> {
        self.incoming.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.incoming).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// The next packet, if all of it has come.
    pub(crate) fn next_packet(&mut self) -> Option<Packet> {
        let mut body = 0;
        let mut header = 1;
        loop {
            let byte = *self.incoming.get(header)?;
            body |= usize::from(byte & 0x7f) << (7 * (header - 1));
            header += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if self.incoming.len() < header + body {
            return None;
        }
        let first = self.incoming[0];
        let bytes = &self.incoming[header..header + body];
        let at = |offset: usize| {
            let pair = bytes.get(offset..offset + 2);
            pair.map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]))
        };
        let is_publish = first & 0xf0 == PUBLISH;
        let qos = if is_publish { (first >> 1) & 3 } else { 0 };
        let id = match (is_publish, qos) {
            (true, 0) => 0,
            (true, _) => at(2 + usize::from(at(0))),
            (false, _) => at(0),
        };
        let kind = if is_publish { PUBLISH } else { first };
        self.incoming.advance(header + body);
        Some(Packet { kind, qos, id })
    }

    pub(crate) async fn disconnect(mut self) -> io::Result<()> {
        self.send(&DISCONNECT).await?;
        self.stream.shutdown().await
    }
}

/// A packet that acknowledges.
pub(crate) fn ack(kind: u8, id: u16) -> [u8; 4] {
    let [high, low] = id.to_be_bytes();
    [kind, 2, high, low]
}

pub(crate) fn publish(
    out: &mut Vec<u8>,
    topic: &str,
    qos: u8,
    id: u16,
    retain: bool,
    payload: &[u8],
) {
    let mut body = BytesMut::new();
    put_text(&mut body, topic);
    if qos > 0 {
        body.put_u16(id);
    }
    body.put_slice(payload);
    out.extend(packet(PUBLISH | qos << 1 | u8::from(retain), &body));
}

fn connect_packet(id: &str, clean: bool) -> Vec<u8> {
    let mut body = BytesMut::new();
    put_text(&mut body, "MQTT");
    body.put_u8(4);
    body.put_u8(u8::from(clean) << 1);
    body.put_u16(0);
    put_text(&mut body, id);
    packet(0x10, &body)
}

fn put_text(out: &mut BytesMut, text: &str) {
    out.put_u16(text.len().try_into().expect("a short text"));
    out.put_slice(text.as_bytes());
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 5);
    out.push(first);
    let mut left = body.len();
    loop {
        let byte = (left & 0x7f) as u8;
        left >>= 7;
        out.push(if left > 0 { byte | 0x80 } else { byte });
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}
