use std::{collections::BTreeMap, sync::Arc};

use s3s::{S3Result, s3_error};
use tokio::task::spawn_blocking;

use crate::{
    error::{gone, of_tree},
    settings::{Bucket, Rights},
    tree::{Tree, TreeError},
    uploads::Uploads,
};

/// A directory that is served.
#[derive(Debug)]
pub(crate) struct OpenBucket {
    pub(crate) name: String,
    pub(crate) rights: Rights,
    pub(crate) tree: Arc<Tree>,
    pub(crate) uploads: Uploads,
}

impl OpenBucket {
    pub(crate) fn new(settings: &Bucket, tree: Tree) -> OpenBucket {
        OpenBucket {
            name: settings.name.clone(),
            rights: settings.rights,
            tree: Arc::new(tree),
            uploads: Uploads::default(),
        }
    }

    /// Do something with the directory where it may block.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Tree) -> Result<T, TreeError> + Send + 'static,
    ) -> S3Result<T> {
        let tree = self.tree.clone();
        let done = spawn_blocking(move || work(&tree)).await;
        done.map_err(|_| gone(action))?
            .map_err(|e| of_tree(action, e))
    }
}

/// All directories that are served, by name.
#[derive(Debug, Default)]
pub(crate) struct Served {
    buckets: BTreeMap<String, Arc<OpenBucket>>,
}

impl Served {
    /// One more; false if there is one of its name.
    pub(crate) fn add(&mut self, bucket: OpenBucket) -> bool {
        self.buckets
            .insert(bucket.name.clone(), Arc::new(bucket))
            .is_none()
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<OpenBucket>> {
        self.buckets.values()
    }

    pub(crate) fn bucket(&self, name: &str) -> S3Result<&Arc<OpenBucket>> {
        self.buckets
            .get(name)
            .ok_or_else(|| s3_error!(NoSuchBucket, "there is no such bucket"))
    }
}
