use std::{io, sync::Arc, time::Duration};

use poem::{
    Addr,
    http::uri::Scheme,
    listener::Acceptor,
    web::{LocalAddr, RemoteAddr},
};
use tarn_common::tls::TlsServer;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// How long a handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Handshakes that are under way at most; who comes meanwhile waits in the kernel.
const HANDSHAKES_MAX: usize = 256;
/// How often it is looked whether the certificate has changed.
const LOOK_EVERY: Duration = Duration::from_secs(60);

type Accepted = (TlsStream<TcpStream>, LocalAddr, RemoteAddr);

/// Accepts connections by TLS. Handshakes are done beside each other, so that a slow one holds nobody up.
pub(crate) struct TlsAcceptor {
    local: LocalAddr,
    accepted: mpsc::Receiver<Accepted>,
}

impl TlsAcceptor {
    pub(crate) fn new(
        listener: TcpListener,
        tls: Arc<TlsServer>,
        stop: CancellationToken,
    ) -> io::Result<TlsAcceptor> {
        let local = LocalAddr(Addr::SocketAddr(listener.local_addr()?));
        let (sender, accepted) = mpsc::channel(1);
        let (looking, looked) = (tls.clone(), stop.clone());
        tokio::spawn(accept_all(listener, tls, local.clone(), sender, stop));
        tokio::spawn(looked.run_until_cancelled_owned(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                looking.refresh();
            }
        }));
        Ok(TlsAcceptor { local, accepted })
    }
}

async fn accept_all(
    listener: TcpListener,
    tls: Arc<TlsServer>,
    local: LocalAddr,
    sender: mpsc::Sender<Accepted>,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let accepting = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let Some((place, accepted)) = stop.run_until_cancelled(accepting).await else {
            return;
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                // Mostly there are too many open files, and it takes a moment until there are fewer.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (tls, sender, local) = (tls.clone(), sender.clone(), local.clone());
        tokio::spawn(async move {
            let shaken = tokio::time::timeout(HANDSHAKE_TIME, tls.accept(stream)).await;
            drop(place);
            match shaken {
                Ok(Ok((stream, _))) => {
                    let remote = RemoteAddr(Addr::SocketAddr(address));
                    // Nobody accepts any more once the server stops.
                    let _ = sender.send((stream, local, remote)).await;
                }
                Ok(Err(error)) => tracing::debug!(%address, %error, "no TLS handshake"),
                Err(_) => tracing::debug!(%address, "the TLS handshake took too long"),
            }
        });
    }
}

impl Acceptor for TlsAcceptor {
    type Io = TlsStream<TcpStream>;

    fn local_addr(&self) -> Vec<LocalAddr> {
        vec![self.local.clone()]
    }

    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        match self.accepted.recv().await {
            Some((stream, local, remote)) => Ok((stream, local, remote, Scheme::HTTPS)),
            // The server stops by itself.
            None => std::future::pending().await,
        }
    }
}
