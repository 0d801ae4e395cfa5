//! MQTT over TLS and WebSocket.

use std::{path::Path, sync::Arc, time::Duration};

use futures::{SinkExt, StreamExt};
use mqtt_proto::v3;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tarn_broker::{Limits, Listen, Tls};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    },
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Message,
        client::IntoClientRequest,
        http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
    },
};

use super::{Anonymous, FakeLog, Running, start_on};

const PATIENCE: Duration = Duration::from_secs(20);
const CONNACK: [u8; 4] = [0x20, 2, 0, 0];

/// A certificate authority, and the files that a broker is given.
struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("signs");
        let dir = TempDir::new().expect("a directory");
        std::fs::write(dir.path().join("ca.pem"), root.pem()).expect("writes");
        let authority = Authority {
            dir,
            root: root.der().clone(),
            issuer: Issuer::new(params, key),
        };
        authority.renew();
        authority
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// A certificate and its key, PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["localhost".into()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).expect("signs");
        (certificate.pem(), key.serialize_pem())
    }

    /// Give the broker another certificate, the way that renewing programs do.
    fn renew(&self) {
        let (certificate, key) = self.issue("box");
        std::fs::write(self.path("cert.pem"), certificate).expect("writes");
        std::fs::write(self.path("key.pem"), key).expect("writes");
    }

    fn tls(&self, mutual: bool) -> Tls {
        Tls {
            certificate: self.path("cert.pem"),
            key: self.path("key.pem"),
            client_ca: mutual.then(|| self.path("ca.pem")),
        }
    }

    /// Connect by TLS, with a certificate of this name if any.
    async fn connect(
        &self,
        broker: &Running,
        listener: usize,
        name: Option<&str>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).expect("is a root");
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("has versions")
            .with_root_certificates(roots);
        let config = match name {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let (certificate, key) = self.issue(name);
                let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
                let chain = chain.collect::<Result<_, _>>().expect("is PEM");
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("is PEM");
                builder.with_client_auth_cert(chain, key).expect("fit")
            }
        };
        let stream = TcpStream::connect(broker.broker.addresses()[listener].1).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }
}

fn listen(tls: Option<Tls>, websocket: bool) -> Listen {
    Listen {
        tls,
        websocket,
        ..Listen::tcp(([127, 0, 0, 1], 0).into())
    }
}

async fn start(listen: Vec<Listen>, limits: Limits) -> Running {
    start_on(&FakeLog::prompt(), limits, Anonymous::Always, None, listen).await
}

fn connect(id: &str) -> Vec<u8> {
    let packet: v3::Packet = v3::Connect::new(id.into(), 60).into();
    packet.encode().expect("encodes").as_ref().to_vec()
}

/// Be let in by MQTT.
async fn enter(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), id: &str) {
    stream.write_all(&connect(id)).await.expect("writes");
    let mut connack = [0; 4];
    let read = timeout(PATIENCE, stream.read_exact(&mut connack)).await;
    read.expect("in time").expect("reads");
    assert_eq!(connack, CONNACK);
}

async fn ping(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    stream.write_all(&[0xc0, 0]).await.expect("writes");
    let mut pong = [0; 2];
    let read = timeout(PATIENCE, stream.read_exact(&mut pong)).await;
    read.expect("in time").expect("reads");
    assert_eq!(pong, [0xd0, 0]);
}

async fn websocket<S>(stream: S, protocol: Option<&'static str>) -> Option<WebSocketStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = "ws://localhost/mqtt".into_client_request().expect("a URL");
    if let Some(protocol) = protocol {
        let value = HeaderValue::from_static(protocol);
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
    let (socket, answer) = client_async(request, stream).await.ok()?;
    assert_eq!(answer.headers()[SEC_WEBSOCKET_PROTOCOL], "mqtt");
    Some(socket)
}

/// The bytes of the next messages, `count` of them.
async fn bytes<S>(socket: &mut WebSocketStream<S>, count: usize) -> Vec<u8>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut all = Vec::new();
    while all.len() < count {
        let next = timeout(PATIENCE, socket.next()).await.expect("in time");
        all.extend(next.expect("is open").expect("reads").into_data());
    }
    all
}

#[tokio::test]
async fn a_certificate_is_a_user() {
    let authority = Authority::new();
    let broker = start(
        vec![listen(Some(authority.tls(true)), false)],
        Limits::default(),
    )
    .await;
    let mut lamp = authority
        .connect(&broker, 0, Some("lamp"))
        .await
        .expect("shakes hands");
    enter(&mut lamp, "c").await;
    let clients = broker.broker.operator().clients(None, 10, true);
    let connection = clients[0].connection.as_ref().expect("is connected");
    assert_eq!(connection.user.as_deref(), Some("lamp"));

    // In TLS 1.3 the client only hears of the refusal when it reads.
    let mut nobody = authority
        .connect(&broker, 0, None)
        .await
        .expect("is told later");
    let _ = nobody.write_all(&connect("d")).await;
    assert!(nobody.read_exact(&mut [0; 4]).await.is_err());
    let stranger = Authority::new();
    assert!(stranger.connect(&broker, 0, Some("lamp")).await.is_err());
}

#[tokio::test]
async fn a_new_certificate_is_served_and_open_connections_go_on() {
    let authority = Authority::new();
    let broker = start(
        vec![listen(Some(authority.tls(false)), false)],
        Limits::default(),
    )
    .await;
    let shown = |stream: &TlsStream<TcpStream>| {
        let (_, connection) = stream.get_ref();
        connection.peer_certificates().expect("has one")[0].clone()
    };
    let mut old = authority
        .connect(&broker, 0, None)
        .await
        .expect("shakes hands");
    enter(&mut old, "old").await;
    // A key that does not fit is not used.
    let (_, key) = authority.issue("other");
    std::fs::write(authority.path("key.pem"), key).expect("writes");
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let same = authority
        .connect(&broker, 0, None)
        .await
        .expect("shakes hands");
    assert_eq!(shown(&same), shown(&old));
    authority.renew();
    let limit = tokio::time::Instant::now() + PATIENCE;
    loop {
        let new = authority
            .connect(&broker, 0, None)
            .await
            .expect("shakes hands");
        if shown(&new) != shown(&old) {
            break;
        }
        assert!(
            tokio::time::Instant::now() < limit,
            "the old one is still served"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ping(&mut old).await;
}

#[tokio::test]
async fn a_silent_peer_holds_nobody_up_and_is_closed() {
    let authority = Authority::new();
    let limits = Limits {
        handshake_timeout: Duration::from_millis(500),
        ..Limits::default()
    };
    let broker = start(
        vec![
            listen(Some(authority.tls(false)), false),
            listen(None, true),
        ],
        limits,
    )
    .await;
    for listener in [0, 1] {
        let address = broker.broker.addresses()[listener].1;
        let mut silent = TcpStream::connect(address).await.expect("connects");
        if listener == 0 {
            let mut other = authority
                .connect(&broker, 0, None)
                .await
                .expect("shakes hands");
            enter(&mut other, "other").await;
        }
        let read = timeout(PATIENCE, silent.read(&mut [0; 1]))
            .await
            .expect("in time");
        assert!(matches!(read, Ok(0) | Err(_)));
    }
}

#[tokio::test]
async fn packets_and_messages_need_not_fit() {
    let broker = start(vec![listen(None, true)], Limits::default()).await;
    let stream = TcpStream::connect(broker.broker.addresses()[0].1)
        .await
        .expect("connects");
    let mut socket = websocket(stream, Some("other, mqtt"))
        .await
        .expect("upgrades");
    let packet = connect("c");
    let (first, second) = packet.split_at(5);
    for part in [first, second] {
        socket
            .send(Message::binary(part.to_vec()))
            .await
            .expect("sends");
    }
    assert_eq!(bytes(&mut socket, 4).await, CONNACK);
    socket
        .send(Message::binary(vec![0xc0, 0, 0xc0, 0]))
        .await
        .expect("sends");
    assert_eq!(bytes(&mut socket, 4).await, [0xd0, 0, 0xd0, 0]);
    // A message of the largest size comes back whole.
    let payload = "x".repeat(1_000_000);
    socket
        .send(Message::binary(vec![0x82, 6, 0, 1, 0, 1, b'a', 0]))
        .await
        .expect("sends");
    assert_eq!(bytes(&mut socket, 5).await, [0x90, 3, 0, 1, 0]);
    broker
        .broker
        .publisher()
        .publish("a", payload.clone(), 0, false)
        .expect("a topic");
    let got = bytes(&mut socket, payload.len() + 7).await;
    assert!(got.ends_with(payload.as_bytes()));
}

#[tokio::test]
async fn what_is_not_mqtt_is_refused() {
    let broker = start(vec![listen(None, true)], Limits::default()).await;
    let open = || TcpStream::connect(broker.broker.addresses()[0].1);
    assert!(
        websocket(open().await.expect("connects"), None)
            .await
            .is_none()
    );
    assert!(
        websocket(open().await.expect("connects"), Some("chat"))
            .await
            .is_none()
    );
    let stream = open().await.expect("connects");
    let mut socket = websocket(stream, Some("mqtt")).await.expect("upgrades");
    socket.send(Message::text("hello")).await.expect("sends");
    let next = timeout(PATIENCE, socket.next()).await.expect("in time");
    assert!(!matches!(next, Some(Ok(Message::Binary(_)))));
}

#[tokio::test]
async fn a_websocket_may_be_encrypted() {
    let authority = Authority::new();
    let broker = start(
        vec![listen(Some(authority.tls(true)), true)],
        Limits::default(),
    )
    .await;
    let stream = authority
        .connect(&broker, 0, Some("page"))
        .await
        .expect("shakes hands");
    let mut socket = websocket(stream, Some("mqtt")).await.expect("upgrades");
    socket
        .send(Message::binary(connect("c")))
        .await
        .expect("sends");
    assert_eq!(bytes(&mut socket, 4).await, CONNACK);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let authority = Authority::new();
    for (file, text, told) in [
        ("cert.pem", "", "no certificate"),
        ("key.pem", "nothing", "key.pem"),
    ] {
        std::fs::write(authority.path(file), text).expect("writes");
        let error = super::try_start(vec![listen(Some(authority.tls(false)), false)]).await;
        let error = format!("{:#}", DisplayChain(&error));
        assert!(error.contains(told), "{error}");
        authority.renew();
    }
    assert!(Path::new(&authority.path("ca.pem")).exists());
}

/// An error with all its sources.
struct DisplayChain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for DisplayChain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut next = Some(self.0);
        while let Some(error) = next {
            write!(f, "{error}: ")?;
            next = error.source();
        }
        Ok(())
    }
}
