//! `tarn store`: a directory, served by the S3 protocol.

use std::{net::SocketAddr, path::PathBuf};

use bytesize::ByteSize;
use clap::Args;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tarn_edge::served::S3Settings;
use tarn_s3::{Bucket, KeyPair, Rights, S3Server, Settings, StartError, kept_keys};
use tokio_util::sync::CancellationToken;

use crate::{
    config::over_file,
    exit::Failure,
    serve::{Common, allow_open_files, tell_ready},
};

/// The bucket unless it is named.
const BUCKET: &str = "tarn";
/// Where keys are kept that were made here, in the directory and never served.
const KEYS: &str = ".tarn-store.json";

/// `tarn store`.
#[derive(Debug, Args)]
pub(crate) struct StoreCommand {
    #[command(flatten)]
    settings: ServedArgs,
    #[command(flatten)]
    common: Common,
}

/// What can be said of a store. `None` is "not said here".
#[derive(Debug, Default, Clone, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ServedArgs {
    /// Directory that holds the objects, each at its key; made if absent
    #[arg(long, env = "TARN_STORE_DIR", value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    dir: Option<PathBuf>,
    /// Where it listens, in plain HTTP; nobody gets anything without a key [default: 127.0.0.1:9000]
    #[arg(long, env = "TARN_STORE_LISTEN", value_name = "ADDR:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,
    /// Name of the bucket [default: tarn]
    #[arg(long, env = "TARN_STORE_BUCKET", value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<String>,
    /// Access key that clients name [default: one is made, printed once and kept in DIR/.tarn-store.json, and a second one that may only read]
    #[arg(long, env = "TARN_STORE_ACCESS_KEY", value_name = "KEY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key: Option<String>,
    /// Secret that they sign with: 16 characters or more
    #[arg(
        long,
        env = "TARN_STORE_SECRET_KEY",
        value_name = "SECRET",
        hide_env_values = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_key: Option<String>,
    /// Size of the largest object that is taken [default: 256MiB]
    #[arg(long, env = "TARN_STORE_OBJECT_SIZE", value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    object_size: Option<ByteSize>,
    /// Take nothing and delete nothing
    #[arg(long, env = "TARN_STORE_READ_ONLY")]
    #[serde(default)]
    read_only: bool,
}

/// How a box serves its directory. `None` is "not said here".
#[derive(Debug, Default, Clone, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct S3Args {
    /// Serve this box's objects by the S3 protocol, in plain HTTP: bucket tarn to be read, bucket neighbours for copies of other boxes [default: not at all]
    #[arg(long, env = "TARN_S3", value_name = "ADDR:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    s3: Option<SocketAddr>,
    /// Access key for it [default: one is made and kept in s3-keys.json of the data directory, and a second one that may only read]
    #[arg(long, env = "TARN_S3_ACCESS_KEY", value_name = "KEY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    s3_access_key: Option<String>,
    /// Secret for it: 16 characters or more
    #[arg(
        long,
        env = "TARN_S3_SECRET_KEY",
        value_name = "SECRET",
        hide_env_values = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    s3_secret_key: Option<String>,
}

impl S3Args {
    /// Check them.
    pub(crate) fn settings(self) -> Result<Option<S3Settings>, Failure> {
        let keys = given_keys("s3-", self.s3_access_key, self.s3_secret_key)?;
        Ok(self.s3.map(|listen| S3Settings { listen, keys }))
    }
}

/// Run until a signal.
pub(crate) async fn run(command: StoreCommand, stop: CancellationToken) -> Result<(), Failure> {
    let args = over_file(command.settings, command.common.config.as_ref())?;
    let settings = args.settings()?;
    allow_open_files(settings.connections_max);
    let bucket = settings.buckets[0].name.clone();
    let started = S3Server::start(settings, &mut Registry::default()).await;
    let server = started.map_err(|e| match e {
        StartError::Listen { .. } | StartError::Directory { .. } => Failure::broken(e),
        other => Failure::usage(other.to_string()),
    })?;
    let addresses = json!({ "s3": server.addr().to_string(), "bucket": bucket });
    tell_ready(&command.common, &addresses)?;
    stop.cancelled().await;
    server.shutdown().await;
    Ok(())
}

impl ServedArgs {
    fn settings(self) -> Result<Settings, Failure> {
        let directory = self.dir.ok_or_else(|| {
            Failure::usage("--dir is missing (or TARN_STORE_DIR, or `dir` in the file)".into())
        })?;
        let keys = match given_keys("", self.access_key, self.secret_key)? {
            Some(pair) => vec![pair],
            None => keys_of(&directory)?,
        };
        let bucket = Bucket {
            name: self.bucket.unwrap_or_else(|| BUCKET.to_owned()),
            directory,
            rights: if self.read_only {
                Rights::Read
            } else {
                Rights::ReadWrite
            },
        };
        let listen = self
            .listen
            .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9000)));
        let settings = Settings::new(listen, vec![bucket], keys);
        Ok(Settings {
            object_bytes_max: self
                .object_size
                .map_or(settings.object_bytes_max, |s| s.as_u64()),
            ..settings
        })
    }
}

/// The pair of keys that was given, if one was; `prefix` is that of the flags.
fn given_keys(
    prefix: &str,
    access: Option<String>,
    secret: Option<String>,
) -> Result<Option<KeyPair>, Failure> {
    match (access, secret) {
        (None, None) => Ok(None),
        (Some(access), Some(secret)) => Ok(Some(KeyPair {
            access,
            secret,
            rights: Rights::ReadWrite,
        })),
        _ => Err(Failure::usage(format!(
            "--{prefix}access-key and --{prefix}secret-key go together; give both, or none to have them made"
        ))),
    }
}

/// The keys that are kept in the directory. Those that are made just now are printed, once.
fn keys_of(directory: &std::path::Path) -> Result<Vec<KeyPair>, Failure> {
    std::fs::create_dir_all(directory)
        .map_err(|e| Failure::usage(format!("--dir {}: {e}", directory.display())))?;
    let file = directory.join(KEYS);
    let kept = kept_keys(&file).map_err(|e| Failure::usage(e.to_string()))?;
    if kept.is_new {
        println!("access key  {}", kept.owner.access);
        println!("secret key  {}", kept.owner.secret);
        println!("for readers {}", kept.reader.access);
        println!("secret key  {}", kept.reader.secret);
        println!("These are shown once. They are kept in {}.", file.display());
    }
    Ok(vec![kept.owner, kept.reader])
}
