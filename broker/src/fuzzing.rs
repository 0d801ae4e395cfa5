//! Ways in for fuzzers; nothing else uses them.

use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use prometheus_client::registry::Registry;
use tarn_common::{clock::SystemClock, ids::Seq};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    runtime::Runtime,
    sync::watch,
    time::timeout,
};

use crate::{
    Broker, Config, Limits,
    auth::{Anonymous, Users, UsersSettings},
    frame::frame,
    handshake::{self, Peer},
    log::{Appended, Entry, Publish, PublishLog, Refused},
    packet::{self, Version},
    transport::Transport,
};

/// Memory of the pipe between fuzzer and session.
const PIPE_BYTES: usize = 64 * 1024;
/// Longest that a session may go on once its input has ended.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of a session's limits, so that their edges are met often.
const SMALL: usize = 8;

/// Decode each packet of the input in every way.
pub fn packets(mut data: &[u8]) {
    while let Ok(Some(found)) = frame(data, PIPE_BYTES) {
        let Some(body) = data.get(found.header_len..found.total_len) else {
            return;
        };
        let _ = packet::decode_connect(found, body);
        for version in [Version::V3, Version::V5] {
            let _ = packet::decode(version, found, body);
        }
        data = &data[found.total_len..];
    }
}

/// Run a session over the input. The broker goes on from one session to the next.
pub fn session(data: &[u8]) {
    static BROKER: OnceLock<(Runtime, Broker)> = OnceLock::new();
    let (runtime, broker) = BROKER.get_or_init(|| {
        let runtime = Runtime::new().expect("a runtime starts");
        let broker = runtime.block_on(start());
        (runtime, broker)
    });
    runtime.block_on(async {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let peer = Peer {
            address: ([127, 0, 0, 1], 1).into(),
            certificate: None,
        };
        let (mut output, mut input) = tokio::io::split(theirs);
        let send = async {
            let _ = input.write_all(data).await;
            let _ = input.shutdown().await;
        };
        let receive = async {
            let mut answers = Vec::new();
            let _ = output.read_to_end(&mut answers).await;
        };
        let serve = async {
            if let Some(session) = handshake::accept(&broker.shared, ours, peer).await {
                session.run().await;
            }
        };
        let all = async { tokio::join!(serve, send, receive) };
        assert!(
            timeout(PATIENCE, all).await.is_ok(),
            "the session does not end"
        );
    });
}

async fn start() -> Broker {
    let config = Config {
        listen: Vec::new(),
        store: None,
        clock: Arc::new(SystemClock),
        limits: Limits {
            close_timeout: Duration::from_millis(50),
            refused_pause: Duration::from_millis(1),
            handshake_timeout: Duration::from_millis(500),
            subscriptions_max: SMALL,
            topic_levels_max: SMALL,
            sessions_max: SMALL,
            filters_max: SMALL * SMALL,
            retained_messages_max: SMALL * SMALL,
            ..Limits::default()
        },
    };
    let users = Users::open(UsersSettings {
        fixed: Default::default(),
        password_file: None,
        acl_file: None,
        anonymous: Anonymous::Always,
        certificate_names: false,
        tokens: None,
    });
    let users = Arc::new(users.expect("there are no files"));
    let log = Arc::new(Forgetful::default());
    let started = Broker::start(config, log, users, &mut Registry::default()).await;
    started.expect("a broker without listeners starts")
}

impl Transport for DuplexStream {
    fn outstanding_bytes(&self) -> Option<u64> {
        None
    }
}

/// A log that keeps nothing and is durable at once.
#[derive(Default)]
struct Forgetful {
    durable: watch::Sender<Seq>,
}

impl Forgetful {
    fn next(&self) -> Seq {
        let mut last = Seq::ZERO;
        self.durable.send_modify(|seq| {
            *seq = Seq(seq.0 + 1);
            last = *seq;
        });
        last
    }
}

impl PublishLog for Forgetful {
    fn append(&self, _: Publish<'_>) -> Result<Appended, Refused> {
        Ok(Appended::Stored(self.next()))
    }

    fn release(&self, _: &str, _: u16) -> Result<Seq, Refused> {
        Ok(self.next())
    }

    fn confirm(&self, _: &str, _: Seq) {}

    fn note(&self, _: &str, _: &[u8]) -> Result<Seq, Refused> {
        Ok(self.next())
    }

    fn last(&self) -> Seq {
        *self.durable.borrow()
    }

    fn replay(&self, _: Seq, _: &mut dyn FnMut(Entry<'_>)) -> io::Result<()> {
        Ok(())
    }

    fn commit(&self) {}

    fn durable(&self) -> watch::Receiver<Seq> {
        self.durable.subscribe()
    }
}
