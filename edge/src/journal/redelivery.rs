use rustc_hash::FxHashMap;
use tarn_broker::log::Publish;
use tarn_common::ids::Seq;
use xxhash_rust::xxh3::Xxh3;

use super::frame::{Kind, Record};

/// Publishes remembered at most, over all clients. Past it the oldest of the client at hand are
/// forgotten: a redelivery of those would be stored a second time, never lost.
pub const REMEMBERED_MAX: usize = 262_144;

/// Bytes of one entry in a snapshot record: packet id (2), QoS (1), sequence (8), fingerprint (8).
const ENTRY_BYTES: usize = 19;
/// Entries of one snapshot record at most.
const SNAPSHOT_ENTRIES: usize = 8_192;

/// Publishes at QoS 1 and 2 that their clients may send again because they may not have got the
/// acknowledgement, by client and packet id.
///
/// A publish is a redelivery when its client marks it DUP and its packet id, topic and payload are
/// those of one remembered. It is forgotten when the packet id is used for another, when QoS 2
/// releases it, or when the client is known to have got the acknowledgement: after that, an equal
/// message under the same packet id is a new one.
#[derive(Debug, Default)]
pub struct Redelivery {
    clients: FxHashMap<Box<str>, FxHashMap<u16, Remembered>>,
    count: usize,
}

#[derive(Debug, Clone, Copy)]
struct Remembered {
    seq: Seq,
    qos: u8,
    fingerprint: u64,
}

impl Redelivery {
    /// Where the journal holds this publish already, if it is a redelivery.
    #[must_use]
    pub fn find(&self, publish: &Publish<'_>) -> Option<Seq> {
        if !publish.dup {
            return None;
        }
        let known = self.clients.get(publish.client)?.get(&publish.packet_id)?;
        let same = known.qos == publish.qos
            && known.fingerprint == fingerprint(publish.topic, publish.payload);
        same.then_some(known.seq)
    }

    /// Whether something is remembered under a packet id.
    #[must_use]
    pub fn knows(&self, client: &str, packet_id: u16) -> bool {
        self.clients
            .get(client)
            .is_some_and(|packets| packets.contains_key(&packet_id))
    }

    /// Whether a confirmation up to there would make it forget something.
    #[must_use]
    pub fn awaits_confirmation(&self, client: &str, upto: Seq) -> bool {
        let awaits = |r: &Remembered| r.qos == 1 && r.seq <= upto;
        self.clients
            .get(client)
            .is_some_and(|packets| packets.values().any(awaits))
    }

    /// Take in a record of the journal; at start, every record of the newest segment in order.
    pub fn apply(&mut self, record: &Record<'_>) {
        match record.kind {
            Kind::Publish if record.packet_id > 0 => {
                let fingerprint = fingerprint(record.topic, record.payload);
                let remembered = Remembered {
                    seq: record.seq,
                    qos: record.qos,
                    fingerprint,
                };
                self.remember(record.client, record.packet_id, remembered);
            }
            Kind::Publish | Kind::Note | Kind::Clock | Kind::Audit | Kind::Event => {}
            Kind::Release => {
                self.forget(record.client, |packet_id, _| packet_id == record.packet_id);
            }
            Kind::Confirm => {
                let upto = record
                    .payload
                    .first_chunk()
                    .map_or(0, |b| u64::from_le_bytes(*b));
                self.forget(record.client, |_, r| r.qos == 1 && r.seq.0 <= upto);
            }
            Kind::Snapshot => self.restore(record),
        }
    }

    /// What is remembered, as payloads of snapshot records by client.
    pub fn snapshot(&self) -> impl Iterator<Item = (&str, Vec<u8>)> {
        self.clients.iter().flat_map(|(client, packets)| {
            let entries: Vec<_> = packets.iter().collect();
            let records: Vec<_> = entries
                .chunks(SNAPSHOT_ENTRIES)
                .map(encode_entries)
                .collect();
            records.into_iter().map(move |payload| (&**client, payload))
        })
    }

    fn restore(&mut self, record: &Record<'_>) {
        for entry in record.payload.chunks_exact(ENTRY_BYTES) {
            let u64_at = |at: usize| {
                entry[at..]
                    .first_chunk()
                    .map_or(0, |bytes| u64::from_le_bytes(*bytes))
            };
            let packet_id = u16::from_le_bytes([entry[0], entry[1]]);
            let remembered = Remembered {
                qos: entry[2],
                seq: Seq(u64_at(3)),
                fingerprint: u64_at(11),
            };
            self.remember(record.client, packet_id, remembered);
        }
    }

    fn remember(&mut self, client: &str, packet_id: u16, remembered: Remembered) {
        let packets = match self.clients.get_mut(client) {
            Some(packets) => packets,
            None => self.clients.entry(client.into()).or_default(),
        };
        if packets.insert(packet_id, remembered).is_none() {
            self.count += 1;
        }
        if self.count > REMEMBERED_MAX {
            self.forget_older_half(client);
        }
    }

    fn forget_older_half(&mut self, client: &str) {
        let Some(packets) = self.clients.get(client) else {
            return;
        };
        let mut seqs: Vec<Seq> = packets.values().map(|r| r.seq).collect();
        let middle = seqs.len() / 2;
        let pivot = *seqs.select_nth_unstable(middle).1;
        self.forget(client, |_, r| r.seq < pivot);
    }

    fn forget(&mut self, client: &str, which: impl Fn(u16, &Remembered) -> bool) {
        let Some(packets) = self.clients.get_mut(client) else {
            return;
        };
        let before = packets.len();
        packets.retain(|packet_id, remembered| !which(*packet_id, remembered));
        self.count -= before - packets.len();
        if packets.is_empty() {
            self.clients.remove(client);
        }
    }
}

fn encode_entries(entries: &[(&u16, &Remembered)]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for (packet_id, remembered) in entries {
        payload.extend_from_slice(&packet_id.to_le_bytes());
        payload.push(remembered.qos);
        payload.extend_from_slice(&remembered.seq.0.to_le_bytes());
        payload.extend_from_slice(&remembered.fingerprint.to_le_bytes());
    }
    payload
}

fn fingerprint(topic: &str, payload: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(topic.as_bytes());
    hasher.update(&[0]);
    hasher.update(payload);
    hasher.digest()
}
