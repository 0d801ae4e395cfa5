//! The stores of the demo: directories, each served by the S3 protocol.

use std::{net::SocketAddr, path::Path};

use prometheus_client::registry::Registry;
use tarn_common::store::Store;
use tarn_s3::{Bucket, KeyPair, Rights, S3Server, Settings};

use crate::exit::Failure;

/// Stores of the demo.
const STORES: usize = 3;
/// Copies of each chunk.
pub(super) const COPIES: usize = 2;

/// Three stores that run in this process.
pub(super) struct ServedStores {
    servers: Vec<S3Server>,
    /// The stores, as boxes and cloud reach them.
    pub(super) stores: Vec<Store>,
}

impl ServedStores {
    /// Serve directories in `dir`, each with a key of its own.
    pub(super) async fn start(dir: &Path) -> Result<ServedStores, Failure> {
        let mut served = ServedStores {
            servers: Vec::new(),
            stores: Vec::new(),
        };
        for number in 1..=STORES {
            let name = format!("store-{number}");
            let bucket = Bucket {
                name: "tarn".into(),
                directory: dir.join(&name),
                rights: Rights::ReadWrite,
            };
            let secret = format!("{:032x}", rand::random::<u128>());
            let keys = KeyPair {
                access: name.clone(),
                secret: secret.clone(),
                rights: Rights::ReadWrite,
            };
            let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
            let settings = Settings::new(any_port, vec![bucket], vec![keys]);
            let server = S3Server::start(settings, &mut Registry::default()).await;
            let server = server.map_err(Failure::broken)?;
            let url = format!(
                "s3://tarn?name={name}&endpoint=http://{}&region=us-east-1",
                server.addr()
            );
            let key = |variable: &str| {
                let of = |what: &str| variable.ends_with(what);
                let key = of("_ACCESS_KEY_ID").then(|| name.clone());
                key.or_else(|| of("_SECRET_ACCESS_KEY").then(|| secret.clone()))
            };
            let store = Store::open_with(&url, &key).map_err(Failure::broken)?;
            served.stores.push(store);
            served.servers.push(server);
        }
        Ok(served)
    }

    /// Where they are, one line each.
    pub(super) fn introduce(&self, dir: &Path) {
        for (number, server) in (1..).zip(&self.servers) {
            let directory = dir.join(format!("store-{number}"));
            println!(
                "  store-{number}      http://{}   {}",
                server.addr(),
                directory.display()
            );
        }
    }

    /// Stop them, the requests under way first.
    pub(super) async fn shutdown(self) {
        for server in self.servers {
            server.shutdown().await;
        }
    }
}
