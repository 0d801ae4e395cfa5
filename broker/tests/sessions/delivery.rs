//! From a publish to its subscribers.

use mqtt_proto::{
    v3,
    v5::{self, RetainHandling, SubscribeReasonCode},
};
use tarn_broker::Limits;

use crate::{
    client::{pid, publish3, publish5, subscribe3, subscribe5, unsubscribe5},
    fake_log::FakeLog,
    start,
};

#[tokio::test]
async fn between_versions_with_properties() {
    let broker = start(&FakeLog::prompt(), Limits::default()).await;
    let mut three = broker.v3("three").await;
    three.send3(subscribe3("home/+/t", 2)).await;
    let granted = v3::Suback::new(pid(1), vec![v3::SubscribeReturnCode::MaxLevel2]);
    assert_eq!(three.next3().await, granted.into());
    let mut five = broker.v5("five").await;
    five.subscribe5("home/#", 1).await;

    let mut publish = publish5("home/é/t", "21.5", 2, 1);
    publish.properties.content_type = Some("text/plain".into());
    publish.properties.message_expiry_interval = Some(100);
    let mut publisher = broker.v5("p").await;
    publisher.send5(publish).await;

    let got = five.message5().await;
    assert_eq!(
        (&*got.topic_name, &got.payload[..]),
        ("home/é/t", &b"21.5"[..])
    );
    assert_eq!(got.qos_pid.qos() as u8, 1);
    assert_eq!(got.properties.content_type.as_deref(), Some("text/plain"));
    assert_eq!(got.properties.message_expiry_interval, Some(100));
    five.send5(v5::Puback::new_success(got.qos_pid.pid().expect("has one")))
        .await;

    let got = three.message3().await;
    assert_eq!(
        (&*got.topic_name, &got.payload[..]),
        ("home/é/t", &b"21.5"[..])
    );
    let id = got.qos_pid.pid().expect("is QoS 2");
    three.send3(v3::Packet::Pubrec(id)).await;
    assert_eq!(three.next3().await, v3::Packet::Pubrel(id));
    three.send3(v3::Packet::Pubcomp(id)).await;
    three.expect_nothing().await;
}

#[tokio::test]
async fn overlapping_subscriptions_deliver_once_at_the_highest_qos() {
    for router_filters_max in [0, 1, 32] {
        deliver_once_at_the_highest_qos(router_filters_max).await;
    }
}

async fn deliver_once_at_the_highest_qos(router_filters_max: usize) {
    let limits = Limits {
        router_filters_max,
        ..Limits::default()
    };
    let broker = start(&FakeLog::prompt(), limits).await;
    let mut client = broker.v5("c").await;
    for (filter, qos, identifier) in [("a/#", 0, 7), ("a/b", 2, 8), ("+/b", 1, 9), ("b", 2, 10)] {
        let mut subscribe = subscribe5(filter, qos, |_| ());
        subscribe.properties.subscription_id =
            Some(v5::VarByteInt::try_from(identifier).expect("small"));
        client.send5(subscribe).await;
        client.next5().await;
    }
    broker
        .broker
        .publisher()
        .publish("a/b", "1", 1, false)
        .expect("a topic");
    let bytes = client.next_bytes().await.expect("a message");
    assert_eq!(bytes[0] & 0b110, 0b010, "QoS 1");
    // All three identifiers, in any order; the codec only reads one.
    let mut identifiers: Vec<u8> = bytes
        .windows(2)
        .filter(|w| w[0] == 0x0b)
        .map(|w| w[1])
        .collect();
    identifiers.sort_unstable();
    assert_eq!(identifiers, [7, 8, 9]);
    broker
        .broker
        .publisher()
        .publish("a/c", "2", 1, false)
        .expect("a topic");
    assert_eq!(&client.message5().await.payload[..], b"2");
    // The oldest goes, the others go on.
    client.send5(unsubscribe5("a/#")).await;
    assert!(matches!(client.next5().await, v5::Packet::Unsuback(u) if u.topics[0] as u8 == 0));
    client.send5(unsubscribe5("a/#")).await;
    assert!(matches!(client.next5().await, v5::Packet::Unsuback(u) if u.topics[0] as u8 == 0x11));
    broker
        .broker
        .publisher()
        .publish("a/c", "none", 0, false)
        .expect("a topic");
    broker
        .broker
        .publisher()
        .publish("a/b", "3", 0, false)
        .expect("a topic");
    assert!(
        client
            .next_bytes()
            .await
            .expect("a message")
            .ends_with(b"3")
    );
}

#[tokio::test]
async fn options_and_refused_filters() {
    let broker = start(
        &FakeLog::prompt(),
        Limits {
            subscriptions_max: 3,
            ..Limits::default()
        },
    )
    .await;
    let mut client = broker.v5("c").await;
    for (filter, code) in [
        ("$share/g/t", SubscribeReasonCode::GrantedQoS1),
        ("own", SubscribeReasonCode::GrantedQoS1),
        ("#", SubscribeReasonCode::GrantedQoS1),
        ("third", SubscribeReasonCode::QuotaExceeded),
    ] {
        client
            .send5(subscribe5(filter, 1, |options| {
                options.no_local = filter != "$share/g/t";
            }))
            .await;
        assert_eq!(
            client.next5().await,
            v5::Suback::new(pid(1), vec![code]).into()
        );
    }
    client.send5(publish5("own", "not back", 0, 0)).await;
    let mut other = broker.v5("o").await;
    other
        .send5(publish5("$SYS/x", "not by a wildcard", 0, 0))
        .await;
    other.send5(publish5("own", "theirs", 0, 0)).await;
    assert_eq!(&client.message5().await.payload[..], b"theirs");
}

#[tokio::test]
async fn all_retained_messages_come_through_a_small_window() {
    let broker = start(
        &FakeLog::prompt(),
        Limits {
            inflight_max: 10,
            ..Limits::default()
        },
    )
    .await;
    let publisher = broker.broker.publisher();
    for number in 0..1000 {
        publisher
            .publish(&format!("r/{number}"), "x", 1, true)
            .expect("a topic");
    }
    assert_eq!(broker.metric("tarn_mqtt_retained_messages"), 1000);
    let mut client = broker.v5("c").await;
    client.subscribe5("r/#", 1).await;
    let mut topics = std::collections::HashSet::new();
    for _ in 0..100 {
        let mut ids = Vec::new();
        for _ in 0..10 {
            let got = client.message5().await;
            assert!(got.retain);
            topics.insert(got.topic_name.to_string());
            ids.push(got.qos_pid.pid().expect("has one"));
        }
        // The window is full, so nothing more comes before an ack.
        client.expect_nothing().await;
        for id in ids {
            client.send5(v5::Puback::new_success(id)).await;
        }
    }
    assert_eq!(topics.len(), 1000);
}

#[tokio::test]
async fn retain_options() {
    let broker = start(&FakeLog::prompt(), Limits::default()).await;
    let publisher = broker.broker.publisher();
    publisher.publish("r", "kept", 0, true).expect("a topic");
    let mut client = broker.v5("c").await;
    client
        .send5(subscribe5("r", 0, |o| {
            o.retain_handling = RetainHandling::DoNotSend;
        }))
        .await;
    client.next5().await;
    client
        .send5(subscribe5("r", 0, |o| {
            o.retain_handling = RetainHandling::SendAtSubscribeIfNotExist;
        }))
        .await;
    client.next5().await;
    publisher.publish("r", "live", 0, true).expect("a topic");
    let got = client.message5().await;
    assert_eq!((&got.payload[..], got.retain), (&b"live"[..], false));
    client
        .send5(subscribe5("r", 0, |o| o.retain_as_published = true))
        .await;
    client.next5().await;
    let got = client.message5().await;
    assert_eq!((&got.payload[..], got.retain), (&b"live"[..], true));
    publisher.publish("r", "", 0, true).expect("a topic");
    let got = client.message5().await;
    assert_eq!((&got.payload[..], got.retain), (&b""[..], true));
    assert_eq!(broker.metric("tarn_mqtt_retained_messages"), 0);
    let mut late = broker.v3("late").await;
    let mut kept = publish3("q", "kept by a client", 1, 1);
    kept.retain = true;
    late.send3(kept).await;
    late.next3().await;
    late.send3(subscribe3("+", 0)).await;
    late.next3().await;
    let got = late.message3().await;
    assert_eq!((&*got.topic_name, got.retain), ("q", true));
}

#[tokio::test]
async fn many_messages_come_in_order() {
    let log = FakeLog::prompt();
    let broker = start(&log, Limits::default()).await;
    let mut subscriber = broker.v5("s").await;
    subscriber.subscribe5("t/#", 1).await;
    let mut publisher = broker.v3("p").await;
    for round in 0..50u32 {
        let mut bytes = Vec::new();
        for id in 1..=500u16 {
            let number = (round * 500 + u32::from(id)).to_string();
            let packet = v3::Packet::from(publish3("t/x", &number, 1, id));
            bytes.extend_from_slice(packet.encode().expect("encodes").as_ref());
        }
        publisher.raw(&bytes).await;
        for id in 1..=500 {
            let got = subscriber.message5().await;
            assert_eq!(got.payload, (round * 500 + id).to_string().into_bytes());
            subscriber
                .send5(v5::Puback::new_success(got.qos_pid.pid().expect("has one")))
                .await;
        }
        for id in 1..=500 {
            assert_eq!(publisher.next3().await, v3::Packet::Puback(pid(id)));
        }
    }
}

/// The router serves the first filter, the others come without it; each in the order published.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qos_0_comes_in_order_on_either_way() {
    let limits = Limits {
        router_filters_max: 1,
        ..Limits::default()
    };
    let broker = start(&FakeLog::prompt(), limits).await;
    let mut subscriber = broker.v5("s").await;
    for topic in ["a", "b", "c"] {
        subscriber.subscribe5(topic, 0).await;
    }
    let mut publisher = broker.v3("p").await;
    for round in 0..50 {
        let numbers = round * 300..(round + 1) * 300;
        let mut bytes = Vec::new();
        for number in numbers.clone() {
            let topic = ["a", "b", "c"][number % 3];
            let packet = v3::Packet::from(publish3(topic, &number.to_string(), 0, 0));
            bytes.extend_from_slice(packet.encode().expect("encodes").as_ref());
        }
        publisher.raw(&bytes).await;
        let mut got = [const { Vec::new() }; 3];
        for _ in numbers.clone() {
            let message = subscriber.message5().await;
            let number = String::from_utf8_lossy(&message.payload).parse::<usize>();
            let number = number.expect("a number");
            assert_eq!(&*message.topic_name, ["a", "b", "c"][number % 3]);
            got[number % 3].push(number);
        }
        for (remainder, got) in got.iter().enumerate() {
            let sent: Vec<usize> = numbers.clone().filter(|n| n % 3 == remainder).collect();
            assert_eq!(*got, sent);
        }
    }
    assert_eq!(broker.metric("tarn_mqtt_router_filters"), 1);
}

/// Sessions come and go while others publish: routes and links are used again all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_come_and_go() {
    for router_filters_max in [0, 2, 32] {
        come_and_go(router_filters_max).await;
    }
}

async fn come_and_go(router_filters_max: usize) {
    let limits = Limits {
        router_filters_max,
        ..Limits::default()
    };
    let broker = std::sync::Arc::new(start(&FakeLog::prompt(), limits).await);
    let publisher = broker.broker.publisher();
    let stop = tokio_util::sync::CancellationToken::new();
    let noise = tokio::spawn({
        let (publisher, stop) = (publisher.clone(), stop.clone());
        async move {
            while !stop.is_cancelled() {
                for number in 0..20 {
                    publisher
                        .publish(&format!("noise/{number}"), "x", 0, false)
                        .expect("a topic");
                }
                tokio::task::yield_now().await;
            }
        }
    });
    let rounds = (0..4).map(|worker| {
        let (broker, publisher) = (broker.clone(), publisher.clone());
        tokio::spawn(async move {
            for round in 0..25 {
                let own = format!("own/{worker}/{round}");
                let mut client = broker.v5(&format!("w{worker}")).await;
                client.subscribe5(&own, 1).await;
                if round % 2 == 0 {
                    client.subscribe5("noise/0", 0).await;
                }
                publisher
                    .publish(&own, own.clone(), 0, false)
                    .expect("a topic");
                loop {
                    let got = client.message5().await;
                    if *got.topic_name == *own {
                        assert_eq!(got.payload, own.as_bytes());
                        break;
                    }
                    assert_eq!(&*got.topic_name, "noise/0");
                }
            }
        })
    });
    for round in rounds.collect::<Vec<_>>() {
        round.await.expect("no panic");
    }
    stop.cancel();
    noise.await.expect("no panic");
}
