use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use tarn_common::ids::Seq;

use super::{
    Segment,
    frame::{self, Record, SEGMENT_HEAD},
};

/// How far ahead of the last record a sequence may be after damage, so that garbage is not taken
/// for a record.
const SEQ_JUMP_MAX: u64 = 1 << 24;

/// A stretch of a segment that holds no whole record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Where it starts in the file.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// Records that are missing there, by the sequences on both sides.
    pub records: u64,
    /// The first of them.
    pub first: Seq,
    /// When the record before it was received, milliseconds since 1970 UTC, if there is one.
    pub after_ms: Option<i64>,
    /// When the record behind it was received, if there is one.
    pub before_ms: Option<i64>,
}

/// Records of a segment's bytes, in order; damage in the middle is stepped over and told.
#[derive(Debug)]
pub struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    last: Seq,
    last_ms: Option<i64>,
    damage: Vec<Damage>,
}

impl<'a> Scan<'a> {
    /// Scan `bytes` from `at`, where the last record before was `last`.
    #[must_use]
    pub fn new(bytes: &'a [u8], at: usize, last: Seq) -> Self {
        Scan {
            bytes,
            at,
            last,
            last_ms: None,
            damage: Vec::new(),
        }
    }

    /// After the last record: where it ends, its sequence, and what was stepped over.
    #[must_use]
    pub fn end(self) -> (usize, Seq, Vec<Damage>) {
        (self.at, self.last, self.damage)
    }

    fn record_at(&self, at: usize) -> Option<(Record<'a>, usize)> {
        let (record, len) = frame::decode(self.bytes.get(at..)?)?;
        let near = record.seq > self.last && record.seq.0 - self.last.0 <= SEQ_JUMP_MAX;
        near.then_some((record, len))
    }

    /// The next place after damage where a whole record stands.
    fn resume(&self) -> Option<usize> {
        let mut at = self.at;
        loop {
            // A frame's length is never zero, so a run of zeros holds no start but near its end.
            let zeros = self.bytes.get(at..)?.iter().position(|&b| b != 0)?;
            at = (at + zeros).saturating_sub(3).max(at);
            if self.record_at(at).is_some() {
                return Some(at);
            }
            at += 1;
        }
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let (record, len) = match self.record_at(self.at) {
            Some(found) => found,
            None => {
                let resumed = self.resume()?;
                let (record, len) = self.record_at(resumed)?;
                self.damage.push(Damage {
                    offset: self.at as u64,
                    bytes: (resumed - self.at) as u64,
                    records: record.seq.0 - self.last.0 - 1,
                    first: self.last.next(),
                    after_ms: self.last_ms,
                    before_ms: Some(record.received_ms),
                });
                self.at = resumed;
                (record, len)
            }
        };
        self.at += len;
        (self.last, self.last_ms) = (record.seq, Some(record.received_ms));
        Some(record)
    }
}

/// The name of the segment that starts with a record.
#[must_use]
pub fn path(dir: &Path, first: Seq) -> PathBuf {
    dir.join(format!("{:012}.journal", first.0))
}

/// The segment files of a directory with the first sequence of each, oldest first.
pub fn list(dir: &Path) -> io::Result<Vec<(Seq, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let is_segment = path.extension().is_some_and(|e| e == "journal");
        let first = path
            .file_stem()
            .and_then(|s| s.to_str())
            .and_then(|s| s.parse().ok());
        if let (true, Some(first)) = (is_segment, first) {
            found.push((Seq(first), path));
        }
    }
    found.sort();
    Ok(found)
}

/// The durable bytes of a segment, from `from` on.
pub fn read(segment: &Segment, from: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; segment.bytes.saturating_sub(from) as usize];
    File::open(&segment.path)?.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}

/// The same, or as much of it as there is: a file may have been cut short.
pub fn read_what_is_there(segment: &Segment, from: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(&segment.path)?;
    file.seek(io::SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(segment.bytes.saturating_sub(from))
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Where the records of a segment start.
pub const RECORDS_AT: u64 = SEGMENT_HEAD as u64;
