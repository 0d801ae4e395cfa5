use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The binary under test: `TARN_BIN`, or else the one that cargo built beside the test binary.
#[must_use]
pub fn tarn() -> PathBuf {
    if let Some(path) = std::env::var_os("TARN_BIN") {
        return existing(PathBuf::from(path), "TARN_BIN");
    }
    let test_binary = std::env::current_exe().expect("a running program has a path");
    // Test binaries lie in <target>/<profile>/deps, programs one folder up.
    let profile = test_binary.parent().and_then(Path::parent);
    let path = profile.map(|dir| dir.join("tarn")).unwrap_or_default();
    existing(path, "the tarn binary beside this test binary")
}

/// The Python that has the packages of `tests/python/requirements.txt`.
#[must_use]
pub fn python() -> PathBuf {
    required("TARN_PYTHON")
}

/// SeaweedFS's program.
#[must_use]
pub fn weed() -> PathBuf {
    required("TARN_WEED")
}

/// The packages of Node.js that `scripts/setup.sh` installs, beside the Python environment.
#[must_use]
pub fn node_modules() -> PathBuf {
    let python = python();
    let environment = python.parent().and_then(Path::parent);
    environment.expect("an environment").join("node_modules")
}

/// A script under `tests/python`.
#[must_use]
pub fn script(name: &str) -> PathBuf {
    existing(source("python").join(name), "a script of tests/python")
}

/// A path of the sources, given from the `tests` folder, where cargo runs tests. A path that is compiled
/// in would be that of another checkout when two of them share their build products.
#[must_use]
pub fn source(path: &str) -> PathBuf {
    std::path::absolute(path).expect("there is a current folder")
}

/// A folder for the files of one server or scenario, removed when dropped.
#[must_use]
pub fn folder(name: &str) -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix(&format!("tarn-test-{name}-"))
        .tempdir()
        .expect("make a temporary folder")
}

/// A number that differs between runs: the seed of a scenario, which prints it.
///
/// `TARN_TEST_SEED` repeats an earlier run.
#[must_use]
pub fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| match std::env::var("TARN_TEST_SEED") {
        Ok(text) => text.parse().expect("TARN_TEST_SEED is a number"),
        Err(_) => rand::random_range(0..1_000_000),
    })
}

fn required(variable: &str) -> PathBuf {
    match std::env::var_os(variable) {
        Some(path) => existing(PathBuf::from(path), variable),
        None => {
            panic!("{variable} is not set. Run `make test`: it installs what the scenarios need")
        }
    }
}

fn existing(path: PathBuf, what: &str) -> PathBuf {
    assert!(
        path.exists(),
        "{what}: there is no {}. Run `make test`: it builds and installs what the scenarios need",
        path.display()
    );
    path
}
