use std::{marker::PhantomData, sync::Arc, time::Duration};

use bytes::Bytes;
use moka::future::Cache;
use poem::{IntoResponse, Response};
use poem_openapi::{
    payload::{Json, Payload},
    registry::{MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};
use tarn_common::{ids::HomeId, query::Stamp};

use crate::problem::Failure;

/// How long an answer is given again at most. What it says of times to live, and of who is there, is as old.
const KEPT_FOR: Duration = Duration::from_secs(1);
/// Bytes of answers that are kept at most.
const KEPT_BYTES_MAX: u64 = 32 << 20;

/// What an answer is made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    pub(crate) operation: &'static str,
    pub(crate) home: HomeId,
    pub(crate) lake: Stamp,
    /// Number of changes of the home's twins.
    pub(crate) twins: u64,
}

/// Answers that many ask for, made once for as long as what they are made of stays the same.
#[derive(Debug, Clone)]
pub(crate) struct Answers(Cache<Source, Bytes>);

impl Default for Answers {
    fn default() -> Answers {
        let weigh = |_: &Source, bytes: &Bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let cache = Cache::builder().weigher(weigh);
        Answers(
            cache
                .max_capacity(KEPT_BYTES_MAX)
                .time_to_live(KEPT_FOR)
                .build(),
        )
    }
}

impl Answers {
    /// The answer that is kept, or one that is made; of several who ask at the same time, one makes it.
    pub(crate) async fn get<T: ToJSON + Send>(
        &self,
        source: Option<Source>,
        make: impl Future<Output = Result<T, Failure>> + Send,
    ) -> Result<Encoded<T>, Failure> {
        let make = async { Ok(Bytes::from(make.await?.to_json_string())) };
        let bytes = match source {
            Some(source) => {
                let kept = self.0.try_get_with(source, make).await;
                kept.map_err(|e: Arc<Failure>| Failure::clone(&e))?
            }
            None => make.await?,
        };
        Ok(Encoded(bytes, PhantomData))
    }
}

/// JSON that is encoded already.
pub(crate) struct Encoded<T>(Bytes, PhantomData<fn() -> T>);

impl<T> Encoded<T> {
    /// This is the JSON of such a value.
    pub(crate) fn new(json: Vec<u8>) -> Encoded<T> {
        Encoded(json.into(), PhantomData)
    }
}

impl<T: Type> Payload for Encoded<T> {
    const CONTENT_TYPE: &'static str = Json::<T>::CONTENT_TYPE;

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Send> IntoResponse for Encoded<T> {
    fn into_response(self) -> Response {
        Response::builder()
            .content_type("application/json; charset=utf-8")
            .body(self.0)
    }
}
