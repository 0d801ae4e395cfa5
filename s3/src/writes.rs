use std::{fs::File, io};

use s3s::{S3Request, S3Response, S3Result, dto::*, s3_error};

use crate::{
    conditions::{PutCondition, etag},
    error::{no_such, refused},
    key::ObjectKey,
    receive::{Received, Said, receive},
    served::OpenBucket,
    service::{Service, ok},
    tree::Tree,
};

/// Keys that one request may delete, as S3 has it.
const DELETES_MAX: usize = 1000;

impl Service {
    pub(crate) async fn put(
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

    pub(crate) async fn copy(
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

    pub(crate) async fn delete(
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

    pub(crate) async fn delete_many(
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
