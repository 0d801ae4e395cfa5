use serde_json::{Value, json};
use tarn_tests::process::Launch;
use tarn_tests::s3::S3Server;
use tarn_tests::{python, tools};

/// What must come back as it was.
const SAME: [&str; 9] = [
    "round trip",
    "stream with a checksum behind it",
    "20 MiB in parts",
    "odd keys",
    "pages",
    "common prefixes",
    "copy",
    "delete many",
    "presigned",
];

/// What must be refused, and how.
const REFUSED: [(&str, u16, &str); 35] = [
    ("wrong secret", 403, "SignatureDoesNotMatch"),
    ("unknown key", 403, "InvalidAccessKeyId"),
    ("no key", 403, "AccessDenied"),
    ("no such key", 404, "NoSuchKey"),
    ("no such bucket", 404, "NoSuchBucket"),
    ("out of the directory", 400, "InvalidArgument"),
    ("empty part", 400, "InvalidArgument"),
    ("below an object", 400, "InvalidArgument"),
    ("a directory", 400, "InvalidArgument"),
    ("the server's own", 400, "InvalidArgument"),
    ("read the server's own", 404, "NoSuchKey"),
    ("wrong MD5", 400, "BadDigest"),
    ("wrong SHA-256", 400, "BadDigest"),
    ("wrong CRC-32", 400, "BadDigest"),
    ("there already", 412, "PreconditionFailed"),
    ("behind the end", 416, "InvalidRange"),
    ("no such upload", 404, "NoSuchUpload"),
    ("metadata", 501, "NotImplemented"),
    ("encryption", 501, "NotImplemented"),
    ("tags of a put", 501, "NotImplemented"),
    ("public", 501, "NotImplemented"),
    ("a version", 501, "NotImplemented"),
    ("create bucket", 501, "NotImplemented"),
    ("delete bucket", 501, "NotImplemented"),
    ("get tags", 501, "NotImplemented"),
    ("get acl", 501, "NotImplemented"),
    ("put acl", 501, "NotImplemented"),
    ("versioning", 501, "NotImplemented"),
    ("lifecycle", 501, "NotImplemented"),
    ("policy", 501, "NotImplemented"),
    ("list uploads", 501, "NotImplemented"),
    ("list parts", 501, "NotImplemented"),
    ("list versions", 501, "NotImplemented"),
    ("a form", 501, "NotImplemented"),
    ("an old signature", 501, "NotImplemented"),
];

/// The client that most programs use.
#[test]
fn boto3_gets_what_it_asks_for_or_is_told() {
    let folder = tools::folder("boto3");
    let mut server = Launch::store_server(folder.path(), "boto3").serve();
    let variables = S3Server::variables_for(&server.s3_endpoint());
    let report = python::run("s3_client.py", &["everything", "tarn"], &variables).succeeded();
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let same = SAME.map(|name| (name.to_owned(), json!("same")));
    let refused = REFUSED.map(|(name, status, code)| (name.to_owned(), json!([status, code])));
    let wanted: Value = same.into_iter().chain(refused).collect();
    assert_eq!(report, wanted);
    assert_eq!(server.terminate(), 0);
    server.assert_quiet(&[]);
}

/// DuckDB writes in parts and reads by ranges and globs.
#[test]
fn duckdb_writes_and_reads() {
    let folder = tools::folder("duckdb");
    let server = Launch::store_server(folder.path(), "duckdb").serve();
    let variables = S3Server::variables_for(&server.s3_endpoint());
    let report = python::run("s3_client.py", &["duckdb", "tarn"], &variables).succeeded();
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(
        report,
        json!([
            [3_000_000, 1_499_998_500_000_i64],
            [["a b", 10], ["c=d", 10]]
        ])
    );
    server.assert_quiet(&[]);
}

/// Keys that nobody gave are made once, shown once, and good.
#[test]
fn keys_are_made_and_shown_once() {
    let folder = tools::folder("keys");
    let dir = folder.path().join("store");
    let start = |name: &str| {
        let ready = folder.path().join("ready");
        let _ = std::fs::remove_file(&ready);
        let launch = Launch::command(folder.path(), name, &["store", "--listen", "127.0.0.1:0"])
            .arg("--dir", dir.display())
            .arg("--ready-file", ready.display());
        let child = launch.start();
        let address = tarn_tests::wait::until(
            std::time::Duration::from_secs(30),
            "it should serve",
            || {
                let ready: Value = serde_json::from_slice(&std::fs::read(&ready).ok()?).ok()?;
                Some(ready["s3"].as_str()?.to_owned())
            },
        );
        (child, address)
    };
    let (child, address) = start("first");
    let said = child.output();
    let word = |at: usize| {
        let lines = said
            .lines()
            .filter(|line| line.contains(" key ") || line.contains("for readers"));
        let line = lines
            .clone()
            .nth(at)
            .unwrap_or_else(|| panic!("no keys: {said}"));
        line.split_whitespace().last().expect("a word").to_owned()
    };
    let variables = |address: &str, first: usize| {
        let mut variables = S3Server::variables_for(&format!("http://{address}"));
        for (name, value) in &mut variables {
            match name.as_str() {
                "AWS_ACCESS_KEY_ID" => *value = word(first),
                "AWS_SECRET_ACCESS_KEY" => *value = word(first + 1),
                _ => {}
            }
        }
        variables
    };
    let put = |address: &str, first: usize| {
        let variables = variables(address, first);
        python::run("s3_client.py", &["put", "tarn", "a"], &variables).succeeded()
    };
    assert!(put(&address, 0).contains("put"));
    assert!(put(&address, 2).contains("AccessDenied"));
    drop(child);
    let (child, address) = start("second");
    assert!(!child.output().contains("secret key"), "{}", child.output());
    assert!(put(&address, 0).contains("put"));
}

#[test]
fn what_makes_no_sense_is_refused_with_the_fix() {
    let folder = tools::folder("senseless");
    let dir = folder.path().join("store").display().to_string();
    for (words, said) in [
        (vec!["store"], "--dir is missing"),
        (
            vec!["store", "--dir", &dir, "--access-key", "a"],
            "go together",
        ),
        (
            vec![
                "store",
                "--dir",
                &dir,
                "--access-key",
                "a",
                "--secret-key",
                "short",
            ],
            "too short",
        ),
        (
            vec!["store", "--dir", &dir, "--bucket", "No_Bucket"],
            "3 to 63",
        ),
    ] {
        let finished = Launch::command(folder.path(), "senseless", &words).run();
        assert_eq!(finished.code(), 2, "{finished}");
        assert!(finished.stderr.contains(said), "{finished}");
    }
}
