use std::{collections::HashMap, io, net::SocketAddr, sync::Arc};

use prometheus_client::registry::Registry;
use subtle::ConstantTimeEq;
use tarn_broker::{
    Broker, Config, Limits, Listen, StartError,
    auth::{
        Anonymous, FileError, Tokens, Users, UsersSettings,
        acl::{Acl, AclError},
    },
};
use tarn_common::clock::Clock;
use tarn_link::{MeetingPlace, topic};

use super::forgetful::ForgetfulLog;

/// User name of this process at its own broker. No home can have it.
const REPLICA: &str = "$cloud";

/// A broker of this process, where boxes log in with the name and the key of their home.
#[derive(Debug, Clone)]
pub struct OwnBroker {
    /// Where it listens; the first is a plain one, which this process uses, too.
    pub listen: Vec<Listen>,
    /// Its bounds.
    pub limits: Limits,
    /// Homes and their keys. Who needs no name may do everything.
    pub users: UsersSettings,
}

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub enum OwnBrokerError {
    /// The file of homes and their keys cannot be used.
    #[error(transparent)]
    Users(#[from] FileError),
    /// The rules that keep homes apart.
    #[error("rules of homes")]
    Rules(#[from] AclError),
    /// An address cannot be bound.
    #[error("cannot listen on {address} (MQTT); is another program using it?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// Anything else.
    #[error("MQTT broker")]
    Broker(#[from] StartError),
}

/// Lets this process into its own broker, whoever else may come in.
struct ReplicaToken(String);

impl Tokens for ReplicaToken {
    fn verify(&self, user: Option<&str>, token: &[u8]) -> Option<String> {
        let good = user == Some(REPLICA) && bool::from(self.0.as_bytes().ct_eq(token));
        good.then(|| REPLICA.to_owned())
    }
}

impl OwnBroker {
    /// One for this machine alone, at a free port.
    #[must_use]
    pub fn local() -> OwnBroker {
        OwnBroker {
            listen: vec![Listen::tcp(SocketAddr::from(([127, 0, 0, 1], 0)))],
            limits: OwnBroker::limits(),
            users: UsersSettings {
                fixed: HashMap::new(),
                password_file: None,
                acl_file: None,
                anonymous: Anonymous::Loopback,
                certificate_names: true,
                tokens: None,
            },
        }
    }

    /// Bounds for ten thousand homes: each box has four filters, and little waits for it.
    #[must_use]
    pub fn limits() -> Limits {
        Limits {
            connections_max: 16_384,
            sessions_max: 32_768,
            filters_max: 131_072,
            subscriptions_max: 64,
            queue_bytes_max: 32 * 1024 * 1024,
            queue_messages_max: 16_384,
            ..Limits::default()
        }
    }

    /// Start it. Gives the place where this process finds it, too.
    pub(super) async fn start(
        self,
        clock: Arc<dyn Clock>,
        registry: &mut Registry,
    ) -> Result<(Broker, MeetingPlace), OwnBrokerError> {
        let token = format!(
            "{:032x}{:032x}",
            rand::random::<u128>(),
            rand::random::<u128>()
        );
        let users = UsersSettings {
            tokens: Some(Arc::new(ReplicaToken(token.clone()))),
            ..self.users
        };
        let users = Users::open(users)?.with_rules(rules()?);
        let config = Config {
            listen: self.listen,
            store: None,
            clock,
            limits: self.limits,
        };
        let log = Arc::new(ForgetfulLog::default());
        let broker = Broker::start(config, log, Arc::new(users), registry).await;
        let broker = broker.map_err(|error| match error {
            StartError::Bind { address, source } => OwnBrokerError::Listen { address, source },
            other => other.into(),
        })?;
        // The first listener is the plain one.
        let login = Some((REPLICA.to_owned(), token));
        let place = MeetingPlace::own(broker.addresses()[0].1, login);
        Ok((broker, place))
    }
}

/// Who needs no name may do everything, the replica, too, and each home what is its own.
fn rules() -> Result<Acl, AclError> {
    let homes = topic::rules_of_homes();
    Acl::parse(&format!("topic #\nuser {REPLICA}\ntopic #\n{homes}"))
}
