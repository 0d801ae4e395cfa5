use std::path::Path;
use std::time::Duration;

use tarn_tests::http::Http;
use tarn_tests::mosquitto::{Mosquitto, Version};
use tarn_tests::process::Launch;
use tarn_tests::{tools, wait};

const LIMIT: Duration = Duration::from_secs(20);
const RULES: &str = "\
user alice
topic readwrite home/alice/#
topic read home/weather
user reader
topic read home/#
pattern write status/%u/%c
";

/// `tarn user`, as an operator types it.
fn user(folder: &Path, words: &[&str], password: &str) -> String {
    Launch::command(folder, "user", &["user"])
        .arg("--password-file", folder.join("passwords").display())
        .words(words)
        .run_with_input(password)
        .succeeded()
}

/// Users come and go without a restart, and each may do what the rules say and nothing else.
#[test]
fn users_have_passwords_and_rights() {
    let folder = tools::folder("users");
    let folder = folder.path();
    assert_eq!(
        user(folder, &["add", "alice"], "well water\n"),
        "added alice\n"
    );
    assert_eq!(user(folder, &["add", "reader"], "book\n"), "added reader\n");
    assert_eq!(user(folder, &["list"], ""), "alice\nreader\n");
    std::fs::write(folder.join("rules"), RULES).expect("write the rules");
    let edge = Launch::edge(folder, "users")
        .arg("--password-file", folder.join("passwords").display())
        .arg("--acl-file", folder.join("rules").display())
        .serve();
    let log = folder.join("clients.log");
    let client = |version| Mosquitto::new(edge.mqtt_port()).version(version);
    let mut all = client(Version::V5)
        .login("reader", "book")
        .subscribe("home/#", 1, &log);

    for (version, refused) in [(Version::V311, ""), (Version::V5, "Not authorized")] {
        let alice = client(version).login("alice", "well water");
        // Version 5 is told; version 3.1.1 cannot be, and its publish is acked and dropped.
        let publish = alice.try_publish("home/bob/lamp", "on", 1, false);
        assert!(publish.stderr.contains(refused), "{publish}");
        assert!(!refused.is_empty() || publish.code() == 0, "{publish}");
        alice.publish("home/alice/lamp", "on", 1);
        // What she may only read she cannot write, and what she may not read she does not get.
        let _ = alice.try_publish("home/weather", "hail", 1, false);
        assert!(!alice.may_subscribe("home/bob/#"));
        assert!(!alice.may_subscribe("#"));
        assert!(alice.may_subscribe("home/weather"));
        // %u and %c stand for the user and the client.
        let named = alice.session("phone");
        named.publish("status/alice/phone", "here", 1);
        let other = named.try_publish("status/alice/tablet", "here", 1, false);
        assert!(other.stderr.contains(refused), "{other}");
    }
    let got: Vec<&str> = all
        .wait_for(2, LIMIT)
        .iter()
        .map(|m| m.topic.as_str())
        .collect();
    assert_eq!(got, ["home/alice/lamp"; 2]);
    let metrics = Http::new().get(&edge.url("/metrics"), "*/*").text();
    assert!(
        metrics.contains("tarn_mqtt_refused_total{reason=\"acl\"} 6"),
        "{metrics}"
    );

    // Another password, and no user any more.
    let may_enter = |password| {
        let alice = client(Version::V5).login("alice", password);
        alice.try_publish("home/alice/lamp", "off", 1, false).code() == 0
    };
    assert_eq!(
        user(folder, &["add", "alice"], "sea water\n"),
        "changed alice\n"
    );
    wait::until_true(LIMIT, "the new password should be known", || {
        may_enter("sea water")
    });
    assert!(!may_enter("well water"));
    assert_eq!(user(folder, &["remove", "alice"], ""), "removed alice\n");
    wait::until_true(LIMIT, "the user should be gone", || !may_enter("sea water"));
    edge.assert_quiet(&["login denied", "logins are held back"]);
}

/// Who guesses passwords is held back, and the log tells of it; others come in meanwhile.
#[test]
fn guesses_are_held_back() {
    let folder = tools::folder("guesses");
    let edge = Launch::edge(folder.path(), "guesses")
        .arg("--user", "alice:well water")
        .serve();
    let guess = Mosquitto::new(edge.mqtt_port())
        .version(Version::V5)
        .login("alice", "123456");
    wait::until_true(LIMIT, "guesses should be held back", || {
        let answer = guess.try_publish("home/lamp", "on", 1, false);
        assert_ne!(answer.code(), 0, "{answer}");
        answer.stderr.contains("rate exceeded")
    });
    let warnings = edge.unexpected_warnings(&["login denied"]);
    assert!(
        warnings.len() == 1 && warnings[0].contains("logins are held back"),
        "{warnings:?}"
    );
}
