use std::{io, sync::Arc, time::Duration};

use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tarn_broker::log::PublishLog;
use tarn_common::{reading::Quality, twin::home::HomeTwins};
use tarn_openapi::{
    live::{LiveEvent, LiveHub, LivePresence, LiveReading},
    types::moment,
};
use tokio::{sync::broadcast::error::RecvError, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{devices::Devices, journal::Journal, shelf::Shelf, stream::Stream, tail::Tail};

/// Pause between two looks at a journal that grows, so that a busy one is read in large pieces.
const FOLLOW_PAUSE: Duration = Duration::from_millis(20);

/// Pause after the journal could not be read.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Tells listeners what is published, as soon as it is durable. While nobody listens it reads nothing.
#[derive(Debug)]
pub struct LiveFeed {
    /// Where listeners are.
    pub hub: Arc<LiveHub>,
    /// What is known of devices.
    pub devices: Arc<Devices>,
    /// Where records come from.
    pub journal: Arc<Journal>,
    /// What is cut already.
    pub shelf: Arc<Shelf>,
    /// What is decoded already of the rest.
    pub tail: Arc<Tail>,
    /// Journal records read for listeners.
    pub records: Counter,
}

/// The count of journal records that are read for listeners, made known.
#[must_use]
pub fn records_counter(registry: &mut Registry) -> Counter {
    let records = Counter::default();
    registry.register(
        "tarn_live_records",
        "Journal records read for who listens",
        records.clone(),
    );
    records
}

impl LiveFeed {
    /// Feed the hub whenever anybody listens, until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let feed = Arc::new(self);
        loop {
            tokio::select! {
                () = feed.hub.wanted() => {}
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = feed.clone().lease() => {}
                () = stop.cancelled() => return,
            }
            feed.hub.feed_ended();
        }
    }

    /// Feed for as long as anybody listens.
    async fn lease(self: Arc<Self>) {
        let mut stream = loop {
            match self.on_thread(|feed| feed.begin()).await {
                Some(stream) => break stream,
                None => sleep(RETRY_PAUSE).await,
            }
        };
        let mut durable = self.journal.durable();
        durable.mark_changed();
        self.hub.feed_began();
        let unwanted = self.hub.unwanted();
        tokio::pin!(unwanted);
        loop {
            tokio::select! {
                changed = durable.changed() => if changed.is_err() { return },
                () = &mut unwanted => return,
            }
            let told = self.on_thread(move |feed| feed.tell(&mut stream).map(|()| stream));
            match told.await {
                Some(next) => stream = next,
                // The hub is told that its events have a gap, and it begins anew.
                None => return,
            }
            sleep(FOLLOW_PAUSE).await;
        }
    }

    /// Reading a journal and decoding is work for a thread that may block.
    async fn on_thread<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&LiveFeed) -> io::Result<T> + Send + 'static,
    ) -> Option<T> {
        let feed = self.clone();
        match tokio::task::spawn_blocking(move || work(&feed)).await {
            Ok(Ok(done)) => Some(done),
            Ok(Err(e)) => {
                // A cut may have taken the segment meanwhile.
                tracing::debug!(error = %e, "a journal segment was gone before it was read for listeners");
                None
            }
            Err(failed) => {
                tracing::error!(error = %failed, "reading the journal for listeners failed");
                None
            }
        }
    }

    /// Begin with what is published next. What decoding goes on from comes of the records before, which no listener
    /// is told of.
    fn begin(&self) -> io::Result<Stream> {
        let segments = self.journal.segments();
        let (_, cut_upto) = self.shelf.view();
        let (state, last) = self.tail.decoded_upto(&segments, cut_upto)?;
        Ok(Stream::after(last, state, self.devices.online()))
    }

    /// Tell what was published since the last look.
    fn tell(&self, stream: &mut Stream) -> io::Result<()> {
        let heard = stream.read(&self.journal, &self.devices, |_| {})?;
        self.records.inc_by(heard.publishes);
        let mut events = Vec::with_capacity(heard.rows.len());
        for row in heard.rows.shown() {
            // What a device tells of the past is not live.
            if row.quality == Quality::Historical as i8 {
                continue;
            }
            events.push(LiveEvent::Reading(LiveReading {
                device: row.device.to_owned(),
                metric: row.metric.to_owned(),
                value: row.value,
                text: row.text.map(str::to_owned),
                unit: row.unit.map(str::to_owned),
                ts: moment(row.ts),
                received: moment(row.received),
            }));
        }
        events.extend(heard.come_and_gone.iter().map(|(device, online)| {
            LiveEvent::Presence(LivePresence::device(device, *online, heard.at_ms))
        }));
        self.hub.push_all(events);
        heard.read
    }
}

/// Tell listeners what changes in twins, until stopped.
pub async fn tell_changes(hub: Arc<LiveHub>, twins: Arc<HomeTwins>, stop: CancellationToken) {
    let mut changes = twins.changes();
    loop {
        let change = match stop.run_until_cancelled(changes.recv()).await {
            Some(Ok(change)) => change,
            Some(Err(RecvError::Lagged(_))) => continue,
            Some(Err(RecvError::Closed)) | None => return,
        };
        hub.push_all(LiveEvent::of_change(&change));
    }
}
