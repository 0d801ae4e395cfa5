//! Where the broker is, and the login for it.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// Where the broker is, with the login that its URL may carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrokerUrl {
    /// Host and port.
    pub(super) address: String,
    /// The user name in the URL.
    pub(super) username: Option<String>,
    /// The password in the URL.
    pub(super) password: Option<Secret>,
}

impl FromStr for BrokerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<BrokerUrl, String> {
        let full = match text.contains("://") {
            true => text.to_owned(),
            false => format!("mqtt://{text}"),
        };
        let url = Url::parse(&full).map_err(|error| format!("not a URL: {error}"))?;
        if !matches!(url.scheme(), "mqtt" | "tcp") {
            return Err(format!(
                "the simulator speaks plain mqtt://, not {}://",
                url.scheme()
            ));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or("give a host, such as mqtt://localhost:1883")?;
        let decode = |part: &str| percent_decoded(part).ok_or("the login is not UTF-8");
        Ok(BrokerUrl {
            address: format!("{host}:{}", url.port().unwrap_or(1883)),
            username: match url.username() {
                "" => None,
                name => Some(decode(name)?),
            },
            password: url.password().map(decode).transpose()?.map(Secret),
        })
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = match first {
            b'%' => tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()),
            _ => None,
        };
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

/// A text that is never shown, not even in a log of the arguments.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(super) String);

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Secret, Self::Err> {
        Ok(Secret(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}
