//! Sessions over real sockets, on a log whose durability is stepped by hand.

mod client;
mod delivery;
mod durability;
mod entry;
mod fake_log;
mod limits;
mod restart;
mod speed;
mod transports;

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use mqtt_proto::{v3, v5};
use prometheus_client::registry::Registry;
use tarn_broker::{
    Broker, Config, Limits, Listen, StartError,
    auth::{Anonymous, Users, UsersSettings},
};

use tarn_common::clock::SystemClock;

use self::{client::Client, fake_log::FakeLog};

/// A broker and what it measures.
struct Running {
    broker: Broker,
    registry: Registry,
}

async fn start(log: &Arc<FakeLog>, limits: Limits) -> Running {
    start_with(log, limits, Anonymous::Always).await
}

async fn start_with(log: &Arc<FakeLog>, limits: Limits, anonymous: Anonymous) -> Running {
    start_in(log, limits, anonymous, None).await
}

async fn start_in(
    log: &Arc<FakeLog>,
    limits: Limits,
    anonymous: Anonymous,
    store: Option<PathBuf>,
) -> Running {
    let listen = vec![Listen::tcp(([127, 0, 0, 1], 0).into())];
    start_on(log, limits, anonymous, store, listen).await
}

async fn start_on(
    log: &Arc<FakeLog>,
    limits: Limits,
    anonymous: Anonymous,
    store: Option<PathBuf>,
    listen: Vec<Listen>,
) -> Running {
    let started = try_start_on(log, limits, anonymous, store, listen).await;
    started.expect("starts")
}

/// Why a broker does not start.
async fn try_start(listen: Vec<Listen>) -> StartError {
    let (log, limits) = (FakeLog::prompt(), Limits::default());
    match try_start_on(&log, limits, Anonymous::Always, None, listen).await {
        Ok(_) => panic!("it starts"),
        Err(error) => error,
    }
}

async fn try_start_on(
    log: &Arc<FakeLog>,
    limits: Limits,
    anonymous: Anonymous,
    store: Option<PathBuf>,
    listen: Vec<Listen>,
) -> Result<Running, StartError> {
    let users = HashMap::from([("ann".to_owned(), "secret".to_owned())]);
    let mut registry = Registry::default();
    let config = Config {
        listen,
        store,
        clock: Arc::new(SystemClock),
        limits,
    };
    let auth = Users::open(UsersSettings {
        fixed: users,
        password_file: None,
        acl_file: None,
        anonymous,
        certificate_names: true,
        tokens: None,
    });
    let auth = Arc::new(auth.expect("reads no files"));
    let broker = Broker::start(config, log.clone(), auth, &mut registry).await?;
    Ok(Running { broker, registry })
}

impl Running {
    async fn open(&self) -> Client {
        Client::open(self.broker.addresses()[0].1).await
    }

    /// A client that has been let in.
    async fn v5(&self, id: &str) -> Client {
        let mut client = self.open().await;
        client.send5(v5::Connect::new(id.into(), 60)).await;
        match client.next5().await {
            v5::Packet::Connack(c) => assert_eq!(c.reason_code, v5::ConnectReasonCode::Success),
            other => panic!("not a CONNACK: {other:?}"),
        }
        client
    }

    async fn v3(&self, id: &str) -> Client {
        let mut client = self.open().await;
        client.send3(v3::Connect::new(id.into(), 60)).await;
        let accepted = v3::Connack::new(false, v3::ConnectReturnCode::Accepted);
        assert_eq!(client.next3().await, accepted.into());
        client
    }

    /// Value of a metric as it is shown, 0 if it is not.
    fn metric(&self, name: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("encodes");
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().expect("a number"))
    }
}
