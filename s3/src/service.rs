use std::{collections::BTreeMap, fs::File, io, ops::Range, os::unix::fs::FileExt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;
use s3s::{S3, S3Request, S3Response, S3Result, dto::*, s3_error};
use tokio::task::spawn_blocking;

use crate::{
    conditions::{GetConditions, PutCondition, etag},
    error::{gone, no_such, of_tree, refused},
    key::ObjectKey,
    listing::{self, PAGE_KEYS_MAX, Page, PageRequest},
    metrics::S3Metrics,
    receive::{Received, Said, receive},
    settings::{Bucket as BucketSettings, Rights},
    tree::{ObjectMeta, Tree, TreeError},
    uploads::Uploads,
    walk::After,
};

/// Bytes of an object that are read at a time.
const READ_BYTES: u64 = 256 << 10;
/// Keys that one request may delete, as S3 has it.
const DELETES_MAX: usize = 1000;
/// What every object is said to be.
const CONTENT_TYPE: &str = "application/octet-stream";

/// A directory that is served.
#[derive(Debug)]
pub(crate) struct OpenBucket {
    name: String,
    pub(crate) rights: Rights,
    tree: Arc<Tree>,
    uploads: Uploads,
}

impl OpenBucket {
    pub(crate) fn new(settings: &BucketSettings, tree: Tree) -> OpenBucket {
        OpenBucket {
            name: settings.name.clone(),
            rights: settings.rights,
            tree: Arc::new(tree),
            uploads: Uploads::default(),
        }
    }

    /// Do something with the directory where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Tree) -> Result<T, TreeError> + Send + 'static,
    ) -> S3Result<T> {
        let tree = self.tree.clone();
        let done = spawn_blocking(move || work(&tree)).await;
        done.map_err(|_| gone(action))?
            .map_err(|e| of_tree(action, e))
    }
}

/// All directories that are served, by name.
#[derive(Debug, Default)]
pub(crate) struct Served {
    buckets: BTreeMap<String, Arc<OpenBucket>>,
}

impl Served {
    /// One more; false if there is one of its name.
    pub(crate) fn add(&mut self, bucket: OpenBucket) -> bool {
        self.buckets
            .insert(bucket.name.clone(), Arc::new(bucket))
            .is_none()
    }

    pub(crate) fn bucket(&self, name: &str) -> S3Result<&Arc<OpenBucket>> {
        self.buckets
            .get(name)
            .ok_or_else(|| s3_error!(NoSuchBucket))
    }
}

/// The operations over them.
pub(crate) struct Service {
    pub(crate) served: Arc<Served>,
    pub(crate) object_bytes_max: u64,
    pub(crate) metrics: S3Metrics,
}

fn ok<T>(output: T) -> S3Result<S3Response<T>> {
    Ok(S3Response::new(output))
}

#[async_trait]
impl S3 for Service {
    async fn list_buckets(
        &self,
        req: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let prefix = req.input.prefix.unwrap_or_default();
        let mut buckets = Vec::new();
        for bucket in self
            .served
            .buckets
            .values()
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

    async fn head_bucket(
        &self,
        req: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.served.bucket(&req.input.bucket)?;
        ok(HeadBucketOutput::default())
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.served.bucket(&req.input.bucket)?;
        // None is how S3 says us-east-1, which every client takes for "anywhere".
        ok(GetBucketLocationOutput::default())
    }

    async fn list_objects_v2(
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

    async fn list_objects(
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

    async fn head_object(
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

    async fn get_object(
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

    async fn put_object(
        &self,
        req: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let (input, trailers) = (req.input, req.trailing_headers);
        let bucket = self.served.bucket(&input.bucket)?;
        let key = ObjectKey::parse(&input.key).map_err(refused)?;
        let condition = PutCondition::of(input.if_match, input.if_none_match)?;
        let said = Said {
            length: input.content_length,
            md5: input.content_md5,
            sums: Checksum {
                checksum_crc32: input.checksum_crc32,
                checksum_crc32c: input.checksum_crc32c,
                checksum_crc64nvme: input.checksum_crc64nvme,
                checksum_sha1: input.checksum_sha1,
                checksum_sha256: input.checksum_sha256,
                checksum_type: None,
            },
            behind: Said::behind(&req.headers),
            trailers,
        };
        let received = receive(
            &bucket.tree,
            input.body,
            said,
            self.object_bytes_max,
            &self.metrics,
        )
        .await?;
        let Received { staged, sums, .. } = received;
        let meta = bucket
            .blocking("put an object", move |tree| {
                tree.put(&staged, &key, condition.as_ref())
            })
            .await?;
        ok(PutObjectOutput {
            e_tag: Some(etag(&meta)),
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
            ..PutObjectOutput::default()
        })
    }

    async fn copy_object(
        &self,
        req: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let input = req.input;
        let conditions = [
            input.copy_source_if_modified_since.is_some(),
            input.copy_source_if_unmodified_since.is_some(),
            input.copy_source_if_match.is_some(),
            input.copy_source_if_none_match.is_some(),
        ];
        if conditions.contains(&true) {
            return Err(s3_error!(
                NotImplemented,
                "a copy is made without conditions"
            ));
        }
        let CopySource::Bucket {
            bucket,
            key,
            version_id: None,
        } = &input.copy_source
        else {
            return Err(s3_error!(
                NotImplemented,
                "a copy is made of an object that is named by bucket and key"
            ));
        };
        let from = self.served.bucket(bucket)?.clone();
        let source = ObjectKey::parse(key).map_err(no_such)?;
        let bucket = self.served.bucket(&input.bucket)?;
        let key = ObjectKey::parse(&input.key).map_err(refused)?;
        let bytes_max = self.object_bytes_max;
        let copy = move |tree: &Tree| {
            let (mut file, meta) = from.tree.open(&source)?;
            if meta.size > bytes_max {
                return Ok(None);
            }
            let staged = tree.stage();
            io::copy(&mut file, &mut File::create_new(staged.path())?)?;
            tree.put(&staged, &key, None).map(Some)
        };
        let Some(meta) = bucket.blocking("copy an object", copy).await? else {
            return Err(s3_error!(
                EntityTooLarge,
                "this store takes objects of at most {bytes_max} bytes"
            ));
        };
        ok(CopyObjectOutput {
            copy_object_result: Some(CopyObjectResult {
                e_tag: Some(etag(&meta)),
                last_modified: Some(meta.modified.into()),
                ..CopyObjectResult::default()
            }),
            ..CopyObjectOutput::default()
        })
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = req.input;
        let conditions = [
            input.if_match.is_some(),
            input.if_match_last_modified_time.is_some(),
            input.if_match_size.is_some(),
        ];
        if conditions.contains(&true) {
            return Err(s3_error!(
                NotImplemented,
                "an object is deleted without conditions"
            ));
        }
        let bucket = self.served.bucket(&input.bucket)?;
        let key = ObjectKey::parse(&input.key).map_err(refused)?;
        bucket
            .blocking("delete an object", move |tree| tree.delete(&key))
            .await?;
        ok(DeleteObjectOutput::default())
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let Delete { objects, quiet } = req.input.delete;
        if objects.len() > DELETES_MAX {
            return Err(s3_error!(
                MalformedXML,
                "at most {DELETES_MAX} objects are deleted at a time"
            ));
        }
        let bucket = self.served.bucket(&req.input.bucket)?;
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for object in objects {
            match delete_one(bucket, &object).await {
                Ok(()) => deleted.push(DeletedObject {
                    key: Some(object.key),
                    ..DeletedObject::default()
                }),
                Err(e) => errors.push(Error {
                    code: Some(e.code().as_str().to_owned()),
                    message: e.message().map(str::to_owned),
                    key: Some(object.key),
                    version_id: None,
                }),
            }
        }
        ok(DeleteObjectsOutput {
            deleted: Some(deleted).filter(|_| quiet != Some(true)),
            errors: Some(errors),
            ..DeleteObjectsOutput::default()
        })
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = req.input;
        let bucket = self.served.bucket(&input.bucket)?;
        let key = ObjectKey::parse(&input.key).map_err(refused)?;
        let upload_id = bucket.uploads.begin(key)?;
        ok(CreateMultipartUploadOutput {
            upload_id: Some(upload_id),
            bucket: Some(input.bucket),
            key: Some(input.key),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: input.checksum_type,
            ..CreateMultipartUploadOutput::default()
        })
    }

    async fn upload_part(
        &self,
        req: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let (input, trailers) = (req.input, req.trailing_headers);
        let bucket = self.served.bucket(&input.bucket)?;
        let key = ObjectKey::parse(&input.key).map_err(refused)?;
        bucket
            .uploads
            .check(&input.upload_id, &key, input.part_number)?;
        let said = Said {
            length: input.content_length,
            md5: input.content_md5,
            sums: Checksum {
                checksum_crc32: input.checksum_crc32,
                checksum_crc32c: input.checksum_crc32c,
                checksum_crc64nvme: input.checksum_crc64nvme,
                checksum_sha1: input.checksum_sha1,
                checksum_sha256: input.checksum_sha256,
                checksum_type: None,
            },
            behind: Said::behind(&req.headers),
            trailers,
        };
        let received = receive(
            &bucket.tree,
            input.body,
            said,
            self.object_bytes_max,
            &self.metrics,
        )
        .await?;
        let sums = received.sums.clone();
        let added = bucket.uploads.add(
            &input.upload_id,
            &key,
            input.part_number,
            received,
            self.object_bytes_max,
        );
        ok(UploadPartOutput {
            e_tag: Some(ETag::Strong(added?)),
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
            ..UploadPartOutput::default()
        })
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = req.input;
        let bucket = self.served.bucket(&input.bucket)?;
        let key = ObjectKey::parse(&input.key).map_err(refused)?;
        let condition = PutCondition::of(input.if_match, input.if_none_match)?;
        let wanted = input
            .multipart_upload
            .and_then(|upload| upload.parts)
            .unwrap_or_default();
        let parts = bucket.uploads.parts(&input.upload_id, &key, &wanted)?;
        if input
            .mpu_object_size
            .is_some_and(|size| u64::try_from(size) != Ok(parts.bytes()))
        {
            return Err(s3_error!(
                InvalidRequest,
                "the parts have {} bytes together",
                parts.bytes()
            ));
        }
        let name = key.clone();
        let complete = move |tree: &Tree| {
            let staged = parts.join(tree)?;
            tree.put(&staged, &name, condition.as_ref())
        };
        let meta = bucket.blocking("complete an upload", complete).await?;
        // Another request may have ended it as well; the object is there.
        let _ = bucket.uploads.end(&input.upload_id, &key);
        ok(CompleteMultipartUploadOutput {
            e_tag: Some(etag(&meta)),
            bucket: Some(input.bucket),
            key: Some(input.key),
            ..CompleteMultipartUploadOutput::default()
        })
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = req.input;
        let bucket = self.served.bucket(&input.bucket)?;
        let key = ObjectKey::parse(&input.key).map_err(refused)?;
        bucket.uploads.end(&input.upload_id, &key)?;
        ok(AbortMultipartUploadOutput::default())
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

async fn delete_one(bucket: &OpenBucket, object: &ObjectIdentifier) -> S3Result<()> {
    let conditions = [
        object.e_tag.is_some(),
        object.last_modified_time.is_some(),
        object.size.is_some(),
        object.version_id.as_deref().is_some_and(|id| id != "null"),
    ];
    if conditions.contains(&true) {
        return Err(s3_error!(
            NotImplemented,
            "an object is deleted without conditions, and has one version"
        ));
    }
    let key = ObjectKey::parse(&object.key).map_err(refused)?;
    bucket
        .blocking("delete an object", move |tree| tree.delete(&key))
        .await
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
