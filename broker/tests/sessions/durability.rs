//! Acked means on disk.

use std::time::Duration;

use mqtt_proto::{v3, v5, v5::DisconnectReasonCode};
use tarn_broker::{Limits, log::Refused};
use tarn_common::ids::Seq;

use crate::{
    client::{pid, publish3, publish5},
    fake_log::FakeLog,
    start,
};

#[tokio::test]
async fn no_ack_before_it_is_durable() {
    let log = FakeLog::by_hand();
    let broker = start(&log, Limits::default()).await;
    let mut v3 = broker.v3("three").await;
    v3.send3(publish3("a", "1", 1, 7)).await;
    log.appended(1).await;
    v3.expect_nothing().await;
    let mut v5 = broker.v5("five").await;
    v5.send5(publish5("a", "2", 1, 9)).await;
    log.appended(2).await;
    log.make_durable(1);
    assert_eq!(v3.next3().await, v3::Packet::Puback(pid(7)));
    v5.expect_nothing().await;
    log.make_durable(2);
    assert_eq!(v5.next5().await, v5::Puback::new_success(pid(9)).into());
    assert_eq!(broker.metric("tarn_mqtt_acks_total"), 2);
}

#[tokio::test]
async fn acks_come_in_order_and_a_read_is_one_commit() {
    let log = FakeLog::by_hand();
    let broker = start(&log, Limits::default()).await;
    let mut client = broker.v3("c").await;
    let mut bytes = Vec::new();
    for id in 1..=100 {
        let packet = v3::Packet::from(publish3("t", "x", (id % 3) as u8, id));
        bytes.extend_from_slice(packet.encode().expect("encodes").as_ref());
    }
    client.raw(&bytes).await;
    log.appended(100).await;
    client.expect_nothing().await;
    assert!(log.commits() < 5, "{} commits", log.commits());
    log.make_durable(50);
    log.make_durable(100);
    for id in 1..=100 {
        match id % 3 {
            0 => {}
            1 => assert_eq!(client.next3().await, v3::Packet::Puback(pid(id))),
            _ => assert_eq!(client.next3().await, v3::Packet::Pubrec(pid(id))),
        }
    }
}

#[tokio::test]
async fn duplicates_are_acked_and_not_routed() {
    let log = FakeLog::prompt();
    let broker = start(&log, Limits::default()).await;
    let mut subscriber = broker.v5("s").await;
    subscriber.subscribe5("#", 1).await;
    let mut client = broker.v3("c").await;
    for dup in [false, true] {
        let mut publish = publish3("t", "once", 1, 3);
        publish.dup = dup;
        client.send3(publish).await;
        assert_eq!(client.next3().await, v3::Packet::Puback(pid(3)));
    }
    client.send3(publish3("t", "last", 0, 0)).await;
    assert_eq!(&subscriber.message5().await.payload[..], b"once");
    assert_eq!(&subscriber.message5().await.payload[..], b"last");
    assert_eq!(log.records().len(), 2);
    assert_eq!(broker.metric("tarn_mqtt_duplicates_total"), 1);
}

#[tokio::test]
async fn qos_2_is_durable_at_both_steps() {
    let log = FakeLog::by_hand();
    let broker = start(&log, Limits::default()).await;
    let mut client = broker.v5("c").await;
    client.send5(publish5("t", "x", 2, 5)).await;
    log.appended(1).await;
    client.expect_nothing().await;
    log.make_durable(1);
    assert_eq!(client.next5().await, v5::Pubrec::new_success(pid(5)).into());
    // Sent again, as after a lost PUBREC.
    client.send5(publish5("t", "x", 2, 5)).await;
    assert_eq!(client.next5().await, v5::Pubrec::new_success(pid(5)).into());
    client.send5(v5::Pubrel::new_success(pid(5))).await;
    log.appended(2).await;
    client.expect_nothing().await;
    log.make_durable(2);
    assert_eq!(
        client.next5().await,
        v5::Pubcomp::new_success(pid(5)).into()
    );
    client.send5(publish5("t", "y", 2, 5)).await;
    log.appended(3).await;
    assert_eq!(log.records().len(), 2);
}

#[tokio::test]
async fn refusals_are_told_to_v5() {
    let log = FakeLog::prompt();
    let broker = start(&log, Limits::default()).await;
    let mut client = broker.v5("c").await;
    for (refused, code) in [
        (Refused::Full, 0x97),
        (Refused::Unavailable, 0x83),
        (Refused::TooLarge, 0x97),
    ] {
        log.refuse(Some(refused));
        client.send5(publish5("t", "x", 0, 0)).await;
        client.send5(publish5("t", "x", 1, 1)).await;
        assert_eq!(client.next_bytes().await, Some(vec![0x40, 3, 0, 1, code]));
        client.send5(publish5("t", "x", 2, 2)).await;
        assert_eq!(client.next_bytes().await, Some(vec![0x50, 3, 0, 2, code]));
    }
    log.refuse(None);
    client.send5(publish5("t", "x", 1, 1)).await;
    assert_eq!(client.next_bytes().await, Some(vec![0x40, 2, 0, 1]));
    assert_eq!(broker.metric("tarn_mqtt_refused_total{reason=\"full\"}"), 3);
}

#[tokio::test]
async fn a_refused_v3_client_is_closed_without_an_ack() {
    let log = FakeLog::by_hand();
    let limits = Limits {
        refused_pause: Duration::from_millis(300),
        ..Limits::default()
    };
    let broker = start(&log, limits).await;
    let mut client = broker.v3("c").await;
    client.send3(publish3("t", "x", 1, 1)).await;
    log.appended(1).await;
    log.refuse(Some(Refused::Full));
    client.send3(publish3("t", "dropped", 0, 0)).await;
    client.expect_nothing().await;
    client.send3(publish3("t", "x", 1, 2)).await;
    // What was taken before is still acked.
    log.make_durable(1);
    assert_eq!(client.next3().await, v3::Packet::Puback(pid(1)));
    client.expect_closed().await;
}

#[tokio::test]
async fn unacked_publishes_are_bounded() {
    let log = FakeLog::by_hand();
    let broker = start(
        &log,
        Limits {
            unacked_max: 4,
            ..Limits::default()
        },
    )
    .await;
    let mut client = broker.v3("c").await;
    for id in 1..=6 {
        client.send3(publish3("t", "x", 1, id)).await;
    }
    client.raw(&[0xc0, 0]).await;
    log.appended(4).await;
    log.make_durable(1);
    assert_eq!(client.next3().await, v3::Packet::Puback(pid(1)));
    log.appended(5).await;
    assert_eq!(log.records().len(), 5);
    log.make_durable(6);
    for id in 2..=5 {
        assert_eq!(client.next3().await, v3::Packet::Puback(pid(id)));
    }
    let rest = [client.next3().await, client.next3().await];
    assert!(rest.contains(&v3::Packet::Pingresp) && rest.contains(&v3::Packet::Puback(pid(6))));
}

#[tokio::test]
async fn arrived_acks_are_confirmed() {
    let log = FakeLog::prompt();
    let limits = Limits {
        confirm_delay: Duration::from_millis(50),
        ..Limits::default()
    };
    let broker = start(&log, limits).await;
    let mut client = broker.v3("c").await;
    for id in 1..=3 {
        client.send3(publish3("t", "x", 1, id)).await;
        client.next3().await;
    }
    let (who, seq) = log.confirmed().await;
    assert_eq!(who, "c");
    assert!((Seq(1)..=Seq(3)).contains(&seq));
}

#[tokio::test]
async fn shutdown_acks_what_becomes_durable() {
    let log = FakeLog::by_hand();
    let broker = start(&log, Limits::default()).await;
    let mut client = broker.v5("c").await;
    client.send5(publish5("t", "x", 1, 1)).await;
    log.appended(1).await;
    let finish = async {
        log.make_durable(1);
        assert_eq!(client.next5().await, v5::Puback::new_success(pid(1)).into());
        client
            .expect_disconnect(DisconnectReasonCode::ServerShuttingDown)
            .await;
        drop(client);
    };
    tokio::join!(broker.broker.shutdown(), finish);
    assert_eq!(broker.metric("tarn_mqtt_connections"), 0);
    assert!(
        tokio::net::TcpStream::connect(broker.broker.addresses()[0].1)
            .await
            .is_err()
    );
}
