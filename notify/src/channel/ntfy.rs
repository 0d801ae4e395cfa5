use jiff::tz::TimeZone;
use reqwest::{Client, Url, header::CONTENT_TYPE};
use serde::Serialize;

use super::http;
use crate::{
    alarm::{AlarmState, Severity},
    channels::Address,
    message::{Content, Flapping, Message},
    retry::Failure,
    secret::Secret,
};

/// A text that is longer becomes a file at the receiver, by default 4,096 bytes there.
const MESSAGE_BYTES_MAX: usize = 4_000;

/// Push by an ntfy server: <https://docs.ntfy.sh/publish/#publish-as-json>.
#[derive(Debug)]
pub(super) struct Ntfy {
    client: Client,
    server: Url,
    topic: String,
    token: Option<Secret>,
}

/// What ntfy takes.
#[derive(Debug, Serialize)]
struct Publish<'a> {
    topic: &'a str,
    title: String,
    message: String,
    priority: u8,
    tags: Vec<&'static str>,
}

impl Ntfy {
    pub(super) fn new(
        client: &Client,
        server: &Address,
        topic: &str,
        token: Option<&Secret>,
    ) -> Ntfy {
        Ntfy {
            client: client.clone(),
            server: server.url().clone(),
            topic: topic.to_owned(),
            token: token.cloned(),
        }
    }

    pub(super) async fn send(
        &self,
        message: &Message,
        zone: &TimeZone,
        now_ms: i64,
    ) -> Result<(), Failure> {
        let publish = Publish {
            topic: &self.topic,
            title: message.title(),
            message: shortened(message.body(zone)),
            priority: priority(message),
            tags: tags(message),
        };
        let body = serde_json::to_vec(&publish).map_err(|e| Failure::Never {
            words: e.to_string(),
        })?;
        let mut request = self.client.post(self.server.clone());
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.reveal());
        }
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        http::send(request, now_ms).await
    }
}

/// From 1, which makes no sound, to 5, which rings for long. What is over is told as softly as an info.
fn priority(message: &Message) -> u8 {
    let is_raised = |state| state == AlarmState::Raised;
    if message.alarm().is_some_and(|alarm| !is_raised(alarm.state)) {
        return 3;
    }
    match message.severity() {
        Severity::Info => 3,
        Severity::Warning => 4,
        Severity::Critical => 5,
    }
}

/// The first becomes a small picture: <https://docs.ntfy.sh/emojis/>.
fn tags(message: &Message) -> Vec<&'static str> {
    let news = match &message.content {
        Content::Notice(_) => return vec!["speech_balloon"],
        Content::Alarm(news) => news,
    };
    let picture = match (news.alarm.state, news.alarm.severity) {
        _ if news.flapping == Some(Flapping::Began) => "arrows_counterclockwise",
        (AlarmState::Cleared, _) => "white_check_mark",
        (AlarmState::Acknowledged, _) => "eyes",
        (AlarmState::Raised, Severity::Info) => "information_source",
        (AlarmState::Raised, Severity::Warning) => "warning",
        (AlarmState::Raised, Severity::Critical) => "rotating_light",
    };
    let class = news.alarm.class.map(crate::alarm::Class::word);
    [picture, news.alarm.state.word()]
        .into_iter()
        .chain(class)
        .collect()
}

fn shortened(mut text: String) -> String {
    if text.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX)
            .rev()
            .find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}
