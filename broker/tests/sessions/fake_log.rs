//! A log in memory whose durability is stepped by hand.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tarn_broker::log::{Appended, Publish, PublishLog, Refused};
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

#[derive(Default)]
struct State {
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
            state.records.push(Record {
                client: publish.client.to_owned(),
                topic: publish.topic.to_owned(),
                payload: publish.payload.to_owned(),
                qos: publish.qos,
            });
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
