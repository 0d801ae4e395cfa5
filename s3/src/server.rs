use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use hyper::{
    Request,
    body::{Body as _, Incoming},
    header::{CONNECTION, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use s3s::{
    Body, HttpError, HttpResponse,
    config::{S3Config, StaticConfigProvider},
    path::check_bucket_name,
    service::{S3Service, S3ServiceBuilder},
};
use tarn_common::durable::RealDisk;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    gate::{Asked, Gate, Keys, refuse_early},
    metrics::S3Metrics,
    served::{OpenBucket, Served},
    service::Service,
    settings::{Bucket, KeyPair, Rights, Settings},
    tree::Tree,
};

/// How long a client may take to say what it wants.
const HEADERS_MAX: Duration = Duration::from_secs(30);
/// How long requests that are under way go on when the server is to stop.
const STOP_MAX: Duration = Duration::from_secs(10);
/// How long to wait when no connection can be taken, for want of open files mostly.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);
/// Bytes of XML in a request: a thousand keys to delete.
const XML_BYTES_MAX: usize = 4 << 20;
/// Characters of a secret at least.
const SECRET_MIN: usize = 16;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be had.
    #[error("cannot listen on {address} (S3); is another program using it?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// A bucket cannot be called so.
    #[error(
        "bucket {0:?}: a name is 3 to 63 of a-z 0-9 . - and begins and ends with a letter or digit"
    )]
    BucketName(String),
    /// Two buckets have one name.
    #[error("there are two buckets {0:?}")]
    TwoBuckets(String),
    /// A directory cannot be used.
    #[error("{directory}")]
    Directory {
        /// The directory.
        directory: String,
        /// The system's error.
        source: io::Error,
    },
    /// Another server writes to the directory.
    #[error("{0} is served by another tarn; stop that one, or serve another directory")]
    InUse(String),
    /// Keys that are none, or too easy.
    #[error("access key {access:?}: {reason}")]
    Keys {
        /// The access key.
        access: String,
        /// What is wrong, and how to mend it.
        reason: String,
    },
}

/// A running server. Dropping it stops it without waiting for what is under way.
#[derive(Debug)]
pub struct S3Server {
    address: SocketAddr,
    metrics: S3Metrics,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl S3Server {
    /// Serve.
    ///
    /// # Errors
    /// Settings that make no sense, a directory that cannot be used, an address that is taken.
    pub async fn start(
        settings: Settings,
        registry: &mut Registry,
    ) -> Result<S3Server, StartError> {
        check_keys(&settings.keys)?;
        let served = Arc::new(open(&settings)?);
        let metrics = S3Metrics::register(registry);
        let listen = |source| StartError::Listen {
            address: settings.listen,
            source,
        };
        let listener = TcpListener::bind(settings.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let answering = Answering {
            service: protocol(&settings, served, &metrics),
            metrics: metrics.clone(),
        };
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let accepting = accept(
            listener,
            settings.connections_max,
            answering,
            stop.clone(),
            tasks.clone(),
        );
        tasks.spawn(accepting);
        Ok(S3Server {
            address,
            metrics,
            stop,
            tasks,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Its figures as they run.
    #[must_use]
    pub fn metrics(&self) -> &S3Metrics {
        &self.metrics
    }

    /// Take no more requests, and wait a while for those that are under way.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn check_keys(keys: &[KeyPair]) -> Result<(), StartError> {
    let wrong = |access: &str, reason: &str| StartError::Keys {
        access: access.to_owned(),
        reason: reason.to_owned(),
    };
    if keys.is_empty() {
        return Err(wrong("", "nothing is served without a key; give one"));
    }
    for (at, pair) in keys.iter().enumerate() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if pair.access.is_empty() || !pair.access.chars().all(is_word) {
            return Err(wrong(&pair.access, "it is made of a-z A-Z 0-9 - _ ."));
        }
        if pair.secret.len() < SECRET_MIN {
            return Err(wrong(
                &pair.access,
                "its secret is too short; take 16 characters or more",
            ));
        }
        if keys[..at].iter().any(|other| other.access == pair.access) {
            return Err(wrong(
                &pair.access,
                "it is there twice; give each pair a name of its own",
            ));
        }
    }
    Ok(())
}

fn open(settings: &Settings) -> Result<Served, StartError> {
    let mut served = Served::default();
    for bucket in &settings.buckets {
        if !check_bucket_name(&bucket.name) {
            return Err(StartError::BucketName(bucket.name.clone()));
        }
        if !served.add(OpenBucket::new(bucket, open_tree(bucket)?)) {
            return Err(StartError::TwoBuckets(bucket.name.clone()));
        }
    }
    Ok(served)
}

fn open_tree(bucket: &Bucket) -> Result<Tree, StartError> {
    let directory = bucket.directory.display().to_string();
    let disk = Arc::new(RealDisk);
    let opened = match bucket.rights {
        Rights::Read => Tree::read_only(&bucket.directory, disk).map(Some),
        Rights::ReadWrite => Tree::writable(&bucket.directory, disk),
    };
    match opened {
        Ok(Some(tree)) => Ok(tree),
        Ok(None) => Err(StartError::InUse(directory)),
        Err(source) => Err(StartError::Directory { directory, source }),
    }
}

fn protocol(settings: &Settings, served: Arc<Served>, metrics: &S3Metrics) -> S3Service {
    let mut builder = S3ServiceBuilder::new(Service {
        served: served.clone(),
        object_bytes_max: settings.object_bytes_max,
        metrics: metrics.clone(),
    });
    builder.set_auth(Keys(settings.keys.clone()));
    builder.set_access(Gate {
        served,
        keys: settings.keys.clone(),
    });
    let mut config = S3Config::default();
    config.xml_max_body_size = XML_BYTES_MAX;
    // Forms are not served, and nothing of them is to be kept in memory.
    config.post_object_max_file_size = 0;
    config.form_max_fields_size = 0;
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    builder.build()
}

#[derive(Clone)]
struct Answering {
    service: S3Service,
    metrics: S3Metrics,
}

impl Answering {
    async fn answer(self, mut request: Request<Incoming>) -> Result<HttpResponse, HttpError> {
        let asked: Asked = Arc::new(OnceLock::new());
        request.extensions_mut().insert(asked.clone());
        let has_body = !request.body().is_end_stream();
        let mut response = match refuse_early(&request) {
            Some(refusal) => refusal
                .to_http_response()
                .map_err(|e| HttpError::new(Box::new(e)))?,
            None => self.service.call(request.map(Body::from)).await?,
        };
        let operation = asked.get().copied().unwrap_or("none");
        self.metrics.count(operation, response.status().as_u16());
        // A body that was refused is not read to its end, so nothing can follow it. Clients that are not told that would send their next
        // request into a connection that is about to close.
        if has_body && !response.status().is_success() {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        Ok(response)
    }
}

async fn accept(
    listener: TcpListener,
    connections_max: usize,
    answering: Answering,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let places = Arc::new(Semaphore::new(connections_max));
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = stop.cancelled() => return,
        };
        match (place, accepted) {
            (Ok(place), Ok((stream, _))) => {
                let serving = serve(stream, answering.clone(), stop.clone(), place);
                tasks.spawn(serving);
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "no connection can be taken (S3)");
                sleep(ACCEPT_AGAIN).await;
            }
            (Err(_), _) => return,
        }
    }
}

/// Serve one connection.
async fn serve(
    stream: TcpStream,
    answering: Answering,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
) {
    // Small answers are not to wait for an acknowledgement of those before.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answering.clone().answer(request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // How a connection ends is the client's affair; what it asked is answered or was not acknowledged.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(STOP_MAX, connection).await;
}
