use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::join_all, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path as Key,
};
use url::Url;

use super::{
    Store, StoreError,
    pool::{Member, Pool, PoolError},
};

/// Small objects that every store of a pool has: a put goes to all that answer, a read takes the first that has it, and a
/// list is of all together. What a store misses while it is away it gets when the stores are compared.
///
/// Only for objects that never change and are named by what they hold.
#[derive(Debug, Clone)]
pub struct Mirror(Arc<Pool>);

impl Mirror {
    /// The stores of a pool as one.
    #[must_use]
    pub fn of(pool: Arc<Pool>) -> Store {
        // Nobody opens it by its URL.
        let url = Url::parse("mirror:all").unwrap_or_else(|_| unreachable!("a URL"));
        Store::over(url, Arc::new(Mirror(pool)))
    }

    /// Do the same at all stores. One that does it is enough; if none does, the error is that of the last one.
    async fn all<T, F>(&self, work: impl Fn(Arc<Member>) -> F) -> Result<Vec<T>>
    where
        F: Future<Output = std::result::Result<T, PoolError>>,
    {
        let answers = join_all(self.0.members().into_iter().map(work)).await;
        let (mut done, mut last) = (Vec::new(), PoolError::NoStore);
        for answer in answers {
            match answer {
                Ok(answer) => done.push(answer),
                Err(error) => last = error,
            }
        }
        if done.is_empty() {
            return Err(failed(last));
        }
        Ok(done)
    }

    async fn listed(&self, prefix: Option<Key>) -> Result<BTreeMap<Key, ObjectMeta>> {
        let lists = self.all(|member| {
            let prefix = prefix.clone();
            async move {
                let listing = member.store().objects.list(prefix.as_ref());
                let listing = listing.try_collect::<Vec<_>>();
                let listing = async { listing.await.map_err(|source| backend("list", source)) };
                member.ask("list", listing).await
            }
        });
        let objects = lists.await?.into_iter().flatten();
        Ok(objects.map(|o| (o.location.clone(), o)).collect())
    }
}

fn backend(action: &'static str, source: Error) -> StoreError {
    StoreError::Backend {
        action,
        key: String::new(),
        source,
    }
}

fn failed(error: PoolError) -> Error {
    Error::Generic {
        store: "mirror",
        source: Box::new(error),
    }
}

fn not_there(operation: &str) -> Error {
    Error::NotSupported {
        source: format!("{operation} of several stores at once").into(),
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all stores of a fleet")
    }
}

#[async_trait]
impl ObjectStore for Mirror {
    async fn put_opts(
        &self,
        location: &Key,
        payload: PutPayload,
        _options: PutOptions,
    ) -> Result<PutResult> {
        let bytes = Bytes::from(payload);
        let put = self.all(|member| {
            let bytes = bytes.clone();
            async move { member.put(location.as_ref(), bytes).await }
        });
        put.await?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn put_multipart_opts(
        &self,
        _location: &Key,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(not_there("an upload in parts"))
    }

    async fn get_opts(&self, location: &Key, options: GetOptions) -> Result<GetResult> {
        let mut last = None;
        for member in self.0.members() {
            let getting = async {
                let got = member.store().objects.get_opts(location, options.clone());
                got.await.map_err(|source| match source {
                    Error::NotFound { .. } => StoreError::NotFound {
                        key: location.to_string(),
                    },
                    source => backend("get", source),
                })
            };
            match member.ask(location.as_ref(), getting).await {
                Ok(got) => return Ok(got),
                Err(error) if error.is_not_found() => {}
                Err(error) => last = Some(error),
            }
        }
        // With a store away it is not known that there is no such object.
        Err(last.map_or_else(
            || Error::NotFound {
                path: location.to_string(),
                source: "in no store".into(),
            },
            failed,
        ))
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Key>>,
    ) -> BoxStream<'static, Result<Key>> {
        let mirror = self.clone();
        let deleted = locations.then(move |location| {
            let mirror = mirror.clone();
            async move {
                let location = location?;
                let key = &location;
                let deleted = mirror.all(|member| async move { member.delete(key.as_ref()).await });
                deleted.await?;
                Ok(location)
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (mirror, prefix) = (self.clone(), prefix.cloned());
        let listed = async move {
            let objects = match mirror.listed(prefix).await {
                Ok(objects) => objects.into_values().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
            stream::iter(objects)
        };
        stream::once(listed).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        let lists = self.all(|member| async move {
            let listing = async {
                let listed = member.store().objects.list_with_delimiter(prefix).await;
                listed.map_err(|source| backend("list", source))
            };
            member.ask("list", listing).await
        });
        let (mut prefixes, mut objects) = (BTreeSet::new(), BTreeMap::new());
        for list in lists.await? {
            prefixes.extend(list.common_prefixes);
            objects.extend(list.objects.into_iter().map(|o| (o.location.clone(), o)));
        }
        Ok(ListResult {
            common_prefixes: prefixes.into_iter().collect(),
            objects: objects.into_values().collect(),
        })
    }

    async fn copy_opts(&self, _from: &Key, _to: &Key, _options: CopyOptions) -> Result<()> {
        Err(not_there("a copy"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use object_store::memory::InMemory;

    use super::*;

    fn member(name: &str, objects: Arc<dyn ObjectStore>) -> Arc<Member> {
        let url = format!("memory:{name}").parse().expect("url");
        let store = Store::over(url, objects);
        let name = name.parse().expect("name");
        Arc::new(Member::new(name, store, Duration::from_secs(5)))
    }

    #[tokio::test]
    async fn all_have_what_is_put_and_any_one_is_enough_to_read() {
        let (a, b) = (Arc::new(InMemory::new()), Arc::new(InMemory::new()));
        let pool = Pool::new(vec![member("a", a.clone()), member("b", b.clone())]);
        let mirror = Mirror::of(Arc::new(pool));
        mirror.put("twins/x", "one".into()).await.expect("puts");
        let alone = |objects: &Arc<InMemory>| {
            Store::over("memory:x".parse().expect("url"), objects.clone())
        };
        for objects in [&a, &b] {
            let found = alone(objects).get("twins/x").await.expect("is in each");
            assert_eq!(found, "one");
        }
        alone(&a).delete("twins/x").await.expect("deletes");
        alone(&b).put("twins/y", "two".into()).await.expect("puts");
        assert_eq!(
            mirror.get("twins/x").await.expect("the other has it"),
            "one"
        );
        let listed: Vec<_> = mirror
            .list("twins", None)
            .try_collect()
            .await
            .expect("lists");
        let names: Vec<&str> = listed.iter().map(|o| o.location.as_ref()).collect();
        assert_eq!(names, ["twins/x", "twins/y"]);
        mirror.delete("twins/x").await.expect("deletes");
        assert!(matches!(
            mirror.get("twins/x").await,
            Err(StoreError::NotFound { .. })
        ));
    }
}
