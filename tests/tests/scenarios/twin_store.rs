use std::process::Command;
use std::sync::Arc;

use tarn_common::store::Store;
use tarn_common::twin::store::{TwinStore, bucket::BucketStore, homes};
use tarn_tests::s3::S3Server;

#[path = "../../../common/src/twin/store/conformance.rs"]
mod conformance;

/// The variable that names the store to a child.
const STORE: &str = "TARN_TEST_TWINS";

/// The library takes the keys of a bucket from its environment, which a process has only one of: the suite runs in a child.
#[test]
fn a_bucket_on_a_real_server_is_a_store_of_twins() {
    let server = S3Server::shared();
    let child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "--ignored", "twin_store::in_a_child"])
        .env(STORE, server.fresh_store("twins"))
        .envs(server.variables())
        .output()
        .expect("runs");
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{output}");
    assert!(output.contains("1 passed"), "{output}");
}

#[tokio::test]
#[ignore = "is run by the scenario above"]
async fn in_a_child() {
    let url = std::env::var(STORE).expect("is run by the scenario above");
    let store = Store::open(&url).expect("opens");
    let home: tarn_common::ids::HomeId = "lakeside".parse().expect("home");
    let open = || -> Arc<dyn TwinStore> { Arc::new(BucketStore::new(store.clone(), home.clone())) };
    conformance::check(open).await;
    assert_eq!(homes(&store).await.expect("lists"), [home]);
}
