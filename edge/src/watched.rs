use std::{sync::Arc, time::Duration};

use tarn_openapi::live::{LiveHub, Wanted};
use tokio::{
    sync::watch,
    time::{Instant, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::uplink::Uplink;

/// How often what has happened is sent.
const SEND_EVERY: Duration = Duration::from_millis(250);
/// Events of one message.
const BATCH_MAX: usize = 200;
/// The longest that one question lets the box tell.
const WATCH_MAX: Duration = Duration::from_secs(300);

/// Tells the cloud what happens for as long as it has asked for it.
#[derive(Debug)]
pub struct Watched {
    until: watch::Sender<Option<Instant>>,
}

impl Default for Watched {
    fn default() -> Self {
        Watched {
            until: watch::Sender::new(None),
        }
    }
}

impl Watched {
    /// Somebody looks for so long from now on.
    pub fn watch(&self, during: Duration) {
        let until = Instant::now() + during.min(WATCH_MAX);
        self.until.send_modify(|now| *now = (*now).max(Some(until)));
    }

    /// Tell over this uplink until stopped.
    pub async fn run(
        self: Arc<Self>,
        hub: Arc<LiveHub>,
        uplink: Arc<Uplink>,
        stop: CancellationToken,
    ) {
        let mut until = self.until.subscribe();
        loop {
            let is_watched =
                until.wait_for(|until| until.is_some_and(|until| until > Instant::now()));
            match stop.run_until_cancelled(is_watched).await {
                Some(Ok(_)) => {}
                _ => return,
            }
            if stop
                .run_until_cancelled(self.tell(&hub, &uplink))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    /// Listen as anyone does, and send what comes, until nobody looks any more.
    async fn tell(&self, hub: &Arc<LiveHub>, uplink: &Uplink) {
        let Ok(mut listener) = hub.listen(Wanted::default(), None) else {
            return;
        };
        let mut batch = Vec::new();
        let mut send = interval(SEND_EVERY);
        loop {
            let until = *self.until.borrow();
            let Some(until) = until.filter(|until| *until > Instant::now()) else {
                return;
            };
            tokio::select! {
                event = listener.next() => match event {
                    Some(event) => {
                        batch.extend(serde_json::to_value(event.event()).ok());
                        if batch.len() >= BATCH_MAX {
                            uplink.tell_live(std::mem::take(&mut batch));
                        }
                    }
                    None => return,
                },
                _ = send.tick() => if !batch.is_empty() {
                    uplink.tell_live(std::mem::take(&mut batch));
                },
                () = sleep_until(until) => {}
            }
        }
    }
}
