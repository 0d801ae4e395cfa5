use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    ops::Range,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    path::Path as Key,
};
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Changes that a stale list may not know of yet.
const RECENT_MAX: usize = 32;

/// How many of a thousand operations go wrong, by the way they do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// An error, and nothing was done.
    pub refused: u32,
    /// An error, and half of it was done: half of an object is there where there was none, or a list ends in the middle.
    pub torn: u32,
    /// An error, and all of it was done.
    pub lost_acks: u32,
    /// A list as it was some changes ago, and no error.
    pub stale_lists: u32,
    /// It takes a while.
    pub delayed: u32,
    /// How long at most.
    pub delay_max: Duration,
}

impl Faults {
    /// All of them, each this often. Delays are short.
    #[must_use]
    pub fn every(per_mille: u32) -> Faults {
        Faults {
            refused: per_mille,
            torn: per_mille,
            lost_acks: per_mille,
            stale_lists: per_mille,
            delayed: per_mille,
            delay_max: Duration::from_millis(2),
        }
    }
}

/// How an operation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    Refused,
    Torn,
    Unanswered,
}

/// What was changed, for who lists as if it had not been.
#[derive(Debug, Clone)]
enum Change {
    Put(Key),
    Deleted(ObjectMeta),
}

/// Objects that are put, read and listed with the faults that stores have, as a seed has it. What it says is done is done, in full.
///
/// An object that is there is never torn by a put of the same: stores put something new in its place, or nothing.
#[derive(Debug, Clone)]
pub struct FailingStore {
    inner: Arc<dyn ObjectStore>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    faults: Faults,
    rng: StdRng,
    recent: VecDeque<Change>,
    failed: u64,
}

/// An error that was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{0}, as told")]
struct Told(&'static str);

fn told(what: &'static str) -> Error {
    Error::Generic {
        store: "failing store",
        source: Box::new(Told(what)),
    }
}

impl FailingStore {
    /// These objects, with these faults.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, faults: Faults, seed: u64) -> FailingStore {
        FailingStore {
            inner,
            state: Arc::new(Mutex::new(State {
                faults,
                rng: StdRng::seed_from_u64(seed),
                recent: VecDeque::new(),
                failed: 0,
            })),
        }
    }

    /// From now on these faults; none of them is a store that has come back.
    pub fn set(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// How many operations went wrong so far, delays not counted.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.state.lock().failed
    }

    async fn fate(&self) -> Fate {
        let (fate, delay) = self.state.lock().fate();
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        fate
    }

    fn remember(&self, change: Change) {
        let recent = &mut self.state.lock().recent;
        recent.push_back(change);
        if recent.len() > RECENT_MAX {
            recent.pop_front();
        }
    }

    /// A list as it was before the last of the recent changes, if this one is to be stale.
    fn as_before(&self, prefix: Option<&Key>, listed: Vec<ObjectMeta>) -> Vec<ObjectMeta> {
        let mut state = self.state.lock();
        let unknown = state.unknown();
        let mut objects: BTreeMap<Key, ObjectMeta> = listed
            .into_iter()
            .map(|object| (object.location.clone(), object))
            .collect();
        for change in state.recent.iter().rev().take(unknown) {
            match change {
                Change::Put(key) => {
                    objects.remove(key);
                }
                Change::Deleted(object) => {
                    let is_below = prefix.is_none_or(|prefix| {
                        object
                            .location
                            .prefix_match(prefix)
                            .is_some_and(|mut rest| rest.next().is_some())
                    });
                    if is_below {
                        objects.insert(object.location.clone(), object.clone());
                    }
                }
            }
        }
        objects.into_values().collect()
    }

    async fn listed(&self, prefix: Option<Key>, offset: Option<Key>) -> Vec<Result<ObjectMeta>> {
        let fate = self.fate().await;
        if fate == Fate::Refused || fate == Fate::Unanswered {
            return vec![Err(told("no list"))];
        }
        let listed: Vec<ObjectMeta> = match self.inner.list(prefix.as_ref()).try_collect().await {
            Ok(listed) => listed,
            Err(e) => return vec![Err(e)],
        };
        let mut listed = self.as_before(prefix.as_ref(), listed);
        if let Some(offset) = offset {
            listed.retain(|object| object.location > offset);
        }
        let whole = listed.len();
        let mut listed: Vec<_> = listed.into_iter().map(Ok).collect();
        if fate == Fate::Torn {
            listed.truncate(whole / 2);
            listed.push(Err(told("half of a list")));
        }
        listed
    }
}

impl State {
    fn fate(&mut self) -> (Fate, Option<Duration>) {
        let Faults {
            refused,
            torn,
            lost_acks,
            delayed,
            delay_max,
            ..
        } = self.faults;
        let draw = self.rng.random_range(0..1_000);
        let fate = match draw {
            _ if draw < refused => Fate::Refused,
            _ if draw < refused + torn => Fate::Torn,
            _ if draw < refused + torn + lost_acks => Fate::Unanswered,
            _ => Fate::Done,
        };
        self.failed += u64::from(fate != Fate::Done);
        let is_delayed = self.rng.random_range(0..1_000) < delayed;
        let delay = is_delayed.then(|| delay_max.mul_f64(self.rng.random()));
        (fate, delay)
    }

    /// How many of the last changes a list is not to know of.
    fn unknown(&mut self) -> usize {
        let is_stale = self.rng.random_range(0..1_000) < self.faults.stale_lists;
        if !is_stale || self.recent.is_empty() {
            return 0;
        }
        self.failed += 1;
        self.rng.random_range(1..=self.recent.len())
    }
}

impl fmt::Display for FailingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failing {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FailingStore {
    async fn put_opts(
        &self,
        location: &Key,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let fate = self.fate().await;
        if fate == Fate::Refused {
            return Err(told("nothing put"));
        }
        let is_there = self.inner.head(location).await.is_ok();
        if fate == Fate::Torn {
            if !is_there {
                let whole = Bytes::from(payload);
                let half = whole.slice(..whole.len() / 2);
                self.inner.put_opts(location, half.into(), opts).await?;
                self.remember(Change::Put(location.clone()));
            }
            return Err(told("half of an object put"));
        }
        let put = self.inner.put_opts(location, payload, opts).await?;
        if !is_there {
            self.remember(Change::Put(location.clone()));
        }
        match fate {
            Fate::Unanswered => Err(told("put, and not answered")),
            _ => Ok(put),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Key,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        match self.fate().await {
            Fate::Done => self.inner.put_multipart_opts(location, opts).await,
            _ => Err(told("no upload begun")),
        }
    }

    async fn get_opts(&self, location: &Key, options: GetOptions) -> Result<GetResult> {
        match self.fate().await {
            Fate::Done => self.inner.get_opts(location, options).await,
            _ => Err(told("nothing read")),
        }
    }

    async fn get_ranges(&self, location: &Key, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match self.fate().await {
            Fate::Done => self.inner.get_ranges(location, ranges).await,
            _ => Err(told("nothing read")),
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Key>>,
    ) -> BoxStream<'static, Result<Key>> {
        let store = self.clone();
        let deleted = locations.then(move |location| {
            let store = store.clone();
            async move {
                let location = location?;
                let fate = store.fate().await;
                if matches!(fate, Fate::Refused | Fate::Torn) {
                    return Err(told("nothing deleted"));
                }
                let was = store.inner.head(&location).await;
                store.inner.delete(&location).await?;
                if let Ok(was) = was {
                    store.remember(Change::Deleted(was));
                }
                match fate {
                    Fate::Unanswered => Err(told("deleted, and not answered")),
                    _ => Ok(location),
                }
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let listed = async move { stream::iter(store.listed(prefix, None).await) };
        stream::once(listed).flatten().boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Key>,
        offset: &Key,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix, offset) = (self.clone(), prefix.cloned(), offset.clone());
        let listed = async move { stream::iter(store.listed(prefix, Some(offset)).await) };
        stream::once(listed).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        match self.fate().await {
            Fate::Done => self.inner.list_with_delimiter(prefix).await,
            _ => Err(told("no list")),
        }
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        let fate = self.fate().await;
        if matches!(fate, Fate::Refused | Fate::Torn) {
            return Err(told("nothing copied"));
        }
        self.inner.copy_opts(from, to, options).await?;
        self.remember(Change::Put(to.clone()));
        match fate {
            Fate::Unanswered => Err(told("copied, and not answered")),
            _ => Ok(()),
        }
    }
}
