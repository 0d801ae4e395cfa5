use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use tarn_common::ids::HomeId;
use tarn_notify::{DeliveryId, NotifyError};

use crate::{api::Api, notices::Teller, problem::Failure, rules_api::Tag, types::moment};

/// Messages to people that are not delivered.
#[derive(Debug, Object)]
pub(crate) struct DeliveryList {
    /// Those that wait first, in the order in which they were queued; then those that were given up.
    deliveries: Vec<Delivery>,
    /// The channels to people that there are here; without any, nothing is delivered.
    channels: Vec<String>,
}

/// A message to people on its way to one channel.
#[derive(Debug, Object)]
pub(crate) struct Delivery {
    /// Its id.
    delivery: u64,
    /// Name of the channel.
    channel: String,
    /// `waiting`, or `dead` where it was given up.
    state: String,
    /// `info`, `warning` or `critical`.
    severity: String,
    /// What it is about, one line.
    title: String,
    /// What it says.
    message: String,
    /// Since when it waits, RFC 3339 UTC.
    queued: String,
    /// How often it was tried.
    attempts: u32,
    /// Before then it does not go, RFC 3339 UTC; null where it may go at once.
    not_before: Option<String>,
    /// Why the last attempt failed; null where none did.
    failure: Option<String>,
    /// When it was given up, RFC 3339 UTC; null while it waits.
    given_up: Option<String>,
}

#[derive(ApiResponse)]
enum DeliveriesOk {
    /// The messages.
    #[oai(status = 200)]
    Deliveries(Json<DeliveryList>),
}

#[derive(ApiResponse)]
enum Retried {
    /// It waits again.
    #[oai(status = 204)]
    Done,
}

/// Messages to people that wait or were given up.
#[derive(Clone, Default)]
pub(crate) struct DeliveriesApi {
    pub(crate) api: Api,
}

#[OpenApi]
impl DeliveriesApi {
    /// List messages that are not delivered
    ///
    /// Messages to people that wait: their receiver is away, it is quiet, or nobody has to be told yet. Then those that were
    /// given up. Box and cloud have their own. What was delivered is in the events of the home.
    #[oai(
        path = "/v1/homes/:home/deliveries",
        method = "get",
        operation_id = "listDeliveries",
        tag = "Tag::Rules"
    )]
    async fn list_deliveries(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Of this channel only.
        #[oai(validator(max_length = 64))]
        channel: Query<Option<String>>,
    ) -> Result<DeliveriesOk, Failure> {
        let home = self.api.home(&home).await?;
        let service = self.api.service()?;
        let zone = service.zone();
        let (waiting, dead) = match service.teller() {
            Some(teller) => teller.undelivered(&home).await.map_err(|e| broken(&e))?,
            None => Default::default(),
        };
        let all = waiting.iter().chain(&dead);
        let wanted = all.filter(|it| channel.as_ref().is_none_or(|name| *name == it.channel));
        Ok(DeliveriesOk::Deliveries(Json(DeliveryList {
            deliveries: wanted.map(|it| Delivery::of(it, &zone)).collect(),
            channels: service.teller().map(Teller::channels).unwrap_or_default(),
        })))
    }

    /// Try a message again
    ///
    /// One that was given up. It goes with the same id, so that a receiver that has it already may drop it.
    #[oai(
        path = "/v1/homes/:home/deliveries/:delivery/retry",
        method = "post",
        operation_id = "retryDelivery",
        tag = "Tag::Rules"
    )]
    async fn retry_delivery(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the delivery.
        delivery: Path<u64>,
    ) -> Result<Retried, Failure> {
        let home: HomeId = self.api.home(&home).await?;
        let id = DeliveryId(delivery.0);
        let is_retried = match self.api.service()?.teller() {
            Some(teller) => teller.retry(&home, id).await.map_err(|e| broken(&e))?,
            None => false,
        };
        match is_retried {
            true => Ok(Retried::Done),
            false => Err(Failure::not_found(format!(
                "no message {id} of home {home} was given up; GET …/deliveries lists those that were"
            ))),
        }
    }
}

fn broken(error: &NotifyError) -> Failure {
    Failure::internal(error.to_string())
}

impl Delivery {
    fn of(delivery: &tarn_notify::Delivery, zone: &jiff::tz::TimeZone) -> Delivery {
        let tarn_notify::Delivery { message, .. } = delivery;
        let is_dead = delivery.dead_ms.is_some();
        Delivery {
            delivery: delivery.id.0,
            channel: delivery.channel.clone(),
            state: if is_dead { "dead" } else { "waiting" }.into(),
            severity: message.severity().word().into(),
            title: message.title(),
            message: message.body(zone),
            queued: moment(delivery.queued_ms),
            attempts: delivery.attempts,
            not_before: delivery.retry_ms.max(delivery.not_before_ms).map(moment),
            failure: delivery.failure.clone(),
            given_up: delivery.dead_ms.map(moment),
        }
    }
}
