use std::{collections::BTreeMap, io};

use arrow::array::RecordBatch;
use parking_lot::Mutex;
use tarn_common::ids::Seq;

use crate::{
    decode::{Decoder, topic::Topics},
    journal::{
        Segment, Segments,
        segment::{self, RECORDS_AT, Scan},
    },
};

/// The readings that are durable in the journal and not in a chunk yet, decoded once and kept as
/// long as a query has asked for them.
#[derive(Debug)]
pub struct Tail {
    topics: Topics,
    decoded: Mutex<BTreeMap<Seq, Decoded>>,
}

/// One segment, decoded so far.
#[derive(Debug)]
struct Decoded {
    upto_bytes: u64,
    last: Seq,
    batches: Vec<RecordBatch>,
}

impl Tail {
    /// Nothing decoded yet.
    #[must_use]
    pub fn new(topics: Topics) -> Self {
        Tail {
            topics,
            decoded: Mutex::default(),
        }
    }

    /// Readings of the segments that start after `cut_upto`. Blocks.
    ///
    /// The segments must have been asked for before `cut_upto`: then a cut in between is seen in
    /// one of them and never in both or neither.
    pub fn batches(&self, segments: &Segments, cut_upto: Seq) -> io::Result<Vec<RecordBatch>> {
        let mut decoded = self.decoded.lock();
        decoded.retain(|first, _| *first > cut_upto);
        let mut batches = Vec::new();
        for segment in segments.sealed.iter().chain([&segments.active]) {
            if segment.first <= cut_upto {
                continue;
            }
            let known = decoded.entry(segment.first).or_insert_with(|| Decoded {
                upto_bytes: RECORDS_AT,
                last: Seq(segment.first.0 - 1),
                batches: Vec::new(),
            });
            known.catch_up(segment, &self.topics)?;
            batches.extend(known.batches.iter().cloned());
        }
        Ok(batches)
    }

    /// Forget what a cut has made superfluous.
    pub fn forget(&self, cut_upto: Seq) {
        self.decoded.lock().retain(|first, _| *first > cut_upto);
    }
}

impl Decoded {
    fn catch_up(&mut self, segment: &Segment, topics: &Topics) -> io::Result<()> {
        if self.upto_bytes >= segment.bytes {
            return Ok(());
        }
        let bytes = segment::read(segment, self.upto_bytes)?;
        let mut decoder = Decoder::new(topics);
        let mut scan = Scan::new(&bytes, 0, self.last);
        scan.by_ref()
            .take_while(|r| r.seq <= segment.last)
            .for_each(|r| decoder.record(&r));
        let (rows, _) = decoder.finish();
        if !rows.is_empty() {
            self.batches
                .push(rows.batch(&rows.all()).map_err(io::Error::other)?);
        }
        self.upto_bytes = segment.bytes;
        self.last = segment.last;
        Ok(())
    }
}
