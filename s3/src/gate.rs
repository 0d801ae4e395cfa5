use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use hyper::{
    HeaderMap, Method, Request,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use s3s::{
    S3Error, S3Result,
    access::{S3Access, S3AccessContext},
    auth::{S3Auth, SecretKey},
    s3_error,
};

use crate::{
    served::Served,
    settings::{KeyPair, Rights},
};

/// Every operation that is served, with what it takes. Whatever is not here is answered with NotImplemented, before anything is read of it.
const OPERATIONS: [(&str, Rights); 15] = [
    ("ListBuckets", Rights::Read),
    ("HeadBucket", Rights::Read),
    ("GetBucketLocation", Rights::Read),
    ("ListObjects", Rights::Read),
    ("ListObjectsV2", Rights::Read),
    ("HeadObject", Rights::Read),
    ("GetObject", Rights::Read),
    ("PutObject", Rights::ReadWrite),
    ("CopyObject", Rights::ReadWrite),
    ("DeleteObject", Rights::ReadWrite),
    ("DeleteObjects", Rights::ReadWrite),
    ("CreateMultipartUpload", Rights::ReadWrite),
    ("UploadPart", Rights::ReadWrite),
    ("CompleteMultipartUpload", Rights::ReadWrite),
    ("AbortMultipartUpload", Rights::ReadWrite),
];

/// Beginnings of headers that ask for what an object here has not: whoever sends one would miss it later.
const NOT_KEPT: [&str; 11] = [
    "x-amz-meta-",
    "x-amz-tagging",
    "x-amz-server-side-encryption",
    "x-amz-copy-source-server-side-encryption",
    "x-amz-object-lock-",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
    "x-amz-grant-",
    "x-amz-mfa",
    "x-amz-expected-bucket-owner",
    "x-amz-source-expected-bucket-owner",
];

/// Headers of a PUT that S3 gives back with the object.
const NOT_KEPT_OF_PUTS: [&str; 4] = [
    "cache-control",
    "content-disposition",
    "content-language",
    "expires",
];

/// Values of headers that ask for nothing but what everybody gets.
const ORDINARY: [(&str, &[&str]); 3] = [
    ("x-amz-acl", &["private", "bucket-owner-full-control"]),
    ("x-amz-storage-class", &["STANDARD"]),
    ("content-encoding", &["aws-chunked", "identity", ""]),
];

/// Parameters that name one of several versions or parts of an object.
const NOT_KEPT_PARAMETERS: [&str; 1] = ["versionId"];

/// What a request turned out to ask, for who counts it.
pub(crate) type Asked = Arc<OnceLock<&'static str>>;

/// Refuse at once what the library would work on before it knows who asks, or take by a signature that is out of use.
pub(crate) fn refuse_early<B>(request: &Request<B>) -> Option<S3Error> {
    let header = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let is_form = header(CONTENT_TYPE)
        .is_some_and(|mime| mime.to_ascii_lowercase().starts_with("multipart/"));
    if request.method() == Method::POST && is_form {
        return Some(s3_error!(
            NotImplemented,
            "objects are not taken from forms"
        ));
    }
    let is_v2 = header(AUTHORIZATION).is_some_and(|value| value.starts_with("AWS "))
        || request
            .uri()
            .query()
            .is_some_and(|query| query.contains("AWSAccessKeyId="));
    is_v2.then(|| {
        s3_error!(
            NotImplemented,
            "requests are signed by version 4 of the signature"
        )
    })
}

/// Who may come in: the library compares signatures, in constant time.
pub(crate) struct Keys(pub(crate) Vec<KeyPair>);

#[async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let pair = self.0.iter().find(|pair| pair.access == access_key);
        let pair =
            pair.ok_or_else(|| s3_error!(InvalidAccessKeyId, "there is no such access key"))?;
        Ok(pair.secret.clone().into())
    }
}

/// Who may do what.
pub(crate) struct Gate {
    pub(crate) served: Arc<Served>,
    pub(crate) keys: Vec<KeyPair>,
}

#[async_trait]
impl S3Access for Gate {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let asked = cx
            .extensions_mut()
            .get::<Asked>()
            .cloned()
            .unwrap_or_default();
        let name = cx.s3_op().name().to_owned();
        let operation = OPERATIONS.iter().find(|(served, _)| *served == name);
        let _ = asked.set(operation.map_or("other", |(name, _)| name));
        let key = cx
            .credentials()
            .map(|credentials| credentials.access_key.clone());
        let key = self
            .keys
            .iter()
            .find(|pair| key.as_ref() == Some(&pair.access));
        let Some(key) = key else {
            return Err(s3_error!(AccessDenied, "nothing is served without a key"));
        };
        let Some((_, takes)) = operation else {
            return Err(s3_error!(NotImplemented, "{name} is not served here"));
        };
        if let Some(name) = cx.s3_path().get_bucket_name() {
            let bucket = self.served.bucket(name)?;
            let may_write = key.rights == Rights::ReadWrite && bucket.rights == Rights::ReadWrite;
            if *takes == Rights::ReadWrite && !may_write {
                return Err(s3_error!(
                    AccessDenied,
                    "{name} is only read, at least with this key"
                ));
            }
        }
        check_headers(cx.headers(), *takes)?;
        check_parameters(cx.uri().query().unwrap_or_default())
    }
}

fn check_headers(headers: &HeaderMap, takes: Rights) -> S3Result<()> {
    let is_put = takes == Rights::ReadWrite;
    for (name, value) in headers {
        let name = name.as_str();
        let is_missed = NOT_KEPT.iter().any(|start| name.starts_with(start))
            || (is_put && NOT_KEPT_OF_PUTS.contains(&name));
        let is_special = is_put
            && ORDINARY.iter().any(|(header, ordinary)| {
                *header == name && !is_ordinary(value.to_str().unwrap_or("?"), ordinary)
            });
        if is_missed || is_special {
            return Err(s3_error!(
                NotImplemented,
                "objects here have bytes and nothing else: {name} is not kept"
            ));
        }
    }
    Ok(())
}

fn is_ordinary(value: &str, ordinary: &[&str]) -> bool {
    value.split(',').all(|word| ordinary.contains(&word.trim()))
}

fn check_parameters(query: &str) -> S3Result<()> {
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if NOT_KEPT_PARAMETERS.contains(&name) && value != "null" {
            return Err(s3_error!(
                NotImplemented,
                "objects here have one version: {name} is not known"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )])
    }

    #[test]
    fn what_would_be_missed_later_is_refused() {
        for (name, value, on_put, on_get) in [
            ("x-amz-meta-colour", "blue", false, false),
            ("x-amz-server-side-encryption", "AES256", false, false),
            ("x-amz-acl", "public-read", false, true),
            ("x-amz-acl", "private", true, true),
            ("x-amz-storage-class", "GLACIER", false, true),
            ("content-encoding", "gzip", false, true),
            ("content-encoding", "aws-chunked, gzip", false, true),
            ("content-encoding", "aws-chunked", true, true),
            ("cache-control", "no-cache", false, true),
            ("content-type", "text/plain", true, true),
        ] {
            let headers = headers(name, value);
            assert_eq!(
                check_headers(&headers, Rights::ReadWrite).is_ok(),
                on_put,
                "{name}: {value}"
            );
            assert_eq!(
                check_headers(&headers, Rights::Read).is_ok(),
                on_get,
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn versions_are_not_known() {
        for (query, is_fine) in [
            ("", true),
            ("versionId=null", true),
            ("a&versionId=7", false),
            ("versionId", false),
        ] {
            assert_eq!(check_parameters(query).is_ok(), is_fine, "{query}");
        }
    }

    #[test]
    fn forms_and_old_signatures_are_refused_at_once() {
        let request = |method: &str, uri: &str, name: &str, value: &str| {
            Request::builder()
                .method(method)
                .uri(uri)
                .header(name, value)
                .body(())
                .expect("request")
        };
        for (request, is_refused) in [
            (
                request(
                    "POST",
                    "/tarn",
                    "content-type",
                    "Multipart/form-data; boundary=x",
                ),
                true,
            ),
            (
                request("PUT", "/tarn/a", "content-type", "multipart/form-data"),
                false,
            ),
            (
                request("GET", "/tarn/a", "authorization", "AWS AK:signature"),
                true,
            ),
            (
                request(
                    "GET",
                    "/tarn/a",
                    "authorization",
                    "AWS4-HMAC-SHA256 Credential=",
                ),
                false,
            ),
            (
                request(
                    "GET",
                    "/tarn/a?AWSAccessKeyId=AK&Signature=x",
                    "accept",
                    "*/*",
                ),
                true,
            ),
            (
                request("POST", "/tarn?delete", "content-type", "application/xml"),
                false,
            ),
        ] {
            assert_eq!(refuse_early(&request).is_some(), is_refused, "{request:?}");
        }
    }
}
