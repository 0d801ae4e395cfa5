use std::io;

use tarn_common::ids::Seq;

use super::{
    Segments,
    frame::Record,
    segment::{self, RECORDS_AT, Scan},
};

/// A place in a journal that grows, for who reads each record once.
#[derive(Debug)]
pub struct Follow {
    segment: Seq,
    upto_bytes: u64,
    last: Seq,
}

impl Follow {
    /// The place after a record.
    #[must_use]
    pub fn after(last: Seq) -> Follow {
        Follow {
            segment: Seq(0),
            upto_bytes: 0,
            last,
        }
    }

    /// The last record that was read.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.last
    }

    /// Read the records of these segments that were not read yet. Blocks.
    ///
    /// # Errors
    /// A segment cannot be read; a cut may have taken it meanwhile.
    pub fn read(
        &mut self,
        segments: &Segments,
        mut each: impl FnMut(&Record<'_>),
    ) -> io::Result<()> {
        for segment in segments.sealed.iter().chain([&segments.active]) {
            if segment.last <= self.last {
                continue;
            }
            let from = if self.segment == segment.first {
                self.upto_bytes
            } else {
                RECORDS_AT
            };
            let bytes = segment::read_what_is_there(segment, from)?;
            let before = self.last.max(Seq(segment.first.0 - 1));
            for record in Scan::new(&bytes, 0, before).take_while(|r| r.seq <= segment.last) {
                if record.seq > self.last {
                    each(&record);
                }
            }
            *self = Follow {
                segment: segment.first,
                upto_bytes: segment.bytes,
                last: segment.last,
            };
        }
        Ok(())
    }
}
