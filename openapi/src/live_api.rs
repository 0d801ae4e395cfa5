use std::{borrow::Cow, sync::Arc};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use poem::web::sse::Event;
use poem_openapi::{
    ApiResponse, OpenApi, Tags,
    param::{Header, Path, Query},
    payload::EventStream,
    registry::{MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    api::Api,
    live::{HEARTBEAT, LiveEvent, LiveKind, Numbered, Wanted},
    problem::Failure,
};

#[derive(Tags)]
enum Tag {
    /// What happens, as it happens.
    Live,
}

/// The stream of events. It ends when the server stops.
#[derive(Clone)]
pub(crate) struct LiveApi {
    pub(crate) api: Api,
    pub(crate) stop: CancellationToken,
}

#[derive(ApiResponse)]
enum LiveOk {
    /// The events, for as long as the connection stands.
    #[oai(status = 200)]
    Events(EventStream<BoxStream<'static, Sent>>),
}

/// What is sent on a stream; the document shows the event's own shape.
enum Sent {
    /// No event, only the id to go on from before there is one.
    Start(String),
    Event(Arc<Numbered>),
}

impl Sent {
    fn into_event(self) -> Event {
        match self {
            Sent::Start(id) => Event::message("").id(id),
            Sent::Event(event) => Event::message(event.json())
                .id(event.id())
                .event_type(event.event().name()),
        }
    }
}

impl Type for Sent {
    const IS_REQUIRED: bool = true;

    type RawValueType = Sent;

    type RawElementValueType = Sent;

    fn name() -> Cow<'static, str> {
        <LiveEvent as Type>::name()
    }

    fn schema_ref() -> MetaSchemaRef {
        LiveEvent::schema_ref()
    }

    fn register(registry: &mut Registry) {
        LiveEvent::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Sent> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Sent> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ToJSON for Sent {
    fn to_json(&self) -> Option<Value> {
        match self {
            Sent::Start(_) => None,
            Sent::Event(event) => event.event().to_json(),
        }
    }
}

#[OpenApi]
impl LiveApi {
    /// Listen to a home
    ///
    /// Server-sent events, each with its kind as the event's name, an id, and a JSON object as its data. Readings come
    /// at most every 250 ms per device and metric, with the latest value. Who reads too slowly is shown the latest
    /// value of each series, and a `gap` where other events were dropped. Who comes back with `Last-Event-ID`, as
    /// browsers do by themselves, gets what it missed; where that is not known any more, it gets a `reset` and then
    /// the latest known values, and has to read all else anew. A comment comes every 15 s as a sign of life.
    #[oai(
        path = "/v1/homes/:home/live",
        method = "get",
        operation_id = "listenLive",
        tag = "Tag::Live"
    )]
    async fn listen_live(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Only events of this device, and of boxes; repeat it for more.
        #[oai(default, validator(max_items = 100))]
        device: Query<Vec<String>>,
        /// Only events of this kind; repeat it for more. A `gap` and a `reset` come in any case.
        #[oai(default, validator(max_items = 10))]
        kind: Query<Vec<LiveKind>>,
        /// Id of the last event that came, to go on after it.
        #[oai(name = "Last-Event-ID", validator(max_length = 64))]
        last_event_id: Header<Option<String>>,
    ) -> Result<LiveOk, Failure> {
        let home = self.api.home(&home).await?;
        let hub = self.api.service()?.live(home.as_str());
        let hub = hub.ok_or_else(|| {
            Failure::unavailable(format!("nothing live is known here of home {home}"))
        })?;
        let known = self.api.known(&home)?;
        let mut devices = Vec::new();
        for id in device.0 {
            devices.push(match &known {
                Some(known) => known.ids(&home, &id).await.0,
                None => id,
            });
        }
        let wanted = Wanted {
            devices,
            kinds: kind.0,
        };
        let listener = hub.listen(wanted, last_event_id.as_deref());
        let listener = listener.map_err(|e| Failure::unavailable(e.to_string()))?;
        // Whatever happens after the answer has begun is in it.
        hub.fed().await;
        let start = stream::iter([Sent::Start(listener.start().to_owned())]);
        let events = start
            .chain(listener.into_stream().map(Sent::Event))
            .take_until(self.stop.clone().cancelled_owned());
        let events = EventStream::new(events.boxed())
            .keep_alive(HEARTBEAT)
            .to_event(Sent::into_event);
        Ok(LiveOk::Events(events))
    }
}
