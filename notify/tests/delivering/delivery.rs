use serde_json::json;
use tarn_notify::{AlarmState, Notice, NotifyError, Severity};

use crate::{
    house::{House, NOON, alarm, webhooks},
    http_server::HttpServer,
    smtp_server::SmtpServer,
};

#[tokio::test]
async fn ntfy_gets_what_it_takes() {
    let mut server = HttpServer::start([]).await;
    let folder = tempfile::tempdir().expect("folder");
    let channels = format!(
        "[[channel]]\nname = \"phone\"\nkind = \"ntfy\"\nurl = \"{}/push/our-house\"\ntoken = \"tk_1\"\n",
        server.url
    );
    let mut house = House::start(folder.path(), &channels);
    let mut leak = alarm("leak", AlarmState::Raised);
    house
        .notifier
        .reconcile(&[leak.clone()])
        .await
        .expect("queues");
    let request = server.request().await;
    assert_eq!(request.path, "/push/");
    assert_eq!(request.headers["authorization"], "Bearer tk_1");
    assert_eq!(
        request.json(),
        json!({
            "topic": "our-house", "title": "Critical alarm in lakeside", "priority": 5,
            "message": "Wasser im Keller – 3 cm\n\nAlarm leak. Raised at 2025-05-01 12:00 by rule:leak.",
            "tags": ["rotating_light", "raised", "water"],
        })
    );
    house.delivered().await;
    leak.state = AlarmState::Cleared;
    house.notifier.reconcile(&[leak]).await.expect("queues");
    let cleared = server.request().await.json();
    assert_eq!(
        (&cleared["priority"], &cleared["title"]),
        (&json!(3), &json!("All clear in lakeside"))
    );
    house.delivered().await;
    house.stop().await;
}

fn mail(address: &str) -> String {
    format!(
        "[[channel]]\nname = \"mail\"\nkind = \"smtp\"\nurl = \"smtp://box@{address}\"\ntls = \"none\"\n\
         password = \"pass\"\nfrom = \"Tarn <box@home.example>\"\nto = [\"ada@home.example\", \"bob@home.example\"]\n"
    )
}

#[tokio::test]
async fn a_mail_is_sent_to_all_with_one_id() {
    let mut server = SmtpServer::start(&["451 not now"]).await;
    let folder = tempfile::tempdir().expect("folder");
    let mut house = House::start(folder.path(), &mail(&server.address));
    let leak = alarm("leak", AlarmState::Raised);
    house.notifier.reconcile(&[leak]).await.expect("queues");
    let (words, retry_ms) = house.failed().await;
    assert!(words.contains("not now"), "{words}");
    house.set_clock(retry_ms);
    let delivery = house.delivered().await;
    let mail = server.mail().await;
    // `\0box\0pass`
    assert_eq!(mail.login, "PLAIN AGJveABwYXNz");
    assert!(mail.from.starts_with("FROM:<box@home.example>"), "{mail:?}");
    assert_eq!(mail.to, ["TO:<ada@home.example>", "TO:<bob@home.example>"]);
    for line in [
        &*format!("Message-ID: <{}@home.example>", delivery.message.id),
        "Date: Thu, 01 May 2025 12:00:00 +0000",
        "Auto-Submitted: auto-generated",
        "X-Priority: 1",
        "From: Tarn <box@home.example>",
    ] {
        assert!(mail.text.contains(line), "{line} is not in {}", mail.text);
    }
    house.stop().await;
}

#[tokio::test]
async fn a_mail_that_is_refused_is_dead() {
    let server = SmtpServer::start(&["550 nobody here"]).await;
    let folder = tempfile::tempdir().expect("folder");
    let mut house = House::start(folder.path(), &mail(&server.address));
    house
        .notifier
        .reconcile(&[alarm("a", AlarmState::Raised)])
        .await
        .expect("queues");
    let (_, words) = house.dead().await;
    assert!(words.contains("nobody here"), "{words}");
    house.stop().await;
}

#[tokio::test]
async fn a_server_without_tls_gets_neither_mail_nor_password() {
    for scheme in ["smtps", "smtp"] {
        let server = SmtpServer::start(&[]).await;
        let folder = tempfile::tempdir().expect("folder");
        let channels = mail(&server.address).replace("tls = \"none\"\n", "");
        let channels = channels.replace("smtp://", &format!("{scheme}://"));
        let mut house = House::start(folder.path(), &format!("{channels}timeout = \"1s\"\n"));
        let alarms = [alarm("a", AlarmState::Raised)];
        house.notifier.reconcile(&alarms).await.expect("queues");
        house.failed().await;
        house.stop().await;
        assert!(server.got_no_mail(), "{scheme}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_tried_until_it_is_back() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("address").to_string();
    drop(listener);
    let folder = tempfile::tempdir().expect("folder");
    let mut house = House::start(folder.path(), &mail(&address));
    house
        .notifier
        .reconcile(&[alarm("a", AlarmState::Raised)])
        .await
        .expect("queues");
    let (words, retry_ms) = house.failed().await;
    assert!(words.to_lowercase().contains("connection"), "{words}");
    house.set_clock(retry_ms);
    house.failed().await;
    house.stop().await;
    // The box starts anew, and another server is in the file by now.
    let mut server = SmtpServer::start(&[]).await;
    let mut house = House::start(folder.path(), &mail(&server.address));
    house.set_clock(NOON + 60_000);
    assert_eq!(house.delivered().await.attempts, 2);
    server.mail().await;
    house.stop().await;
}

#[tokio::test]
async fn an_alarm_waits_for_its_time_over_a_start() {
    let mut server = HttpServer::start([]).await;
    let folder = tempfile::tempdir().expect("folder");
    let channels = format!("{}after = \"10m\"\n", webhooks(&[("late", &server.url)]));
    let house = House::start(folder.path(), &channels);
    let seen = alarm("seen", AlarmState::Raised);
    let alarms = [seen.clone(), alarm("unseen", AlarmState::Raised)];
    house.notifier.reconcile(&alarms).await.expect("queues");
    house.stop().await;
    let mut house = House::start(folder.path(), &channels);
    let state = AlarmState::Acknowledged;
    let changed_ms = NOON + 60_000;
    let seen = tarn_notify::Alarm {
        state,
        changed_ms,
        ..seen
    };
    house.notifier.reconcile(&[seen]).await.expect("queues");
    let (withdrawn, _) = house.outcome().await;
    assert_eq!(
        withdrawn.message.alarm().map(|alarm| &*alarm.id),
        Some("seen")
    );
    house.set_clock(NOON + 600_000);
    house.delivered().await;
    assert_eq!(server.request().await.json()["data"]["alarm"], "unseen");
    house.stop().await;
}

#[tokio::test]
async fn a_channel_that_nobody_knows_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let house = House::start(
        folder.path(),
        &webhooks(&[("a", "http://h/"), ("b", "http://h/")]),
    );
    let notice = Notice {
        channels: vec!["c".into()],
        severity: Severity::Info,
        ..Notice::default()
    };
    let refused = house
        .notifier
        .notify(notice)
        .await
        .expect_err("nobody knows it");
    assert!(matches!(refused, NotifyError::NoChannel { .. }));
    assert_eq!(
        refused.to_string(),
        "there is no channel `c`, there are: a, b"
    );
    house.stop().await;
}
