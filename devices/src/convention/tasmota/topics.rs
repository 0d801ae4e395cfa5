use serde_json::Value;

use crate::announcement::{Layout, Stream, TimeKey};

/// Longest text that takes part in a topic.
const PART_BYTES_MAX: usize = 256;

/// Where a device listens and speaks. Each ends with a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topics {
    /// Commands.
    pub(super) cmnd: String,
    /// Answers to commands.
    pub(super) stat: String,
    /// What it says by itself.
    pub(super) tele: String,
}

/// Who speaks on a topic, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefix {
    Cmnd,
    Stat,
    Tele,
}

impl Topics {
    /// The topics that a device says it uses; none where they cannot be.
    pub(super) fn of_config(config: &Value, topic: &str, mac: &str) -> Option<Topics> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let full = text(&config["ft"]).unwrap_or_else(|| "%prefix%/%topic%/".to_owned());
        let host = text(&config["hn"]).unwrap_or_default();
        let prefix =
            |place: usize, usual: &str| text(&config["tp"][place]).unwrap_or(usual.to_owned());
        let prefixes = [prefix(0, "cmnd"), prefix(1, "stat"), prefix(2, "tele")];
        let parts = [
            &full,
            &host,
            topic,
            &prefixes[0],
            &prefixes[1],
            &prefixes[2],
        ];
        if parts.iter().any(|part| part.len() > PART_BYTES_MAX) {
            return None;
        }
        let expand = |prefix: &str, is_command: bool| {
            let mut full = full.clone();
            if is_command && !full.contains("%prefix%") {
                // The device adds it, or it would hear itself.
                full.push_str("/%prefix%");
            }
            let full = full
                .replace("%prefix%", prefix)
                .replace("%topic%", topic)
                .replace("%hostname%", &host)
                .replace("%id%", mac)
                .replace('#', "")
                .replace("//", "/");
            let slash = if full.ends_with('/') { "" } else { "/" };
            format!("{full}{slash}")
        };
        let topics = Topics {
            cmnd: expand(&prefixes[0], true),
            stat: expand(&prefixes[1], false),
            tele: expand(&prefixes[2], false),
        };
        let all = [&topics.cmnd, &topics.stat, &topics.tele];
        let usable = |topic: &&String| topic.len() > 1 && !topic.contains(['+', '\0']);
        all.iter().all(usable).then_some(topics)
    }

    /// What is published under a prefix begins with this.
    pub(super) fn under(&self, prefix: Prefix) -> &str {
        match prefix {
            Prefix::Cmnd => &self.cmnd,
            Prefix::Stat => &self.stat,
            Prefix::Tele => &self.tele,
        }
    }

    /// The topic, and how its payloads are read; none where what stands there is not known.
    pub(super) fn stream(&self, prefix: Prefix, leaf: &str) -> Option<Stream> {
        Some(Stream {
            topic: format!("{}{leaf}", self.under(prefix)),
            layout: layout(prefix, leaf)?,
        })
    }
}

/// How what stands on a topic is read. `STATUS10` and `STATUS11` repeat what `SENSOR` and `STATE` say, one level deeper:
/// they are the same metrics.
fn layout(prefix: Prefix, leaf: &str) -> Option<Layout> {
    let root = match (prefix, leaf) {
        (Prefix::Cmnd, _) => {
            let metric = format!("cmnd/{leaf}");
            return Some(Layout::Raw { metric });
        }
        (Prefix::Stat, "STATUS8" | "STATUS10") => "StatusSNS",
        (Prefix::Stat, "STATUS11") => "StatusSTS",
        (Prefix::Stat, "RESULT") => "",
        (Prefix::Stat, _) if numbered(leaf, "POWER") || numbered(leaf, "STATUS") => "",
        (Prefix::Tele, "SENSOR" | "STATE" | "RESULT" | "UPTIME" | "LWT") => "",
        (Prefix::Tele, _) if numbered(leaf, "INFO") => "",
        _ => return None,
    };
    Some(flat(leaf, root))
}

/// Payloads of JSON whose time has no offset.
pub(super) fn flat(metric: &str, root: &str) -> Layout {
    Layout::Flat {
        metric: metric.to_owned(),
        prefix: String::new(),
        root: root.to_owned(),
        time: TimeKey::Local("Time".to_owned()),
    }
}

/// Whether a text is this word with nothing or a number of one or two digits behind it.
pub(super) fn numbered(text: &str, word: &str) -> bool {
    text.strip_prefix(word)
        .is_some_and(|end| end.len() <= 2 && end.bytes().all(|b| b.is_ascii_digit()))
}
