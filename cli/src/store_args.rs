//! `--store` and what belongs to it.

use clap::Args;
use serde::{Deserialize, Deserializer, Serialize};
use tarn_common::store::Store;

use crate::exit::Failure;

/// Which stores.
#[derive(Debug, Default, Clone, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct StoreArgs {
    /// Where chunks are: file:///dir or s3://bucket/prefix (with AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION); may be repeated (in the variable: with spaces between). A URL may say more: ?name=attic&weight=2&zone=house, and for S3 &endpoint=http://…&region=…; a store with a name has its keys in TARN_STORE_<NAME>_ACCESS_KEY_ID and TARN_STORE_<NAME>_SECRET_ACCESS_KEY
    #[arg(long, env = "TARN_STORE", value_name = "URL", value_delimiter = ' ')]
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        default,
        deserialize_with = "one_or_many"
    )]
    pub(crate) store: Vec<String>,
}

/// In the file one store is a text, several are a list.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(url) => vec![url],
        OneOrMany::Many(urls) => urls,
    })
}

impl StoreArgs {
    /// Open them; nothing is sent yet.
    pub(crate) fn open(&self) -> Result<Vec<Store>, Failure> {
        let urls = self.store.iter().filter(|url| !url.is_empty());
        urls.map(|url| open_store(url)).collect()
    }

    /// The same, where at least one is needed.
    pub(crate) fn open_some(&self) -> Result<Vec<Store>, Failure> {
        let stores = self.open()?;
        if stores.is_empty() {
            let missing = "--store is missing (or TARN_STORE, or `store` in the file)";
            return Err(Failure::usage(missing.into()));
        }
        Ok(stores)
    }
}

/// Open the store of a `--store` flag.
fn open_store(url: &str) -> Result<Store, Failure> {
    Store::open(url).map_err(|e| Failure::usage(format!("--store: {e}")))
}
