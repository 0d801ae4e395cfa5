#![allow(clippy::unwrap_used)]

use std::{fs, path::Path, time::Duration};

use jiff::tz::TimeZone;
use tarn_broker::{
    Limits as BrokerLimits, Listen,
    auth::{Anonymous, UsersSettings},
    log::{Appended, Publish},
};
use tarn_common::{
    clock::SystemClock,
    query::{EngineSettings, Limits},
    store::Store,
};

use super::*;
use crate::{Edge, Settings};

async fn start(folder: &Path, store: Option<&Path>) -> Edge {
    let any = "127.0.0.1:0".parse().unwrap();
    let stores = store.map(|path| Store::open(&format!("file://{}", path.display())).unwrap());
    let settings = Settings {
        meeting_places: Vec::new(),
        lan: None,
        data: folder.join("data"),
        home: "h".parse().unwrap(),
        mqtt: vec![Listen::tcp(any)],
        broker: BrokerLimits::default(),
        http: any,
        http_settings: Default::default(),
        stores: stores.into_iter().collect(),
        copies: None,
        cut_age: Settings::CUT_AGE,
        ship_at_stop: Settings::SHIP_AT_STOP,
        shards: Settings::SHARDS,
        journal: Default::default(),
        ship: Default::default(),
        disk_budget_bytes: Settings::DISK_BUDGET.as_u64(),
        disk_full: Default::default(),
        topics: Default::default(),
        channels: Default::default(),
        packs: Vec::new(),
        zone: TimeZone::UTC,
        discovery_prefix: None,
        users: UsersSettings {
            fixed: Default::default(),
            password_file: None,
            acl_file: None,
            anonymous: Anonymous::Loopback,
            certificate_names: false,
            tokens: None,
        },
        bridge: None,
        s3: None,
        engine: EngineSettings::default(),
        limits: Limits::default(),
    };
    Edge::start(settings, Arc::new(SystemClock)).await.unwrap()
}

/// Publish once and wait until it is durable.
async fn publish(fresher: &Fresher) -> Seq {
    let publish = Publish {
        client: "c",
        topic: "hall/temperature",
        payload: b"21",
        qos: 1,
        packet_id: 0,
        dup: false,
        retain: false,
        properties: b"",
    };
    let Appended::Stored(seq) = fresher.journal.append(publish).unwrap() else {
        panic!("it is new");
    };
    fresher.journal.commit();
    let mut durable = fresher.journal.durable();
    durable.wait_for(|&upto| upto >= seq).await.unwrap();
    seq
}

fn soon(time: Duration) -> Instant {
    Instant::now() + time
}

#[tokio::test]
async fn everything_durable_is_cut_and_shipped() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let edge = start(folder.path(), Some(&store)).await;
    let fresher = edge.fresher();
    for _ in 0..2 {
        let seq = publish(&fresher).await;
        let done = fresher.cut_and_ship(soon(Duration::from_secs(20))).await;
        assert!(done.cut_upto >= seq, "{done:?}");
        assert!(done.shipped && done.missing.is_empty(), "{done:?}");
    }
    let chunks = store.join("readings/home=h");
    let day = fs::read_dir(chunks).unwrap().next().unwrap().unwrap();
    assert_eq!(fs::read_dir(day.path()).unwrap().count(), 2);
    edge.shutdown().await;
}

#[tokio::test]
async fn what_was_not_waited_for_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let edge = start(folder.path(), None).await;
    let seq = publish(&edge.fresher()).await;
    let done = edge
        .fresher()
        .cut_and_ship(soon(Duration::from_secs(20)))
        .await;
    assert!(done.cut_upto >= seq && !done.shipped, "{done:?}");
    assert_eq!(done.missing, ["the box has no store"]);
    publish(&edge.fresher()).await;
    let done = edge.fresher().cut_and_ship(Instant::now()).await;
    assert_eq!(done.missing[0], "the cut was not done in time");
    edge.shutdown().await;

    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let edge = start(folder.path(), Some(&store)).await;
    fs::remove_dir_all(&store).unwrap();
    fs::write(&store, "a file takes nothing in").unwrap();
    let seq = publish(&edge.fresher()).await;
    let done = edge
        .fresher()
        .cut_and_ship(soon(Duration::from_secs(2)))
        .await;
    assert!(done.cut_upto >= seq && !done.shipped, "{done:?}");
    assert_eq!(done.missing, ["cuts that were not in the store in time: 1"]);
    edge.shutdown().await;
}
