use std::{collections::BTreeSet, fs, net::IpAddr, path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::tz::TimeZone;
use lettre::message::Mailbox;
use serde::Deserialize;
use url::Url;

use super::{Address, CHANNELS_MAX, Channel, ChannelsError, Encryption, Key, Mail, Way};
use crate::{alarm::Severity, secret::Secret};

/// How long an attempt may take where the file does not say.
const TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(120);
/// The longest wait for an acknowledgement.
const AFTER_MAX: Duration = Duration::from_secs(7 * 86_400);
/// A webhook's key is this long at least and at most, by the specification.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const NAME_CHARS_MAX: usize = 32;
/// As many people get one mail at most.
const TO_MAX: usize = 50;
/// A file with a secret is no longer than this.
const SECRET_BYTES_MAX: usize = 4096;

/// A channel as it is written. Which keys belong to which kind is checked by [`Written::way`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    kind: Kind,
    url: String,
    severity: Option<Severity>,
    quiet: Option<String>,
    zone: Option<String>,
    after: Option<String>,
    timeout: Option<String>,
    token: Option<String>,
    token_file: Option<String>,
    secret: Option<String>,
    secret_file: Option<String>,
    password: Option<String>,
    password_file: Option<String>,
    from: Option<String>,
    to: Option<Vec<String>>,
    tls: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Ntfy,
    Webhook,
    Smtp,
}

pub(super) fn read(text: &str, folder: &Path) -> Result<Vec<Channel>, ChannelsError> {
    let file = |problem: String| ChannelsError::File(problem);
    let mut table: toml::Table = toml::from_str(text).map_err(|e| file(syntax(&e)))?;
    let written = match table.remove("channel") {
        None => Vec::new(),
        Some(toml::Value::Array(written)) => written,
        Some(_) => return Err(file("write each channel as a [[channel]]".into())),
    };
    if let Some(key) = table.keys().next() {
        let problem = format!("`{key}` is not known here, there are only [[channel]]s");
        return Err(file(problem));
    }
    if written.len() > CHANNELS_MAX {
        return Err(file(format!("there are more than {CHANNELS_MAX}")));
    }
    let mut names = BTreeSet::new();
    let mut channels = Vec::new();
    for (place, value) in written.into_iter().enumerate() {
        let name = value.get("name").and_then(toml::Value::as_str);
        let name = name.map_or_else(|| format!("number {}", place + 1), str::to_owned);
        let channel = channel(value, folder).and_then(|channel| {
            if !names.insert(channel.name.clone()) {
                return Err("there is another of this name".to_owned());
            }
            Ok(channel)
        });
        channels.push(channel.map_err(|problem| ChannelsError::Channel {
            channel: name.chars().take(NAME_CHARS_MAX).collect(),
            problem,
        })?);
    }
    Ok(channels)
}

/// Where and what is wrong, without the line itself: it may hold a secret.
fn syntax(error: &toml::de::Error) -> String {
    match error.span() {
        Some(span) => format!("not TOML at byte {}: {}", span.start, error.message()),
        None => format!("not TOML: {}", error.message()),
    }
}

fn channel(value: toml::Value, folder: &Path) -> Result<Channel, String> {
    let written: Written = value.try_into().map_err(|e: toml::de::Error| {
        let message = e.message().trim();
        message
            .strip_suffix(" in `channel`")
            .unwrap_or(message)
            .to_owned()
    })?;
    check_name(&written.name)?;
    let quiet = written.quiet.as_deref().map(str::parse).transpose();
    let zone = written.zone.as_deref().map(|name| {
        TimeZone::get(name)
            .map_err(|_| format!("zone = \"{name}\" is no time zone like Europe/Vienna"))
    });
    let after = span("after", written.after.as_deref(), AFTER_MAX)?;
    let timeout = span("timeout", written.timeout.as_deref(), TIMEOUT_MAX)?;
    Ok(Channel {
        name: written.name.clone(),
        way: written.way(folder)?,
        severity: written.severity.unwrap_or_default(),
        quiet: quiet.map_err(|e: crate::quiet::NotQuietHours| e.to_string())?,
        zone: zone.transpose()?,
        after,
        timeout: timeout.unwrap_or(TIMEOUT),
    })
}

fn check_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(fits) {
        return Err(format!(
            "a name is 1 to {NAME_CHARS_MAX} of a-z, 0-9, - and _"
        ));
    }
    Ok(())
}

fn span(key: &str, text: Option<&str>, max: Duration) -> Result<Option<Duration>, String> {
    let Some(text) = text else { return Ok(None) };
    let span = humantime::parse_duration(text).ok();
    let span = span.filter(|span| *span >= Duration::from_secs(1) && *span <= max);
    span.map(Some).ok_or_else(|| {
        let max = humantime::format_duration(max);
        format!("{key} = \"{text}\" is no length of time from 1s to {max}, write for instance 10m")
    })
}

impl Written {
    fn way(&self, folder: &Path) -> Result<Way, String> {
        self.only_its_own_keys()?;
        match self.kind {
            Kind::Ntfy => self.ntfy(folder),
            Kind::Webhook => self.webhook(folder),
            Kind::Smtp => self.smtp(folder).map(Way::Smtp),
        }
    }

    fn only_its_own_keys(&self) -> Result<(), String> {
        let keys = [
            ("token", self.token.is_some(), Kind::Ntfy),
            ("token_file", self.token_file.is_some(), Kind::Ntfy),
            ("secret", self.secret.is_some(), Kind::Webhook),
            ("secret_file", self.secret_file.is_some(), Kind::Webhook),
            ("password", self.password.is_some(), Kind::Smtp),
            ("password_file", self.password_file.is_some(), Kind::Smtp),
            ("from", self.from.is_some(), Kind::Smtp),
            ("to", self.to.is_some(), Kind::Smtp),
            ("tls", self.tls.is_some(), Kind::Smtp),
        ];
        let strange = keys
            .iter()
            .find(|(_, there, kind)| *there && *kind != self.kind);
        strange.map_or(Ok(()), |(key, _, kind)| {
            Err(format!("`{key}` is only for kind = \"{}\"", kind.word()))
        })
    }

    fn ntfy(&self, folder: &Path) -> Result<Way, String> {
        let mut url = self.http_url()?;
        let topic = url.path_segments().and_then(|mut parts| parts.next_back());
        let topic = topic.unwrap_or_default().to_owned();
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if topic.is_empty() || topic.len() > 64 || !topic.chars().all(fits) {
            return Err(
                "the last part of its url is the topic: up to 64 letters, digits, - and _".into(),
            );
        }
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop().push("");
        }
        Ok(Way::Ntfy {
            server: Address(url),
            topic,
            token: secret(
                "token",
                self.token.as_ref(),
                self.token_file.as_ref(),
                folder,
            )?,
        })
    }

    fn webhook(&self, folder: &Path) -> Result<Way, String> {
        let file = self.secret_file.as_ref();
        let secret = secret("secret", self.secret.as_ref(), file, folder)?;
        let key = secret.map(|secret| {
            let key = secret.reveal().strip_prefix("whsec_");
            key.and_then(|key| STANDARD.decode(key).ok())
                .filter(|key| KEY_BYTES.contains(&key.len()))
                .map(Key)
                .ok_or("its secret is `whsec_` and the base64 of 24 to 64 bytes, as from: echo whsec_$(openssl rand -base64 32)")
        });
        Ok(Way::Webhook {
            url: Address(self.http_url()?),
            key: key.transpose()?,
        })
    }

    fn smtp(&self, folder: &Path) -> Result<Mail, String> {
        let url = self.url_of(&["smtp", "smtps"])?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let (tls, port) = match (url.scheme(), self.tls.as_deref()) {
            ("smtps", None) => (Encryption::Whole, 465),
            ("smtp", None | Some("starttls")) => (Encryption::StartTls, 587),
            ("smtp", Some("none")) => (Encryption::None, 25),
            _ => return Err("tls is \"starttls\" or \"none\", and only for smtp://".into()),
        };
        let file = self.password_file.as_ref();
        let password = secret("password", self.password.as_ref(), file, folder)?;
        let login = match (url.username(), password) {
            ("", None) => None,
            ("", Some(_)) => return Err("write the user into its url: smtps://user@host".into()),
            (_, None) => return Err("a user needs a password or a password_file".into()),
            (user, Some(password)) => Some((unescaped(user)?, password)),
        };
        let loopback = host == "localhost"
            || host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        if tls == Encryption::None && login.is_some() && !loopback {
            return Err("without TLS its password would be sent in the clear".into());
        }
        let from = self.from.as_deref().ok_or("`from` is missing")?;
        let to = self.to.as_deref().unwrap_or_default();
        if to.is_empty() || to.len() > TO_MAX {
            return Err(format!("`to` is a list of 1 to {TO_MAX} addresses"));
        }
        Ok(Mail {
            host: host.to_owned(),
            port: url.port().unwrap_or(port),
            tls,
            login,
            from: mailbox("from", from)?,
            to: to
                .iter()
                .map(|to| mailbox("to", to))
                .collect::<Result<_, _>>()?,
        })
    }

    fn http_url(&self) -> Result<Url, String> {
        let url = self.url_of(&["http", "https"])?;
        if !url.username().is_empty() {
            return Err("no user belongs into its url".into());
        }
        Ok(url)
    }

    fn url_of(&self, schemes: &[&str]) -> Result<Url, String> {
        let url = Url::parse(&self.url).ok();
        let url = url.filter(|url| {
            schemes.contains(&url.scheme()) && url.host_str().is_some_and(|host| !host.is_empty())
        });
        let url =
            url.ok_or_else(|| format!("its url is no {}://… address", schemes.join(":// or ")))?;
        if url.password().is_some() {
            return Err("no password belongs into its url".into());
        }
        Ok(url)
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Ntfy => "ntfy",
            Kind::Webhook => "webhook",
            Kind::Smtp => "smtp",
        }
    }
}

fn mailbox(key: &str, text: &str) -> Result<Mailbox, String> {
    text.parse()
        .map_err(|_| format!("`{key}`: `{text}` is no mail address"))
}

/// A user's name as it was before it was made part of a URL.
fn unescaped(text: &str) -> Result<String, String> {
    let user = percent_encoding::percent_decode_str(text).decode_utf8();
    user.map(std::borrow::Cow::into_owned)
        .map_err(|_| "the user in its url cannot be read".into())
}

fn secret(
    key: &str,
    text: Option<&String>,
    file: Option<&String>,
    folder: &Path,
) -> Result<Option<Secret>, String> {
    let secret = match (text, file) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(format!("write `{key}` or `{key}_file`, not both")),
        (Some(text), None) => text.trim().to_owned(),
        (None, Some(file)) => {
            let path = folder.join(file);
            let text = fs::read_to_string(&path)
                .map_err(|e| format!("{key}_file {} cannot be read: {e}", path.display()))?;
            text.trim().to_owned()
        }
    };
    let printable = secret.chars().all(|c| !c.is_control());
    if secret.is_empty() || secret.len() > SECRET_BYTES_MAX || !printable {
        return Err(format!("its {key} is empty, too long or not one line"));
    }
    Ok(Some(Secret::new(secret)))
}
