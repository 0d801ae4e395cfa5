use std::{fs, path::Path, time::Duration};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt, PutMode, PutPayload, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, Checksum},
    path::Path as Key,
};
use prometheus_client::registry::Registry;

use crate::{Bucket, KeyPair, Rights, S3Server, Settings, StartError, metrics::RequestLabels};

const BUCKET: &str = "tarn";
const SECRET: &str = "sixteen-letters-";

fn pair(access: &str, rights: Rights) -> KeyPair {
    KeyPair {
        access: access.into(),
        secret: SECRET.into(),
        rights,
    }
}

fn settings(directory: &Path) -> Settings {
    let bucket = Bucket {
        name: BUCKET.into(),
        directory: directory.to_owned(),
        rights: Rights::ReadWrite,
    };
    let keys = vec![
        pair("owner", Rights::ReadWrite),
        pair("reader", Rights::Read),
    ];
    Settings::new("127.0.0.1:0".parse().expect("address"), vec![bucket], keys)
}

async fn start(settings: Settings) -> Result<S3Server, StartError> {
    S3Server::start(settings, &mut Registry::default()).await
}

fn client(server: &S3Server, access: &str, secret: &str) -> AmazonS3 {
    let once = RetryConfig {
        max_retries: 0,
        retry_timeout: Duration::from_secs(30),
        backoff: BackoffConfig::default(),
    };
    AmazonS3Builder::new()
        .with_endpoint(format!("http://{}", server.addr()))
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .with_retry(once)
        .with_region("anywhere")
        .with_bucket_name(BUCKET)
        .with_access_key_id(access)
        .with_secret_access_key(secret)
        .with_checksum_algorithm(Checksum::SHA256)
        .build()
        .expect("client")
}

fn counted(server: &S3Server, operation: &'static str, outcome: &'static str) -> u64 {
    let labels = RequestLabels { operation, outcome };
    server.metrics().requests.get_or_create(&labels).get()
}

#[tokio::test]
async fn what_is_asked_is_counted() {
    let dir = tempfile::tempdir().expect("dir");
    let server = start(settings(dir.path())).await.expect("starts");
    let s3 = client(&server, "owner", SECRET);
    let key = Key::from("a/b");
    s3.put(&key, "hello".into()).await.expect("puts");
    assert_eq!(
        fs::read(dir.path().join("a/b")).expect("is there"),
        b"hello"
    );
    assert_eq!(
        s3.get(&key)
            .await
            .expect("gets")
            .bytes()
            .await
            .expect("whole"),
        "hello"
    );
    assert_eq!(s3.get_range(&key, 1..3).await.expect("gets"), "el");
    s3.get(&Key::from("none")).await.expect_err("is not there");
    client(&server, "owner", "another-secret--")
        .get(&key)
        .await
        .expect_err("is refused");
    client(&server, "nobody", SECRET)
        .get(&key)
        .await
        .expect_err("is refused");
    client(&server, "reader", SECRET)
        .get(&key)
        .await
        .expect("may read");
    client(&server, "reader", SECRET)
        .put(&key, "x".into())
        .await
        .expect_err("may not put");
    assert_eq!(counted(&server, "PutObject", "ok"), 1);
    assert_eq!(counted(&server, "PutObject", "refused"), 1);
    assert_eq!(counted(&server, "GetObject", "ok"), 3);
    assert_eq!(counted(&server, "GetObject", "refused"), 1);
    assert_eq!(counted(&server, "none", "refused"), 2);
    assert_eq!(server.metrics().received_bytes.get(), 5);
    assert_eq!(server.metrics().sent_bytes.get(), 12);
}

#[tokio::test]
async fn objects_have_a_bound_by_every_way_they_come() {
    let dir = tempfile::tempdir().expect("dir");
    let bounded = Settings {
        object_bytes_max: 6 << 20,
        ..settings(dir.path())
    };
    let server = start(bounded).await.expect("starts");
    let s3 = client(&server, "owner", SECRET);
    let bytes = |mib: usize| PutPayload::from(Bytes::from(vec![7; mib << 20]));
    s3.put(&Key::from("fits"), bytes(6)).await.expect("fits");
    s3.put(&Key::from("large"), bytes(7))
        .await
        .expect_err("is too large");
    let mut upload = s3.put_multipart(&Key::from("parts")).await.expect("begins");
    upload.put_part(bytes(5)).await.expect("fits");
    upload
        .put_part(bytes(5))
        .await
        .expect_err("is too large together");
    upload.abort().await.expect("aborts");
    let listed: Vec<_> = s3.list(None).try_collect().await.expect("lists");
    assert_eq!(listed.len(), 1, "{listed:?}");
    let uploads = fs::read_dir(dir.path().join(".tarn-uploads")).expect("reads");
    assert_eq!(uploads.count(), 0, "bytes that nobody wants stay");
}

#[tokio::test]
async fn an_upload_in_parts_is_there_when_it_is_complete() {
    let dir = tempfile::tempdir().expect("dir");
    let server = start(settings(dir.path())).await.expect("starts");
    let s3 = client(&server, "owner", SECRET);
    let key = Key::from("x/parts");
    let mut upload = s3.put_multipart(&key).await.expect("begins");
    for part in ["one ", "two ", "three"] {
        upload.put_part(part.into()).await.expect("part");
    }
    s3.head(&key).await.expect_err("is not complete");
    let put = upload.complete().await.expect("completes");
    let found = s3.get(&key).await.expect("gets");
    assert_eq!(found.meta.e_tag, put.e_tag);
    assert_eq!(found.bytes().await.expect("whole"), "one two three");
    upload.complete().await.expect_err("is complete already");
}

#[tokio::test]
async fn creating_is_won_by_one() {
    let dir = tempfile::tempdir().expect("dir");
    let server = start(settings(dir.path())).await.expect("starts");
    let s3 = client(&server, "owner", SECRET);
    let key = Key::from("once");
    let puts =
        (0..8).map(|n: u8| s3.put_opts(&key, Bytes::from(vec![n]).into(), PutMode::Create.into()));
    let won = futures::future::join_all(puts).await;
    assert_eq!(won.iter().filter(|put| put.is_ok()).count(), 1);
}

#[tokio::test]
async fn a_directory_that_is_read_only_takes_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    fs::write(dir.path().join("a"), "a").expect("write");
    let mut settings = settings(dir.path());
    settings.buckets[0].rights = Rights::Read;
    let server = start(settings).await.expect("starts");
    let s3 = client(&server, "owner", SECRET);
    let key = Key::from("a");
    s3.put(&key, "x".into()).await.expect_err("is read only");
    s3.delete(&key).await.expect_err("is read only");
    s3.put_multipart(&key).await.expect_err("is read only");
    assert_eq!(
        s3.get(&key)
            .await
            .expect("gets")
            .bytes()
            .await
            .expect("whole"),
        "a"
    );
    assert_eq!(fs::read_dir(dir.path()).expect("reads").count(), 1);
}

#[tokio::test]
async fn a_server_ends_and_lets_go_of_its_directory() {
    let dir = tempfile::tempdir().expect("dir");
    let server = start(settings(dir.path())).await.expect("starts");
    let s3 = client(&server, "owner", SECRET);
    s3.put(&Key::from("a"), "a".into()).await.expect("puts");
    assert!(matches!(
        start(settings(dir.path())).await,
        Err(StartError::InUse(_))
    ));
    // The client keeps its connection open, which is not waited for.
    server.shutdown().await;
    let server = start(settings(dir.path())).await.expect("starts again");
    let s3 = client(&server, "owner", SECRET);
    assert_eq!(
        s3.get(&Key::from("a"))
            .await
            .expect("gets")
            .bytes()
            .await
            .expect("whole"),
        "a"
    );
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let check = async |change: fn(&mut Settings), said: &str| {
        let mut settings = settings(dir.path());
        change(&mut settings);
        let error = start(settings).await.expect_err(said).to_string();
        assert!(error.contains(said), "{error}");
    };
    check(|s| s.keys.clear(), "without a key").await;
    check(|s| s.keys[0].secret = "short".into(), "too short").await;
    check(|s| s.keys[0].access = "a/b".into(), "made of").await;
    check(|s| s.keys[1].access = "owner".into(), "twice").await;
    check(|s| s.buckets[0].name = "No_Bucket".into(), "3 to 63").await;
    check(
        |s| {
            let mut other = s.buckets[0].clone();
            other.rights = Rights::Read;
            s.buckets.push(other);
        },
        "two buckets",
    )
    .await;
    check(
        |s| s.buckets[0].directory = "/dev/null/x".into(),
        "/dev/null/x",
    )
    .await;
}
