use crate::announcement::{Layout, Stream, TimeKey};

/// First level of all topics.
pub(super) const ROOT: &str = "shellies/";

/// Key of the clock in a whole status. What is called `timestamp` there is when a motion sensor last saw something,
/// and `time` has no date.
const CLOCK: &str = "unixtime";

/// A topic below a device: `shellies/<id>/<rest>`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Address<'a> {
    /// The whole topic.
    pub(super) topic: &'a str,
    /// Id of the device.
    pub(super) id: &'a str,
    /// What follows.
    pub(super) rest: &'a str,
}

impl<'a> Address<'a> {
    /// The address that a topic is; none for topics of others, and of later generations that were told to publish
    /// below `shellies` too.
    pub(super) fn of(topic: &'a str) -> Option<Address<'a>> {
        let (id, rest) = topic.strip_prefix(ROOT)?.split_once('/')?;
        let complete = is_id(id) && rest.split('/').all(|level| !level.is_empty());
        let later_generation = rest.contains(':')
            || matches!(rest, "rpc" | "events/rpc")
            || rest.starts_with("status/");
        (complete && !later_generation).then_some(Address { topic, id, rest })
    }

    /// The metric of a plain payload.
    pub(super) fn metric(self) -> String {
        self.rest.replace('/', ".")
    }

    /// A topic of the same device.
    pub(super) fn sibling(self, rest: &str) -> String {
        format!("{ROOT}{}/{rest}", self.id)
    }

    /// How the payloads of the topic are read.
    pub(super) fn stream(self) -> Stream {
        let metric = self.metric();
        let layout = if self.is_command() {
            Layout::Raw { metric }
        } else {
            Layout::Flat {
                prefix: self.prefix(),
                metric,
                root: String::new(),
                time: TimeKey::Unix(CLOCK.to_owned()),
            }
        };
        Stream {
            topic: self.topic.to_owned(),
            layout,
        }
    }

    /// Whether others publish here what the device is to do.
    fn is_command(self) -> bool {
        let mut levels = self.rest.split('/');
        levels.clone().next_back() == Some("set") || levels.any(|level| level == "command")
    }

    /// What stands before the keys of a JSON payload.
    fn prefix(self) -> String {
        let (above, last) = self.rest.rsplit_once('/').unwrap_or(("", self.rest));
        let named = if matches!(last, "status" | "info") {
            above
        } else {
            self.rest
        };
        if named.is_empty() {
            String::new()
        } else {
            format!("{}.", named.replace('/', "."))
        }
    }
}

/// Whether a text can be the level of a topic that names a device.
pub(super) fn is_id(text: &str) -> bool {
    !text.is_empty() && !text.contains(['/', '+', '#', '\0'])
}
