use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, sync::Arc};

use bytes::Bytes;
use futures::stream;
use s3s::{S3Request, S3Response, S3Result, dto::*, s3_error};
use tokio::task::spawn_blocking;

use crate::{
    conditions::{GetConditions, etag},
    error::no_such,
    key::ObjectKey,
    listing::{self, PAGE_KEYS_MAX, Page, PageRequest},
    metrics::S3Metrics,
    service::{Service, ok},
    tree::ObjectMeta,
    walk::After,
};

/// Bytes of an object that are read at a time.
const READ_BYTES: u64 = 256 << 10;
/// What every object is said to be.
const CONTENT_TYPE: &str = "application/octet-stream";

impl Service {
    pub(crate) async fn buckets(
        &self,
        req: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let prefix = req.input.prefix.unwrap_or_default();
        let mut buckets = Vec::new();
        for bucket in self
            .served
            .all()
            .filter(|bucket| bucket.name.starts_with(&prefix))
        {
            let made = bucket.blocking("look at a directory", |tree| {
                Ok(listing::made_at(tree.root())?)
            });
            buckets.push(Bucket {
                name: Some(bucket.name.clone()),
                creation_date: Some(made.await?.into()),
                ..Bucket::default()
            });
        }
        ok(ListBucketsOutput {
            buckets: Some(buckets),
            ..ListBucketsOutput::default()
        })
    }

    pub(crate) async fn bucket(
        &self,
        req: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.served.bucket(&req.input.bucket)?;
        ok(HeadBucketOutput::default())
    }

    pub(crate) async fn location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.served.bucket(&req.input.bucket)?;
        // None is how S3 says us-east-1, which every client takes for "anywhere".
        ok(GetBucketLocationOutput::default())
    }

    pub(crate) async fn page(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = req.input;
        let after = match (&input.continuation_token, &input.start_after) {
            (Some(token), _) => listing::from_token(token).ok_or_else(|| {
                s3_error!(
                    InvalidArgument,
                    "the continuation token is not one of this store"
                )
            })?,
            (None, Some(key)) => After {
                key: key.clone(),
                and_below: false,
            },
            (None, None) => After::default(),
        };
        let listed = self.list(
            &input.bucket,
            input.prefix.as_deref(),
            input.delimiter.as_deref(),
            after,
            input.max_keys,
        );
        let page = listed.await?;
        let write = Writing::new(input.encoding_type.as_ref())?;
        let next = page.next.as_ref().map(listing::token);
        ok(ListObjectsV2Output {
            key_count: i32::try_from(page.objects.len() + page.prefixes.len()).ok(),
            contents: Some(write.objects(&page)),
            common_prefixes: Some(write.prefixes(&page)),
            is_truncated: Some(next.is_some()),
            next_continuation_token: next,
            name: Some(input.bucket),
            prefix: Some(write.key(&input.prefix.unwrap_or_default())),
            delimiter: input.delimiter.map(|delimiter| write.key(&delimiter)),
            start_after: input.start_after.map(|key| write.key(&key)),
            max_keys: Some(input.max_keys.unwrap_or(PAGE_KEYS_MAX as i32)),
            continuation_token: input.continuation_token,
            encoding_type: input.encoding_type,
            ..ListObjectsV2Output::default()
        })
    }

    pub(crate) async fn page_v1(
        &self,
        req: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let input = req.input;
        let marker = input.marker.clone().unwrap_or_default();
        // A marker may be a common prefix of the page before.
        let delimiter = input.delimiter.as_deref().unwrap_or_default();
        let after = After {
            and_below: !delimiter.is_empty() && marker.ends_with(delimiter),
            key: marker,
        };
        let listed = self.list(
            &input.bucket,
            input.prefix.as_deref(),
            input.delimiter.as_deref(),
            after,
            input.max_keys,
        );
        let page = listed.await?;
        let write = Writing::new(input.encoding_type.as_ref())?;
        let next = page.next.as_ref().map(|after| write.key(&after.key));
        ok(ListObjectsOutput {
            contents: Some(write.objects(&page)),
            common_prefixes: Some(write.prefixes(&page)),
            is_truncated: Some(next.is_some()),
            next_marker: next,
            name: Some(input.bucket),
            prefix: Some(write.key(&input.prefix.unwrap_or_default())),
            delimiter: input.delimiter.map(|delimiter| write.key(&delimiter)),
            marker: Some(write.key(&input.marker.unwrap_or_default())),
            max_keys: Some(input.max_keys.unwrap_or(PAGE_KEYS_MAX as i32)),
            encoding_type: input.encoding_type,
            ..ListObjectsOutput::default()
        })
    }

    pub(crate) async fn head(
        &self,
        req: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = req.input;
        one_part(input.part_number)?;
        let bucket = self.served.bucket(&input.bucket)?;
        let key = ObjectKey::parse(&input.key).map_err(no_such)?;
        let meta = bucket
            .blocking("look at an object", move |tree| tree.head(&key))
            .await?;
        let conditions = GetConditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        conditions.check(&meta)?;
        let (range, content_range) = part_of(&meta, input.range)?;
        ok(HeadObjectOutput {
            content_length: length(&range),
            content_range,
            content_type: Some(CONTENT_TYPE.to_owned()),
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(etag(&meta)),
            last_modified: Some(meta.modified.into()),
            ..HeadObjectOutput::default()
        })
    }

    pub(crate) async fn get(
        &self,
        req: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        one_part(input.part_number)?;
        let bucket = self.served.bucket(&input.bucket)?;
        let key = ObjectKey::parse(&input.key).map_err(no_such)?;
        let (file, meta) = bucket
            .blocking("open an object", move |tree| tree.open(&key))
            .await?;
        let conditions = GetConditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        conditions.check(&meta)?;
        let (range, content_range) = part_of(&meta, input.range)?;
        ok(GetObjectOutput {
            content_length: length(&range),
            body: Some(sent(file, range, self.metrics.clone())),
            content_range,
            content_type: Some(CONTENT_TYPE.to_owned()),
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(etag(&meta)),
            last_modified: Some(meta.modified.into()),
            ..GetObjectOutput::default()
        })
    }
}

impl Service {
    async fn list(
        &self,
        bucket: &str,
        prefix: Option<&str>,
        delimiter: Option<&str>,
        after: After,
        keys_max: Option<i32>,
    ) -> S3Result<Page> {
        let keys_max = usize::try_from(keys_max.unwrap_or(PAGE_KEYS_MAX as i32))
            .map_err(|_| s3_error!(InvalidArgument, "max-keys is not below 0"))?;
        let request = PageRequest {
            prefix: prefix.unwrap_or_default().to_owned(),
            delimiter: delimiter.unwrap_or_default().to_owned(),
            after,
            keys_max: keys_max.min(PAGE_KEYS_MAX),
        };
        let bucket = self.served.bucket(bucket)?;
        bucket
            .blocking("list a directory", move |tree| {
                Ok(listing::page(tree, &request)?)
            })
            .await
    }
}

/// Parts are not kept apart once an object is whole.
fn one_part(number: Option<i32>) -> S3Result<()> {
    match number {
        None => Ok(()),
        Some(_) => Err(s3_error!(
            NotImplemented,
            "an object here has no parts; ask for a range"
        )),
    }
}

/// Which bytes are asked for, and how that is told where they are not all.
fn part_of(
    meta: &ObjectMeta,
    range: Option<s3s::dto::Range>,
) -> S3Result<(Range<u64>, Option<String>)> {
    let Some(range) = range else {
        return Ok((0..meta.size, None));
    };
    let part = range.check(meta.size).ok().filter(|part| !part.is_empty());
    let part = part.ok_or_else(|| s3_error!(InvalidRange, "the object has {} bytes", meta.size))?;
    let told = format!("bytes {}-{}/{}", part.start, part.end - 1, meta.size);
    Ok((part, Some(told)))
}

fn length(range: &Range<u64>) -> Option<i64> {
    i64::try_from(range.end - range.start).ok()
}

/// A part of a file, read as the client takes it.
fn sent(file: File, range: Range<u64>, metrics: S3Metrics) -> StreamingBlob {
    let file = Arc::new(file);
    StreamingBlob::wrap(stream::try_unfold(range.start, move |at| {
        let (file, metrics, end) = (file.clone(), metrics.clone(), range.end);
        async move {
            if at == end {
                return Ok::<_, io::Error>(None);
            }
            let length = READ_BYTES.min(end - at);
            let read = spawn_blocking(move || {
                let mut buffer = vec![0; length as usize];
                file.read_exact_at(&mut buffer, at)?;
                Ok::<_, io::Error>(buffer)
            });
            let part = read.await.map_err(io::Error::other)??;
            metrics.sent_bytes.inc_by(length);
            Ok(Some((Bytes::from(part), at + length)))
        }
    }))
}

/// How keys are written in a list.
struct Writing {
    is_encoded: bool,
}

impl Writing {
    fn new(encoding: Option<&EncodingType>) -> S3Result<Writing> {
        match encoding.map(EncodingType::as_str) {
            None => Ok(Writing { is_encoded: false }),
            Some(EncodingType::URL) => Ok(Writing { is_encoded: true }),
            Some(_) => Err(s3_error!(InvalidArgument, "the only encoding-type is url")),
        }
    }

    fn key(&self, key: &str) -> String {
        if self.is_encoded {
            listing::encoded(key)
        } else {
            key.to_owned()
        }
    }

    fn objects(&self, page: &Page) -> Vec<Object> {
        let object = |(key, meta): &(ObjectKey, ObjectMeta)| Object {
            key: Some(self.key(key.as_str())),
            e_tag: Some(etag(meta)),
            size: i64::try_from(meta.size).ok(),
            last_modified: Some(meta.modified.into()),
            storage_class: Some(ObjectStorageClass::from_static(
                ObjectStorageClass::STANDARD,
            )),
            ..Object::default()
        };
        page.objects.iter().map(object).collect()
    }

    fn prefixes(&self, page: &Page) -> Vec<CommonPrefix> {
        let prefix = |prefix: &String| CommonPrefix {
            prefix: Some(self.key(prefix)),
        };
        page.prefixes.iter().map(prefix).collect()
    }
}
