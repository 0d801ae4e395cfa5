use std::fs;

use tarn_notify::AlarmState;

use crate::{
    house::{House, alarm, webhooks},
    http_server::{Answer, HttpServer},
};

#[tokio::test]
async fn what_was_being_sent_is_sent_again_after_a_start() {
    let mut server = HttpServer::start([Answer::Hang]).await;
    let folder = tempfile::tempdir().expect("folder");
    let channels = webhooks(&[("hook", &server.url)]);
    let house = House::start(folder.path(), &channels);
    house
        .notifier
        .reconcile(&[alarm("a", AlarmState::Raised)])
        .await
        .expect("queues");
    let first = server.request().await;
    house.stop().await;
    let mut house = House::start(folder.path(), &channels);
    house.delivered().await;
    let again = server.request().await;
    assert_eq!(first.headers["webhook-id"], again.headers["webhook-id"]);
    assert_eq!(first.body, again.body);
    house.stop().await;
}

#[tokio::test]
async fn a_file_that_is_damaged_is_put_aside_and_what_stands_is_told_again() {
    let mut server = HttpServer::start([]).await;
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("notify.redb"), "no database at all").expect("writes");
    let mut house = House::start(folder.path(), &webhooks(&[("hook", &server.url)]));
    house
        .notifier
        .reconcile(&[alarm("a", AlarmState::Raised)])
        .await
        .expect("queues");
    house.delivered().await;
    server.request().await;
    assert!(folder.path().join("notify.damaged").exists());
    house.stop().await;
}

#[tokio::test]
async fn a_channel_that_is_new_is_told_of_what_stands_and_one_that_is_gone_of_nothing() {
    let mut old = HttpServer::start([]).await;
    let mut new = HttpServer::start([]).await;
    let folder = tempfile::tempdir().expect("folder");
    let alarms = [alarm("a", AlarmState::Raised)];
    let mut house = House::start(folder.path(), &webhooks(&[("old", &old.url)]));
    house.notifier.reconcile(&alarms).await.expect("queues");
    house.delivered().await;
    old.request().await;
    house.stop().await;
    let mut house = House::start(folder.path(), &webhooks(&[("new", &new.url)]));
    house.notifier.reconcile(&alarms).await.expect("queues");
    assert_eq!(house.delivered().await.channel, "new");
    new.request().await;
    assert!(old.rest().is_empty());
    house.stop().await;
}
