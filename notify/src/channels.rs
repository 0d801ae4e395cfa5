use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::tz::TimeZone;
use lettre::message::Mailbox;
use url::Url;

use crate::{alarm::Severity, quiet::QuietHours, secret::Secret};

/// The file as it is written, and what is wrong with it.
mod file;
#[cfg(test)]
mod tests;

/// At most this many channels are in a file.
pub const CHANNELS_MAX: usize = 32;

/// Whom to tell.
#[derive(Debug, Clone, Default)]
pub struct Channels {
    channels: Vec<Channel>,
}

/// One way to tell somebody.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its name, which is in listings, figures and ids.
    pub name: String,
    /// Where to, and how.
    pub way: Way,
    /// The least severity that it takes.
    pub severity: Severity,
    /// When only what is urgent is told.
    pub quiet: Option<QuietHours>,
    /// Where whoever is told lives, for quiet hours and for times in texts; the home's zone where it is not said.
    pub zone: Option<TimeZone>,
    /// It is told only of alarms that nobody has acknowledged for this long.
    pub after: Option<Duration>,
    /// How long one attempt may take.
    pub timeout: Duration,
}

/// Where to, and how.
#[derive(Debug, Clone)]
pub enum Way {
    /// A push to phones by an ntfy server.
    Ntfy {
        /// The server, without the topic.
        server: Address,
        /// The last part of the URL in the file.
        topic: String,
        /// An access token of the server.
        token: Option<Secret>,
    },
    /// A POST, by the Standard Webhooks specification.
    Webhook {
        /// Where to.
        url: Address,
        /// The key that it is signed with, as it is after `whsec_`, decoded.
        key: Option<Key>,
    },
    /// A mail.
    Smtp(Mail),
}

/// A mail server, and whom it is to write to.
#[derive(Debug, Clone)]
pub struct Mail {
    /// The server's name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: Encryption,
    /// User and password.
    pub login: Option<(String, Secret)>,
    /// Who writes.
    pub from: Mailbox,
    /// Whom it is written to.
    pub to: Vec<Mailbox>,
}

/// How a connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// From its first byte (`smtps://`).
    Whole,
    /// Before anything is said that matters (`smtp://`).
    StartTls,
    /// Never (`tls = "none"`).
    None,
}

/// A URL that may hold a secret in its path, so that only its scheme and host are shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Url);

/// The bytes that webhooks are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

/// A file of channels cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ChannelsError {
    /// The file cannot be read.
    #[error("read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no TOML, or there is something besides channels in it.
    #[error("channels: {0}")]
    File(String),
    /// A channel is not as it should be.
    #[error("channel `{channel}`: {problem}")]
    Channel {
        /// Its name, or its place where it has none.
        channel: String,
        /// What is wrong, and what to write.
        problem: String,
    },
}

impl Channels {
    /// Read a file. Files with secrets that it names are looked for beside it.
    ///
    /// # Errors
    /// It cannot be read, or something in it is wrong.
    pub fn load(path: &Path) -> Result<Channels, ChannelsError> {
        let text = fs::read_to_string(path).map_err(|source| ChannelsError::Read {
            path: path.to_owned(),
            source,
        })?;
        Channels::parse(&text, path.parent().unwrap_or(Path::new(".")))
    }

    /// Read the text of such a file; `folder` is where files with secrets are looked for.
    ///
    /// # Errors
    /// Something in it is wrong, or a file with a secret cannot be read.
    pub fn parse(text: &str, folder: &Path) -> Result<Channels, ChannelsError> {
        let channels = file::read(text, folder)?;
        Ok(Channels { channels })
    }

    /// The channels, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Channel> {
        self.channels.iter()
    }

    /// The channel of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.name == name)
    }
}

impl Channel {
    /// What kind it is, as the file has it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.way {
            Way::Ntfy { .. } => "ntfy",
            Way::Webhook { .. } => "webhook",
            Way::Smtp(_) => "smtp",
        }
    }

    /// The time zone of whoever is told, who lives in that of the home where nothing else is said.
    pub(crate) fn zone<'a>(&'a self, home: &'a TimeZone) -> &'a TimeZone {
        self.zone.as_ref().unwrap_or(home)
    }

    /// How long it waits for an acknowledgement, in milliseconds.
    pub(crate) fn after_ms(&self) -> Option<i64> {
        let after = self.after?;
        Some(i64::try_from(after.as_millis()).unwrap_or(i64::MAX))
    }
}

impl Address {
    pub(crate) fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.host_str().unwrap_or_default();
        write!(f, "{}://{host}", self.0.scheme())?;
        match self.0.port() {
            Some(port) => write!(f, ":{port}/…"),
            None => f.write_str("/…"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Key {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}
