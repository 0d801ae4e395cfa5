use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tarn_common::{clock::Clock, ids::HomeId, twin::home::Change};
use tarn_link::AskKind;
use tarn_openapi::live::{LiveEvent, LiveHub, LiveMetrics, LivePresence};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::downlink::{BoxEvent, Downlink};

/// Homes that somebody listens to at one time.
const HUBS_MAX: usize = 10_000;
/// For how long a box is asked to tell what happens; asked again in time.
const LEASE: Duration = Duration::from_secs(60);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_secs(20);
/// How long a box may take to begin.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// What happens in homes that somebody listens to. Boxes are asked to tell for as long as anybody does.
#[derive(Debug)]
pub(crate) struct CloudLive {
    hubs: Mutex<HashMap<HomeId, Arc<LiveHub>>>,
    downlink: Arc<Downlink>,
    clock: Arc<dyn Clock>,
    metrics: LiveMetrics,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl CloudLive {
    pub(crate) fn new(
        downlink: Arc<Downlink>,
        clock: Arc<dyn Clock>,
        metrics: LiveMetrics,
        stop: CancellationToken,
    ) -> CloudLive {
        CloudLive {
            hubs: Mutex::default(),
            downlink,
            clock,
            metrics,
            stop,
            tasks: TaskTracker::new(),
        }
    }

    /// Where a home is listened to; none where too many are.
    pub(crate) fn hub(self: &Arc<Self>, home: &HomeId) -> Option<Arc<LiveHub>> {
        let mut hubs = self.hubs.lock();
        if let Some(hub) = hubs.get(home) {
            return Some(hub.clone());
        }
        if hubs.len() >= HUBS_MAX {
            return None;
        }
        let hub = Arc::new(LiveHub::new(rand::random(), self.metrics.clone()));
        hubs.insert(home.clone(), hub.clone());
        let (live, home, fed) = (self.clone(), home.clone(), hub.clone());
        self.tasks.spawn(async move {
            let _ = live.stop.run_until_cancelled(live.feed(&home, &fed)).await;
            live.hubs.lock().remove(&home);
        });
        Some(hub)
    }

    /// Have a home's boxes tell for as long as anybody listens.
    async fn feed(&self, home: &HomeId, hub: &LiveHub) {
        tokio::select! {
            () = hub.wanted() => {}
            // Whoever asked for it is gone before it listened.
            () = sleep(LEASE) => return,
        }
        let asking = async {
            loop {
                let boxes = self.downlink.boxes(home);
                let asked = boxes.iter().map(|seen| {
                    let ask = AskKind::Watch {
                        seconds: LEASE.as_secs(),
                    };
                    self.downlink.ask(home, seen.edge, ask, ASK_WITHIN)
                });
                for (seen, asked) in boxes.iter().zip(futures::future::join_all(asked).await) {
                    if let Err(error) = asked {
                        tracing::debug!(%home, edge = %seen.edge, %error, "a box does not tell what happens");
                    }
                }
                hub.feed_began();
                sleep(ASK_EVERY).await;
            }
        };
        tokio::select! {
            () = asking => {}
            () = hub.unwanted() => hub.feed_ended(),
        }
    }

    /// Pass on what boxes tell and what changes in twins, until stopped.
    pub(crate) async fn run(self: Arc<Self>, mut changes: Receiver<Arc<Change>>) {
        let mut events = self.downlink.events();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                event = events.recv() => match event {
                    Ok(event) => self.heard(event),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => break,
                },
                change = changes.recv() => match change {
                    Ok(change) => self.changed(&change),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => break,
                },
            }
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn listened(&self, home: &HomeId) -> Option<Arc<LiveHub>> {
        self.hubs.lock().get(home).cloned()
    }

    fn heard(&self, event: BoxEvent) {
        match event {
            BoxEvent::Seen { home, seen } => {
                if let (Some(hub), Some(presence)) = (self.listened(&home), seen.presence) {
                    let told = LivePresence::of_box(
                        &seen.edge.to_string(),
                        presence.online,
                        self.clock.now_ms(),
                    );
                    hub.push(LiveEvent::Presence(told));
                }
            }
            BoxEvent::Live { home, events, .. } => {
                if let Some(hub) = self.listened(&home) {
                    let events = events
                        .iter()
                        .filter_map(|event| serde_json::from_value(event.clone()).ok());
                    // What twins say comes from the twins themselves.
                    hub.push_all(events.filter(|event| !matches!(event, LiveEvent::Twin(_))));
                }
            }
        }
    }

    fn changed(&self, change: &Change) {
        if let Some(hub) = self.listened(&change.home) {
            hub.push_all(LiveEvent::of_change(change));
        }
    }
}
