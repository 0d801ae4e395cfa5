use std::{sync::Arc, time::Duration};

use tarn_common::{
    clock::Clock,
    ids::{EdgeId, HomeId},
};
use tarn_link::{
    Channel, LinkEvent, LinkEvents, LinkMetrics, LiveBatch, Topic,
    link::Message,
    message::{self, BODY_BYTES_MAX, MessageError, OF_A_BOX_BYTES_MAX},
};
use tokio::{
    sync::broadcast,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    BoxEvent,
    asks::Asks,
    boxes::{Boxes, Said},
};

/// Bytes of an answer: what became of many commands is told in one.
const ANSWER_BYTES_MAX: usize = BODY_BYTES_MAX;
/// How long after a connection came up what is retained may still be on its way.
const SETTLE_AFTER: Duration = Duration::from_secs(30);

/// The link for everything but twins.
pub(super) struct WatchStage {
    pub(super) boxes: Arc<Boxes>,
    pub(super) asks: Arc<Asks>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) events: broadcast::Sender<BoxEvent>,
    pub(super) metrics: LinkMetrics,
}

impl WatchStage {
    pub(super) async fn run(self, mut events: LinkEvents, stop: CancellationToken) {
        let mut settle_at: Option<Instant> = None;
        loop {
            let settling = async {
                match settle_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                event = events.recv() => match event {
                    None => return,
                    Some(LinkEvent::Connected) => {
                        self.boxes.begin();
                        settle_at = Some(Instant::now() + SETTLE_AFTER);
                    }
                    // Nobody is known to have gone: it is we who cannot hear.
                    Some(LinkEvent::Disconnected) => settle_at = None,
                    Some(LinkEvent::Message(message)) => self.take(&message),
                },
                () = settling => {
                    settle_at = None;
                    for (home, seen) in self.boxes.settle() {
                        self.tell(BoxEvent::Seen { home, seen });
                    }
                }
            }
        }
    }

    fn take(&self, message: &Message) {
        let taken = match message.topic.parse() {
            Ok(Topic { home, channel }) => self.take_in(&home, channel, &message.payload),
            Err(_) => Ok(false),
        };
        match taken {
            Ok(true) => {}
            // Anybody who may come to the meeting place can send anything.
            Ok(false) => self.metrics.drop_one("odd"),
            Err(error) => {
                self.metrics.drop_one("odd");
                tracing::debug!(topic = message.topic, %error, "a message is left");
            }
        }
    }

    /// Returns whether it was of use.
    fn take_in(
        &self,
        home: &HomeId,
        channel: Channel,
        payload: &[u8],
    ) -> Result<bool, MessageError> {
        match channel {
            Channel::Presence(edge) if payload.is_empty() => {
                self.boxes.forget(home, edge);
                Ok(true)
            }
            Channel::Presence(edge) => {
                let presence = message::from_json(payload, OF_A_BOX_BYTES_MAX)?;
                Ok(self.hear(home, edge, Said::Presence(presence)))
            }
            // It was taken back with the presence.
            Channel::State(_) if payload.is_empty() => Ok(true),
            Channel::State(edge) => {
                let state = message::from_json(payload, OF_A_BOX_BYTES_MAX)?;
                Ok(self.hear(home, edge, Said::State(state)))
            }
            Channel::Answer(_) => {
                let answer = message::from_json(payload, ANSWER_BYTES_MAX)?;
                Ok(self.asks.answered(home, answer))
            }
            Channel::Live(_) if self.events.receiver_count() == 0 => Ok(true),
            Channel::Live(edge) => {
                let LiveBatch { events } = message::from_json(payload, BODY_BYTES_MAX)?;
                self.tell(BoxEvent::Live {
                    home: home.clone(),
                    edge,
                    events: Arc::new(events),
                });
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn hear(&self, home: &HomeId, edge: EdgeId, said: Said) -> bool {
        let heard = self.boxes.hear(home, edge, said, self.clock.now_ms());
        let has_room = heard.is_some();
        if let Some(seen) = heard {
            let home = home.clone();
            self.tell(BoxEvent::Seen { home, seen });
        }
        has_room
    }

    fn tell(&self, event: BoxEvent) {
        // Nobody may be looking.
        let _ = self.events.send(event);
    }
}
