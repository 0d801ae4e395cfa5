use bytes::Bytes;
use futures::future::join_all;
use object_store::aws::AmazonS3;
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, UpdateVersion};
use tarn_tests::process::Launch;
use tarn_tests::s3::{self, BUCKET, S3Server};
use tarn_tests::tools;

/// Bytes of a part, as S3 has it at least.
const PART: usize = 5 << 20;

/// What holds of any server that readers of Parquet and writers of tables rely on.
async fn check(objects: &AmazonS3, name: &str) {
    let key = |end: &str| Key::from(format!("{name}/{end}"));
    let content = Bytes::from_static(b"0123456789");
    objects
        .put(&key("ten"), content.clone().into())
        .await
        .expect("puts");
    for (range, wanted) in [
        (GetRange::Bounded(0..4), "0123"),
        (GetRange::Bounded(4..5), "4"),
        (GetRange::Bounded(8..99), "89"),
        (GetRange::Offset(7), "789"),
        (GetRange::Suffix(3), "789"),
        (GetRange::Suffix(99), "0123456789"),
    ] {
        let options = GetOptions {
            range: Some(range.clone()),
            ..GetOptions::default()
        };
        let got = objects.get_opts(&key("ten"), options).await.expect("gets");
        assert_eq!(got.bytes().await.expect("whole"), wanted, "{range}");
    }
    objects
        .get_range(&key("ten"), 10..12)
        .await
        .expect_err("is behind the end");
    let ranges = objects.get_ranges(&key("ten"), &[1..3, 5..6]).await;
    assert_eq!(ranges.expect("gets"), ["12", "5"]);

    let head = objects.head(&key("ten")).await.expect("there");
    let tag = head.e_tag.clone().expect("has a tag");
    assert_eq!(head.size, 10);
    let again = objects.head(&key("ten")).await.expect("there");
    assert_eq!(again.e_tag, head.e_tag);
    let only = |if_match: Option<&str>, if_none_match: Option<&str>| GetOptions {
        if_match: if_match.map(str::to_owned),
        if_none_match: if_none_match.map(str::to_owned),
        ..GetOptions::default()
    };
    for (options, wanted) in [
        (only(Some(&tag), None), "sent"),
        (only(Some("\"other\""), None), "precondition"),
        (only(None, Some(&tag)), "not modified"),
        (only(None, Some("\"other\"")), "sent"),
    ] {
        let got = match objects.get_opts(&key("ten"), options).await {
            Ok(_) => "sent",
            Err(object_store::Error::Precondition { .. }) => "precondition",
            Err(object_store::Error::NotModified { .. }) => "not modified",
            Err(e) => panic!("{e}"),
        };
        assert_eq!(got, wanted);
    }

    let part = |n: u8| Bytes::from(vec![n; PART]);
    let mut upload = objects.put_multipart(&key("parts")).await.expect("begins");
    let parts = [1, 2].map(|n| upload.put_part(part(n).into()));
    for put in join_all(parts).await {
        put.expect("part");
    }
    upload
        .put_part(Bytes::from_static(b"end").into())
        .await
        .expect("part");
    upload.complete().await.expect("completes");
    let whole = objects
        .get(&key("parts"))
        .await
        .expect("gets")
        .bytes()
        .await
        .expect("whole");
    assert!(whole == [&part(1)[..], &part(2), b"end"].concat());
    let mut upload = objects
        .put_multipart(&key("aborted"))
        .await
        .expect("begins");
    upload.put_part(part(1).into()).await.expect("part");
    upload.abort().await.expect("aborts");
    objects
        .head(&key("aborted"))
        .await
        .expect_err("never came to be");

    objects
        .copy(&key("ten"), &key("copy"))
        .await
        .expect("copies");
    assert_eq!(
        objects
            .get(&key("copy"))
            .await
            .expect("gets")
            .bytes()
            .await
            .expect("whole"),
        content
    );

    let once = key("once");
    let put = async |n: u8, mode: PutMode| {
        let put = objects.put_opts(&once, Bytes::from(vec![n]).into(), mode.into());
        put.await
    };
    let won = join_all((0..16).map(|n| put(n, PutMode::Create))).await;
    assert_eq!(won.iter().filter(|put| put.is_ok()).count(), 1, "{won:?}");
    put(99, PutMode::Create)
        .await
        .expect_err("is there already");
    let version = UpdateVersion::from(won.into_iter().find_map(Result::ok).expect("one won"));
    // Other contents than before: a tag may be that of the content.
    let won = join_all((100..116).map(|n| put(n, PutMode::Update(version.clone())))).await;
    assert_eq!(won.iter().filter(|put| put.is_ok()).count(), 1, "{won:?}");
    put(99, PutMode::Update(version))
        .await
        .expect_err("is another one by now");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_served_directory_is_what_real_servers_are() {
    let folder = tools::folder("objects");
    let server = Launch::store_server(folder.path(), "objects").serve();
    check(&s3::objects(&server.s3_endpoint(), BUCKET), "ours").await;
    let real = s3::objects(&S3Server::shared().endpoint(), BUCKET);
    check(&real, "objects").await;
    server.assert_quiet(&[]);
}
