//! What a new process finds of the sessions that an old one had, with nothing but the log and the
//! store between them.

use std::{path::Path, sync::Arc};

use mqtt_proto::{Pid, QosPid, v3, v5};
use tempfile::TempDir;

use super::{
    Anonymous, Running,
    client::{Client, pid, publish5},
    fake_log::FakeLog,
    start_in,
};

/// A broker that keeps its sessions in a directory.
async fn broker(log: &Arc<FakeLog>, dir: &Path) -> Running {
    let limits = tarn_broker::Limits::default();
    start_in(
        log,
        limits,
        Anonymous::Always,
        Some(dir.join("broker.redb")),
    )
    .await
}

/// A client with a session that outlives its connection. Returns whether it found one.
async fn lasting(broker: &Running, id: &str) -> (Client, bool) {
    let mut client = broker.open().await;
    let mut connect = v5::Connect::new(id.into(), 60);
    connect.clean_start = false;
    connect.properties.session_expiry_interval = Some(3600);
    client.send5(connect).await;
    match client.next5().await {
        v5::Packet::Connack(c) => {
            assert_eq!(c.reason_code, v5::ConnectReasonCode::Success);
            (client, c.session_present)
        }
        other => panic!("not a CONNACK: {other:?}"),
    }
}

/// The broker's process is gone: what it would have said at its end is not in the log.
async fn crash(broker: Running, log: &FakeLog) {
    let last = log.last_position();
    broker.broker.shutdown().await;
    log.cut_back(last);
}

/// Publish at QoS 1 and wait for the ack.
async fn acked(publisher: &mut Client, topic: &str, payload: &str) {
    publisher.send5(publish5(topic, payload, 1, 1)).await;
    match publisher.next5().await {
        v5::Packet::Puback(_) => {}
        other => panic!("not a PUBACK: {other:?}"),
    }
}

async fn expect(client: &mut Client, payload: &str, dup: bool) -> QosPid {
    let got = client.message5().await;
    assert_eq!(
        (&got.payload[..], got.dup),
        (payload.as_bytes(), dup),
        "on {}",
        &*got.topic_name
    );
    got.qos_pid
}

fn id_of(qos_pid: QosPid) -> Pid {
    qos_pid.pid().expect("not QoS 0")
}

#[tokio::test]
async fn queued_messages_come_after_a_crash_with_and_without_a_checkpoint() {
    for checkpoint in [false, true] {
        let (log, dir) = (FakeLog::prompt(), TempDir::new().expect("a directory"));
        let first = broker(&log, dir.path()).await;
        let (mut sleeper, present) = lasting(&first, "sleeper").await;
        assert!(!present);
        sleeper.subscribe5("a/#", 1).await;
        drop(sleeper);
        let mut publisher = first.v5("publisher").await;
        acked(&mut publisher, "a/1", "one").await;
        if checkpoint {
            first.broker.checkpoints().make().await.expect("is made");
            log.trim();
        }
        acked(&mut publisher, "a/2", "two").await;
        acked(&mut publisher, "b", "not for it").await;
        crash(first, &log).await;

        let second = broker(&log, dir.path()).await;
        let (mut sleeper, present) = lasting(&second, "sleeper").await;
        assert!(present);
        expect(&mut sleeper, "one", false).await;
        expect(&mut sleeper, "two", false).await;
        let mut publisher = second.v5("publisher").await;
        acked(&mut publisher, "a/3", "three").await;
        expect(&mut sleeper, "three", false).await;
    }
}

#[tokio::test]
async fn qos2_goes_on_where_it_was() {
    for checkpoint in [false, true] {
        let (log, dir) = (FakeLog::prompt(), TempDir::new().expect("a directory"));
        let first = broker(&log, dir.path()).await;
        let (mut sleeper, _) = lasting(&first, "sleeper").await;
        sleeper.subscribe5("a/#", 2).await;
        let mut publisher = first.v5("publisher").await;
        for (id, payload) in [(1, "done"), (2, "received"), (3, "sent")] {
            publisher.send5(publish5("a/b", payload, 2, id)).await;
            assert!(matches!(publisher.next5().await, v5::Packet::Pubrec(_)));
            publisher
                .send5(v5::Pubrel::new(pid(id), v5::PubrelReasonCode::Success))
                .await;
            assert!(matches!(publisher.next5().await, v5::Packet::Pubcomp(_)));
        }
        let ids = [
            expect(&mut sleeper, "done", false).await,
            expect(&mut sleeper, "received", false).await,
            expect(&mut sleeper, "sent", false).await,
        ]
        .map(id_of);
        for id in &ids[..2] {
            sleeper
                .send5(v5::Pubrec::new(*id, v5::PubrecReasonCode::Success))
                .await;
            assert!(matches!(sleeper.next5().await, v5::Packet::Pubrel(r) if r.pid == *id));
        }
        sleeper
            .send5(v5::Pubcomp::new(ids[0], v5::PubcompReasonCode::Success))
            .await;
        sleeper.expect_nothing().await;
        if checkpoint {
            first.broker.checkpoints().make().await.expect("is made");
            log.trim();
        }
        crash(first, &log).await;

        let second = broker(&log, dir.path()).await;
        let (mut sleeper, present) = lasting(&second, "sleeper").await;
        assert!(present);
        // Both may come in either order: they are of different kinds.
        let (mut released, mut sent) = (None, None);
        for _ in 0..2 {
            match sleeper.next5().await {
                v5::Packet::Pubrel(pubrel) => released = Some(pubrel.pid),
                v5::Packet::Publish(publish) => {
                    assert!(publish.dup);
                    assert_eq!(&publish.payload[..], b"sent");
                    sent = publish.qos_pid.pid();
                }
                other => panic!("neither: {other:?}"),
            }
        }
        assert_eq!((released, sent), (Some(ids[1]), Some(ids[2])));
        sleeper.expect_nothing().await;
    }
}

#[tokio::test]
async fn what_was_acked_does_not_come_again() {
    let (log, dir) = (FakeLog::prompt(), TempDir::new().expect("a directory"));
    let first = broker(&log, dir.path()).await;
    let (mut sleeper, _) = lasting(&first, "sleeper").await;
    sleeper.subscribe5("a", 1).await;
    let mut publisher = first.v5("publisher").await;
    for payload in ["acked", "in flight"] {
        acked(&mut publisher, "a", payload).await;
    }
    let id = id_of(expect(&mut sleeper, "acked", false).await);
    let open = id_of(expect(&mut sleeper, "in flight", false).await);
    sleeper
        .send5(v5::Puback::new(id, v5::PubackReasonCode::Success))
        .await;
    sleeper.expect_nothing().await;
    crash(first, &log).await;

    let second = broker(&log, dir.path()).await;
    let (mut sleeper, _) = lasting(&second, "sleeper").await;
    assert_eq!(id_of(expect(&mut sleeper, "in flight", true).await), open);
    sleeper.expect_nothing().await;
}

#[tokio::test]
async fn retained_messages_are_found_again() {
    for checkpoint in [false, true] {
        let (log, dir) = (FakeLog::prompt(), TempDir::new().expect("a directory"));
        let first = broker(&log, dir.path()).await;
        let mut publisher = first.v5("publisher").await;
        for (topic, payload) in [("r/kept", "old"), ("r/kept", "new"), ("r/gone", "x")] {
            let mut publish = publish5(topic, payload, 1, 1);
            publish.retain = true;
            publisher.send5(publish).await;
            publisher.next5().await;
        }
        if checkpoint {
            first.broker.checkpoints().make().await.expect("is made");
            log.trim();
        }
        let mut empty = publish5("r/gone", "", 0, 0);
        empty.retain = true;
        publisher.send5(empty).await;
        publisher.expect_nothing().await;
        crash(first, &log).await;

        let second = broker(&log, dir.path()).await;
        let mut client = second.v5("c").await;
        client.subscribe5("r/#", 0).await;
        let got = client.message5().await;
        assert_eq!((&got.payload[..], got.retain), (&b"new"[..], true));
        client.expect_nothing().await;
    }
}

#[tokio::test]
async fn a_session_that_was_ended_stays_ended() {
    let (log, dir) = (FakeLog::prompt(), TempDir::new().expect("a directory"));
    let first = broker(&log, dir.path()).await;
    let (mut sleeper, _) = lasting(&first, "sleeper").await;
    sleeper.subscribe5("a", 1).await;
    first.broker.checkpoints().make().await.expect("is made");
    log.trim();
    drop(first.v5("sleeper").await);
    let mut other = first.v5("other").await;
    other.expect_nothing().await;
    crash(first, &log).await;

    let second = broker(&log, dir.path()).await;
    let (_client, present) = lasting(&second, "sleeper").await;
    assert!(!present);
}

#[tokio::test]
async fn a_member_of_a_group_gets_after_a_crash_what_it_had_got_before() {
    let (log, dir) = (FakeLog::prompt(), TempDir::new().expect("a directory"));
    let first = broker(&log, dir.path()).await;
    for id in ["m0", "m1"] {
        let (mut member, _) = lasting(&first, id).await;
        member.subscribe5("$share/g/a", 1).await;
    }
    let mut publisher = first.v5("publisher").await;
    for payload in ["0", "1", "2", "3"] {
        acked(&mut publisher, "a", payload).await;
    }
    crash(first, &log).await;

    let second = broker(&log, dir.path()).await;
    let mut all = Vec::new();
    for id in ["m0", "m1"] {
        let (mut member, present) = lasting(&second, id).await;
        assert!(present);
        for _ in 0..2 {
            all.push(member.message5().await.payload);
        }
        member.expect_nothing().await;
    }
    all.sort_unstable();
    assert_eq!(all, ["0", "1", "2", "3"]);
}

#[tokio::test]
async fn a_client_of_the_old_version_comes_back_too() {
    let (log, dir) = (FakeLog::prompt(), TempDir::new().expect("a directory"));
    let first = broker(&log, dir.path()).await;
    let connect = || {
        let mut connect = v3::Connect::new("old".into(), 60);
        connect.clean_session = false;
        connect
    };
    let mut client = first.open().await;
    client.send3(connect()).await;
    client.next3().await;
    client.send3(super::client::subscribe3("a", 1)).await;
    client.next3().await;
    drop(client);
    acked(&mut first.v5("publisher").await, "a", "one").await;
    crash(first, &log).await;

    let second = broker(&log, dir.path()).await;
    let mut client = second.open().await;
    client.send3(connect()).await;
    let present = v3::Connack::new(true, v3::ConnectReturnCode::Accepted);
    assert_eq!(client.next3().await, present.into());
    assert_eq!(&client.message3().await.payload[..], b"one");
}
