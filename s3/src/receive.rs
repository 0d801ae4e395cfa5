use std::{io, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};
use futures::StreamExt;
use s3s::{
    S3Result, TrailingHeaders,
    checksum::ChecksumHasher,
    crypto::{Checksum as _, Md5},
    dto::{Checksum, StreamingBlob},
    s3_error,
};
use tokio::{fs::File, io::AsyncWriteExt, time::timeout};

use crate::{
    error::broken,
    metrics::S3Metrics,
    tree::{Staged, Tree},
};

/// How long a client may send nothing while it is to send an object.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// The header that says which headers follow behind the body.
const TRAILER: &str = "x-amz-trailer";

/// What a client says of the bytes that it sends.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) length: Option<i64>,
    pub(crate) md5: Option<String>,
    pub(crate) sums: Checksum,
    /// Names of the checksums that come behind the body.
    pub(crate) behind: String,
    pub(crate) trailers: Option<TrailingHeaders>,
}

impl Said {
    /// Which checksums come behind the body.
    pub(crate) fn behind(headers: &hyper::HeaderMap) -> String {
        let named = headers.get_all(TRAILER).iter();
        let named = named.filter_map(|value| value.to_str().ok());
        named.collect::<Vec<_>>().join(",").to_ascii_lowercase()
    }
}

/// Bytes that came whole.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) staged: Staged,
    pub(crate) bytes: u64,
    /// Every checksum that the client named, computed here.
    pub(crate) sums: Checksum,
    pub(crate) md5: [u8; 16],
}

/// Write a body aside and hold it against all that was said of it. Nothing of it stays where it does not hold.
pub(crate) async fn receive(
    tree: &Tree,
    body: Option<StreamingBlob>,
    said: Said,
    bytes_max: u64,
    metrics: &S3Metrics,
) -> S3Result<Received> {
    let too_large = || {
        s3_error!(
            EntityTooLarge,
            "this store takes objects of at most {bytes_max} bytes"
        )
    };
    if said
        .length
        .is_some_and(|length| u64::try_from(length).is_ok_and(|length| length > bytes_max))
    {
        return Err(too_large());
    }
    let staged = tree.stage();
    let write = |e: io::Error| broken("write what was sent", &e);
    let mut file = File::create_new(staged.path()).await.map_err(write)?;
    let (mut hasher, mut md5, mut bytes) = (hasher(&said), Md5::new(), 0);
    let mut body = body;
    while let Some(part) = next(body.as_mut()).await? {
        bytes += part.len() as u64;
        metrics.received_bytes.inc_by(part.len() as u64);
        if bytes > bytes_max {
            return Err(too_large());
        }
        hasher.update(&part);
        md5.update(&part);
        file.write_all(&part).await.map_err(write)?;
    }
    // Without it the last bytes may still be on their way to the file.
    file.flush().await.map_err(write)?;
    let received = Received {
        staged,
        bytes,
        sums: hasher.finalize(),
        md5: md5.finalize(),
    };
    received.check(said)?;
    Ok(received)
}

async fn next(body: Option<&mut StreamingBlob>) -> S3Result<Option<bytes::Bytes>> {
    let Some(body) = body else { return Ok(None) };
    match timeout(IDLE_MAX, body.next()).await {
        Err(_) => Err(s3_error!(RequestTimeout, "nothing came for a minute")),
        Ok(None) => Ok(None),
        Ok(Some(Ok(part))) => Ok(Some(part)),
        // The line broke, or the bytes are not those that were signed.
        Ok(Some(Err(e))) => Err(s3_error!(IncompleteBody, "{e}")),
    }
}

/// The five kinds of checksums, by the header that each comes in.
fn hasher(said: &Said) -> ChecksumHasher {
    fn named<T: Default>(is_said: &Option<String>, behind: &str, header: &str) -> Option<T> {
        let is_named = is_said.is_some() || behind.split(',').any(|name| name.trim() == header);
        is_named.then(T::default)
    }
    let (sums, behind) = (&said.sums, said.behind.as_str());
    ChecksumHasher {
        crc32: named(&sums.checksum_crc32, behind, "x-amz-checksum-crc32"),
        crc32c: named(&sums.checksum_crc32c, behind, "x-amz-checksum-crc32c"),
        sha1: named(&sums.checksum_sha1, behind, "x-amz-checksum-sha1"),
        sha256: named(&sums.checksum_sha256, behind, "x-amz-checksum-sha256"),
        crc64nvme: named(&sums.checksum_crc64nvme, behind, "x-amz-checksum-crc64nvme"),
    }
}

impl Received {
    fn check(&self, said: Said) -> S3Result<()> {
        if let Some(length) = said.length
            && u64::try_from(length) != Ok(self.bytes)
        {
            return Err(s3_error!(
                IncompleteBody,
                "{length} bytes were announced, {} came",
                self.bytes
            ));
        }
        if said.md5.is_some_and(|md5| md5 != STANDARD.encode(self.md5)) {
            return Err(s3_error!(BadDigest, "the bytes that came have another MD5"));
        }
        let trailers = said.trailers.and_then(|trailers| trailers.take());
        let behind = |header: &str| {
            let value = trailers.as_ref()?.get(header)?;
            value.to_str().ok().map(str::to_owned)
        };
        for (computed, before, header) in [
            (
                &self.sums.checksum_crc32,
                said.sums.checksum_crc32,
                "x-amz-checksum-crc32",
            ),
            (
                &self.sums.checksum_crc32c,
                said.sums.checksum_crc32c,
                "x-amz-checksum-crc32c",
            ),
            (
                &self.sums.checksum_sha1,
                said.sums.checksum_sha1,
                "x-amz-checksum-sha1",
            ),
            (
                &self.sums.checksum_sha256,
                said.sums.checksum_sha256,
                "x-amz-checksum-sha256",
            ),
            (
                &self.sums.checksum_crc64nvme,
                said.sums.checksum_crc64nvme,
                "x-amz-checksum-crc64nvme",
            ),
        ] {
            // What is computed was named; a checksum that was named and did not come is none that agrees.
            if computed.is_some() && before.or_else(|| behind(header)) != *computed {
                return Err(s3_error!(
                    BadDigest,
                    "the bytes that came have another {header}"
                ));
            }
        }
        Ok(())
    }
}
