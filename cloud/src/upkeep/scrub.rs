use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use prometheus_client::registry::Registry;
use tarn_common::{
    catalog::Catalog,
    clock::Clock,
    keeper::Keeper,
    layout::ChunkKey,
    scrub::{FollowedLog, Scrub, ScrubFault},
    verify::Lost,
};
use tarn_openapi::{CopyFault, LostChunk, ScrubState, types::moment};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::follow::Follow;

/// The first round begins so long after the start, when queries have had their first look.
const START_DELAY: Duration = Duration::from_secs(5);

/// How all copies are gone through.
#[derive(Debug, Clone)]
pub struct ScrubSettings {
    /// Bytes that are read per second at most; 0 scrubs nothing, and mirrors nothing.
    pub bytes_per_second: u64,
    /// How often the stores are listed, and what is missing is made good.
    pub list_every: Duration,
    /// How often a round of reading all copies may begin at most: a store may charge for what is read.
    pub read_every: Duration,
}

impl Default for ScrubSettings {
    fn default() -> Self {
        ScrubSettings {
            bytes_per_second: 4 << 20,
            list_every: Duration::from_secs(600),
            read_every: Duration::from_secs(86_400),
        }
    }
}

#[async_trait]
impl FollowedLog for Follow {
    async fn look(&self) -> bool {
        self.look_now().await;
        self.is_whole()
    }

    async fn with_catalog(&self, ask: &mut (dyn for<'c> FnMut(&'c Catalog) + Send)) {
        ask(&*self.catalog().await);
    }
}

/// The task that scrubs.
#[derive(Debug)]
pub(crate) struct Scrubbing {
    scrub: Scrub,
    follow: Arc<Follow>,
    settings: ScrubSettings,
}

/// A round of reading.
#[derive(Debug, Default)]
struct Reading {
    left: Vec<ChunkKey>,
    of: usize,
    began: Option<Instant>,
}

impl Scrubbing {
    pub(crate) fn new(
        keeper: Arc<Keeper>,
        follow: Arc<Follow>,
        clock: Arc<dyn Clock>,
        settings: ScrubSettings,
        registry: &mut Registry,
    ) -> Scrubbing {
        let rate = Some(settings.bytes_per_second);
        let scrub = Scrub::new(keeper, clock, rate, rand::random());
        scrub.figures().register(registry);
        Scrubbing {
            scrub,
            follow,
            settings,
        }
    }

    /// Scrub until stopped.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        if self.settings.bytes_per_second == 0 {
            return;
        }
        stop.run_until_cancelled(Box::pin(self.go_through())).await;
    }

    async fn go_through(&self) {
        let log = self.follow.as_ref();
        let mut reading = Reading::default();
        tokio::time::sleep(START_DELAY.min(self.settings.list_every)).await;
        loop {
            let next = Instant::now() + self.settings.list_every;
            self.scrub.by_lists(log).await;
            self.scrub.roots(log).await;
            self.read(&mut reading, next).await;
            sleep_until(next).await;
        }
    }

    /// Go on with reading all copies until it is time for the lists again.
    async fn read(&self, reading: &mut Reading, until: Instant) {
        let log = self.follow.as_ref();
        let every = self.settings.read_every;
        if reading.left.is_empty() && reading.began.is_none_or(|began| began.elapsed() >= every) {
            reading.began = Some(Instant::now());
            self.scrub.read_shared(log).await;
            reading.left = self.scrub.to_read(log).await;
            reading.of = reading.left.len();
        }
        while let Some(key) = reading.left.pop() {
            self.scrub.read(log, &key).await;
            let read = reading.of - reading.left.len();
            self.scrub.progress(read, reading.of);
            if Instant::now() >= until {
                return;
            }
        }
    }
}

impl Scrubbing {
    /// Delete copies that are too many for long enough.
    pub(crate) async fn clear(&self) {
        self.scrub.clear(self.follow.as_ref()).await;
    }

    /// What was found so far.
    pub(crate) fn state(&self) -> ScrubState {
        let (report, figures) = (self.scrub.report(), self.scrub.figures());
        ScrubState {
            bytes_per_second: self.settings.bytes_per_second,
            listed_at: report.listed_at_ms.map(moment),
            away: report.away.iter().map(ToString::to_string).collect(),
            read_at: report.read_at_ms.map(moment),
            chunks_read: report.read,
            chunks: report.of,
            copies: figures.copies.get(),
            bytes: figures.bytes.get(),
            repaired: figures.repaired.get(),
            faults: report.faults.into_iter().map(fault).collect(),
            lost: report.lost.into_iter().map(lost).collect(),
        }
    }
}

fn fault(fault: ScrubFault) -> CopyFault {
    CopyFault {
        kind: fault.kind.word().to_owned(),
        store: fault.store.to_string(),
        key: fault.key,
        detail: fault.detail,
        at: moment(fault.at_ms),
        repaired: fault.repaired,
    }
}

fn lost(lost: Lost) -> LostChunk {
    LostChunk {
        key: lost.key,
        home: lost.home.to_string(),
        edge: lost.edge.to_string(),
        shard: lost.shard.0,
        devices: lost.devices,
        from: moment(lost.min_ts),
        to: moment(lost.max_ts),
        rows: lost.rows,
    }
}
