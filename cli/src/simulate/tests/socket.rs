//! The publisher keeps its word on a real socket.

use bytes::BytesMut;
use mqtt_proto::v3::{Connack, ConnectReturnCode, LastWill, Packet, Publish};
use mqtt_proto::{Pid, QosPid, TopicName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paced_run_sends_what_its_rate_and_time_say() {
    let mut args = args(Profile::Hotel);
    args.ceiling = true;
    args.clients = 3;
    args.rate = 900.0;
    // Room for a machine that stalls.
    args.in_flight = 500;
    args.seconds = Some(0.5);
    let live = Arc::new(Live::default());
    let running = run(&args, Arc::clone(&live), CancellationToken::new());
    let summary = running.await.expect("ran");
    assert_eq!((summary.published, summary.acked), (450, 450));
    assert!(summary.seconds > 0.45, "in a burst: {summary:?}");
}

/// A broker's side of one connection, decoded independently of the publisher's own framing.
struct Peer {
    stream: TcpStream,
    inbox: BytesMut,
    will: Option<LastWill>,
}

impl Peer {
    async fn accept(listener: &TcpListener) -> Peer {
        let (stream, _) = listener.accept().await.expect("accept");
        let mut peer = Peer {
            stream,
            inbox: BytesMut::new(),
            will: None,
        };
        let Some(Packet::Connect(connect)) = peer.next().await else {
            panic!("no CONNECT");
        };
        assert!(!connect.clean_session);
        peer.will = connect.last_will.clone();
        let connack = Connack::new(false, ConnectReturnCode::Accepted);
        peer.send(Packet::Connack(connack)).await;
        peer
    }

    /// The topics of the next packet, which must be a SUBSCRIBE.
    async fn subscribe(&mut self) -> Vec<String> {
        match self.next().await {
            Some(Packet::Subscribe(subscribe)) => {
                let topics = subscribe.topics.iter();
                topics.map(|(filter, _)| filter.to_string()).collect()
            }
            other => panic!("expected a SUBSCRIBE, got {other:?}"),
        }
    }

    async fn next(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = Packet::decode(&self.inbox).expect("a valid packet") {
                let length = packet.encode_len().expect("a length");
                drop(self.inbox.split_to(length));
                return Some(packet);
            }
            if self.stream.read_buf(&mut self.inbox).await.ok()? == 0 {
                return None;
            }
        }
    }

    async fn publish(&mut self) -> Publish {
        match self.next().await {
            Some(Packet::Publish(publish)) => publish,
            other => panic!("expected a PUBLISH, got {other:?}"),
        }
    }

    async fn send(&mut self, packet: Packet) {
        let bytes = packet.encode().expect("a valid packet");
        self.stream.write_all(bytes.as_ref()).await.expect("send");
    }
}

fn number(publish: &Publish) -> u64 {
    numbers(&publish.payload)["/n"] as u64
}

fn pid(publish: &Publish) -> Pid {
    publish.qos_pid.pid().expect("QoS 1 or 2")
}

/// Starts a run of `count` load messages against a listener of the test's own.
async fn start(
    count: u64,
    change: impl FnOnce(&mut Args),
) -> (
    TcpListener,
    Arc<Live>,
    tokio::task::JoinHandle<Result<Summary, SimulateError>>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let mut args = args(Profile::Load);
    let address = listener.local_addr().expect("an address").to_string();
    args.mqtt = Some(address.parse().expect("a broker URL"));
    args.rate = 0.0;
    args.messages = Some(count);
    change(&mut args);
    let live = Arc::new(Live::default());
    let watched = Arc::clone(&live);
    let run = tokio::spawn(async move { run(&args, watched, CancellationToken::new()).await });
    (listener, live, run)
}

#[tokio::test]
async fn a_lost_connection_is_followed_by_duplicates_in_order_before_anything_new() {
    let (listener, live, run) = start(8, |args| args.in_flight = 5).await;
    let mut peer = Peer::accept(&listener).await;
    let mut sent = Vec::new();
    for _ in 0..5 {
        let publish = peer.publish().await;
        assert!(!publish.dup);
        sent.push(publish);
    }
    // Message 1 is acknowledged out of turn and must never come again.
    peer.send(Packet::Puback(pid(&sent[1]))).await;
    let sixth = peer.publish().await;
    assert_eq!(number(&sixth), 5);
    drop(peer);

    let mut peer = Peer::accept(&listener).await;
    for expected in [&sent[0], &sent[2], &sent[3], &sent[4], &sixth] {
        let again = peer.publish().await;
        assert!(again.dup);
        assert_eq!(number(&again), number(expected));
        assert_eq!(pid(&again), pid(expected));
        peer.send(Packet::Puback(pid(&again))).await;
    }
    for expected in 6..8 {
        let publish = peer.publish().await;
        assert_eq!((number(&publish), publish.dup), (expected, false));
        peer.send(Packet::Puback(pid(&publish))).await;
    }
    assert_eq!(peer.next().await, Some(Packet::Disconnect));
    let summary = run.await.expect("joined").expect("ran");
    assert_eq!((summary.published, summary.acked), (8, 8));
    assert_eq!((summary.reconnects, summary.redelivered), (1, 5));
    assert_eq!(live.connected(), 0);
}

#[tokio::test]
async fn what_has_no_ack_is_not_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("acked");
    let acked_file = path.clone();
    let (listener, _, run) = start(3, |args| {
        args.drain = 0.3;
        args.acked_file = Some(acked_file);
    })
    .await;
    let mut peer = Peer::accept(&listener).await;
    let first = peer.publish().await;
    peer.send(Packet::Puback(pid(&first))).await;
    // The same ack again, and one for an id that was never used, count for nothing.
    peer.send(Packet::Puback(pid(&first))).await;
    peer.send(Packet::Puback(Pid::try_from(999).expect("not zero")))
        .await;
    let summary = run.await.expect("joined").expect("ran");
    assert_eq!((summary.published, summary.acked), (3, 1));
    assert_eq!(summary.unacked(), 2);
    let text = std::fs::read_to_string(path).expect("the acked file");
    let payload = std::str::from_utf8(&first.payload).expect("text");
    assert_eq!(text, format!("home/load-1/counter\t{payload}\n"));
}

#[tokio::test]
async fn a_device_hears_its_command_and_answers_before_anything_else() {
    let (listener, _, run) = start(4, |args| {
        args.profile = Profile::House;
        args.in_flight = 1;
        args.faults = 0.0;
    })
    .await;
    let mut peer = Peer::accept(&listener).await;
    let will = peer.will.take().expect("the bridge has a will");
    assert_eq!(&*will.topic_name, "zigbee2mqtt/bridge/state");
    assert!(will.retain);
    let topics = peer.subscribe().await;
    let command = "zigbee2mqtt/kitchen/plug/set";
    assert!(topics.iter().any(|topic| topic == command));

    let first = peer.publish().await;
    assert!(first.retain, "discovery comes first: {}", first.topic_name);
    let topic = TopicName::try_from(command).expect("a topic");
    let told = pid(&first) + 9;
    let payload = r#"{"state":"OFF"}"#.into();
    let mut set = Publish::new(QosPid::Level1(told), topic, payload);
    set.retain = false;
    peer.send(Packet::Publish(set)).await;
    assert_eq!(peer.next().await, Some(Packet::Puback(told)));
    peer.send(Packet::Puback(pid(&first))).await;
    let answer = peer.publish().await;
    assert_eq!(&*answer.topic_name, "zigbee2mqtt/kitchen/plug");
    let state: serde_json::Value = serde_json::from_slice(&answer.payload).expect("JSON");
    assert_eq!(state["state"], "OFF");
    peer.send(Packet::Puback(pid(&answer))).await;
    for _ in 1..4 {
        let next = peer.publish().await;
        peer.send(Packet::Puback(pid(&next))).await;
    }
    let summary = run.await.expect("joined").expect("ran");
    assert_eq!((summary.published, summary.acked), (5, 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binary_payloads_stand_as_base64_in_the_acked_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut args = args(Profile::Factory);
    args.ceiling = true;
    args.rate = 0.0;
    args.messages = Some(2_000);
    args.acked_file = Some(folder.path().join("acked"));
    let live = Arc::new(Live::default());
    let ran = run(&args, live, CancellationToken::new()).await;
    assert_eq!(ran.expect("ran").acked, 2_000);
    let text = std::fs::read_to_string(folder.path().join("acked")).expect("a text file");
    let mut binary = 0;
    for line in text.lines() {
        let (topic, payload) = line.split_once('\t').expect("topic<TAB>payload");
        let is_binary = payload.starts_with("base64:");
        assert_eq!(is_binary, topic.starts_with("spBv1.0/"), "{line}");
        binary += usize::from(is_binary);
    }
    assert_eq!(text.lines().count(), 2_000);
    assert!(binary > 100);
}

#[tokio::test]
async fn qos_2_releases_after_a_reconnect_and_does_not_publish_again() {
    let (listener, _, run) = start(2, |args| args.qos = 2).await;
    // The first connection only makes the broker forget an older session.
    let (stream, _) = listener.accept().await.expect("accept");
    let mut wipe = Peer {
        stream,
        inbox: BytesMut::new(),
        will: None,
    };
    let Some(Packet::Connect(connect)) = wipe.next().await else {
        panic!("no CONNECT");
    };
    assert!(connect.clean_session);
    let connack = Connack::new(false, ConnectReturnCode::Accepted);
    wipe.send(Packet::Connack(connack)).await;
    assert_eq!(wipe.next().await, Some(Packet::Disconnect));

    let mut peer = Peer::accept(&listener).await;
    let (first, second) = (peer.publish().await, peer.publish().await);
    peer.send(Packet::Pubrec(pid(&first))).await;
    assert_eq!(peer.next().await, Some(Packet::Pubrel(pid(&first))));
    drop(peer);

    let mut peer = Peer::accept(&listener).await;
    assert_eq!(peer.next().await, Some(Packet::Pubrel(pid(&first))));
    let again = peer.publish().await;
    assert!(again.dup && again.qos_pid == QosPid::Level2(pid(&second)));
    peer.send(Packet::Pubcomp(pid(&first))).await;
    peer.send(Packet::Pubrec(pid(&second))).await;
    assert_eq!(peer.next().await, Some(Packet::Pubrel(pid(&second))));
    peer.send(Packet::Pubcomp(pid(&second))).await;
    let summary = run.await.expect("joined").expect("ran");
    assert_eq!((summary.published, summary.acked), (2, 2));
}

#[tokio::test]
async fn a_refused_login_ends_the_run() {
    let (listener, _, run) = start(2, |_| {}).await;
    let (stream, _) = listener.accept().await.expect("accept");
    let mut peer = Peer {
        stream,
        inbox: BytesMut::new(),
        will: None,
    };
    peer.next().await.expect("a CONNECT");
    let connack = Connack::new(false, ConnectReturnCode::NotAuthorized);
    peer.send(Packet::Connack(connack)).await;
    let ended = run.await.expect("joined");
    assert!(
        matches!(ended, Err(SimulateError::Refused { .. })),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_version_and_qos_drives_the_bare_broker() {
    for version in [3, 5] {
        for qos in [0, 1, 2] {
            let mut args = args(Profile::House);
            args.ceiling = true;
            args.version = version;
            args.qos = qos;
            args.clients = 3;
            args.rate = 0.0;
            args.messages = Some(2_000);
            let live = Arc::new(Live::default());
            let summary = run(&args, live, CancellationToken::new())
                .await
                .expect("ran");
            assert_eq!(summary.published, 2_000);
            assert_eq!(summary.acked, if qos == 0 { 0 } else { 2_000 });
        }
    }
}
