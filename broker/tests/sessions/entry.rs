//! Who is let in, and what they are told.

use bytes::Bytes;
use mqtt_proto::{v3, v5, v5::DisconnectReasonCode};
use tarn_broker::{Limits, auth::Anonymous};

use crate::{
    client::{Client, publish3},
    fake_log::FakeLog,
    start, start_with,
};

async fn code3(client: &mut Client, connect: v3::Connect) -> v3::ConnectReturnCode {
    client.send3(connect).await;
    match client.next3().await {
        v3::Packet::Connack(connack) => connack.code,
        other => panic!("not a CONNACK: {other:?}"),
    }
}

async fn connack5(client: &mut Client, connect: v5::Connect) -> v5::Connack {
    client.send5(connect).await;
    match client.next5().await {
        v5::Packet::Connack(connack) => connack,
        other => panic!("not a CONNACK: {other:?}"),
    }
}

#[tokio::test]
async fn passwords() {
    let broker = start_with(&FakeLog::prompt(), Limits::default(), Anonymous::Never).await;
    for (user, password, code_3, code_5) in [
        (Some("ann"), "secret", 0, 0),
        (Some("ann"), "wrong", 4, 0x86),
        (Some("bob"), "secret", 4, 0x86),
        (None, "", 5, 0x87),
    ] {
        let mut three = v3::Connect::new("c".into(), 0);
        three.username = user.map(Into::into);
        three.password = user.map(|_| Bytes::from(password));
        let mut client = broker.open().await;
        assert_eq!(code3(&mut client, three).await as u8, code_3, "{user:?}");
        if code_3 > 0 {
            client.expect_closed().await;
        }
        let mut five = v5::Connect::new("c".into(), 0);
        five.username = user.map(Into::into);
        five.password = user.map(|_| Bytes::from(password));
        let connack = connack5(&mut broker.open().await, five).await;
        assert_eq!(connack.reason_code as u8, code_5, "{user:?}");
    }
    assert_eq!(broker.metric("tarn_mqtt_auth_failures_total"), 6);
}

#[tokio::test]
async fn empty_client_ids() {
    let log = FakeLog::prompt();
    let broker = start(&log, Limits::default()).await;
    let connack = connack5(&mut broker.open().await, v5::Connect::new("".into(), 0)).await;
    let assigned = connack.properties.assigned_client_id.expect("is told");
    assert!(!assigned.is_empty());
    assert_eq!(connack.properties.receive_max, Some(1024));

    let mut client = broker.v3("").await;
    client.send3(publish3("t", "x", 1, 1)).await;
    client.next3().await;
    assert!(!log.records()[0].client.is_empty());
    assert_ne!(log.records()[0].client, *assigned);

    let mut keep = v3::Connect::new("".into(), 0);
    keep.clean_session = false;
    let mut client = broker.open().await;
    assert_eq!(
        code3(&mut client, keep).await,
        v3::ConnectReturnCode::IdentifierRejected
    );
    client.expect_closed().await;
}

#[tokio::test]
async fn versions() {
    let broker = start(&FakeLog::prompt(), Limits::default()).await;
    let mut old = v3::Connect::new("c".into(), 0);
    old.protocol = mqtt_proto::Protocol::V310;
    assert_eq!(
        code3(&mut broker.open().await, old).await,
        v3::ConnectReturnCode::Accepted
    );
    let mut client = broker.open().await;
    client.raw(b"\x10\x0d\0\x04MQTT\x06\x02\0\0\0\x01c").await;
    assert_eq!(client.next_bytes().await, Some(vec![0x20, 2, 0, 1]));
    client.expect_closed().await;
}

#[tokio::test]
async fn a_second_connection_takes_over() {
    let log = FakeLog::prompt();
    let broker = start(&log, Limits::default()).await;
    let mut first = broker.v5("same").await;
    first.subscribe5("#", 1).await;
    let mut second = broker.v3("same").await;
    first
        .expect_disconnect(DisconnectReasonCode::SessionTakenOver)
        .await;
    let mut third = broker.v5("same").await;
    second.expect_closed().await;
    third.subscribe5("t", 0).await;
    third.send5(crate::client::publish5("t", "x", 0, 0)).await;
    assert_eq!(&third.message5().await.payload[..], b"x");
    assert_eq!(broker.metric("tarn_mqtt_subscriptions"), 1);
}

/// Whoever publishes, goes and comes again at once has its old connection taken over before it was read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_before_a_takeover_is_taken() {
    const ROUNDS: usize = 300;
    let broker = start(&FakeLog::prompt(), Limits::default()).await;
    let mut watcher = broker.v5("watcher").await;
    watcher.subscribe5("hasty/#", 0).await;
    for name in ["a", "b", "c"] {
        for round in 0..ROUNDS {
            let mut hasty = broker.v3(name).await;
            let topic = format!("hasty/{name}");
            hasty
                .send3(publish3(&topic, &round.to_string(), 0, 0))
                .await;
            hasty.send3(v3::Packet::Disconnect).await;
        }
        for round in 0..ROUNDS {
            let got = watcher.message5().await;
            assert_eq!(got.payload, round.to_string().into_bytes());
        }
    }
}

#[tokio::test]
async fn connections_are_bounded() {
    let broker = start(
        &FakeLog::prompt(),
        Limits {
            connections_max: 1,
            ..Limits::default()
        },
    )
    .await;
    let first = broker.v5("a").await;
    broker.open().await.expect_closed().await;
    drop(first);
    // The place is free again once the broker has seen the end.
    loop {
        let mut client = broker.open().await;
        client.send5(v5::Connect::new("b".into(), 0)).await;
        if client.next_bytes().await.is_some() {
            break;
        }
    }
}
