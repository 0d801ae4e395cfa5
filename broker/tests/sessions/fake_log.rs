//! A log in memory whose durability is stepped by hand.

use std::{collections::HashMap, io, sync::Arc};

use parking_lot::Mutex;
use tarn_broker::log::{Appended, Entry, EntryKind, Publish, PublishLog, Refused};
use tarn_common::ids::Seq;
use tokio::sync::watch;

/// One appended record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) client: String,
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
}

/// What a replay gives back.
enum Kept {
    Publish(Record, bool),
    Note(String, Vec<u8>),
}

#[derive(Default)]
struct State {
    log: Vec<(Seq, Kept)>,
    refuse: Option<Refused>,
    /// Whether a commit makes everything durable at once.
    prompt: bool,
    /// Whether records are counted and forgotten.
    forget: bool,
    records: Vec<Record>,
    last: u64,
    open: HashMap<(String, u16), Seq>,
    commits: usize,
}

/// The fake.
pub(crate) struct FakeLog {
    state: Mutex<State>,
    appended: watch::Sender<u64>,
    durable: watch::Sender<Seq>,
    confirmed: watch::Sender<Option<(String, Seq)>>,
}

impl FakeLog {
    /// A log that only becomes durable by [`FakeLog::make_durable`].
    pub(crate) fn by_hand() -> Arc<FakeLog> {
        Arc::new(FakeLog {
            state: Mutex::default(),
            appended: watch::Sender::new(0),
            durable: watch::Sender::new(Seq::ZERO),
            confirmed: watch::Sender::new(None),
        })
    }

    /// A log that is durable at each commit.
    pub(crate) fn prompt() -> Arc<FakeLog> {
        let log = FakeLog::by_hand();
        log.state.lock().prompt = true;
        log
    }

    /// Keep no records, for long runs.
    pub(crate) fn forget(&self) {
        self.state.lock().forget = true;
    }

    pub(crate) fn refuse(&self, refuse: Option<Refused>) {
        self.state.lock().refuse = refuse;
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.state.lock().records.clone()
    }

    pub(crate) fn commits(&self) -> usize {
        self.state.lock().commits
    }

    pub(crate) fn make_durable(&self, seq: u64) {
        self.durable.send_replace(Seq(seq));
    }

    /// Wait until position `seq` has been appended.
    pub(crate) async fn appended(&self, seq: u64) {
        let mut appended = self.appended.subscribe();
        appended
            .wait_for(|&last| last >= seq)
            .await
            .expect("the log lives");
    }

    /// Wait until something is confirmed.
    pub(crate) async fn confirmed(&self) -> (String, Seq) {
        let mut confirmed = self.confirmed.subscribe();
        let got = confirmed
            .wait_for(Option::is_some)
            .await
            .expect("the log lives");
        got.clone().expect("waited for")
    }

    /// The last position.
    pub(crate) fn last_position(&self) -> u64 {
        self.state.lock().last
    }

    /// Forget what came after a position, as a crash does.
    pub(crate) fn cut_back(&self, last: u64) {
        let mut state = self.state.lock();
        state.log.retain(|(seq, _)| seq.0 <= last);
        state.last = last;
        self.durable.send_replace(Seq(last));
    }

    /// Let go of everything, as after a checkpoint.
    pub(crate) fn trim(&self) {
        self.state.lock().log.clear();
    }

    fn next(&self, state: &mut State) -> Seq {
        state.last += 1;
        self.appended.send_replace(state.last);
        Seq(state.last)
    }
}

impl PublishLog for FakeLog {
    fn append(&self, publish: Publish<'_>) -> Result<Appended, Refused> {
        let mut state = self.state.lock();
        if let Some(refused) = state.refuse {
            return Err(refused);
        }
        let open = (publish.client.to_owned(), publish.packet_id);
        let may_be_known = publish.qos == 2 || (publish.qos == 1 && publish.dup);
        if may_be_known && let Some(&seq) = state.open.get(&open) {
            return Ok(Appended::Duplicate(seq));
        }
        let seq = self.next(&mut state);
        if publish.qos > 0 {
            state.open.insert(open, seq);
        }
        if !state.forget {
            let record = Record {
                client: publish.client.to_owned(),
                topic: publish.topic.to_owned(),
                payload: publish.payload.to_owned(),
                qos: publish.qos,
            };
            state.records.push(record.clone());
            state.log.push((seq, Kept::Publish(record, publish.retain)));
        }
        Ok(Appended::Stored(seq))
    }

    fn release(&self, client: &str, packet_id: u16) -> Result<Seq, Refused> {
        let mut state = self.state.lock();
        state.open.remove(&(client.to_owned(), packet_id));
        Ok(self.next(&mut state))
    }

    fn confirm(&self, client: &str, seq: Seq) {
        self.confirmed.send_replace(Some((client.to_owned(), seq)));
    }

    fn note(&self, client: &str, note: &[u8]) -> Result<Seq, Refused> {
        let mut state = self.state.lock();
        let seq = self.next(&mut state);
        state
            .log
            .push((seq, Kept::Note(client.to_owned(), note.to_owned())));
        Ok(seq)
    }

    fn last(&self) -> Seq {
        Seq(self.state.lock().last)
    }

    fn replay(&self, after: Seq, each: &mut dyn FnMut(Entry<'_>)) -> io::Result<()> {
        let log = std::mem::take(&mut self.state.lock().log);
        for (seq, kept) in log.iter().filter(|(seq, _)| *seq > after) {
            let kind = match kept {
                Kept::Publish(record, retain) => EntryKind::Publish(Publish {
                    client: &record.client,
                    topic: &record.topic,
                    payload: &record.payload,
                    qos: record.qos,
                    packet_id: 0,
                    dup: false,
                    retain: *retain,
                    properties: &[],
                }),
                Kept::Note(client, note) => EntryKind::Note { client, note },
            };
            each(Entry {
                seq: *seq,
                received_ms: 0,
                kind,
            });
        }
        self.state.lock().log = log;
        Ok(())
    }

    fn commit(&self) {
        let mut state = self.state.lock();
        state.commits += 1;
        if state.prompt {
            self.durable.send_replace(Seq(state.last));
        }
    }

    fn durable(&self) -> watch::Receiver<Seq> {
        self.durable.subscribe()
    }
}
