use std::sync::Arc;

use async_trait::async_trait;
use poem_openapi::{
    ApiResponse, Object, OpenApi, Tags,
    param::{Path, Query},
    payload::Json,
};

use crate::problem::Failure;

/// Clients of a page where the request does not say.
const CLIENTS_DEFAULT: u32 = 1000;

/// The MQTT broker of a box, as an operator sees it.
#[async_trait]
pub trait BrokerService: Send + Sync + 'static {
    /// Clients after an id in the order of their ids; only connected ones if asked for.
    fn clients(&self, after: Option<&str>, limit: usize, connected: bool) -> Vec<MqttClient>;
    /// Disconnect a client; returns whether it was connected.
    fn disconnect(&self, client_id: &str) -> bool;
    /// Disconnect a client and end its session; returns whether there was one.
    async fn end_session(&self, client_id: &str) -> bool;
}

/// A page of MQTT clients.
#[derive(Debug, Object)]
pub struct MqttClients {
    /// In the order of their ids.
    pub clients: Vec<MqttClient>,
    /// Pass it as `after` for the next page; null at the end.
    pub next_after: Option<String>,
}

/// An MQTT client that is connected, or whose session waits for it.
#[derive(Debug, Object)]
pub struct MqttClient {
    /// Its client id.
    pub client_id: String,
    /// Its connection; null while it has none.
    pub connection: Option<MqttConnection>,
    /// Seconds that its session outlives a connection; null is for ever.
    pub session_expiry_s: Option<u32>,
    /// Subscriptions, shared ones included.
    pub subscriptions: u64,
    /// Messages that wait for it, or for its acks.
    pub queued_messages: u64,
    /// Bytes of them.
    pub queued_bytes: u64,
    /// Messages among them that were sent and not yet acked.
    pub in_flight: u64,
    /// Messages that it did not get, because its queue was full or they were too old or too large.
    pub dropped: u64,
    /// Messages that it published, since its session began or the box started.
    pub received: u64,
    /// Messages that were written to it.
    pub sent: u64,
    /// Whether a will waits for the end of its connection.
    pub has_will: bool,
}

/// The connection of an MQTT client.
#[derive(Debug, Object)]
pub struct MqttConnection {
    /// Its user name; null for an anonymous client.
    pub user: Option<String>,
    /// Where it comes from, `address:port`.
    pub address: String,
    /// MQTT version, `3.1.1` or `5`.
    pub version: String,
    /// Keep-alive time in seconds; 0 is none.
    pub keep_alive_s: u16,
    /// When it connected, RFC 3339 UTC.
    pub since: String,
}

#[derive(Tags)]
enum Tag {
    /// The MQTT broker of a box.
    Broker,
}

#[derive(ApiResponse)]
enum ClientsOk {
    /// The clients.
    #[oai(status = 200)]
    Clients(Json<MqttClients>),
}

#[derive(ApiResponse)]
enum Disconnected {
    /// It is disconnected.
    #[oai(status = 204)]
    Done,
}

/// The operations that only a box has.
#[derive(Clone)]
pub(crate) struct BrokerApi {
    pub(crate) broker: Option<Arc<dyn BrokerService>>,
}

#[OpenApi]
impl BrokerApi {
    /// List the MQTT clients
    ///
    /// Clients that are connected, and those whose sessions wait for them.
    #[oai(
        path = "/v1/broker/clients",
        method = "get",
        operation_id = "listClients",
        tag = "Tag::Broker"
    )]
    async fn list_clients(
        &self,
        /// Only those that are connected.
        #[oai(default)]
        connected: Query<bool>,
        /// `next_after` of the page before.
        #[oai(validator(max_length = 5000))]
        after: Query<Option<String>>,
        /// Clients of the page; 1000 where it is not said.
        #[oai(validator(minimum(value = "1"), maximum(value = "10000")))]
        limit: Query<Option<u32>>,
    ) -> Result<ClientsOk, Failure> {
        let limit = limit.0.unwrap_or(CLIENTS_DEFAULT) as usize;
        let broker = self.broker()?;
        let mut clients = broker.clients(after.0.as_deref(), limit + 1, connected.0);
        let more = clients.len() > limit;
        clients.truncate(limit);
        let last = clients.last().map(|client| client.client_id.clone());
        Ok(ClientsOk::Clients(Json(MqttClients {
            clients,
            next_after: last.filter(|_| more),
        })))
    }

    /// Disconnect an MQTT client
    ///
    /// An MQTT 5 client is told that an operator did it. It may come back at once, so take its user away first
    /// if it should not.
    #[oai(
        path = "/v1/broker/clients/:client_id",
        method = "delete",
        operation_id = "disconnectClient",
        tag = "Tag::Broker"
    )]
    async fn disconnect_client(
        &self,
        /// Its client id, percent-encoded: a slash in it is `%2F`.
        #[oai(validator(max_length = 5000))]
        client_id: Path<String>,
        /// Also end its session: its subscriptions and all that waits for it are gone.
        #[oai(default)]
        session: Query<bool>,
    ) -> Result<Disconnected, Failure> {
        let broker = self.broker()?;
        let found = match session.0 {
            true => broker.end_session(&client_id).await,
            false => broker.disconnect(&client_id),
        };
        if found {
            Ok(Disconnected::Done)
        } else {
            let what = if session.0 {
                "has a session"
            } else {
                "is connected"
            };
            let detail = format!("no client {:?} {what}", client_id.0);
            Err(Failure::not_found(detail))
        }
    }
}

impl BrokerApi {
    fn broker(&self) -> Result<&Arc<dyn BrokerService>, Failure> {
        let broker = self.broker.as_ref();
        broker.ok_or_else(|| Failure::internal("no broker is behind this interface"))
    }
}
