use futures::future::join_all;
use reqwest::{Client, StatusCode};

use super::*;

/// Makes a token for somebody, which is something else each time that it is done.
async fn make(fixture: &Fixture, http: &Client, key: Option<&str>, name: &str) -> Response {
    let body = json!({"name": name, "role": "analyst", "homes": ["h"]});
    let mut ask = http
        .post(format!("{}/v1/tokens", fixture.url))
        .header("content-type", "application/json")
        .body(body.to_string());
    if let Some(key) = key {
        ask = ask.header("idempotency-key", key);
    }
    ask.send().await.unwrap()
}

async fn told(response: Response) -> (StatusCode, bool, Value) {
    let is_replayed = response.headers().contains_key("idempotent-replayed");
    let status = response.status();
    let body = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    (status, is_replayed, body)
}

#[tokio::test]
async fn a_change_under_a_key_is_done_once() {
    let fixture = Fixture::new().await;
    let owner = &fixture.http;
    let (status, is_replayed, first) = told(make(&fixture, owner, Some("k1"), "panel").await).await;
    assert_eq!(
        (status, is_replayed),
        (StatusCode::CREATED, false),
        "{first}"
    );
    let noted = fixture.host.people.audited().len();
    for key in ["k1", "\"k1\""] {
        let again = told(make(&fixture, owner, Some(key), "panel").await).await;
        assert_eq!(again, (StatusCode::CREATED, true, first.clone()), "{key}");
    }
    assert_eq!(
        fixture.host.people.audited().len(),
        noted,
        "nothing was done"
    );
    for key in [Some("k2"), None] {
        let (_, is_replayed, other) = told(make(&fixture, owner, key, "panel").await).await;
        assert!(!is_replayed && other != first, "{key:?}");
    }
    // Another caller has keys of his own.
    let other = fixture.host.people.owner().await;
    let (_, is_replayed, other) = told(make(&fixture, &other, Some("k1"), "panel").await).await;
    assert!(!is_replayed && other != first);
}

#[tokio::test]
async fn of_several_at_once_one_is_done() {
    let fixture = Fixture::new().await;
    let asked = (0..8).map(|_| make(&fixture, &fixture.http, Some("k"), "panel"));
    let answers = join_all(asked.map(async |asked| told(asked.await).await)).await;
    let done = answers.iter().filter(|(_, is_replayed, _)| !is_replayed);
    assert_eq!(done.count(), 1, "{answers:?}");
    for (status, _, body) in &answers {
        assert_eq!((status, body), (&StatusCode::CREATED, &answers[0].2));
    }
}

#[tokio::test]
async fn a_key_of_another_request_is_refused_and_what_failed_may_be_tried_again() {
    let fixture = Fixture::new().await;
    let owner = &fixture.http;
    let none = make(&fixture, owner, Some("k"), "").await;
    assert_eq!(none.status(), StatusCode::BAD_REQUEST);
    let done = make(&fixture, owner, Some("k"), "panel").await;
    assert_eq!(done.status(), StatusCode::CREATED);
    let refused = make(&fixture, owner, Some("k"), "another").await;
    let refused = problem(refused, 422).await;
    assert_eq!(refused["type"], "urn:tarn:problem:idempotency-key-reused");
    for key in [String::new(), "k".repeat(256)] {
        problem(make(&fixture, owner, Some(&key), "panel").await, 400).await;
    }
}

/// Whoever asks for a change may go away before it is done: it is done, and noted.
#[tokio::test]
async fn a_change_outlives_who_asked_for_it() {
    let fixture = Fixture::new().await;
    let asked = make(&fixture, &fixture.http, None, "panel");
    // Long enough to be sent, and too short to be answered at times; both are right.
    let _ = tokio::time::timeout(Duration::from_millis(2), asked).await;
    let is_asked = || async {
        let answer = told(make(&fixture, &fixture.http, Some("k"), "after").await).await;
        assert_eq!(answer.0, StatusCode::CREATED);
    };
    is_asked().await;
    let tokens = fixture.json("/v1/tokens").await;
    let made = tokens["tokens"].as_array().unwrap().iter();
    let made = made.filter(|token| token["name"] == "panel").count();
    let noted = fixture.host.people.audited();
    let noted = noted
        .iter()
        .filter(|entry| entry.operation == "createToken");
    assert_eq!(noted.count(), made + 1);
}
