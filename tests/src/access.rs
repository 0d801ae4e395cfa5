//! Whose tokens the services of scenarios take: an issuer of this process, beside those that they have themselves.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use crate::tools;

#[derive(Debug)]
struct Issuer {
    folder: tempfile::TempDir,
    owner: String,
}

/// A token of an owner of all homes.
#[must_use]
pub fn owner() -> &'static str {
    &issuer().owner
}

/// The keys for `--token-keys`.
#[must_use]
pub fn keys() -> PathBuf {
    issuer().folder.path().join("keys.json")
}

/// A token of that issuer.
#[must_use]
pub fn token(name: &str, role: &str, homes: &[&str]) -> String {
    make_token(issuer().folder.path(), name, role, homes)
}

fn issuer() -> &'static Issuer {
    static ISSUER: OnceLock<Issuer> = OnceLock::new();
    ISSUER.get_or_init(|| {
        let folder = tools::folder("issuer");
        let keys = tarn_token(folder.path(), &["keys"]);
        std::fs::write(folder.path().join("keys.json"), keys).expect("write the keys");
        let owner = make_token(folder.path(), "tests", "owner", &["*"]);
        Issuer { folder, owner }
    })
}

fn make_token(folder: &Path, name: &str, role: &str, homes: &[&str]) -> String {
    let homes = homes.join(",");
    let words = ["create", "--name", name, "--role", role, "--homes", &homes];
    tarn_token(folder, &words).trim().to_owned()
}

fn tarn_token(folder: &Path, words: &[&str]) -> String {
    let key = folder.join("issuer.key");
    let made = Command::new(tools::tarn())
        .arg("token")
        .arg("--key")
        .arg(&key)
        .args(words)
        .stdin(Stdio::null())
        .env_remove("TARN_DATA")
        .env_remove("TARN_STORE")
        .output()
        .expect("run tarn token");
    assert!(made.status.success(), "tarn token {words:?}: {made:?}");
    String::from_utf8(made.stdout).expect("text")
}
