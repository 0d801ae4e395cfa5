//! A client that says exactly what a test wants, byte by byte if need be.

use std::time::Duration;

use bytes::Bytes;
use mqtt_proto::{Pid, QoS, QosPid, TopicFilter, TopicName, v3, v5};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longer than any test waits for what does come.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn pid(id: u16) -> Pid {
    Pid::try_from(id).expect("not 0")
}

fn qos_pid(qos: u8, id: u16) -> QosPid {
    match qos {
        0 => QosPid::Level0,
        1 => QosPid::Level1(pid(id)),
        _ => QosPid::Level2(pid(id)),
    }
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::try_from(text).expect("a filter")
}

/// PUBLISH of MQTT 5.
pub(crate) fn publish5(topic: &str, payload: &str, qos: u8, id: u16) -> v5::Publish {
    let topic = TopicName::try_from(topic).expect("a topic");
    v5::Publish::new(qos_pid(qos, id), topic, Bytes::from(payload.to_owned()))
}

/// PUBLISH of MQTT 3.1.1.
pub(crate) fn publish3(topic: &str, payload: &str, qos: u8, id: u16) -> v3::Publish {
    let topic = TopicName::try_from(topic).expect("a topic");
    v3::Publish::new(qos_pid(qos, id), topic, Bytes::from(payload.to_owned()))
}

/// SUBSCRIBE of MQTT 5 to one filter, with its options.
pub(crate) fn subscribe5(
    text: &str,
    qos: u8,
    change: impl FnOnce(&mut v5::SubscriptionOptions),
) -> v5::Subscribe {
    let mut options = v5::SubscriptionOptions::new(QoS::from_u8(qos).expect("a QoS"));
    options.retain_as_published = false;
    change(&mut options);
    v5::Subscribe::new(pid(1), vec![(filter(text), options)])
}

/// SUBSCRIBE of MQTT 3.1.1.
pub(crate) fn subscribe3(text: &str, qos: u8) -> v3::Packet {
    let qos = QoS::from_u8(qos).expect("a QoS");
    v3::Subscribe::new(pid(1), vec![(filter(text), qos)]).into()
}

pub(crate) fn unsubscribe5(text: &str) -> v5::Packet {
    v5::Unsubscribe::new(pid(1), vec![filter(text)]).into()
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
}

impl Client {
    pub(crate) async fn open(address: std::net::SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.expect("connects");
        stream.set_nodelay(true).expect("is a socket");
        Client { stream }
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("writes");
    }

    pub(crate) async fn send3(&mut self, packet: impl Into<v3::Packet>) {
        let bytes = packet.into().encode().expect("encodes");
        self.raw(bytes.as_ref()).await;
    }

    pub(crate) async fn send5(&mut self, packet: impl Into<v5::Packet>) {
        let bytes = packet.into().encode().expect("encodes");
        self.raw(bytes.as_ref()).await;
    }

    /// The next packet's bytes; `None` if the broker closed.
    pub(crate) async fn next_bytes(&mut self) -> Option<Vec<u8>> {
        timeout(PATIENCE, self.read_packet())
            .await
            .expect("something comes in time")
    }

    async fn read_packet(&mut self) -> Option<Vec<u8>> {
        let mut bytes = vec![self.stream.read_u8().await.ok()?];
        let mut len = 0usize;
        for shift in 0..4 {
            let byte = self.stream.read_u8().await.ok()?;
            bytes.push(byte);
            len |= usize::from(byte & 0x7f) << (7 * shift);
            if byte & 0x80 == 0 {
                break;
            }
        }
        let start = bytes.len();
        bytes.resize(start + len, 0);
        self.stream.read_exact(&mut bytes[start..]).await.ok()?;
        Some(bytes)
    }

    pub(crate) async fn next3(&mut self) -> v3::Packet {
        let bytes = self.next_bytes().await.expect("not closed");
        v3::Packet::decode(&bytes).expect("decodes").expect("whole")
    }

    pub(crate) async fn next5(&mut self) -> v5::Packet {
        let bytes = self.next_bytes().await.expect("not closed");
        v5::Packet::decode(&bytes).expect("decodes").expect("whole")
    }

    pub(crate) async fn message5(&mut self) -> v5::Publish {
        match self.next5().await {
            v5::Packet::Publish(publish) => publish,
            other => panic!("not a publish: {other:?}"),
        }
    }

    pub(crate) async fn message3(&mut self) -> v3::Publish {
        match self.next3().await {
            v3::Packet::Publish(publish) => publish,
            other => panic!("not a publish: {other:?}"),
        }
    }

    /// Expect DISCONNECT with a reason, and then the end.
    pub(crate) async fn expect_disconnect(&mut self, code: v5::DisconnectReasonCode) {
        match self.next5().await {
            v5::Packet::Disconnect(d) => assert_eq!(d.reason_code, code),
            other => panic!("not a DISCONNECT: {other:?}"),
        }
        self.expect_closed().await;
    }

    pub(crate) async fn expect_closed(&mut self) {
        assert_eq!(self.next_bytes().await, None);
    }

    /// Everything sent before is understood and nothing else is answered yet.
    pub(crate) async fn expect_nothing(&mut self) {
        self.raw(&[0xc0, 0]).await;
        assert_eq!(self.next_bytes().await, Some(vec![0xd0, 0]));
    }

    pub(crate) async fn subscribe5(&mut self, text: &str, qos: u8) {
        self.send5(subscribe5(text, qos, |_| ())).await;
        assert!(matches!(self.next5().await, v5::Packet::Suback(_)));
    }
}
