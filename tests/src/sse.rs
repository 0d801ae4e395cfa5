use std::time::{Duration, Instant};

use serde_json::Value;

use crate::access;

/// A listener to server-sent events, as a browser's `EventSource` is one. It is gone when dropped.
#[derive(Debug)]
pub struct Sse {
    runtime: tokio::runtime::Runtime,
    response: reqwest::Response,
    text: String,
    last_id: String,
}

/// An event that came.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What kind it is.
    pub name: String,
    /// What it says.
    pub data: Value,
    /// When it came.
    pub at: Instant,
}

impl Sse {
    /// Listens at `url`, after the event `last_id` where there is one; returns once the answer has begun.
    #[must_use]
    pub fn open(url: &str, last_id: Option<&str>) -> Sse {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("build a runtime");
        let client = reqwest::Client::builder().no_proxy().build();
        let request = client.expect("build an HTTP client").get(url);
        let mut request = request.bearer_auth(access::owner());
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = runtime.block_on(request.send());
        let response = response.unwrap_or_else(|error| panic!("GET {url}: {error}"));
        assert_eq!(response.status(), 200, "{url}");
        Sse {
            runtime,
            response,
            text: String::new(),
            last_id: String::new(),
        }
    }

    /// The next event, if one comes in time.
    pub fn next(&mut self, limit: Duration) -> Option<Event> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(event) = self.whole() {
                return Some(event);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let chunk = self.runtime.block_on(async {
                let chunk = tokio::time::timeout(left, self.response.chunk());
                chunk.await.ok()?.expect("the stream goes on")
            })?;
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
    }

    /// The next event that passes the test.
    pub fn wait_for(
        &mut self,
        what: &str,
        limit: Duration,
        test: impl Fn(&Event) -> bool,
    ) -> Event {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.next(left);
            let event = event.unwrap_or_else(|| panic!("{what} did not come within {limit:?}"));
            if test(&event) {
                return event;
            }
        }
    }

    /// Id of the last event that came, or to go on from before there was one.
    #[must_use]
    pub fn last_id(&self) -> &str {
        &self.last_id
    }

    fn whole(&mut self) -> Option<Event> {
        while let Some((block, rest)) = self.text.split_once("\n\n") {
            let (mut name, mut data) = (None, None);
            for line in block.lines() {
                match line.split_once(": ") {
                    Some(("id", id)) => self.last_id = id.to_owned(),
                    Some(("event", text)) => name = Some(text.to_owned()),
                    Some(("data", text)) => data = serde_json::from_str(text).ok(),
                    _ => {}
                }
            }
            self.text = rest.to_owned();
            if let (Some(name), Some(data)) = (name, data) {
                let at = Instant::now();
                return Some(Event { name, data, at });
            }
        }
        None
    }
}
