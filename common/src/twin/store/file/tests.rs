use super::*;
use crate::durable::RealDisk;

#[tokio::test]
async fn it_is_a_store_of_twins() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("twins").join("twins.log");
    let open = || -> Arc<dyn TwinStore> {
        Arc::new(FileStore::open(Arc::new(RealDisk), &path).expect("opens"))
    };
    super::super::conformance::check(open).await;
}
