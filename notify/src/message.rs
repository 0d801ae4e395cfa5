use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::alarm::{Alarm, AlarmState, Class, Notice, Severity};

#[cfg(test)]
mod tests;

/// Texts are cut off after this many characters.
pub const TEXT_CHARS_MAX: usize = 2_000;
/// Titles, names and such are cut off after this many.
pub const LINE_CHARS_MAX: usize = 200;

/// What is delivered. It stays the same however often it is tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `msg_` and 32 hexadecimal digits: the same each time that this is sent to this channel, so that a receiver
    /// can drop what it has already. It is the `webhook-id` and part of the `Message-ID`.
    pub id: String,
    /// What there is to say.
    #[serde(flatten)]
    pub content: Content,
}

/// What there is to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// What has become of an alarm.
    Alarm(AlarmNews),
    /// A plain message.
    Notice(GivenNotice),
}

/// What has become of an alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmNews {
    /// The alarm as it is now.
    #[serde(flatten)]
    pub alarm: Alarm,
    /// Whether it comes and goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flapping: Option<Flapping>,
}

/// Where an alarm that comes and goes is in that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flapping {
    /// It has been raised so often that only the end of that will be told.
    Began,
    /// It has stood as it is now for a while.
    Ended,
}

/// A plain message, and when it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenNotice {
    /// The message.
    #[serde(flatten)]
    pub notice: Notice,
    /// When it was given, milliseconds since 1970 UTC.
    pub given_ms: i64,
}

impl Message {
    pub(crate) fn of_alarm(channel: &str, alarm: &Alarm, flapping: Option<Flapping>) -> Message {
        let alarm = Alarm {
            message: text(&alarm.message),
            by: line(&alarm.by),
            ..alarm.clone()
        };
        let what = format!("{:?}{:?}{:?}", alarm.state, alarm.severity, flapping);
        let (raised, changed) = (alarm.raised_ms.to_string(), alarm.changed_ms.to_string());
        let id = id(&[channel, &alarm.home, &alarm.id, &raised, &changed, &what]);
        let content = Content::Alarm(AlarmNews { alarm, flapping });
        Message { id, content }
    }

    /// `chance` makes a message without a key another one than the same words before.
    pub(crate) fn of_notice(channel: &str, notice: &Notice, now_ms: i64, chance: u128) -> Message {
        let notice = Notice {
            title: line(&notice.title),
            message: text(&notice.message),
            by: line(&notice.by),
            ..notice.clone()
        };
        let chance = chance.to_string();
        let id = match &notice.key {
            Some(key) => id(&[channel, &notice.home, "notice", key]),
            None => id(&[channel, &chance]),
        };
        let given_ms = now_ms;
        let content = Content::Notice(GivenNotice { notice, given_ms });
        Message { id, content }
    }

    /// The home that it is about.
    #[must_use]
    pub fn home(&self) -> &str {
        match &self.content {
            Content::Alarm(news) => &news.alarm.home,
            Content::Notice(given) => &given.notice.home,
        }
    }

    /// Whether it is never held back.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        match &self.content {
            Content::Alarm(news) => news.alarm.is_urgent(),
            Content::Notice(given) => given.notice.severity == Severity::Critical,
        }
    }

    /// How bad what it tells of is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match &self.content {
            Content::Alarm(news) => news.alarm.severity,
            Content::Notice(given) => given.notice.severity,
        }
    }

    /// The alarm that it tells of.
    #[must_use]
    pub fn alarm(&self) -> Option<&Alarm> {
        match &self.content {
            Content::Alarm(news) => Some(&news.alarm),
            Content::Notice(_) => None,
        }
    }

    /// Where an alarm that comes and goes is in that.
    #[must_use]
    pub fn flapping(&self) -> Option<Flapping> {
        match &self.content {
            Content::Alarm(news) => news.flapping,
            Content::Notice(_) => None,
        }
    }

    /// When what it tells of happened, milliseconds since 1970 UTC.
    #[must_use]
    pub fn at_ms(&self) -> i64 {
        match &self.content {
            Content::Alarm(news) => news.alarm.changed_ms,
            Content::Notice(given) => given.given_ms,
        }
    }

    /// One line for people: `Critical alarm in lakeside`.
    #[must_use]
    pub fn title(&self) -> String {
        let title = match &self.content {
            Content::Notice(given) if given.notice.title.is_empty() => {
                format!("Message from {}", given.notice.home)
            }
            Content::Notice(given) => given.notice.title.clone(),
            Content::Alarm(news) => {
                let alarm = &news.alarm;
                let what = match (alarm.state, news.flapping) {
                    (_, Some(Flapping::Began)) => "Comes and goes",
                    (AlarmState::Cleared, _) => "All clear",
                    (AlarmState::Acknowledged, _) => "Acknowledged",
                    (AlarmState::Raised, _) => match alarm.severity {
                        Severity::Info => "Note",
                        Severity::Warning => "Warning",
                        Severity::Critical => "Critical alarm",
                    },
                };
                format!("{what} in {}", alarm.home)
            }
        };
        line(&title)
    }

    /// What there is to say, for people, with times as the clocks in `zone` show them.
    #[must_use]
    pub fn body(&self, zone: &TimeZone) -> String {
        let news = match &self.content {
            Content::Notice(given) => return given.notice.message.clone(),
            Content::Alarm(news) => news,
        };
        let alarm = &news.alarm;
        let raised = local(alarm.raised_ms, zone);
        let (changed, by) = (local(alarm.changed_ms, zone), &alarm.by);
        let became = match alarm.state {
            AlarmState::Raised => format!("Raised at {changed} by {by}."),
            AlarmState::Acknowledged => {
                format!("Acknowledged at {changed} by {by}, raised at {raised}.")
            }
            AlarmState::Cleared => format!("Cleared at {changed} by {by}, raised at {raised}."),
        };
        let flapping = match news.flapping {
            None => "",
            Some(Flapping::Began) => {
                " It comes and goes; what follows is told when it has stood still for a while."
            }
            Some(Flapping::Ended) => " It came and went, and has stood still for a while now.",
        };
        let id = line(&alarm.id);
        format!("{}\n\nAlarm {id}. {became}{flapping}", alarm.message)
    }
}

impl AlarmState {
    pub(crate) fn word(self) -> &'static str {
        match self {
            AlarmState::Raised => "raised",
            AlarmState::Acknowledged => "acknowledged",
            AlarmState::Cleared => "cleared",
        }
    }
}

impl Class {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Class::Smoke => "smoke",
            Class::Gas => "gas",
            Class::Water => "water",
            Class::Intrusion => "intrusion",
            Class::Device => "device",
            Class::Health => "health",
            Class::Energy => "energy",
            Class::Climate => "climate",
            Class::Other => "other",
        }
    }
}

/// Made of what the message is about, so that the same news has the same id after a crash too.
fn id(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digits = hash.finalize();
    let digits = digits.iter().take(16).map(|byte| format!("{byte:02x}"));
    format!("msg_{}", digits.collect::<String>())
}

fn local(ms: i64, zone: &TimeZone) -> String {
    Timestamp::from_millisecond(ms).map_or_else(
        |_| ms.to_string(),
        |at| {
            at.to_zoned(zone.clone())
                .strftime("%Y-%m-%d %H:%M")
                .to_string()
        },
    )
}

/// One line, not too long.
fn line(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    cut_off(line, LINE_CHARS_MAX)
}

fn text(text: &str) -> String {
    let plain = text.chars().filter(|c| *c == '\n' || !c.is_control());
    cut_off(plain, TEXT_CHARS_MAX)
}

fn cut_off(mut chars: impl Iterator<Item = char>, max: usize) -> String {
    let mut text: String = chars.by_ref().take(max).collect();
    if chars.next().is_some() {
        text.push('…');
    }
    text
}
