//! What a client may not do.

use std::time::Duration;

use mqtt_proto::{v5, v5::DisconnectReasonCode};
use tarn_broker::Limits;
use tokio::io::AsyncWriteExt;

use crate::{
    client::{publish3, publish5},
    fake_log::FakeLog,
    start,
};

#[tokio::test]
async fn broken_packets() {
    let long = "x".repeat(3000);
    let deep = "a/".repeat(64);
    let raw_topic = |topic: &[u8]| {
        let mut bytes = vec![0x30, 3 + topic.len() as u8, 0, topic.len() as u8];
        bytes.extend_from_slice(topic);
        bytes.push(0);
        bytes
    };
    let encode = |packet: v5::Publish| {
        v5::Packet::from(packet)
            .encode()
            .expect("encodes")
            .as_ref()
            .to_vec()
    };
    let mut alias = publish5("t", "x", 0, 0);
    alias.properties.topic_alias = Some(33);
    let cases: Vec<(&str, Vec<u8>, u8)> = vec![
        (
            "a length of 256 MB",
            vec![0x30, 0xff, 0xff, 0xff, 0x7f],
            0x95,
        ),
        (
            "a length without end",
            vec![0x30, 0xff, 0xff, 0xff, 0xff],
            0x81,
        ),
        ("QoS 3", vec![0x36, 5, 0, 1, b't', 0, 1], 0x81),
        ("a reserved type", vec![0x00, 0], 0x81),
        ("a truncated packet", vec![0x30, 4, 0, 9, b't', 0], 0x81),
        ("PINGREQ with a body", vec![0xc0, 1, 0], 0x81),
        ("packet id 0", vec![0x32, 6, 0, 1, b't', 0, 0, 0], 0x81),
        (
            "a second CONNECT",
            b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01c".to_vec(),
            0x81,
        ),
        ("a packet of a server", vec![0xd0, 0], 0x82),
        ("an empty topic", raw_topic(b""), 0x82),
        ("a wildcard", raw_topic(b"a/+"), 0x90),
        ("no UTF-8", raw_topic(&[0xff, 0xfe]), 0x81),
        ("a long topic", encode(publish5(&long, "x", 0, 0)), 0x90),
        ("a deep topic", encode(publish5(&deep, "x", 0, 0)), 0x90),
        ("an alias", encode(alias), 0x94),
        ("SUBSCRIBE to nothing", vec![0x82, 3, 0, 1, 0], 0x82),
        (
            "a bad filter",
            vec![0x82, 8, 0, 1, 0, 0, 2, b'#', b'a', 0],
            0x8f,
        ),
    ];
    let log = FakeLog::prompt();
    let broker = start(&log, Limits::default()).await;
    for (what, bytes, code) in cases {
        let mut client = broker.v5("five").await;
        client.raw(&bytes).await;
        match client.next5().await {
            v5::Packet::Disconnect(d) => assert_eq!(d.reason_code as u8, code, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
        client.expect_closed().await;
    }
    assert_eq!(log.records(), []);
    assert_eq!(
        broker.metric("tarn_mqtt_malformed_total{reason=\"too_large\"}"),
        1
    );
    let mut client = broker.v3("three").await;
    client.raw(&[0x30, 0xff, 0xff, 0xff, 0x7f]).await;
    client.expect_closed().await;
}

#[tokio::test]
async fn what_came_before_a_broken_packet_is_kept() {
    let log = FakeLog::by_hand();
    let broker = start(&log, Limits::default()).await;
    let mut client = broker.v5("c").await;
    let good = v5::Packet::from(publish5("t", "x", 1, 1))
        .encode()
        .expect("encodes");
    client.raw(&[good.as_ref(), &[0, 0]].concat()).await;
    client
        .expect_disconnect(DisconnectReasonCode::MalformedPacket)
        .await;
    assert_eq!((log.records().len(), log.commits()), (1, 1));
}

#[tokio::test]
async fn large_packets_pass() {
    let log = FakeLog::prompt();
    let broker = start(&log, Limits::default()).await;
    let mut subscriber = broker.v5("s").await;
    subscriber.subscribe5("big", 1).await;
    let mut client = broker.v5("c").await;
    let payload = "x".repeat(900_000);
    client.send5(publish5("big", &payload, 1, 1)).await;
    assert_eq!(subscriber.message5().await.payload.len(), payload.len());
}

#[tokio::test]
async fn slow_bytes_are_cut() {
    let limits = Limits {
        handshake_timeout: Duration::from_millis(300),
        packet_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let broker = start(&FakeLog::prompt(), limits).await;
    // Never a complete CONNECT.
    let mut client = broker.open().await;
    let connect = v5::Packet::from(v5::Connect::new("slow".into(), 60));
    let bytes = connect.encode().expect("encodes").as_ref().to_vec();
    for byte in &bytes[..bytes.len() - 1] {
        // The broker may close in between.
        let _ = client.stream.write_all(&[*byte]).await;
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    client.expect_closed().await;
    // A session that begins a packet, and pings of another that is served meanwhile.
    let mut other = broker.v5("other").await;
    let mut client = broker.v5("slow").await;
    client.raw(&[0x30, 100]).await;
    other.expect_nothing().await;
    client
        .expect_disconnect(DisconnectReasonCode::UnspecifiedError)
        .await;
    other.expect_nothing().await;
    assert_eq!(
        broker.metric("tarn_mqtt_malformed_total{reason=\"handshake_timeout\"}"),
        1
    );
    assert_eq!(
        broker.metric("tarn_mqtt_malformed_total{reason=\"packet_timeout\"}"),
        1
    );
}

#[tokio::test]
async fn silence_is_cut_after_the_keep_alive() {
    let broker = start(&FakeLog::prompt(), Limits::default()).await;
    let mut client = broker.open().await;
    client.send5(v5::Connect::new("c".into(), 1)).await;
    client.next5().await;
    let began = tokio::time::Instant::now();
    client
        .expect_disconnect(DisconnectReasonCode::KeepAliveTimeout)
        .await;
    let silent = began.elapsed();
    assert!(silent > Duration::from_millis(1400), "{silent:?}");
}

#[tokio::test]
async fn a_slow_subscriber_holds_nobody_back() {
    let log = FakeLog::prompt();
    let limits = Limits {
        queue_messages_max: 100,
        ..Limits::default()
    };
    let broker = start(&log, limits).await;
    let mut slow = broker.v5("slow").await;
    slow.subscribe5("#", 1).await;
    let mut quick = broker.v5("quick").await;
    quick.subscribe5("end", 0).await;
    let mut publisher = broker.v3("p").await;
    let payload = "x".repeat(10_000);
    for round in 0..200 {
        for id in 1..=10 {
            publisher.send3(publish3("t", &payload, 1, id)).await;
        }
        for _ in 1..=10 {
            assert!(publisher.next_bytes().await.is_some(), "round {round}");
        }
    }
    publisher.send3(publish3("end", "x", 0, 0)).await;
    assert_eq!(&quick.message5().await.payload[..], b"x");
    let dropped = broker.metric("tarn_mqtt_dropped_outbound_total{reason=\"queue_full\"}")
        + broker.metric("tarn_mqtt_dropped_outbound_total{reason=\"router_evicted\"}");
    assert!(dropped > 500, "{dropped}");
}
