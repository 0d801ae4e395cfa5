use std::{
    cell::RefCell,
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, future, stream};
use serde_json::{Value, json};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    ConnectArgs, FanArgs, PublishArgs, RetainedArgs,
    client::{
        self, Client, PINGREQ, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Target, ack,
    },
};

const TOPIC: &str = "load/fan";
/// QoS 0 publishes that are sent by one write.
const UNACKED_BATCH: usize = 500;
/// A subscriber that has got nothing for so long is not going to.
const STALLED: Duration = Duration::from_secs(5);
const KINDS: [&str; 3] = ["QoS 0", "QoS 1", "QoS 2"];

/// How far publishers and subscribers are. One thread, so no lock.
struct Progress {
    sent: usize,
    received: Vec<usize>,
    changed: Rc<Notify>,
}

type Shared = Rc<RefCell<Progress>>;

fn shared(subscribers: usize) -> Shared {
    Rc::new(RefCell::new(Progress {
        sent: 0,
        received: vec![0; subscribers],
        changed: Rc::new(Notify::new()),
    }))
}

impl Progress {
    fn slowest(&self) -> Option<usize> {
        self.received.iter().copied().min()
    }

    /// How many of `wanted` may be sent now.
    fn allowed(&self, wanted: usize, window: usize) -> usize {
        match self.slowest() {
            None => wanted,
            Some(slowest) => wanted.min((slowest + window).saturating_sub(self.sent)),
        }
    }
}

pub(crate) async fn publish(target: &Target, args: &PublishArgs) -> io::Result<Value> {
    let clients = connect_all(target, "p", args.clients, true).await?;
    let progress = shared(0);
    let started = Instant::now();
    let times = publish_all(clients, args, &progress, usize::MAX, None).await?;
    Ok(rates(args, started.elapsed(), times))
}

fn rates(args: &PublishArgs, took: Duration, mut times: Vec<u32>) -> Value {
    times.sort_unstable();
    let at =
        |share: f64| times.get(((times.len() as f64 * share) as usize).min(times.len().max(1) - 1));
    json!({
        "what": KINDS[usize::from(args.qos)],
        "messages": args.messages,
        "seconds": took.as_secs_f64(),
        "per_s": args.messages as f64 / took.as_secs_f64(),
        "ack_p50_us": at(0.5),
        "ack_p99_us": at(0.99),
    })
}

/// Publish all messages from all clients; microseconds to each ack.
async fn publish_all(
    clients: Vec<Client>,
    args: &PublishArgs,
    progress: &Shared,
    window: usize,
    topic: Option<&str>,
) -> io::Result<Vec<u32>> {
    let share = args.messages / clients.len();
    let publishers = clients.into_iter().enumerate().map(|(n, client)| {
        let own = format!("load/{n}");
        let topic = topic.map_or(own, str::to_owned);
        publisher(client, args, share, topic, progress.clone(), window)
    });
    Ok(future::try_join_all(publishers).await?.concat())
}

async fn publisher(
    mut client: Client,
    args: &PublishArgs,
    messages: usize,
    topic: String,
    progress: Shared,
    window: usize,
) -> io::Result<Vec<u32>> {
    let payload = vec![b'x'; args.size];
    let room = if args.qos == 0 {
        UNACKED_BATCH
    } else {
        args.in_flight
    };
    let mut times = Vec::with_capacity(if args.qos == 0 { 0 } else { messages });
    let mut started = vec![Instant::now(); room];
    let mut free: Vec<u16> = (1..=room as u16).collect();
    let (mut sent, mut done) = (0, 0);
    let mut out = Vec::new();
    while done < messages {
        let wanted = free.len().min(messages - sent);
        let count = progress.borrow().allowed(wanted, window);
        for _ in 0..count {
            let id = if args.qos == 0 {
                0
            } else {
                free.pop().expect("counted")
            };
            if id > 0 {
                started[usize::from(id) - 1] = Instant::now();
            }
            client::publish(&mut out, &topic, args.qos, id, false, &payload);
        }
        sent += count;
        progress.borrow_mut().sent += count;
        if !out.is_empty() {
            client.send(&out).await?;
            out.clear();
        }
        if args.qos == 0 {
            done = sent;
            if count == 0 {
                wait_for_subscribers(&progress).await;
            } else {
                tokio::task::yield_now().await;
            }
            continue;
        }
        if free.len() == room {
            // Nothing is on its way, so no ack will wake us: the subscribers do.
            wait_for_subscribers(&progress).await;
            continue;
        }
        client.fill().await?;
        while let Some(packet) = client.next_packet() {
            match packet.kind {
                PUBACK | PUBCOMP => {
                    let since = started[usize::from(packet.id) - 1].elapsed();
                    times.push(since.as_micros().try_into().unwrap_or(u32::MAX));
                    free.push(packet.id);
                    done += 1;
                }
                PUBREC => out.extend(ack(PUBREL, packet.id)),
                _ => {}
            }
        }
    }
    // Whatever was sent without acks has been taken when this is answered.
    client.send(&PINGREQ).await?;
    while client.packet().await?.kind != PINGRESP {}
    Ok(times)
}

/// Wait until a subscriber has got something, or for a moment: another publisher may have taken what was
/// free.
async fn wait_for_subscribers(progress: &Shared) {
    let changed = progress.borrow().changed.clone();
    let _ = timeout(Duration::from_millis(1), changed.notified()).await;
}

pub(crate) async fn fan(target: &Target, args: &FanArgs) -> io::Result<Value> {
    let publishers = connect_all(target, "p", args.publish.clients, true).await?;
    let mut subscribers = connect_all(target, "s", args.subscribers, true).await?;
    for subscriber in &mut subscribers {
        subscriber.subscribe(TOPIC, args.publish.qos).await?;
        subscriber.packet().await?;
    }
    let progress = shared(args.subscribers);
    let started = Instant::now();
    let total = args.publish.messages / args.publish.clients * args.publish.clients;
    let receiving = receive_all(subscribers, total, &progress);
    let sending = publish_all(
        publishers,
        &args.publish,
        &progress,
        args.window,
        Some(TOPIC),
    );
    let (received, sent) =
        future::join(receiving, timeout(Duration::from_secs(120), sending)).await;
    let (delivered, last) = received?;
    sent.map_err(io::Error::other)??;
    let took = last.saturating_duration_since(started).as_secs_f64();
    Ok(json!({
        "what": KINDS[usize::from(args.publish.qos)],
        "wanted": total * args.subscribers,
        "delivered": delivered,
        "seconds": took,
        "per_s": delivered as f64 / took,
    }))
}

/// Receive until every client has `messages`, or nothing comes any more: how many came, and when the last.
async fn receive_all(
    clients: Vec<Client>,
    messages: usize,
    progress: &Shared,
) -> io::Result<(usize, Instant)> {
    let receivers = clients
        .into_iter()
        .enumerate()
        .map(|(n, client)| subscriber(client, n, messages, progress.clone()));
    let ends = future::try_join_all(receivers).await?;
    let delivered = progress.borrow().received.iter().sum();
    Ok((
        delivered,
        ends.into_iter().max().unwrap_or_else(Instant::now),
    ))
}

async fn subscriber(
    mut client: Client,
    number: usize,
    messages: usize,
    progress: Shared,
) -> io::Result<Instant> {
    let mut out = Vec::new();
    let mut last = Instant::now();
    let mut received = 0;
    let mut unreleased = 0;
    while received < messages || unreleased > 0 {
        let mut packets = 0;
        while let Some(packet) = client.next_packet() {
            packets += 1;
            match (packet.kind, packet.qos) {
                (PUBLISH, qos) => {
                    received += 1;
                    match qos {
                        0 => {}
                        1 => out.extend(ack(PUBACK, packet.id)),
                        _ => {
                            unreleased += 1;
                            out.extend(ack(PUBREC, packet.id));
                        }
                    }
                }
                (PUBREL, _) => {
                    unreleased -= 1;
                    out.extend(ack(PUBCOMP, packet.id));
                }
                _ => {}
            }
        }
        if packets > 0 {
            last = Instant::now();
            let mut progress = progress.borrow_mut();
            progress.received[number] = received;
            progress.changed.notify_waiters();
        }
        if !out.is_empty() {
            client.send(&out).await?;
            out.clear();
        }
        if received < messages || unreleased > 0 {
            match timeout(STALLED, client.fill()).await {
                Ok(filled) => filled?,
                Err(_) => break,
            }
        }
    }
    Ok(last)
}

pub(crate) async fn connect(target: &Target, args: &ConnectArgs) -> io::Result<Value> {
    let started = Instant::now();
    stream::iter(0..args.connections)
        .map(|n| async move {
            let client = Client::connect(target, &format!("c{n}"), true).await?;
            client.disconnect().await
        })
        .buffer_unordered(args.parallel)
        .try_collect::<()>()
        .await?;
    let took = started.elapsed().as_secs_f64();
    Ok(
        json!({"connections": args.connections, "seconds": took, "per_s": args.connections as f64 / took}),
    )
}

pub(crate) async fn idle(target: &Target, args: &ConnectArgs) -> io::Result<Value> {
    let clients: Vec<Client> = stream::iter(0..args.connections)
        .map(|n| async move { Client::connect(target, &format!("i{n}"), true).await })
        .buffer_unordered(args.parallel)
        .try_collect()
        .await?;
    println!("{}", json!({"open": clients.len()}));
    // Nothing comes for an idle client, so that the only thread may wait here.
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(json!({"closed": clients.len()}))
}

pub(crate) async fn retained(target: &Target, args: &RetainedArgs) -> io::Result<Value> {
    let mut client = Client::connect(target, "keeper", true).await?;
    let payload = vec![b'x'; args.size];
    let mut acked = 0;
    let mut sent = 0;
    let mut out = Vec::new();
    while acked < args.messages {
        // Few enough at a time for every broker's receive maximum.
        while sent < args.messages && sent - acked < 20 {
            sent += 1;
            let topic = format!("retained/{}/{sent}", sent % 100);
            let id = (sent % 60_000) as u16 + 1;
            client::publish(&mut out, &topic, 1, id, true, &payload);
        }
        client.send(&out).await?;
        out.clear();
        client.fill().await?;
        while let Some(packet) = client.next_packet() {
            acked += usize::from(packet.kind == PUBACK);
        }
    }
    let mut subscriber_client = Client::connect(target, "reader", true).await?;
    let started = Instant::now();
    subscriber_client.subscribe("retained/#", args.qos).await?;
    let progress = shared(1);
    let end = subscriber(subscriber_client, 0, args.messages, progress.clone()).await?;
    let took = end.saturating_duration_since(started).as_secs_f64();
    let delivered = progress.borrow().received[0];
    Ok(
        json!({"wanted": args.messages, "delivered": delivered, "seconds": took, "per_s": delivered as f64 / took}),
    )
}

pub(crate) async fn offline(target: &Target, args: &FanArgs) -> io::Result<Value> {
    for n in 0..args.subscribers {
        let mut client = Client::connect(target, &format!("away{n}"), false).await?;
        client.subscribe(TOPIC, args.publish.qos).await?;
        client.packet().await?;
        client.disconnect().await?;
    }
    let publishers = connect_all(target, "p", args.publish.clients, true).await?;
    let started = Instant::now();
    let nobody = shared(0);
    publish_all(publishers, &args.publish, &nobody, usize::MAX, Some(TOPIC)).await?;
    let published = started.elapsed().as_secs_f64();
    // A broker may still be storing; what it does then is not part of coming back.
    sleep(Duration::from_millis(500)).await;
    let started = Instant::now();
    let clients = connect_all(target, "away", args.subscribers, false).await?;
    let progress = shared(args.subscribers);
    let total = args.publish.messages / args.publish.clients * args.publish.clients;
    let (delivered, last) = receive_all(clients, total, &progress).await?;
    let took = last.saturating_duration_since(started).as_secs_f64();
    Ok(json!({
        "published_per_s": total as f64 / published,
        "wanted": total * args.subscribers,
        "delivered": delivered,
        "per_s": delivered as f64 / took,
    }))
}

async fn connect_all(
    target: &Target,
    name: &str,
    count: usize,
    clean: bool,
) -> io::Result<Vec<Client>> {
    let connecting = (0..count).map(|n| async move {
        let id = format!("{name}{n}");
        Client::connect(target, &id, clean).await
    });
    future::try_join_all(connecting).await
}
