use std::{fmt, future::poll_fn, ops::Range, pin::pin, sync::Arc, task::Poll};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path as Key,
};
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    clock::{Clock, ManualClock},
    store::failing::FailingStore,
};

/// Turns that others may have before an operation is carried out, at most.
const TURNS_MAX: usize = 4;
/// How long an operation may take until its sender has given up, and it is not carried out any more.
const GIVEN_UP_MS: i64 = 10_000;

/// How operations of all stores take turns and time.
#[derive(Debug)]
pub(super) struct Pace {
    clock: Arc<ManualClock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: StdRng,
    operation_ms_max: i64,
}

impl Pace {
    pub(super) fn new(clock: Arc<ManualClock>, seed: u64) -> Pace {
        let state = State {
            rng: StdRng::seed_from_u64(seed),
            operation_ms_max: 2,
        };
        Pace {
            clock,
            state: Mutex::new(state),
        }
    }

    /// From now on an operation takes this long at most, beside the time of those that go before it.
    pub(super) fn operations_take(&self, ms_max: i64) {
        self.state.lock().operation_ms_max = ms_max;
    }

    async fn turn(&self) -> Result<()> {
        let began_ms = self.clock.monotonic_ms();
        let (turns, takes_ms) = {
            let mut state = self.state.lock();
            let max = state.operation_ms_max;
            (
                state.rng.random_range(0..=TURNS_MAX),
                state.rng.random_range(0..=max),
            )
        };
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        self.clock.set(self.clock.now_ms() + takes_ms);
        if self.clock.monotonic_ms() - began_ms > GIVEN_UP_MS {
            return Err(Error::Generic {
                store: "turns",
                source: "given up".into(),
            });
        }
        Ok(())
    }
}

/// Do something until it was polled so often; then it is dropped wherever it is.
pub(super) async fn killed_after(polls: usize, job: impl Future<Output = ()>) {
    let mut job = pin!(job);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        job.as_mut().poll(context)
    })
    .await;
}

/// A store whose operations take turns with those of others.
#[derive(Debug)]
pub(super) struct Turns {
    inner: FailingStore,
    pace: Arc<Pace>,
}

impl Turns {
    pub(super) fn new(inner: FailingStore, pace: Arc<Pace>) -> Turns {
        Turns { inner, pace }
    }

    fn listed(
        &self,
        prefix: Option<Key>,
        offset: Option<Key>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, pace) = (self.inner.clone(), self.pace.clone());
        let listed = async move {
            if let Err(error) = pace.turn().await {
                return stream::iter([Err(error)]).boxed();
            }
            match offset {
                Some(offset) => inner.list_with_offset(prefix.as_ref(), &offset),
                None => inner.list(prefix.as_ref()),
            }
        };
        stream::once(listed).flatten().boxed()
    }
}

impl fmt::Display for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Turns {
    async fn put_opts(
        &self,
        key: &Key,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.pace.turn().await?;
        self.inner.put_opts(key, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        key: &Key,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(key, opts).await
    }

    async fn get_opts(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        self.pace.turn().await?;
        self.inner.get_opts(key, options).await
    }

    async fn get_ranges(&self, key: &Key, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(key, ranges).await
    }

    fn delete_stream(
        &self,
        keys: BoxStream<'static, Result<Key>>,
    ) -> BoxStream<'static, Result<Key>> {
        let (inner, pace) = (self.inner.clone(), self.pace.clone());
        let deleted = async move {
            match pace.turn().await {
                Ok(()) => inner.delete_stream(keys),
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        };
        stream::once(deleted).flatten().boxed()
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix.cloned(), None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Key>,
        offset: &Key,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix.cloned(), Some(offset.clone()))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        self.pace.turn().await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
