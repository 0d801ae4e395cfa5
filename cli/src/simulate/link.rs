//! One connection to a broker: bytes out in large writes, packets in from large reads.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use mqtt_proto::v5::ErrorV5;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::wire::{self, Inbound, Login};

/// How long a connection and its handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long the last bytes of a finished client may take.
const GOODBYE_MAX: Duration = Duration::from_secs(1);
/// Room for one read.
const READ_BYTES: usize = 16 * 1024;

/// Why a connection failed or ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// The broker will not have this client, now or later.
    #[error("the broker refused the connection: {0}")]
    Refused(String),
    /// Anything that a new connection may heal.
    #[error("{0}")]
    Lost(String),
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> LinkError {
        LinkError::Lost(error.to_string())
    }
}

impl From<ErrorV5> for LinkError {
    fn from(error: ErrorV5) -> LinkError {
        LinkError::Lost(format!("the broker sent what is not MQTT: {error}"))
    }
}

impl From<mqtt_proto::Error> for LinkError {
    fn from(error: mqtt_proto::Error) -> LinkError {
        LinkError::from(ErrorV5::from(error))
    }
}

/// An accepted connection.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    login: Login,
    inbox: BytesMut,
    /// Bytes to send; those before `sent` have gone.
    pub(super) out: Vec<u8>,
    sent: usize,
    /// How many messages the broker lets be in flight.
    pub(super) receive_max: Option<u16>,
    last_heard: Instant,
    last_ping: Instant,
}

impl Link {
    /// Connects and shakes hands; `clean` asks the broker to forget an older session.
    pub(super) async fn open(address: &str, login: &Login, clean: bool) -> Result<Link, LinkError> {
        timeout(HANDSHAKE_MAX, Link::shake_hands(address, login, clean))
            .await
            .map_err(|_| LinkError::Lost("no answer to the connection in time".to_owned()))?
    }

    async fn shake_hands(address: &str, login: &Login, clean: bool) -> Result<Link, LinkError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let now = Instant::now();
        let mut link = Link {
            stream,
            login: login.clone(),
            inbox: BytesMut::with_capacity(READ_BYTES),
            out: Vec::new(),
            sent: 0,
            receive_max: None,
            last_heard: now,
            last_ping: now,
        };
        wire::connect(&mut link.out, login, clean)?;
        loop {
            link.write()?;
            link.exchange().await?;
            match link.take()? {
                None => {}
                Some(Inbound::Welcome { receive_max }) => {
                    link.receive_max = receive_max;
                    return Ok(link);
                }
                Some(Inbound::Refused { reason, passing }) => {
                    return Err(match passing {
                        true => LinkError::Lost(reason),
                        false => LinkError::Refused(reason),
                    });
                }
                Some(other) => {
                    return Err(LinkError::Lost(format!("{other:?} before the CONNACK")));
                }
            }
        }
    }

    /// Bytes that have not gone yet.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Waits until bytes can move in either direction, and moves them.
    ///
    /// Both directions at once, because a broker that waits for us to read its acks may not read
    /// our messages meanwhile. May be dropped at any await without losing a byte.
    pub(super) async fn exchange(&mut self) -> Result<(), LinkError> {
        self.inbox.reserve(READ_BYTES);
        // These calls, unlike `try_read`, spare the extra one that finds an empty socket.
        let (mut reader, mut writer) = self.stream.split();
        tokio::select! {
            biased;
            read = reader.read_buf(&mut self.inbox) => {
                if read? == 0 {
                    let reason = "the broker closed the connection";
                    return Err(LinkError::Lost(reason.to_owned()));
                }
                self.last_heard = Instant::now();
            }
            written = writer.write(&self.out[self.sent..]), if self.sent < self.out.len() => {
                self.sent += written?;
            }
        }
        Ok(())
    }

    /// Sends what the socket will take at once.
    pub(super) fn write(&mut self) -> Result<(), LinkError> {
        while self.unsent_bytes() > 0 {
            match self.stream.try_write(&self.out[self.sent..]) {
                Ok(0) => return Err(LinkError::Lost("the socket takes no more".to_owned())),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Takes the next packet that has come.
    pub(super) fn take(&mut self) -> Result<Option<Inbound>, LinkError> {
        Ok(wire::take(self.login.version, &mut self.inbox)?)
    }

    /// Asks a silent broker for a sign of life, and gives up one that gives none.
    pub(super) fn check_alive(&mut self, now: Instant) -> Result<(), LinkError> {
        let keep_alive = Duration::from_secs(u64::from(self.login.keep_alive_s));
        if now.duration_since(self.last_heard) > keep_alive.mul_f32(1.5) {
            return Err(LinkError::Lost("the broker has fallen silent".to_owned()));
        }
        if now.duration_since(self.last_heard.max(self.last_ping)) > keep_alive / 2 {
            self.last_ping = now;
            wire::pingreq(&mut self.out);
        }
        Ok(())
    }

    /// Leaves: what is unsent goes out, then a DISCONNECT.
    pub(super) async fn close(mut self) {
        wire::disconnect(&mut self.out);
        let rest = self.out.split_off(self.sent);
        // Nothing waits for this any more, so a broker that is already gone is no error.
        let _ = timeout(GOODBYE_MAX, async {
            self.stream.write_all(&rest).await?;
            self.stream.shutdown().await
        })
        .await;
    }
}
