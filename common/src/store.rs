/// A store that fails is left alone for a while.
pub mod breaker;
/// A store that fails in the ways that stores do, for tests and chaos runs.
pub mod failing;
/// Small objects that all stores have.
pub mod mirror;
/// The stores of a fleet, each with its health.
pub mod pool;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::ready, stream::BoxStream};
use object_store::{
    BackoffConfig, ClientOptions, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig,
    aws::{AmazonS3Builder, Checksum, S3ConditionalPut},
    local::LocalFileSystem,
    path::Path as Key,
    prefix::PrefixStore,
};
use url::Url;

use crate::{
    durable::{self, Disk, RealDisk},
    ids::StoreName,
};

/// How long one request to an S3 store may take at the very most; who asks may have less patience.
pub const REQUEST_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(300);

/// A place with the layout: a directory or an S3 bucket, by URL.
#[derive(Debug, Clone)]
pub struct Store {
    url: Url,
    asked: Asked,
    objects: Arc<dyn ObjectStore>,
    directory: Option<PathBuf>,
}

/// What a URL asks of its store beside the place.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Asked {
    /// `name=`: the word that the commit log uses for it.
    pub name: Option<StoreName>,
    /// `weight=`: its share, beside the others'.
    pub weight: Option<f64>,
    /// `zone=`: what may fail together; copies of a chunk go to different zones.
    pub zone: Option<String>,
}

/// Why a store could not be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL or its settings are wrong: retrying is of no use.
    #[error("store {url:?}: {reason}")]
    Config {
        /// The URL as given.
        url: String,
        /// What is wrong and how to mend it.
        reason: String,
    },
    /// There is no such object.
    #[error("{key}: not found")]
    NotFound {
        /// Key of the object.
        key: String,
    },
    /// The store failed or refused; it may do better later.
    #[error("{action} {key}")]
    Backend {
        /// What was tried.
        action: &'static str,
        /// Key of the object.
        key: String,
        /// The backend's error.
        source: object_store::Error,
    },
    /// A directory store could not write.
    #[error("{action} {key}")]
    Disk {
        /// What was tried.
        action: &'static str,
        /// Key of the object.
        key: String,
        /// The system's error.
        source: std::io::Error,
    },
}

impl Store {
    /// Open a store: `file:///dir` (made if absent) or `s3://bucket/prefix` with the usual AWS
    /// variables (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`).
    /// Plain HTTP is allowed when the endpoint says `http://`. Nothing is sent yet.
    ///
    /// A query says more: `name`, `weight` and `zone` ([`Asked`]); for S3 `endpoint` and `region`, where
    /// stores are at several. A store with a name takes `TARN_STORE_<NAME>_ACCESS_KEY_ID` and
    /// `TARN_STORE_<NAME>_SECRET_ACCESS_KEY` before the AWS variables.
    pub fn open(url: &str) -> Result<Store, StoreError> {
        Store::open_with(url, &|name| std::env::var(name).ok())
    }

    /// The same with the keys of another environment.
    pub fn open_with(
        url: &str,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Store, StoreError> {
        let config = |reason: String| StoreError::Config {
            url: url.to_owned(),
            reason,
        };
        let mut parsed = Url::parse(url)
            .map_err(|e| config(format!("{e}; use file:///dir or s3://bucket/prefix")))?;
        if parsed.password().is_some() {
            let reason = "a key in the URL would be told to everybody; set TARN_STORE_<NAME>_SECRET_ACCESS_KEY";
            return Err(config(reason.into()));
        }
        let mut asked = Asked::default();
        let mut place = Vec::new();
        for (key, value) in parsed.query_pairs() {
            match &*key {
                "name" => asked.name = Some(value.parse().map_err(|e| config(format!("{e}")))?),
                "weight" => {
                    let weight = value.parse();
                    let weight = weight.map_err(|_| config("weight is no number".into()))?;
                    asked.weight = Some(weight);
                }
                "zone" => asked.zone = Some(value.into_owned()),
                "endpoint" | "region" if parsed.scheme() == "s3" => {
                    place.push((key.into_owned(), value.into_owned()));
                }
                other => {
                    let known = "name, weight, zone, and for s3:// endpoint and region";
                    return Err(config(format!("{other:?} is not known; use {known}")));
                }
            }
        }
        // What stays in the URL is where the store is, so that two URLs of one place look alike.
        parsed.set_query(None);
        for (key, value) in &place {
            parsed.query_pairs_mut().append_pair(key, value);
        }
        match parsed.scheme() {
            "file" => {
                let directory = parsed
                    .to_file_path()
                    .map_err(|()| config("use file:///absolute/dir".into()))?;
                let store = Store::directory(&directory).map_err(|e| config(e.to_string()))?;
                Ok(Store { asked, ..store })
            }
            "s3" => {
                let objects =
                    s3(&parsed, &place, &asked, variable).map_err(|e| config(e.to_string()))?;
                Ok(Store {
                    asked,
                    ..Store::over(parsed, objects)
                })
            }
            other => Err(config(format!(
                "scheme {other:?} is not known; use file:// or s3://"
            ))),
        }
    }

    /// A directory as a store; made if absent.
    pub fn directory(directory: &Path) -> std::io::Result<Store> {
        durable::create_dirs(&RealDisk, directory)?;
        let directory = directory.canonicalize()?;
        let objects =
            LocalFileSystem::new_with_prefix(&directory).map_err(std::io::Error::other)?;
        let url = Url::from_directory_path(&directory)
            .map_err(|()| std::io::Error::other("path is not absolute"))?;
        Ok(Store {
            directory: Some(directory),
            ..Store::over(url, Arc::new(objects))
        })
    }

    /// Objects that somebody else opened, as a store.
    #[must_use]
    pub fn over(url: Url, objects: Arc<dyn ObjectStore>) -> Store {
        Store {
            url,
            asked: Asked::default(),
            objects,
            directory: None,
        }
    }

    /// What its URL asked for beside the place.
    #[must_use]
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The path of an object of a directory store; none for a bucket.
    #[must_use]
    pub fn local_path(&self, key: &str) -> Option<PathBuf> {
        self.directory.as_ref().map(|directory| directory.join(key))
    }

    /// Put an object; repeating it is harmless. On return it is durable: a directory store has
    /// synced the file and its directory, a bucket has checked its SHA-256.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.put_by(durable::put, key, bytes).await
    }

    /// The same where another process may put the same object at the same time.
    pub async fn put_among_others(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.put_by(durable::put_among_others, key, bytes).await
    }

    async fn put_by(
        &self,
        put: fn(&dyn Disk, &Path, &[u8]) -> std::io::Result<()>,
        key: &str,
        bytes: Bytes,
    ) -> Result<(), StoreError> {
        if let Some(path) = self.local_path(key) {
            let write = tokio::task::spawn_blocking(move || put(&RealDisk, &path, &bytes));
            let done = write
                .await
                .unwrap_or_else(|e| Err(std::io::Error::other(e)));
            return done.map_err(|source| StoreError::Disk {
                action: "put",
                key: key.into(),
                source,
            });
        }
        match self.objects.put(&Key::from(key), bytes.into()).await {
            Ok(_) => Ok(()),
            Err(source) => Err(StoreError::Backend {
                action: "put",
                key: key.into(),
                source,
            }),
        }
    }

    /// Get a whole object.
    pub async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        let backend = |source| match source {
            object_store::Error::NotFound { .. } => StoreError::NotFound { key: key.into() },
            // What lies below a file, or is a directory, is no object.
            _ if self.local_path(key).is_some_and(|path| is_no_file(&path)) => {
                StoreError::NotFound { key: key.into() }
            }
            source => StoreError::Backend {
                action: "get",
                key: key.into(),
                source,
            },
        };
        let result = self.objects.get(&Key::from(key)).await.map_err(backend)?;
        result.bytes().await.map_err(backend)
    }

    /// Delete an object; one that is not there is deleted already.
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        match self.objects.delete(&Key::from(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            // What other keys begin with is no object.
            Err(_) if self.local_path(key).is_some_and(|path| is_no_file(&path)) => Ok(()),
            Err(source) => Err(StoreError::Backend {
                action: "delete",
                key: key.into(),
                source,
            }),
        }
    }

    /// Objects under a prefix, from after `offset` where one is given. Of a directory, what is being written and
    /// what a crash left of that are none.
    pub fn list(
        &self,
        prefix: &str,
        offset: Option<&str>,
    ) -> BoxStream<'static, Result<ObjectMeta, StoreError>> {
        let key = prefix.to_owned();
        let from = Key::from(prefix);
        let listed = match offset {
            Some(offset) => self
                .objects
                .list_with_offset(Some(&from), &Key::from(offset)),
            None => self.objects.list(Some(&from)),
        };
        let listed = listed.map_err(move |source| StoreError::Backend {
            action: "list",
            key: key.clone(),
            source,
        });
        if self.directory.is_none() {
            return listed.boxed();
        }
        let is_whole = |object: &ObjectMeta| !durable::is_aside(object.location.as_ref());
        listed
            .try_filter(move |object| ready(is_whole(object)))
            .boxed()
    }

    /// Names of the "directories" right under a prefix.
    pub async fn list_dirs(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let listed = self
            .objects
            .list_with_delimiter(Some(&Key::from(prefix)))
            .await;
        let listed = listed.map_err(|source| StoreError::Backend {
            action: "list",
            key: prefix.into(),
            source,
        })?;
        Ok(listed
            .common_prefixes
            .iter()
            .filter_map(|p| p.filename().map(str::to_owned))
            .collect())
    }
}

/// Whether there is certainly no file: nothing, a directory, or something below a file.
fn is_no_file(path: &Path) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata.is_dir(),
        Err(e) => matches!(e.kind(), NotFound | NotADirectory),
    }
}

fn s3(
    url: &Url,
    place: &[(String, String)],
    asked: &Asked,
    variable: &dyn Fn(&str) -> Option<String>,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    let options = ClientOptions::new()
        .with_timeout(REQUEST_TIMEOUT)
        .with_connect_timeout(std::time::Duration::from_secs(5))
        .with_allow_http(true);
    // The callers retry for as long as it takes; here only what a healthy store needs now and then.
    let retry = RetryConfig {
        max_retries: 2,
        retry_timeout: REQUEST_TIMEOUT,
        backoff: BackoffConfig::default(),
    };
    let bucket = url.host_str().unwrap_or_default();
    let mut s3 = AmazonS3Builder::from_env();
    for (key, value) in place {
        s3 = match key.as_str() {
            "endpoint" => s3.with_endpoint(value),
            _ => s3.with_region(value),
        };
    }
    let own = asked.name.as_ref();
    for (id, secret) in own
        .map(|name| {
            (
                name.variable("ACCESS_KEY_ID"),
                name.variable("SECRET_ACCESS_KEY"),
            )
        })
        .into_iter()
        .chain([("AWS_ACCESS_KEY_ID".into(), "AWS_SECRET_ACCESS_KEY".into())])
    {
        if let (Some(id), Some(secret)) = (variable(&id), variable(&secret)) {
            s3 = s3.with_access_key_id(id).with_secret_access_key(secret);
            break;
        }
    }
    let s3 = s3
        .with_client_options(options)
        .with_retry(retry)
        .with_bucket_name(bucket)
        .with_checksum_algorithm(Checksum::SHA256)
        .with_conditional_put(S3ConditionalPut::Disabled)
        .build()?;
    let prefix = url.path().trim_matches('/');
    Ok(if prefix.is_empty() {
        Arc::new(s3)
    } else {
        Arc::new(PrefixStore::new(s3, prefix))
    })
}
