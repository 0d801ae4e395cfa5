use std::collections::BTreeMap;

use crate::fault::{Fault, FaultKind};

/// Faults that are remembered of one device at most; one more takes the place of the oldest.
pub const FAULTS_PER_DEVICE_MAX: usize = 32;
/// Bytes of the topic and of the device's id with which a fault is remembered; with longer ones it is only counted.
const NAME_BYTES_MAX: usize = 1024;
/// Devices whose faults are remembered at most.
const DEVICES_MAX: usize = 2_000;

/// A fault, as often as it was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultRecord {
    /// What is wrong, as told last.
    pub fault: Fault,
    /// Topic that said it.
    pub topic: String,
    /// How often.
    pub count: u64,
    /// When first, milliseconds since 1970 UTC; 0 where it was found again at a start.
    pub first_ms: i64,
    /// When last.
    pub last_ms: i64,
    /// Journal record up to which it is counted.
    upto: u64,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    by_device: BTreeMap<String, Vec<FaultRecord>>,
    totals: BTreeMap<FaultKind, u64>,
}

impl Faults {
    pub(super) fn of(&self, device: &str) -> impl Iterator<Item = &FaultRecord> {
        self.by_device.get(device).into_iter().flatten()
    }

    pub(super) fn totals(&self) -> &BTreeMap<FaultKind, u64> {
        &self.totals
    }

    /// Count a fault; `seq` 0 is one that stands in an announcement, and counts once.
    pub(super) fn report(&mut self, device: &str, topic: &str, fault: Fault, seq: u64, at_ms: i64) {
        let is_long = device.len() > NAME_BYTES_MAX || topic.len() > NAME_BYTES_MAX;
        let is_new = !self.by_device.contains_key(device);
        if is_long || is_new && self.by_device.len() >= DEVICES_MAX {
            *self.totals.entry(fault.kind).or_default() += 1;
            return;
        }
        let records = self.by_device.entry(device.to_owned()).or_default();
        let same = |record: &&mut FaultRecord| {
            record.fault.kind == fault.kind
                && record.topic == topic
                && (seq > 0 || record.fault.detail == fault.detail)
        };
        if let Some(record) = records.iter_mut().find(same) {
            // What stands in an announcement is found again whenever its device is put together anew.
            if seq <= record.upto {
                record.last_ms = at_ms.max(record.last_ms);
                return;
            }
            record.count += 1;
            record.upto = seq.max(record.upto);
            record.last_ms = at_ms.max(record.last_ms);
            record.fault = fault;
            *self.totals.entry(record.fault.kind).or_default() += 1;
            return;
        }
        *self.totals.entry(fault.kind).or_default() += 1;
        if records.len() >= FAULTS_PER_DEVICE_MAX
            && let Some(oldest) = (0..records.len()).min_by_key(|&i| records[i].last_ms)
        {
            records.remove(oldest);
        }
        let topic = topic.to_owned();
        records.push(FaultRecord {
            fault,
            topic,
            count: 1,
            first_ms: at_ms,
            last_ms: at_ms,
            upto: seq,
        });
    }
}
