use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use tarn_notify::{AlarmState, Notice, Outcome, Severity};

use crate::{
    house::{House, NOON, alarm, webhooks},
    http_server::{Answer, HttpServer},
};

#[tokio::test]
async fn it_is_signed_and_says_what_has_become_of_the_alarm() {
    let mut server = HttpServer::start([]).await;
    let folder = tempfile::tempdir().expect("folder");
    let key = b"0123456789abcdef0123456789abcdef";
    let channels = webhooks(&[("hook", &format!("{}/in", server.url))]);
    let secret = STANDARD.encode(key);
    let mut house = House::start(
        folder.path(),
        &format!("{channels}secret = \"whsec_{secret}\""),
    );
    let leak = alarm("leak", AlarmState::Raised);
    house.notifier.reconcile(&[leak]).await.expect("queues");
    let request = server.request().await;
    assert_eq!(request.path, "/in");
    let header = |name: &str| request.headers.get(name).cloned().unwrap_or_default();
    let (id, time) = (header("webhook-id"), header("webhook-timestamp"));
    assert_eq!(time, (NOON / 1000).to_string());
    // Another program than ours computes it.
    let mac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
    let signed = header("webhook-signature");
    let signed = STANDARD
        .decode(signed.strip_prefix("v1,").expect("v1"))
        .expect("base64");
    let text = format!("{id}.{time}.{}", request.body);
    ring::hmac::verify(&mac, text.as_bytes(), &signed).expect("the signature is right");
    assert_eq!(
        request.json(),
        json!({
            "type": "alarm.raised",
            "timestamp": "2025-05-01T12:00:00Z",
            "data": {
                "home": "lakeside", "alarm": "leak", "state": "raised", "severity": "critical",
                "class": "water", "message": "Wasser im Keller – 3 cm",
                "raised_ms": NOON, "changed_ms": NOON, "by": "rule:leak",
                "title": "Critical alarm in lakeside",
                "text": "Wasser im Keller – 3 cm\n\nAlarm leak. Raised at 2025-05-01 12:00 by rule:leak.",
            },
        })
    );
    assert_eq!(house.delivered().await.message.id, id);
    house.stop().await;
}

#[tokio::test]
async fn one_that_fails_twice_is_delivered_once_under_one_id() {
    let fails = [
        Answer::With(500, ""),
        Answer::With(503, "retry-after: 60\r\n"),
    ];
    let mut server = HttpServer::start(fails).await;
    let folder = tempfile::tempdir().expect("folder");
    let mut house = House::start(folder.path(), &webhooks(&[("hook", &server.url)]));
    let leak = [alarm("leak", AlarmState::Raised)];
    house.notifier.reconcile(&leak).await.expect("queues");
    let (words, retry_ms) = house.failed().await;
    assert!(
        words.starts_with("answered 500") && words.ends_with("words"),
        "{words}"
    );
    assert!(
        (NOON + 1_000..NOON + 1_500).contains(&retry_ms),
        "{retry_ms}"
    );
    house.set_clock(retry_ms);
    let (_, asked_ms) = house.failed().await;
    assert_eq!(asked_ms, retry_ms + 60_000);
    house.set_clock(asked_ms);
    let delivery = house.delivered().await;
    assert_eq!(delivery.attempts, 2);
    let ids: Vec<_> = server
        .rest()
        .iter()
        .map(|it| it.headers["webhook-id"].clone())
        .collect();
    assert_eq!(ids, vec![delivery.message.id; 3]);
    // Nothing is left, and a second look tells nothing.
    house.notifier.reconcile(&leak).await.expect("queues");
    assert_eq!(house.notifier.waiting().await.expect("reads"), []);
    let counts = house.notifier.counts().into_iter().collect::<Vec<_>>();
    let hook = |outcome| ("hook".to_owned(), outcome);
    assert_eq!(counts, [(hook("delivered"), 1), (hook("failed"), 2)]);
    house.stop().await;
}

#[tokio::test]
async fn one_that_hangs_keeps_no_other_waiting() {
    let mut hangs = HttpServer::start(vec![Answer::Hang; 10]).await;
    let mut works = HttpServer::start([]).await;
    let folder = tempfile::tempdir().expect("folder");
    let mut channels = webhooks(&[("works", &works.url), ("hangs", &hangs.url)]);
    channels.push_str("timeout = \"2s\"\n");
    let mut house = House::start(folder.path(), &channels);
    house
        .notifier
        .reconcile(&[alarm("a", AlarmState::Raised)])
        .await
        .expect("queues");
    hangs.request().await;
    assert_eq!(house.delivered().await.channel, "works");
    // It hangs, and more is told.
    house
        .notifier
        .reconcile(&[alarm("b", AlarmState::Raised)])
        .await
        .expect("queues");
    assert_eq!(house.delivered().await.channel, "works");
    works.request().await;
    works.request().await;
    let (words, _) = house.failed().await;
    assert_eq!(words, "no answer within 2 s");
    house.stop().await;
}

#[tokio::test]
async fn what_was_refused_is_listed_and_may_be_tried_again() {
    let mut server = HttpServer::start([Answer::With(404, "")]).await;
    let folder = tempfile::tempdir().expect("folder");
    let channels = webhooks(&[("hook", &server.url)]);
    let mut house = House::start(folder.path(), &channels);
    let notice = Notice {
        home: "lakeside".into(),
        title: "Dinner".into(),
        message: "is ready".into(),
        severity: Severity::Info,
        by: "ada".into(),
        ..Notice::default()
    };
    house.notifier.notify(notice).await.expect("queues");
    let (dead, words) = house.dead().await;
    assert!(words.starts_with("answered 404"), "{words}");
    house.stop().await;
    // It is still there after a start.
    let mut house = House::start(folder.path(), &channels);
    assert_eq!(
        house.notifier.dead().await.expect("reads"),
        std::slice::from_ref(&dead)
    );
    assert!(house.notifier.retry(dead.id).await.expect("queues"));
    assert!(!house.notifier.retry(dead.id).await.expect("asks"));
    assert_eq!(house.delivered().await.message, dead.message);
    let requests = [server.request().await, server.request().await];
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(requests[0].json()["type"], "notice");
    assert_eq!(requests[0].json()["data"]["text"], "is ready");
    house.stop().await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut elsewhere = HttpServer::start([]).await;
    let header: &'static str = format!("location: {}/\r\n", elsewhere.url).leak();
    let mut server = HttpServer::start([Answer::With(307, header)]).await;
    let folder = tempfile::tempdir().expect("folder");
    let mut house = House::start(folder.path(), &webhooks(&[("hook", &server.url)]));
    house
        .notifier
        .reconcile(&[alarm("a", AlarmState::Raised)])
        .await
        .expect("queues");
    let (_, outcome) = house.outcome().await;
    assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
    assert_eq!((server.rest().len(), elsewhere.rest().len()), (1, 0));
    house.stop().await;
}
