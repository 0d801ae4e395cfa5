use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{
        ArrayRef, DictionaryArray, Float64Array, Int8Array, Int32Array, Int64Array, RecordBatch,
        StringArray, StringBuilder, TimestampMillisecondArray,
    },
    error::ArrowError,
};
use rustc_hash::FxHashMap;

use crate::{
    ids::{Seq, Shard},
    reading::{DAY_MS, Quality, batch_schema},
};

/// A (device, metric) pair, numbered within one [`Rows`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct SeriesId(u32);

impl SeriesId {
    /// Its number: from 0 on, without gaps.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A unit, numbered within one [`Rows`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UnitId(u32);

const NONE: u32 = u32::MAX;

/// One reading, as it is pushed.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Device and metric, by [`Rows::series`].
    pub series: SeriesId,
    /// When it was measured, milliseconds since 1970 UTC.
    pub ts: i64,
    /// The number, if it is one. Not finite counts as none.
    pub value: Option<f64>,
    /// The text, if it has one.
    pub text: Option<&'a str>,
    /// Unit of the value, by [`Rows::unit`].
    pub unit: Option<UnitId>,
    /// When the box got it, milliseconds since 1970 UTC.
    pub received: i64,
    /// Its place in the journal.
    pub seq: Seq,
    /// How far to trust it.
    pub quality: Quality,
}

/// One reading, as it is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shown<'a> {
    /// The device.
    pub device: &'a str,
    /// What was measured.
    pub metric: &'a str,
    /// The number, if it is one.
    pub value: Option<f64>,
    /// The text, if it has one.
    pub text: Option<&'a str>,
    /// Unit of the value.
    pub unit: Option<&'a str>,
    /// When it was measured, milliseconds since 1970 UTC.
    pub ts: i64,
    /// When the box got it, milliseconds since 1970 UTC.
    pub received: i64,
    /// How far to trust it: the number of a [`Quality`].
    pub quality: i8,
    /// The journal record that it came with.
    pub seq: Seq,
}

/// Readings in columns, with their names interned.
#[derive(Debug, Default)]
pub struct Rows {
    names: Names,
    series_of: FxHashMap<(u32, u32), SeriesId>,
    series_names: Vec<(u32, u32)>,

    series: Vec<u32>,
    ts: Vec<i64>,
    /// NaN stands for "no number": a NaN that a device sends is kept as text.
    value: Vec<f64>,
    text: Vec<u32>,
    unit: Vec<u32>,
    received: Vec<i64>,
    seq: Vec<u64>,
    quality: Vec<i8>,

    text_arena: String,
    text_ends: Vec<usize>,
}

/// The rows of one chunk to be: one shard, one UTC day, sorted by (device, metric, ts, seq).
#[derive(Debug)]
pub struct Part {
    /// Shard of every row in it.
    pub shard: Shard,
    /// Days since 1970-01-01.
    pub day: i32,
    rows: Vec<u32>,
}

impl Part {
    /// How many rows it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no row (never, for a part made by [`Rows::partition`]).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Rows {
    /// How many readings there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ts.len()
    }

    /// Whether there is no reading.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ts.is_empty()
    }

    /// The number of a (device, metric) pair, the same for the same names.
    pub fn series(&mut self, device: &str, metric: &str) -> SeriesId {
        let key = (self.names.intern(device), self.names.intern(metric));
        *self.series_of.entry(key).or_insert_with(|| {
            self.series_names.push(key);
            SeriesId((self.series_names.len() - 1) as u32)
        })
    }

    /// The number of a unit, the same for the same name.
    pub fn unit(&mut self, unit: &str) -> UnitId {
        UnitId(self.names.intern(unit))
    }

    /// Add a reading.
    pub fn push(&mut self, row: Row<'_>) {
        self.series.push(row.series.0);
        self.ts.push(row.ts);
        self.value
            .push(row.value.filter(|v| v.is_finite()).unwrap_or(f64::NAN));
        self.text.push(match row.text {
            Some(text) => {
                self.text_arena.push_str(text);
                self.text_ends.push(self.text_arena.len());
                (self.text_ends.len() - 1) as u32
            }
            None => NONE,
        });
        self.unit.push(row.unit.map_or(NONE, |u| u.0));
        self.received.push(row.received);
        self.seq.push(row.seq.0);
        self.quality.push(row.quality as i8);
    }

    /// Split into chunks to be, by shard and UTC day, each sorted by (device, metric, ts, seq).
    ///
    /// The parts come in the order of (shard, day), so the same rows give the same parts.
    #[must_use]
    pub fn partition(&self, shards: u16) -> Vec<Part> {
        let mut parts: BTreeMap<(Shard, i32), Vec<u32>> = BTreeMap::new();
        for (series, mut rows) in self.rows_by_series() {
            let shard = Shard::of(self.device(series), shards);
            // Rows of a series stand in journal order, which nearly always is time order.
            if !rows.is_sorted_by_key(|&r| self.ts[r as usize]) {
                rows.sort_by_key(|&r| self.ts[r as usize]);
            }
            let day = |row: &u32| self.ts[*row as usize].div_euclid(DAY_MS) as i32;
            for same_day in rows.chunk_by(|a, b| day(a) == day(b)) {
                parts
                    .entry((shard, day(&same_day[0])))
                    .or_default()
                    .extend_from_slice(same_day);
            }
        }
        parts
            .into_iter()
            .map(|((shard, day), rows)| Part { shard, day, rows })
            .collect()
    }

    /// All rows as they were pushed, for who does not mind their order.
    #[must_use]
    pub fn all(&self) -> Part {
        Part {
            shard: Shard(0),
            day: 0,
            rows: (0..self.len() as u32).collect(),
        }
    }

    /// What each row says, in the order in which they were pushed: device, metric, number, text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, Option<f64>, Option<&str>)> {
        self.iter_from(0)
    }

    /// The same of the rows from `first` on.
    pub fn iter_from(
        &self,
        first: usize,
    ) -> impl Iterator<Item = (&str, &str, Option<f64>, Option<&str>)> {
        (first as u32..self.len() as u32).map(|row| {
            let (device, metric) = self.series_name(row);
            let value = Some(self.value[row as usize]).filter(|v| !v.is_nan());
            (
                self.names.get(device),
                self.names.get(metric),
                value,
                self.text_of(row),
            )
        })
    }

    /// Each row whole, in the order in which they were pushed.
    pub fn shown(&self) -> impl Iterator<Item = Shown<'_>> {
        self.iter().enumerate().map(|(row, said)| {
            let (device, metric, value, text) = said;
            let unit = self.unit[row];
            Shown {
                device,
                metric,
                value,
                text,
                unit: (unit != NONE).then(|| self.names.get(unit)),
                ts: self.ts[row],
                received: self.received[row],
                quality: self.quality[row],
                seq: Seq(self.seq[row]),
            }
        })
    }

    /// Drop every row after the first `len`, with its text.
    pub fn truncate(&mut self, len: usize) {
        let texts = self.text[len.min(self.text.len())..]
            .iter()
            .filter(|&&t| t != NONE)
            .count();
        self.text_ends.truncate(self.text_ends.len() - texts);
        self.text_arena
            .truncate(self.text_ends.last().copied().unwrap_or(0));
        self.series.truncate(len);
        self.ts.truncate(len);
        self.value.truncate(len);
        self.text.truncate(len);
        self.unit.truncate(len);
        self.received.truncate(len);
        self.seq.truncate(len);
        self.quality.truncate(len);
    }

    /// Set when the rows from `from` on were measured, and how far to trust that.
    pub fn restamp(&mut self, from: usize, ts: i64, quality: Quality) {
        self.ts[from..].fill(ts);
        self.quality[from..].fill(quality as i8);
    }

    /// The rows of a part as an Arrow batch with [`batch_schema`].
    pub fn batch(&self, part: &Part) -> Result<RecordBatch, ArrowError> {
        let rows = &part.rows;
        let time = |column: &[i64]| {
            TimestampMillisecondArray::from_iter_values(rows.iter().map(|&r| column[r as usize]))
                .with_timezone("UTC")
        };
        let devices = self.dictionary(rows.iter().map(|&r| self.series_name(r).0));
        let metrics = self.dictionary(rows.iter().map(|&r| self.series_name(r).1));
        let units = self.dictionary(rows.iter().map(|&r| self.unit[r as usize]));
        let values: Float64Array = rows
            .iter()
            .map(|&r| Some(self.value[r as usize]).filter(|v| !v.is_nan()))
            .collect();
        let mut texts = StringBuilder::new();
        rows.iter()
            .for_each(|&r| texts.append_option(self.text_of(r)));
        let seqs = Int64Array::from_iter_values(rows.iter().map(|&r| self.seq[r as usize] as i64));
        let quality = Int8Array::from_iter_values(rows.iter().map(|&r| self.quality[r as usize]));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(time(&self.ts)),
            Arc::new(devices?),
            Arc::new(metrics?),
            Arc::new(values),
            Arc::new(texts.finish()),
            Arc::new(units?),
            Arc::new(time(&self.received)),
            Arc::new(seqs),
            Arc::new(quality),
        ];
        RecordBatch::try_new(batch_schema(), columns)
    }

    fn series_name(&self, row: u32) -> (u32, u32) {
        self.series_names[self.series[row as usize] as usize]
    }

    fn device(&self, series: usize) -> &str {
        self.names.get(self.series_names[series].0)
    }

    fn text_of(&self, row: u32) -> Option<&str> {
        let text = self.text[row as usize];
        if text == NONE {
            return None;
        }
        let text = text as usize;
        let start = if text == 0 {
            0
        } else {
            self.text_ends[text - 1]
        };
        Some(&self.text_arena[start..self.text_ends[text]])
    }

    /// Row numbers of each series, the series in the order of (device, metric), by counting.
    fn rows_by_series(&self) -> Vec<(usize, Vec<u32>)> {
        let mut counts = vec![0usize; self.series_names.len()];
        self.series.iter().for_each(|&s| counts[s as usize] += 1);
        let mut rows: Vec<Vec<u32>> = counts.iter().map(|&n| Vec::with_capacity(n)).collect();
        for (row, &series) in self.series.iter().enumerate() {
            rows[series as usize].push(row as u32);
        }
        let mut by_name: Vec<_> = rows
            .into_iter()
            .enumerate()
            .filter(|(_, r)| !r.is_empty())
            .collect();
        let name = |series: usize| {
            let (device, metric) = self.series_names[series];
            (self.names.get(device), self.names.get(metric))
        };
        by_name.sort_by(|(a, _), (b, _)| name(*a).cmp(&name(*b)));
        by_name
    }

    /// A dictionary array from name numbers, with only the names that occur, in order of appearance.
    fn dictionary(
        &self,
        names: impl ExactSizeIterator<Item = u32>,
    ) -> Result<DictionaryArray<arrow::datatypes::Int32Type>, ArrowError> {
        let mut key_of: FxHashMap<u32, i32> = FxHashMap::default();
        let mut values: Vec<&str> = Vec::new();
        let mut last = (NONE, None);
        let keys: Int32Array = names
            .map(|name| {
                if name != last.0 {
                    let key = *key_of.entry(name).or_insert_with(|| {
                        values.push(self.names.get(name));
                        (values.len() - 1) as i32
                    });
                    last = (name, Some(key));
                }
                if name == NONE { None } else { last.1 }
            })
            .collect();
        DictionaryArray::try_new(keys, Arc::new(StringArray::from(values)))
    }
}

/// Strings, each kept once.
#[derive(Debug, Default)]
struct Names {
    number_of: FxHashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

impl Names {
    fn intern(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.number_of.get(name) {
            return number;
        }
        let number = self.names.len() as u32;
        let name: Arc<str> = name.into();
        self.names.push(name.clone());
        self.number_of.insert(name, number);
        number
    }

    fn get(&self, number: u32) -> &str {
        self.names.get(number as usize).map_or("", |name| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(rows: &mut Rows, device: &str, metric: &str, ts: i64, seq: u64) {
        let series = rows.series(device, metric);
        rows.push(Row {
            series,
            ts,
            value: Some(1.0),
            text: None,
            unit: None,
            received: ts,
            seq: Seq(seq),
            quality: Quality::Good,
        });
    }

    #[test]
    fn parts_are_sorted_and_split_by_shard_and_day() {
        let mut rows = Rows::default();
        push(&mut rows, "b", "t", 5, 1);
        push(&mut rows, "a", "u", 9, 2);
        push(&mut rows, "a", "t", 7, 3);
        push(&mut rows, "a", "t", 6, 4);
        push(&mut rows, "a", "t", DAY_MS, 5);
        push(&mut rows, "a", "t", -1, 6);
        let parts = rows.partition(1);
        let seqs: Vec<(i32, Vec<u64>)> = parts
            .iter()
            .map(|p| {
                (
                    p.day,
                    p.rows.iter().map(|&r| rows.seq[r as usize]).collect(),
                )
            })
            .collect();
        assert_eq!(seqs, [(-1, vec![6]), (0, vec![4, 3, 2, 1]), (1, vec![5])]);
    }

    #[test]
    fn absent_values_texts_and_units_are_null() {
        let mut rows = Rows::default();
        let series = rows.series("d", "m");
        let unit = rows.unit("°C");
        let row = Row {
            series,
            ts: 0,
            value: Some(f64::INFINITY),
            text: Some("on"),
            unit: Some(unit),
            received: 0,
            seq: Seq(1),
            quality: Quality::Good,
        };
        rows.push(row);
        rows.push(Row {
            value: Some(2.0),
            text: None,
            unit: None,
            seq: Seq(2),
            ..row
        });
        let parts = rows.partition(4);
        let batch = rows.batch(&parts[0]).expect("batch");
        let nulls: Vec<usize> = batch.columns().iter().map(|c| c.null_count()).collect();
        assert_eq!(nulls, [0, 0, 0, 1, 1, 1, 0, 0, 0]);
    }
}
