//! Where nodes meet: the address of a broker, and how to get in.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use percent_encoding::percent_decode_str;
use url::Url;

use crate::tls::TlsError;

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
    /// What makes them anew for each connection instead, where a password is good for a short time only.
    pub fresh_login: Option<FreshLogin>,
    /// Roots of its certificate, PEM; the system's where there are none.
    pub ca: Option<PathBuf>,
}

/// Makes a user name and a password for one connection.
#[derive(Clone)]
pub struct FreshLogin(Arc<dyn Fn() -> (String, String) + Send + Sync>);

impl FreshLogin {
    /// What this makes.
    pub fn new(make: impl Fn() -> (String, String) + Send + Sync + 'static) -> FreshLogin {
        FreshLogin(Arc::new(make))
    }
}

/// The same maker, whatever it makes.
impl PartialEq for FreshLogin {
    fn eq(&self, other: &FreshLogin) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for FreshLogin {}

/// A meeting place that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Its URL says something else.
    #[error("write it as mqtt://[USER:PASSWORD@]HOST[:PORT], or mqtts:// for TLS")]
    Url,
    /// The roots of its certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
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
                fresh_login: None,
                ca: None,
            }),
            _ => Err(PlaceError::Url),
        }
    }

    /// User name and password for the next connection.
    #[must_use]
    pub fn login_now(&self) -> Option<(String, String)> {
        match &self.fresh_login {
            Some(FreshLogin(make)) => Some(make()),
            None => self.login.clone(),
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
            fresh_login: None,
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
    fn fresh_logins_are_made_each_time() {
        let made = std::sync::atomic::AtomicU32::new(0);
        let mut place = parsed("mqtt://ann:pass@lake.example").expect("a place");
        assert_eq!(place.login_now(), Some(("ann".into(), "pass".into())));
        place.fresh_login = Some(FreshLogin::new(move || {
            let n = made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            ("bob".into(), n.to_string())
        }));
        assert_eq!(place.login_now(), Some(("bob".into(), "0".into())));
        assert_eq!(place.login_now(), Some(("bob".into(), "1".into())));
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
