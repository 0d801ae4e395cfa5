use std::time::Duration;

use serde_json::{Value, json};
use tarn_tests::access;
use tarn_tests::certificates::Certificates;
use tarn_tests::http::Http;
use tarn_tests::process::{Launch, Service};
use tarn_tests::{python, tools, wait};

const LIMIT: Duration = Duration::from_secs(60);

fn audit(service: &Service, home: &str) -> Vec<Value> {
    let page = Http::new().json(&service.url(&format!("/v1/homes/{home}/audit")));
    page["entries"].as_array().expect("entries").clone()
}

fn tarn_token(folder: &std::path::Path, words: &[&str]) -> String {
    let words: Vec<&str> = ["token"].iter().chain(words).copied().collect();
    let made = Launch::command(folder, "token", &words).run();
    made.succeeded().trim().to_owned()
}

/// What a box has answered as done is noted over a power cut, in its own answers, in SQL, and in the store.
#[test]
fn who_changed_what_outlives_a_power_cut() {
    let folder = tools::folder("audit");
    let store = format!("file://{}/store", folder.path().display());
    let mut edge = Launch::edge(folder.path(), "noted")
        .arg("--cut-age", "2s")
        .store(&store, &[])
        .serve();
    let member = Http::anonymous().with_token(&access::token("ada", "member", &["noted"]));
    let rooms = |edge: &Service, n: usize| edge.url(&format!("/v1/homes/noted/rooms/room-{n}"));
    for n in 0..20 {
        let answer = member
            .try_put(&rooms(&edge, n), &json!({}))
            .expect("an answer");
        assert!(answer.status < 300, "{} {}", answer.status, answer.text());
    }
    let refused = member.get(&edge.url("/v1/tokens"), "*/*");
    assert_eq!(refused.status, 403, "{}", refused.text());
    edge.kill_9();
    edge.restart();
    let entries = audit(&edge, "noted");
    let done: Vec<&Value> = entries
        .iter()
        .filter(|e| e["operation"] == "putRoom")
        .collect();
    assert_eq!(done.len(), 20, "{entries:?}");
    assert!(
        done.iter()
            .all(|e| e["actor"] == "ada" && e["role"] == "member" && e["outcome"] == "done")
    );
    let sql = json!({"sql": "SELECT CAST(count(*) AS BIGINT) FROM events WHERE kind = 'audit' AND reason = 'done' AND text LIKE '%putRoom%'"});
    let counted = Http::new().post(&edge.url("/v1/sql"), &sql);
    assert_eq!(counted["rows"][0][0], 20);
    let glob = format!("{}/store/events/**/*.parquet", folder.path().display());
    let count = format!(
        "import duckdb\ntry:\n  print(duckdb.sql(\"select count(*) from read_parquet('{glob}') \
         where kind = 'audit' and text like '%putRoom%'\").fetchone()[0])\n\
         except duckdb.IOException:\n  print('nothing yet')"
    );
    wait::until_true(LIMIT, "the rows should be in the store", || {
        python::code(&count).trim() == "20"
    });
    assert_eq!(edge.terminate(), 0);
    let verify = Launch::command(folder.path(), "verify", &["verify"]);
    let _ = verify.store(&store, &[]).run().succeeded();
}

/// A token of one cloud is good at another on the same store, and revoked at one it is refused at the other.
#[test]
fn clouds_on_one_store_know_each_others_tokens() {
    let folder = tools::folder("two-clouds");
    let store = format!("file://{}/store", folder.path().display());
    let mut edge = Launch::edge(folder.path(), "lakeside")
        .store(&store, &[])
        .serve();
    let clouds = ["one", "two"].map(|name| {
        let place = folder.path().join(name);
        std::fs::create_dir_all(&place).expect("make a folder");
        Launch::cloud(&place).store(&store, &[]).serve()
    });
    let owner = Http::new();
    let new = json!({"name": "reader", "role": "analyst", "homes": ["lakeside"]});
    let made = owner.post(&clouds[0].url("/v1/tokens"), &new);
    let reader = Http::anonymous().with_token(made["token"].as_str().expect("a token"));
    let status = |cloud: &Service| reader.get(&cloud.url("/v1/homes"), "*/*").status;
    assert_eq!(clouds.each_ref().map(status), [200, 200]);
    let id = made["record"]["id"].as_str().expect("an id");
    let revoked = owner.delete(&clouds[1].url(&format!("/v1/tokens/{id}")));
    assert_eq!(revoked.status, 204, "{}", revoked.text());
    assert_eq!(status(&clouds[1]), 401);
    wait::until_true(LIMIT, "the other should hear of it", || {
        status(&clouds[0]) == 401
    });
    // What the clouds note is in the store, and no fault to a check of it.
    wait::until_true(LIMIT, "it should be noted", || {
        let entries = audit(&clouds[0], "_fleet");
        ["createToken", "revokeToken"].iter().all(|name| {
            entries
                .iter()
                .any(|e| e["operation"] == *name && e["outcome"] == "done")
        })
    });
    assert_eq!(edge.terminate(), 0);
    let verify = Launch::command(folder.path(), "verify", &["verify"]);
    let _ = verify.store(&store, &[]).run().succeeded();
}

/// Tokens made beside a running box, by who has its files.
#[test]
fn a_token_of_the_command_line_is_good_at_once() {
    let folder = tools::folder("token");
    let edge = Launch::edge(folder.path(), "mine").serve();
    let data = folder.path().join("mine").display().to_string();
    let made = tarn_token(
        folder.path(),
        &[
            "create", "--data", &data, "--name", "me", "--role", "guest", "--homes", "mine",
            "--json",
        ],
    );
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let me = Http::anonymous().with_token(made["token"].as_str().expect("a token"));
    assert_eq!(
        me.get(&edge.url("/v1/homes/mine/devices"), "*/*").status,
        200
    );
    assert_eq!(me.get(&edge.url("/v1/sql"), "*/*").status, 405);
    let listed = tarn_token(folder.path(), &["list", "--data", &data]);
    let id = made["id"].as_str().expect("an id");
    assert!(listed.contains(id), "{listed}");
    let told = tarn_token(folder.path(), &["revoke", "--data", &data, id]);
    assert_eq!(told, format!("revoked {id}"));
    wait::until_true(LIMIT, "the box should refuse it", || {
        me.get(&edge.url("/v1/homes"), "*/*").status == 401
    });
    edge.assert_quiet(&[]);
}

/// HTTP beyond this machine needs a certificate, and with one it is TLS.
#[test]
fn other_machines_are_served_by_tls() {
    let folder = tools::folder("https");
    let data = folder.path().join("data").display().to_string();
    let words = [
        "edge",
        "--data",
        &data,
        "--home",
        "h",
        "--http",
        "0.0.0.0:0",
    ];
    let told = Launch::command(folder.path(), "edge", &words).run();
    assert_eq!(told.code(), 2, "{told}");
    assert!(
        told.stderr.contains("--http-cert") && told.stderr.contains("--http-plain"),
        "{told}"
    );

    let files = Certificates::make(folder.path());
    let edge = Launch::edge(folder.path(), "safe")
        .arg("--http-cert", files.certificate.display())
        .arg("--http-key", files.key.display())
        .serve();
    let url = edge
        .url("/v1/homes/safe/devices")
        .replace("http://", "https://");
    let https = Http::trusting(&files.ca);
    wait::until_true(LIMIT, "the box should serve by TLS", || {
        https
            .try_get(&url, "*/*")
            .is_ok_and(|answer| answer.status == 200)
    });
    let plain = Http::new().try_get(&edge.url("/healthz"), "*/*");
    assert!(plain.is_err(), "{plain:?}");
}
