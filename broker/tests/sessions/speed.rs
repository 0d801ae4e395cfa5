//! How fast acks come. Not a test: run with `--ignored --nocapture`.

use std::time::Duration;

use mqtt_proto::v3;
use tarn_broker::Limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use crate::{client::publish3, fake_log::FakeLog, start};

/// Keep `in_flight` publishes of each of `clients` clients under way; acks per second.
async fn run(clients: usize, in_flight: u16, subscribed: bool) -> f64 {
    let log = FakeLog::prompt();
    log.forget();
    let broker = start(&log, Limits::default()).await;
    let mut subscriber = broker.v5("s").await;
    if subscribed {
        subscriber.subscribe5("#", 0).await;
    }
    let drain = tokio::spawn(async move {
        let mut sink = vec![0; 65536];
        while subscriber.stream.read(&mut sink).await.is_ok_and(|n| n > 0) {}
    });
    let end = Instant::now() + Duration::from_secs(3);
    let mut tasks = Vec::new();
    for number in 0..clients {
        let mut client = broker.v3(&format!("c{number}")).await;
        tasks.push(tokio::spawn(async move {
            let topic = format!("home/{number}/temperature");
            let publish = |id| {
                let packet = v3::Packet::from(publish3(&topic, "21.5 degrees", 1, id));
                packet.encode().expect("encodes").as_ref().to_vec()
            };
            let mut acks = 0u64;
            let bytes: Vec<u8> = (1..=in_flight).flat_map(publish).collect();
            client.raw(&bytes).await;
            let mut buffer = vec![0; 65536];
            let mut partial = 0;
            while Instant::now() < end {
                let got = client.stream.read(&mut buffer).await.expect("reads") + partial;
                partial = got % 4;
                acks += (got / 4) as u64;
                let bytes: Vec<u8> = (0..got / 4)
                    .flat_map(|i| publish(1 + (i as u16 % in_flight)))
                    .collect();
                client.stream.write_all(&bytes).await.expect("writes");
            }
            acks
        }));
    }
    let began = Instant::now();
    let mut acks = 0;
    for task in tasks {
        acks += task.await.expect("no panic");
    }
    drain.abort();
    acks as f64 / began.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes both cores for a while"]
async fn acks_per_second() {
    for (clients, in_flight) in [(1, 1), (50, 1), (50, 20), (1, 1000)] {
        for subscribed in [false, true] {
            let rate = run(clients, in_flight, subscribed).await;
            println!("{clients} x {in_flight}, subscribed {subscribed}: {rate:.0}/s");
        }
    }
}
