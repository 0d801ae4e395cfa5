use std::{collections::BTreeMap, io, sync::Arc};

use arrow::array::RecordBatch;
use parking_lot::Mutex;
use tarn_common::{event::Event, ids::Seq};

use crate::{
    decode::{Context, Decoder, state::State},
    devices::Devices,
    journal::{
        Segment, Segments,
        segment::{self, RECORDS_AT, Scan},
    },
};

/// The readings that are durable in the journal and not in a chunk yet, decoded once and kept as
/// long as a query has asked for them.
#[derive(Debug)]
pub struct Tail {
    devices: Arc<Devices>,
    known: Mutex<Known>,
}

/// What is decoded, of what was known of devices then.
#[derive(Debug, Default)]
struct Known {
    decoded: BTreeMap<Seq, Decoded>,
    /// What the next record goes on from; none before the first.
    state: Option<State>,
    last: Seq,
    /// Generation of the schema, and number of the clock's steps.
    learnt: (u64, usize),
}

/// One segment, decoded so far.
#[derive(Debug)]
struct Decoded {
    upto_bytes: u64,
    last: Seq,
    batches: Vec<RecordBatch>,
    events: Vec<Event>,
}

/// What is in one segment of the journal, and in no chunk.
#[derive(Debug)]
pub struct Uncut {
    /// The first record of the segment.
    pub first: Seq,
    /// The readings.
    pub batches: Vec<RecordBatch>,
    /// The events; who wrote them is not said.
    pub events: Vec<Event>,
}

impl Tail {
    /// Nothing decoded yet.
    #[must_use]
    pub fn new(devices: Arc<Devices>) -> Self {
        Tail {
            devices,
            known: Mutex::default(),
        }
    }

    /// What decoding the next record goes on from, and the last record before it. Blocks. As with
    /// [`Tail::uncut`], the segments must have been asked for before `cut_upto`.
    pub fn decoded_upto(&self, segments: &Segments, cut_upto: Seq) -> io::Result<(State, Seq)> {
        self.uncut(segments, cut_upto)?;
        let known = self.known.lock();
        let state = known.state.clone();
        // A look that failed just now leaves none behind.
        let state = state.unwrap_or_else(|| self.devices.state_before(cut_upto.next()));
        Ok((state, known.last))
    }

    /// What is in the segments that start after `cut_upto`. Blocks.
    ///
    /// The segments must have been asked for before `cut_upto`: then a cut in between is seen in
    /// one of them and never in both or neither.
    pub fn uncut(&self, segments: &Segments, cut_upto: Seq) -> io::Result<Vec<Uncut>> {
        self.devices.catch_up(segments)?;
        let context = self.devices.context();
        let mut known = self.known.lock();
        known.begin(&self.devices, &context, cut_upto);
        let mut uncut = Vec::new();
        for segment in segments.sealed.iter().chain([&segments.active]) {
            if segment.first <= cut_upto {
                continue;
            }
            let decoded = known.catch_up(segment, &context, &self.devices)?;
            uncut.push(Uncut {
                first: segment.first,
                batches: decoded.batches.clone(),
                events: decoded.events.clone(),
            });
        }
        Ok(uncut)
    }

    /// Which reading of devices the next look goes by.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.devices.registry.read().schema().generation
    }

    /// Forget what a cut has made superfluous.
    pub fn forget(&self, cut_upto: Seq) {
        let mut known = self.known.lock();
        known.decoded.retain(|first, _| *first > cut_upto);
    }
}

impl Known {
    /// Keep what still stands: all of it, unless devices are read in another way now, or a cut has gone past it.
    fn begin(&mut self, devices: &Devices, context: &Context, cut_upto: Seq) {
        let learnt = (context.schema.generation, context.steps.len());
        let is_behind = self.last < cut_upto;
        if self.state.is_none() || is_behind || self.learnt != learnt {
            *self = Known {
                decoded: BTreeMap::new(),
                state: Some(devices.state_before(cut_upto.next())),
                last: cut_upto,
                learnt,
            };
        }
        self.decoded.retain(|first, _| *first > cut_upto);
    }

    fn catch_up(
        &mut self,
        segment: &Segment,
        context: &Context,
        devices: &Devices,
    ) -> io::Result<&Decoded> {
        let decoded = self
            .decoded
            .entry(segment.first)
            .or_insert_with(|| Decoded {
                upto_bytes: RECORDS_AT,
                last: Seq(segment.first.0 - 1),
                batches: Vec::new(),
                events: Vec::new(),
            });
        if decoded.upto_bytes >= segment.bytes {
            return Ok(decoded);
        }
        let bytes = segment::read(segment, decoded.upto_bytes)?;
        let mut decoder = Decoder::new(context, self.state.take().unwrap_or_default());
        let mut scan = Scan::new(&bytes, 0, decoded.last);
        scan.by_ref()
            .take_while(|r| r.seq <= segment.last)
            .for_each(|r| decoder.record(&r));
        let found = decoder.finish();
        devices.take(&found.faults, &found.skews);
        if !found.rows.is_empty() {
            decoded.batches.push(
                found
                    .rows
                    .batch(&found.rows.all())
                    .map_err(io::Error::other)?,
            );
        }
        decoded.events.extend(found.events);
        self.state = Some(found.state);
        decoded.upto_bytes = segment.bytes;
        decoded.last = segment.last;
        self.last = segment.last;
        Ok(decoded)
    }
}
