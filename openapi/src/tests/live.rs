use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::live::{LISTENERS_MAX, LiveEvent, LivePresence, LiveReading, LiveTwin, Wanted};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

/// What a browser's `EventSource` makes of an answer.
struct Events {
    response: Response,
    text: String,
    last_id: String,
}

impl Events {
    async fn open(fixture: &Fixture, query: &str, last_id: Option<&str>) -> Events {
        let mut request = fixture
            .http
            .get(format!("{}/v1/homes/h/live{query}", fixture.url));
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = timeout(LIMIT, request.send()).await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events {
            response,
            text: String::new(),
            last_id: String::new(),
        }
    }

    /// The next event: its name and its data; none at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let mut lines = block.lines();
                    lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
                };
                let (id, name, data) = (field("id: "), field("event: "), field("data: "));
                self.text = rest.to_owned();
                if let Some(id) = id {
                    self.last_id = id;
                }
                if let Some(data) = data {
                    return Some((name.unwrap(), serde_json::from_str(&data).unwrap()));
                }
            }
            let chunk = timeout(LIMIT, self.response.chunk()).await.unwrap();
            self.text
                .push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }
}

fn reading(value: f64) -> LiveEvent {
    LiveEvent::Reading(LiveReading {
        device: DEVICE.to_owned(),
        metric: "temperature".to_owned(),
        value: Some(value),
        text: None,
        unit: Some("°C".to_owned()),
        ts: "2026-11-22T10:00:00.000Z".to_owned(),
        received: "2026-11-22T10:00:00.120Z".to_owned(),
    })
}

fn twin(changed: &str) -> LiveEvent {
    LiveEvent::Twin(LiveTwin {
        device: DEVICE.to_owned(),
        changed: vec![changed.to_owned()],
    })
}

#[tokio::test]
async fn events_come_one_by_one_and_the_stream_outlives_a_request() {
    let request_timeout = Duration::from_millis(300);
    let fixture = Fixture::with(HttpSettings {
        request_timeout,
        ..HttpSettings::default()
    })
    .await;
    let mut events = Events::open(&fixture, "", None).await;
    fixture.host.live.push(reading(21.5));
    let (name, data) = events.next().await.unwrap();
    assert_eq!(name, "reading");
    assert_eq!(
        data,
        json!({
            "kind": "reading", "device": DEVICE, "metric": "temperature", "value": 21.5, "text": null, "unit": "°C",
            "ts": "2026-11-22T10:00:00.000Z", "received": "2026-11-22T10:00:00.120Z",
        })
    );
    tokio::time::sleep(2 * request_timeout).await;
    fixture.host.live.push(twin("meta.name"));
    let (name, data) = events.next().await.unwrap();
    assert_eq!((&*name, &data["changed"][0]), ("twin", &json!("meta.name")));
    // The stream ends at the stop, and the stop does not wait for the listener.
    fixture.stop.cancel();
    assert!(events.next().await.is_none());
    drop(events);
    let stopped = timeout(Duration::from_secs(3), fixture.served).await;
    stopped.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn who_comes_back_goes_on_or_is_told() {
    let fixture = Fixture::new().await;
    let live = &fixture.host.live;
    let mut events = Events::open(&fixture, "", None).await;
    live.push(twin("a"));
    events.next().await.unwrap();
    let id = events.last_id.clone();
    drop(events);
    live.push_all([twin("b"), twin("c")]);
    let mut events = Events::open(&fixture, "", Some(&id)).await;
    live.push(twin("d"));
    for expected in ["b", "c", "d"] {
        let (_, data) = events.next().await.unwrap();
        assert_eq!(data["changed"][0], expected);
    }
    live.push(reading(3.0));
    let mut events = Events::open(&fixture, "", Some("0000000000000001-1")).await;
    let (name, data) = events.next().await.unwrap();
    assert_eq!(name, "reset");
    assert!(data["reason"].as_str().is_some_and(|r| !r.is_empty()));
    assert_eq!(events.next().await.unwrap().1["value"], 3.0);
}

#[tokio::test]
async fn listeners_filter_and_are_bounded() {
    let fixture = Fixture::new().await;
    let live = &fixture.host.live;
    let mut presence = Events::open(&fixture, "?kind=presence&kind=alarm", None).await;
    let mut other = Events::open(&fixture, "?device=other", None).await;
    live.push_all([
        reading(1.0),
        LiveEvent::Presence(LivePresence::device("other", false, DAY)),
    ]);
    for events in [&mut presence, &mut other] {
        let (name, data) = events.next().await.unwrap();
        assert_eq!((&*name, &data["id"]), ("presence", &json!("other")));
        assert_eq!(data["since"], "2024-10-04T00:00:00.000Z");
    }
    let mut places = Vec::new();
    while *live.listeners().borrow() < LISTENERS_MAX {
        places.push(live.listen(Wanted::default(), None).unwrap());
    }
    problem(fixture.get("/v1/homes/h/live", "*/*").await, 503).await;
    for (path, status) in [
        ("/v1/homes/nobody/live", 404),
        ("/v1/homes/h/live?kind=rumour", 400),
        ("/v1/homes/..a/live", 400),
    ] {
        problem(fixture.get(path, "*/*").await, status).await;
    }
}

#[tokio::test]
async fn an_answer_says_how_fresh_it_is() {
    let fixture = Fixture::new().await;
    let base = format!("/v1/homes/h/devices/{ENCODED}/readings");
    let plain = fixture.get(&base, "text/csv").await;
    assert!(!plain.headers().contains_key("tarn-fresh"));
    assert_eq!(fixture.json(&base).await["fresh"], Value::Null);
    let path = format!("{base}?fresh=5s");
    let as_of = "2024-10-05T00:00:00.000Z";
    assert_eq!(
        fixture.json(&path).await["fresh"],
        json!({"as_of": as_of, "complete": true, "missing": []})
    );
    let csv = fixture.get(&path, "text/csv").await;
    assert_eq!(
        csv.headers()["tarn-fresh"],
        format!("{as_of}; complete=true; missing=0")
    );
    for query in ["fresh=51s", "fresh=soon"] {
        problem(fixture.get(&format!("{base}?{query}"), "*/*").await, 400).await;
    }
}
