use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::{ObjectStoreExt, RetryConfig, path::Path as Key};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::child::Managed;
use crate::{ports, tools, wait};

/// The bucket that exists from the start.
pub const BUCKET: &str = "tarn";
/// The key that servers of the tests know.
pub const ACCESS_KEY: &str = "tarn-test";
/// Its secret.
pub const SECRET_KEY: &str = "tarn-test-secret";
const REGION: &str = "us-east-1";
/// How long the server may take to start.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// What it prints when all its parts serve and the bucket is there.
const READY_LINE: &str = "All enabled components are running";
/// An object that is there from the start.
const PROBE: &str = "probe";

/// A SeaweedFS server of its own ports and folder. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct S3Server {
    child: Managed,
    ports: Ports,
    // Dropped after the process, so that the folder is removed when nobody writes to it any more.
    folder: TempDir,
}

impl S3Server {
    /// The server that the scenarios of this test binary share. Never pause or stop this one.
    #[must_use]
    pub fn shared() -> &'static S3Server {
        static SHARED: OnceLock<S3Server> = OnceLock::new();
        SHARED.get_or_init(S3Server::start)
    }

    /// A server for one scenario that pauses or kills it.
    #[must_use]
    pub fn start() -> S3Server {
        let folder = tools::folder("s3");
        let ports = Ports::pick();
        let child = spawn(folder.path(), &ports);
        let mut server = S3Server {
            child,
            ports,
            folder,
        };
        server.wait_ready();
        server.wait_until_usable(true);
        server
    }

    /// Where it serves S3.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The same as `address:port`, for a proxy in front of it.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.s3)
    }

    /// The usual AWS variables that lead to it.
    #[must_use]
    pub fn variables(&self) -> Vec<(String, String)> {
        S3Server::variables_for(&self.endpoint())
    }

    /// The same for another endpoint, such as a proxy's.
    #[must_use]
    pub fn variables_for(endpoint: &str) -> Vec<(String, String)> {
        let pairs = [
            ("AWS_ENDPOINT_URL", endpoint),
            // The name that object_store and older tools read.
            ("AWS_ENDPOINT", endpoint),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            // Otherwise SDKs ask the metadata service of a cloud machine, which is not there.
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    }

    /// The URL of a store that nobody has used yet.
    #[must_use]
    pub fn fresh_store(&self, name: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        format!("s3://{BUCKET}/{name}-{number}")
    }

    /// Lets it answer nothing any more, while connections still open: an outage as a hung server makes.
    pub fn pause(&mut self) {
        self.child.signal(Signal::STOP);
    }

    /// Ends a pause.
    pub fn resume(&mut self) {
        self.child.signal(Signal::CONT);
    }

    /// Kills it: connections are refused from now on.
    pub fn kill_9(&mut self) {
        self.child.kill_9();
        self.ports.remove_sockets();
    }

    /// Starts it again after [`S3Server::kill_9`], with its data and on the same ports.
    pub fn restart(&mut self) {
        assert!(
            self.child.ended().is_some(),
            "the S3 server is still running"
        );
        self.child = spawn(self.folder.path(), &self.ports);
        self.wait_ready();
        self.wait_until_usable(false);
    }

    fn wait_ready(&mut self) {
        let child = &mut self.child;
        wait::until_true(READY_LIMIT, "the S3 server should be ready", || {
            if let Some(status) = child.ended() {
                panic!("the S3 server ended: {status}\n{}", child.tail());
            }
            child.output().contains(READY_LINE)
        });
    }

    /// Its parts find each other a moment after it says that it is ready: only then can something be
    /// stored, or what is stored be read.
    fn wait_until_usable(&self, is_new: bool) {
        // A thread of its own, as the scenario's may belong to a runtime already.
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| self.wait_until_it_answers(is_new));
            waiting.join().expect("the S3 server should store and read");
        });
    }

    fn wait_until_it_answers(&self, is_new: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("build a runtime");
        let store = self.bucket();
        let key = Key::from(PROBE);
        let limit = READY_LIMIT;
        wait::until_true(limit, "the S3 server should store and read", || {
            runtime.block_on(async {
                if is_new {
                    return store.put(&key, PROBE.into()).await.is_ok();
                }
                match store.get(&key).await {
                    Ok(found) => found.bytes().await.is_ok(),
                    Err(_) => false,
                }
            })
        });
    }

    fn bucket(&self) -> AmazonS3 {
        objects(&self.endpoint(), BUCKET)
    }
}

/// A bucket of any server that has the keys of the tests, without their environment. Nothing is tried twice.
#[must_use]
pub fn objects(endpoint: &str, bucket: &str) -> AmazonS3 {
    let once = RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    };
    AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_access_key_id(ACCESS_KEY)
        .with_secret_access_key(SECRET_KEY)
        .with_region(REGION)
        .with_bucket_name(bucket)
        .with_checksum_algorithm(Checksum::SHA256)
        .with_retry(once)
        .build()
        .expect("all is given")
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.child.kill_9();
        self.ports.remove_sockets();
    }
}

/// Every port that the server opens. Those that are not named on its command line would be fixed ones.
#[derive(Debug)]
pub struct Ports {
    /// Where it serves S3.
    pub s3: u16,
    grpc: [u16; 5],
    http: [u16; 4],
}

impl Ports {
    /// Free ones.
    #[must_use]
    pub fn pick() -> Ports {
        Ports {
            s3: ports::free(),
            grpc: std::array::from_fn(|_| ports::free()),
            http: std::array::from_fn(|_| ports::free()),
        }
    }

    /// As the program wants them.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let [master, volume, filer, admin] = self.http;
        let [master_grpc, volume_grpc, filer_grpc, s3_grpc, admin_grpc] = self.grpc;
        let named = [
            ("s3.port", self.s3),
            ("s3.port.grpc", s3_grpc),
            ("s3.port.iceberg", 0),
            ("s3.port.lance", 0),
            ("master.port", master),
            ("master.port.grpc", master_grpc),
            ("volume.port", volume),
            ("volume.port.grpc", volume_grpc),
            ("filer.port", filer),
            ("filer.port.grpc", filer_grpc),
            // The admin server listens even when its pages are switched off.
            ("admin.port", admin),
            ("admin.port.grpc", admin_grpc),
        ];
        named.map(|(flag, port)| format!("-{flag}={port}")).to_vec()
    }

    /// It leaves a socket for each gRPC port in the system's folder for temporary files, under a name
    /// that no flag changes.
    fn sockets(&self) -> Vec<PathBuf> {
        let parts = ["master", "volume", "filer", "s3", "admin"];
        let name = |(part, port)| format!("/tmp/seaweedfs-{part}-grpc-{port}.sock").into();
        parts.iter().zip(self.grpc).map(name).collect()
    }

    fn remove_sockets(&self) {
        for socket in self.sockets() {
            // A server that ended well has removed them itself.
            let _ = std::fs::remove_file(socket);
        }
    }
}

fn spawn(folder: &Path, ports: &Ports) -> Managed {
    let users = folder.join("users.json");
    let everything = r#"["Admin","Read","Write","List","Tagging"]"#;
    let document = format!(
        r#"{{"identities":[{{"name":"tarn","credentials":[{{"accessKey":"{ACCESS_KEY}","secretKey":"{SECRET_KEY}"}}],"actions":{everything}}}]}}"#
    );
    std::fs::write(&users, document).expect("write the S3 server's users");
    let data = folder.join("data");
    std::fs::create_dir_all(&data).expect("make the S3 server's folder");

    let mut command = Command::new(tools::weed());
    command
        // Logs go to standard error only; otherwise they pile up among the temporary files.
        .args(["-logtostderr=true", "-alsologtostderr=false", "mini"])
        .args(ports.arguments())
        .arg(format!("-dir={}", data.display()))
        .arg(format!("-bucket={BUCKET}"))
        .arg(format!("-s3.config={}", users.display()))
        .arg(format!(
            "-filer.localSocket={}",
            folder.join("filer.sock").display()
        ))
        .arg(format!(
            "-s3.localSocket={}",
            folder.join("s3.sock").display()
        ))
        .args([
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-admin.ui=false",
            "-webdav=false",
        ])
        // It would otherwise report to its makers.
        .arg("-master.telemetry=false")
        // Small files are what a store holds, so that the server needs little memory.
        .env("GOMEMLIMIT", "200MiB")
        .current_dir(folder)
        .stdin(Stdio::null());
    // A fresh file, so that a restart does not find the line of the start before.
    let output = folder.join("weed.log");
    let _ = std::fs::rename(&output, folder.join("weed-before.log"));
    Managed::start("weed", &mut command, &output)
        .removing(&[ports.sockets(), vec![folder.to_owned()]].concat())
}
