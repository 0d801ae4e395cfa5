use std::sync::Arc;

use super::*;

#[tokio::test]
async fn it_is_a_store_of_twins() {
    let dir = tempfile::tempdir().expect("dir");
    let store = Store::directory(dir.path()).expect("store");
    let home: HomeId = "lakeside".parse().expect("home");
    let open = || -> Arc<dyn TwinStore> { Arc::new(BucketStore::new(store.clone(), home.clone())) };
    assert!(homes(&store).await.expect("lists").is_empty());
    super::super::conformance::check(open).await;
    assert_eq!(homes(&store).await.expect("lists"), [home]);
}
