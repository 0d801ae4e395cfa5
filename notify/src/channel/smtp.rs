use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message as Letter, Tokio1Executor,
    message::{
        SinglePart,
        header::{HeaderName, HeaderValue},
    },
    transport::smtp::{
        Error,
        authentication::Credentials,
        client::{Tls, TlsParameters},
    },
};

use crate::{
    alarm::Severity,
    channels::{Encryption, Mail},
    message::Message,
    retry::Failure,
};

/// Of the text, so much is in the subject.
const SUBJECT_CHARS_MAX: usize = 80;

/// Mail by a server that takes it.
#[derive(Debug)]
pub(super) struct Smtp {
    mail: Mail,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

impl Smtp {
    pub(super) fn new(mail: &Mail) -> Result<Smtp, String> {
        let parameters = || {
            let parameters = TlsParameters::new(mail.host.clone());
            parameters.map_err(|e| e.to_string())
        };
        let tls = match mail.tls {
            Encryption::Whole => Tls::Wrapper(parameters()?),
            Encryption::StartTls => Tls::Required(parameters()?),
            Encryption::None => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&*mail.host)
            .port(mail.port)
            .tls(tls)
            .timeout(None);
        if let Some((user, password)) = &mail.login {
            let password = password.reveal().to_owned();
            builder = builder.credentials(Credentials::new(user.clone(), password));
        }
        Ok(Smtp {
            mail: mail.clone(),
            transport: builder.build(),
        })
    }

    pub(super) async fn send(&self, message: &Message, zone: &TimeZone) -> Result<(), Failure> {
        let letter = self.letter(message, zone).map_err(|e| Failure::Never {
            words: e.to_string(),
        })?;
        let sent = self.transport.send(letter).await;
        sent.map(drop).map_err(|e| meaning(&e))
    }

    fn letter(&self, message: &Message, zone: &TimeZone) -> Result<Letter, lettre::error::Error> {
        let body = message.body(zone);
        let domain = self.mail.from.email.domain();
        let at = u64::try_from(message.at_ms()).unwrap_or_default();
        let mut builder = Letter::builder()
            .from(self.mail.from.clone())
            .subject(subject(message, &body))
            .date(SystemTime::UNIX_EPOCH + Duration::from_millis(at))
            // The same each time, so that a mailbox that has it already may drop it.
            .message_id(Some(format!("<{}@{domain}>", message.id)))
            .raw_header(header("Auto-Submitted", "auto-generated"));
        for to in &self.mail.to {
            builder = builder.to(to.clone());
        }
        if message.severity() == Severity::Critical {
            builder = builder.raw_header(header("X-Priority", "1"));
        }
        builder.singlepart(SinglePart::plain(body))
    }
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// The title, and how the text begins.
fn subject(message: &Message, body: &str) -> String {
    let line = body.lines().next().unwrap_or_default();
    let begin: String = line.chars().take(SUBJECT_CHARS_MAX).collect();
    if begin.is_empty() {
        message.title()
    } else {
        format!("{}: {begin}", message.title())
    }
}

/// What an error means for this mail and the next ones.
fn meaning(error: &Error) -> Failure {
    let words = error.to_string();
    let retry_after = None;
    let code = error.status().map(u16::from);
    match code {
        _ if error.is_permanent() => Failure::Never { words },
        // The server closes, or cannot check a password now.
        Some(421 | 454) => Failure::Away { words, retry_after },
        _ if error.is_transient() => Failure::NotNow { words, retry_after },
        _ => Failure::Away { words, retry_after },
    }
}
