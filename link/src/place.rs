//! Where nodes meet: the address of a broker, and how to get in.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use percent_encoding::percent_decode_str;
use tokio_rustls::rustls::{self, pki_types::pem};
use url::Url;

/// A broker where nodes of a home meet.
#[derive(Clone, PartialEq, Eq)]
pub struct MeetingPlace {
    /// Host name or address; an IPv6 address stands in brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// User name and password.
    pub login: Option<(String, String)>,
    /// Roots of its certificate, PEM; the system's where there are none.
    pub ca: Option<PathBuf>,
}

/// A meeting place that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Its URL says something else.
    #[error("write it as mqtt://[USER:PASSWORD@]HOST[:PORT], or mqtts:// for TLS")]
    Url,
    /// A file of roots.
    #[error("{path}: {source}")]
    Roots {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        source: pem::Error,
    },
    /// No root can be used.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl MeetingPlace {
    /// The one that a URL names: `mqtt://[USER:PASSWORD@]HOST[:PORT]`, or `mqtts://`.
    ///
    /// # Errors
    /// The URL is another.
    pub fn of_url(url: &Url) -> Result<MeetingPlace, PlaceError> {
        let (tls, port) = match url.scheme() {
            "mqtt" => (false, 1883),
            "mqtts" => (true, 8883),
            _ => return Err(PlaceError::Url),
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let is_bare = matches!(url.path(), "" | "/") && url.query().is_none();
        let plain = |text: &str| {
            let decoded = percent_decode_str(text).decode_utf8();
            decoded.map(String::from).map_err(|_| PlaceError::Url)
        };
        let login = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => Some((plain(user)?, plain(password.unwrap_or_default())?)),
        };
        match host {
            Some(host) if is_bare => Ok(MeetingPlace {
                host: host.to_owned(),
                port: url.port().unwrap_or(port),
                tls,
                login,
                ca: None,
            }),
            _ => Err(PlaceError::Url),
        }
    }

    /// A plain listener of this process, as the process itself reaches it.
    #[must_use]
    pub fn own(listener: SocketAddr, login: Option<(String, String)>) -> MeetingPlace {
        let host = match listener.ip() {
            ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        MeetingPlace {
            host,
            port: listener.port(),
            tls: false,
            login,
            ca: None,
        }
    }
}

/// As its URL, without the password.
impl fmt::Display for MeetingPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for MeetingPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeetingPlace")
            .field("url", &self.to_string())
            .field("user", &self.login.as_ref().map(|(user, _)| user))
            .field("ca", &self.ca)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<MeetingPlace, PlaceError> {
        MeetingPlace::of_url(&url.parse().expect("a URL"))
    }

    #[test]
    fn urls() {
        let place = parsed("mqtts://ann:p%40ss@lake.example").expect("a place");
        assert_eq!(place.to_string(), "mqtts://lake.example:8883");
        assert_eq!(place.login, Some(("ann".into(), "p@ss".into())));
        assert!(!format!("{place:?}").contains("p@ss"));
        let place = parsed("mqtt://[::1]:1893").expect("a place");
        assert_eq!(place.to_string(), "mqtt://[::1]:1893");
        assert_eq!(place.login, None);
        for url in [
            "http://lake.example",
            "mqtt://lake.example/topic",
            "mqtt:lake.example",
            "mqtt://lake.example?a=b",
        ] {
            assert!(matches!(parsed(url), Err(PlaceError::Url)), "{url}");
        }
    }

    #[test]
    fn own_listener() {
        for (listener, expected) in [
            ("0.0.0.0:1883", "mqtt://127.0.0.1:1883"),
            ("[::]:1883", "mqtt://127.0.0.1:1883"),
            ("[::1]:1883", "mqtt://[::1]:1883"),
            ("10.1.2.3:1883", "mqtt://10.1.2.3:1883"),
        ] {
            let place = MeetingPlace::own(listener.parse().expect("an address"), None);
            assert_eq!(place.to_string(), expected);
        }
    }
}
