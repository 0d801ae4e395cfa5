use std::{collections::HashMap, io, sync::Arc};

use tarn_common::{
    ids::Seq,
    reading::Quality,
    rows::{Rows, Shown},
};
use tarn_rules::input::Reading;

use crate::{
    decode::{Decoder, state::State},
    devices::Devices,
    journal::{
        Journal,
        follow::Follow,
        frame::{Kind, Record},
    },
};

/// A row as rules take it. What a device tells of the past is no news, and neither is what is to be known only.
pub(crate) fn as_reading<'a>(row: &Shown<'a>, known_only: bool) -> Reading<'a> {
    Reading {
        seq: row.seq.0,
        ts_ms: row.ts,
        device: row.device,
        metric: row.metric,
        value: row.value,
        text: row.text,
        replayed: row.quality == Quality::Historical as i8 || known_only,
    }
}

/// What is published, decoded as it becomes durable, for who looks at each record once.
#[derive(Debug)]
pub struct Stream {
    follow: Follow,
    /// What decoding goes on from; its own, so that counters are counted once where it counts.
    state: State,
    online: HashMap<Arc<str>, bool>,
}

/// What one look at the journal gave.
#[derive(Debug)]
pub struct Heard {
    /// The readings.
    pub rows: Rows,
    /// Publishes that they came with.
    pub publishes: u64,
    /// When the last of those came, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Devices that are there now and were not before, or the other way round.
    pub come_and_gone: Vec<(Arc<str>, bool)>,
    /// Whether all was read; a cut may have taken a segment meanwhile.
    pub read: io::Result<()>,
}

impl Stream {
    /// What comes after a record. `online` are devices of which it is known whether they are there.
    #[must_use]
    pub fn after(last: Seq, state: State, online: Vec<(Arc<str>, bool)>) -> Stream {
        Stream {
            follow: Follow::after(last),
            state,
            online: online.into_iter().collect(),
        }
    }

    /// The last record that was read.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.follow.last()
    }

    /// Read on up to what is durable; `each` is told every record. Blocks.
    ///
    /// # Errors
    /// What devices announced cannot be read.
    pub fn read(
        &mut self,
        journal: &Journal,
        devices: &Devices,
        mut each: impl FnMut(&Record<'_>),
    ) -> io::Result<Heard> {
        let segments = journal.segments();
        // What a device announces counts for the reading right behind it.
        devices.catch_up(&segments)?;
        let context = devices.context();
        let mut decoder = Decoder::new(&context, std::mem::take(&mut self.state));
        let (mut publishes, mut at_ms) = (0, 0);
        let read = self.follow.read(&segments, |record| {
            each(record);
            if record.kind == Kind::Publish {
                decoder.record(record);
                at_ms = record.received_ms;
                publishes += 1;
            }
        });
        let mut decoded = decoder.finish();
        // These are for the cut to store; here they would only pile up.
        decoded.state.fresh.clear();
        self.state = decoded.state;
        let come_and_gone = match publishes {
            0 => Vec::new(),
            _ => self.come_and_gone(devices),
        };
        Ok(Heard {
            rows: decoded.rows,
            publishes,
            at_ms,
            come_and_gone,
            read,
        })
    }

    fn come_and_gone(&mut self, devices: &Devices) -> Vec<(Arc<str>, bool)> {
        let mut now = devices.online();
        now.retain(|(device, online)| self.online.insert(device.clone(), *online) != Some(*online));
        now
    }
}
