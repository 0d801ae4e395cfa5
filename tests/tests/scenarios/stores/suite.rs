use std::sync::Arc;

use object_store::ObjectStore;
use object_store::prefix::PrefixStore;
use tarn_common::store::Store;
use tarn_common::store::failing::{FailingStore, Faults};
use tarn_tests::process::Launch;
use tarn_tests::s3::{self, BUCKET, S3Server};
use tarn_tests::tools;

#[path = "../../../../common/src/store/conformance.rs"]
mod conformance;

use conformance::Order;

fn bucket(endpoint: &str, bucket: &str) -> Arc<dyn ObjectStore> {
    Arc::new(PrefixStore::new(s3::objects(endpoint, bucket), "suite"))
}

fn store(objects: Arc<dyn ObjectStore>) -> Store {
    let url = format!("s3://{BUCKET}/suite").parse().expect("a URL");
    Store::over(url, objects)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_served_directory() {
    let folder = tools::folder("served");
    let mut server = Launch::store_server(folder.path(), "served").serve();
    let endpoint = server.s3_endpoint();
    let open = || store(bucket(&endpoint, BUCKET));
    let again = || {
        server.kill_9();
        server.restart();
    };
    conformance::check(open, Order::Keys, again).await;
    assert_eq!(server.terminate(), 0);
    server.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_box_keeps_for_its_neighbours() {
    let folder = tools::folder("neighbours");
    let mut edge = Launch::edge(folder.path(), "keeper")
        .arg("--s3", "127.0.0.1:0")
        .arg("--s3-access-key", s3::ACCESS_KEY)
        .arg("--s3-secret-key", s3::SECRET_KEY)
        .serve();
    let endpoint = edge.s3_endpoint();
    let open = || store(bucket(&endpoint, "neighbours"));
    conformance::check(open, Order::Keys, || {}).await;
    assert_eq!(edge.terminate(), 0);
    edge.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server() {
    let mut server = S3Server::start();
    let endpoint = server.endpoint();
    let open = || store(bucket(&endpoint, BUCKET));
    let again = || {
        server.kill_9();
        server.restart();
    };
    conformance::check(open, Order::Directories, again).await;
}

/// Each of them behind faults: whatever is answered in the end is done.
#[tokio::test(flavor = "multi_thread")]
async fn real_servers_behind_faults() {
    let seed = tools::seed();
    println!("seed {seed}: TARN_TEST_SEED={seed} repeats this run");
    let folder = tools::folder("faults");
    let served = Launch::store_server(folder.path(), "faults").serve();
    for (at, endpoint) in [served.s3_endpoint(), S3Server::shared().endpoint()]
        .iter()
        .enumerate()
    {
        let objects = Arc::new(PrefixStore::new(
            s3::objects(endpoint, BUCKET),
            format!("faults-{seed}"),
        ));
        let failing = FailingStore::new(objects, Faults::every(80), seed + at as u64);
        conformance::check_failing(&store(Arc::new(failing.clone())), 150).await;
        assert!(failing.failed() > 0);
    }
}
