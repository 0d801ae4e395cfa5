use std::net::SocketAddr;

use prometheus_client::registry::Registry;
use tarn_s3::{Bucket, KeyPair, KeysError, Rights, S3Server, Settings, StartError, kept_keys};

use crate::identity::DataDir;

/// The bucket that is the box's own lake: to be read.
const LAKE: &str = "tarn";
/// The bucket in which other boxes keep their copies.
const NEIGHBOURS: &str = "neighbours";

/// How a box serves its directory.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// Where; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The keys for it; where none are given they are made, and kept beside the box's other state.
    pub keys: Option<KeyPair>,
}

/// Why the directory is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The keys cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The server does not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// A box as a store: its lake for whoever reads, and a place for the copies of its neighbours.
pub(crate) async fn serve(
    settings: &S3Settings,
    data: &DataDir,
    registry: &mut Registry,
) -> Result<S3Server, ServeError> {
    let keys = match &settings.keys {
        Some(pair) => vec![pair.clone()],
        None => {
            let file = data.s3_keys();
            let kept = kept_keys(&file)?;
            if kept.is_new {
                tracing::info!(file = %file.display(), "keys for S3 were made");
            }
            vec![kept.owner, kept.reader]
        }
    };
    // Only the cut writes into the lake, and the budget takes from it.
    let buckets = [
        (LAKE, data.lake(), Rights::Read),
        (NEIGHBOURS, data.neighbours(), Rights::ReadWrite),
    ];
    let buckets = buckets.map(|(name, directory, rights)| Bucket {
        name: name.to_owned(),
        directory,
        rights,
    });
    let settings = Settings::new(settings.listen, buckets.into(), keys);
    Ok(S3Server::start(settings, registry).await?)
}
