//! The only place where topics are made or parsed.
//!
//! | below `tarn/<home>/` | who publishes | who subscribes |
//! |---|---|---|
//! | `sync/all` | any node | the home's boxes; of the replicas one |
//! | `sync/to/<node>` | any node | that node |
//! | `sync/replicas` | a replica | every replica |
//! | `box/<edge>/presence`, retained | the box, and its will | every node |
//! | `box/<edge>/state`, retained | the box | replicas |
//! | `box/<edge>/ask` | a replica | the box |
//! | `answer/<node>` | a box | the replica that asked |
//! | `live/<edge>` | a box, while someone looks | replicas |

use std::{fmt, str::FromStr};

use tarn_common::ids::{EdgeId, HomeId};

use crate::node::NodeId;

/// First level of every topic.
const ROOT: &str = "tarn";
/// Group in which the replicas share what only one of them needs.
const REPLICAS: &str = "tarn-cloud";

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// A message of the twins' exchange to all boxes and one replica.
    SyncAll,
    /// A message of the twins' exchange to one node.
    SyncTo(NodeId),
    /// A message of the twins' exchange to all replicas.
    SyncReplicas,
    /// Whether a box is there.
    Presence(EdgeId),
    /// How a box is.
    State(EdgeId),
    /// A question to a box.
    Ask(EdgeId),
    /// An answer to who asked.
    Answer(NodeId),
    /// What happens at a box, while someone looks.
    Live(EdgeId),
}

/// A topic of a home.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Topic {
    /// Whose it is.
    pub home: HomeId,
    /// What it is for.
    pub channel: Channel,
}

/// A topic that is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a topic of ours")]
pub struct NotOurs;

impl Topic {
    /// A topic of a home.
    #[must_use]
    pub fn new(home: &HomeId, channel: Channel) -> Topic {
        Topic {
            home: home.clone(),
            channel,
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let home = &self.home;
        match self.channel {
            Channel::SyncAll => write!(f, "{ROOT}/{home}/sync/all"),
            Channel::SyncTo(node) => write!(f, "{ROOT}/{home}/sync/to/{node}"),
            Channel::SyncReplicas => write!(f, "{ROOT}/{home}/sync/replicas"),
            Channel::Presence(edge) => write!(f, "{ROOT}/{home}/box/{edge}/presence"),
            Channel::State(edge) => write!(f, "{ROOT}/{home}/box/{edge}/state"),
            Channel::Ask(edge) => write!(f, "{ROOT}/{home}/box/{edge}/ask"),
            Channel::Answer(node) => write!(f, "{ROOT}/{home}/answer/{node}"),
            Channel::Live(edge) => write!(f, "{ROOT}/{home}/live/{edge}"),
        }
    }
}

impl FromStr for Topic {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<Topic, NotOurs> {
        let mut levels = text.split('/');
        if levels.next() != Some(ROOT) {
            return Err(NotOurs);
        }
        let home: HomeId = parse(levels.next())?;
        let channel = match levels.next() {
            Some("sync") => match levels.next() {
                Some("all") => Channel::SyncAll,
                Some("replicas") => Channel::SyncReplicas,
                Some("to") => Channel::SyncTo(parse(levels.next())?),
                _ => return Err(NotOurs),
            },
            Some("box") => {
                let edge = parse(levels.next())?;
                match levels.next() {
                    Some("presence") => Channel::Presence(edge),
                    Some("state") => Channel::State(edge),
                    Some("ask") => Channel::Ask(edge),
                    _ => return Err(NotOurs),
                }
            }
            Some("answer") => Channel::Answer(parse(levels.next())?),
            Some("live") => Channel::Live(parse(levels.next())?),
            _ => return Err(NotOurs),
        };
        match levels.next() {
            None => Ok(Topic { home, channel }),
            Some(_) => Err(NotOurs),
        }
    }
}

fn parse<T: FromStr>(level: Option<&str>) -> Result<T, NotOurs> {
    level.and_then(|level| level.parse().ok()).ok_or(NotOurs)
}

/// What a box subscribes to.
#[must_use]
pub fn of_a_box(home: &HomeId, edge: EdgeId) -> Vec<String> {
    let own = |channel| Topic::new(home, channel).to_string();
    vec![
        own(Channel::SyncAll),
        own(Channel::SyncTo(edge.into())),
        own(Channel::Ask(edge)),
        format!("{ROOT}/{home}/box/+/presence"),
    ]
}

/// What a box subscribes to where only boxes meet, who ask each other nothing.
#[must_use]
pub fn of_a_box_among_boxes(home: &HomeId, edge: EdgeId) -> Vec<String> {
    let own = |channel| Topic::new(home, channel).to_string();
    vec![
        own(Channel::SyncAll),
        own(Channel::SyncTo(edge.into())),
        format!("{ROOT}/{home}/box/+/presence"),
    ]
}

/// What a replica subscribes to for the twins of all homes.
#[must_use]
pub fn of_a_replicas_sync(node: NodeId) -> Vec<String> {
    vec![
        format!("$share/{REPLICAS}/{ROOT}/+/sync/all"),
        format!("{ROOT}/+/sync/to/{node}"),
        format!("{ROOT}/+/sync/replicas"),
    ]
}

/// What a replica subscribes to beside: how the boxes of all homes are, what they answer, what happens there.
#[must_use]
pub fn of_a_replicas_boxes(node: NodeId) -> Vec<String> {
    vec![
        format!("{ROOT}/+/box/+/presence"),
        format!("{ROOT}/+/box/+/state"),
        format!("{ROOT}/+/answer/{node}"),
        format!("{ROOT}/+/live/+"),
    ]
}

/// The rules of a broker's ACL that let each user into the home of its name and nowhere else.
#[must_use]
pub fn rules_of_homes() -> String {
    format!("pattern readwrite {ROOT}/%u/#\n")
}

/// Everything of a home, as a filter.
#[must_use]
pub fn of_a_home(home: &HomeId) -> String {
    format!("{ROOT}/{home}/#")
}

/// The twins' exchange of a home, as a filter: nobody but nodes has a word in it.
#[must_use]
pub fn exchange_of_a_home(home: &HomeId) -> String {
    format!("{ROOT}/{home}/sync/#")
}

/// Whether nodes talk of themselves there, at a broker that is a home's, too: nothing of it is a reading.
#[must_use]
pub fn is_between_boxes(topic: &str) -> bool {
    // Asked of every topic that a broker hears, of which hardly any begins so.
    topic.starts_with("tarn/")
        && topic.parse::<Topic>().is_ok_and(|topic| {
            matches!(
                topic.channel,
                Channel::SyncAll | Channel::SyncTo(_) | Channel::Presence(_)
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> HomeId {
        "lake-house".parse().expect("a home")
    }

    #[test]
    fn what_is_made_is_parsed() {
        let edge = EdgeId(0x0123_4567_89ab_cdef);
        for (channel, expected) in [
            (Channel::SyncAll, "sync/all"),
            (Channel::SyncTo(edge.into()), "sync/to/0123456789abcdef"),
            (Channel::SyncReplicas, "sync/replicas"),
            (Channel::Presence(edge), "box/0123456789abcdef/presence"),
            (Channel::State(edge), "box/0123456789abcdef/state"),
            (Channel::Ask(edge), "box/0123456789abcdef/ask"),
            (Channel::Answer(edge.into()), "answer/0123456789abcdef"),
            (Channel::Live(edge), "live/0123456789abcdef"),
        ] {
            let topic = Topic::new(&home(), channel);
            assert_eq!(topic.to_string(), format!("tarn/lake-house/{expected}"));
            assert_eq!(topic.to_string().parse(), Ok(topic));
        }
    }

    #[test]
    fn what_boxes_say_to_each_other() {
        for (text, expected) in [
            ("tarn/lake-house/sync/all", true),
            ("tarn/lake-house/sync/to/0123456789abcdef", true),
            ("tarn/lake-house/box/0123456789abcdef/presence", true),
            ("tarn/lake-house/box/0123456789abcdef/state", false),
            ("tarn/backlog/garden", false),
            ("tarn/lake-house/sync/never", false),
            ("home/lamp", false),
        ] {
            assert_eq!(is_between_boxes(text), expected, "{text}");
        }
    }

    #[test]
    fn others_are_refused() {
        for text in [
            "",
            "tarn",
            "tarn/lake-house",
            "tarn/lake-house/sync",
            "tarn/lake-house/sync/all/more",
            "tarn/lake-house/sync/to/me",
            "tarn/.hidden/sync/all",
            "tarn//sync/all",
            "tarn/two words/sync/all",
            "tarn/lake-house/box/0123456789ABCDEF/presence",
            "tarn/lake-house/box/0123456789abcdef/password",
            "tarn/lake-house/live/+",
            "river/lake-house/sync/all",
        ] {
            assert_eq!(text.parse::<Topic>(), Err(NotOurs), "{text}");
        }
    }
}
