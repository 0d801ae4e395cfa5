use std::sync::Arc;

use futures::{Stream, stream};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{LiveHub, Numbered, hub::Found};

/// Someone who listens to a home. It counts as a listener until it is dropped.
#[derive(Debug)]
pub struct Listener {
    hub: Arc<LiveHub>,
    place: u64,
    start: String,
    changes: watch::Receiver<u64>,
}

impl Listener {
    pub(super) fn new(
        hub: Arc<LiveHub>,
        place: u64,
        start: String,
        changes: watch::Receiver<u64>,
    ) -> Listener {
        Listener {
            hub,
            place,
            start,
            changes,
        }
    }

    /// Id to go on from where no event has come yet.
    #[must_use]
    pub fn start(&self) -> &str {
        &self.start
    }

    /// The next event; none when the listener was so slow that its place was given away. Nothing is lost when the
    /// future is dropped before it is done.
    pub async fn next(&mut self) -> Option<Arc<Numbered>> {
        loop {
            self.changes.mark_unchanged();
            let due = match self.look(Instant::now()) {
                Found::Event(event) => return Some(event),
                Found::Nothing(due) => due,
                Found::Gone => return None,
            };
            let pause = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The hub lives as long as this.
                _ = self.changes.changed() => {}
                () = pause => {}
            }
        }
    }

    pub(super) fn look(&self, now: Instant) -> Found {
        self.hub.look(self.place, now)
    }

    /// The events as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Arc<Numbered>> + Send + 'static {
        stream::unfold(self, |mut listener| async move {
            let event = listener.next().await?;
            Some((event, listener))
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.hub.leave(self.place);
    }
}
