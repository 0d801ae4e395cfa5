use s3s::{S3Request, S3Response, S3Result, dto::*, s3_error};

use crate::{
    conditions::{PutCondition, etag},
    error::refused,
    key::ObjectKey,
    receive::{Said, receive},
    service::{Service, ok},
    tree::Tree,
};

impl Service {
    pub(crate) async fn begin(
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

    pub(crate) async fn part(
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

    pub(crate) async fn complete(
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

    pub(crate) async fn abort(
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
